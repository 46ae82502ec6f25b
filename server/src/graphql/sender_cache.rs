//! Who sent the messages that are rendered for all who follow a chat.
//!
//! A rendering that waits for the store holds up every subscriber, and with them the messages
//! behind: each would be woken for one message at a time, and write it by itself. So senders are
//! remembered, no longer than a name that was changed on another instance may take to show in live
//! messages. What was changed on this one shows at once: who was told of it keeps what came last.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use talksy_domain::error::PortError;
use talksy_domain::id::UserId;
use talksy_domain::pausing;
use talksy_domain::services::Services;
use talksy_domain::users::User;
use talksy_schema::loaders::{Asker, loaders};

/// For how long a sender is not read again.
const REMEMBER: Duration = Duration::from_secs(1);

/// The most senders remembered.
const CAPACITY: u64 = 10_000;

/// Senders of a moment ago.
#[derive(Clone)]
pub(super) struct SenderCache(Cache<(UserId, u64), Option<Arc<User>>>);

impl SenderCache {
    pub(super) fn new() -> Self {
        let cache = Cache::builder()
            .max_capacity(CAPACITY)
            .time_to_live(REMEMBER)
            .build();
        Self(cache)
    }

    /// The user; `None` where there is none, or the store does not say.
    pub(super) async fn get(&self, services: &Services, user: UserId) -> Option<Arc<User>> {
        let read = || async {
            let (loaders, batches) = loaders(services.clone(), Asker::Anonymous, false);
            batches.run(loaders.load_one(user)).await
        };
        // A read that began before a profile was changed serves nobody who asks behind it.
        let key = (user, services.users.changed_profiles());
        let shared = || Box::pin(self.0.try_get_with(key, pausing::holding(read())));
        let found: Result<_, Arc<PortError>> = pausing::turn(shared).await;
        // A failure shows when the rendering itself asks, where it is told as what it is.
        found.ok().flatten()
    }
}
