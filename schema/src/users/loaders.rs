//! Loads users.

use std::collections::HashMap;
use std::sync::Arc;

use talksy_domain::error::PortError;
use talksy_domain::id::UserId;
use talksy_domain::users::User;

use crate::loaders::{Loader, LoaderContext, by_key};

/// How many messages a user, who asks, has not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TotalUnreadOf(pub UserId);

impl Loader<UserId> for LoaderContext {
    type Value = Arc<User>;

    async fn load(&self, keys: &[UserId]) -> Result<HashMap<UserId, Arc<User>>, PortError> {
        Ok(by_key(
            self.services
                .users
                .referenced(keys)
                .await?
                .into_iter()
                .map(Arc::new),
            |user| user.id,
        ))
    }
}

impl Loader<TotalUnreadOf> for LoaderContext {
    type Value = u32;

    async fn load(&self, keys: &[TotalUnreadOf]) -> Result<HashMap<TotalUnreadOf, u32>, PortError> {
        let mut totals = HashMap::with_capacity(keys.len());
        // Who asks does so for themself, so that there is one.
        for key in keys {
            totals.insert(*key, self.services.chats.total_unread(key.0).await?);
        }
        Ok(totals)
    }
}
