//! Notices that the sessions of open connections have ended although nobody told of it: the store is
//! asked for all of them together, at regular times.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep, sleep_until};

use crate::auth::service::AuthService;
use crate::error::chain;
use crate::id::SessionId;

/// How many sessions one store call asks for at most.
const AT_ONCE: usize = 1_000;
/// For how long questions out of turn are gathered: who opens a connection, or was told that something
/// was missed, seldom is alone.
const GATHERS: Duration = Duration::from_millis(5);

/// The sessions of this process's open connections.
pub(super) struct SessionWatch {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    asked: Arc<Notify>,
}

#[derive(Default)]
struct State {
    watched: HashMap<SessionId, Entry>,
    /// To be looked at out of turn.
    asked: Vec<SessionId>,
}

struct Entry {
    watchers: usize,
    /// Closed when the session has ended.
    ended: Arc<Semaphore>,
}

impl SessionWatch {
    /// Begins to look, each time `every` has passed. Must be called on a Tokio runtime.
    pub(super) fn start(auth: Arc<AuthService>, every: Duration) -> Self {
        let shared = Arc::<Shared>::default();
        let (weak, asked) = (Arc::downgrade(&shared), Arc::clone(&shared.asked));
        tokio::spawn(async move {
            let mut regular_at = Instant::now() + every;
            loop {
                let is_regular = tokio::select! {
                    () = sleep_until(regular_at) => true,
                    () = asked.notified() => {
                        sleep(GATHERS).await;
                        false
                    }
                };
                let Some(shared) = weak.upgrade() else {
                    return;
                };
                if is_regular {
                    regular_at = Instant::now() + every;
                }
                let ids = shared.take(is_regular);
                shared.look(&auth, &ids).await;
            }
        });
        Self { shared }
    }

    /// Watches a session until what is returned is dropped. It is looked at at once, then regularly.
    pub(super) fn watch(&self, session: SessionId) -> Watched {
        let ended = {
            let mut state = self.shared.state.lock();
            let entry = state.watched.entry(session).or_insert_with(|| Entry {
                watchers: 0,
                ended: Arc::new(Semaphore::new(0)),
            });
            entry.watchers += 1;
            Arc::clone(&entry.ended)
        };
        let watched = Watched {
            shared: Arc::clone(&self.shared),
            session,
            ended,
        };
        watched.look();
        watched
    }
}

impl Drop for SessionWatch {
    fn drop(&mut self) {
        // The task sees that nobody watches any more, once the last connection has gone too.
        self.shared.asked.notify_one();
    }
}

impl Shared {
    /// Whom to look at now.
    fn take(&self, is_regular: bool) -> Vec<SessionId> {
        let mut state = self.state.lock();
        let mut asked = std::mem::take(&mut state.asked);
        if is_regular {
            return state.watched.keys().copied().collect();
        }
        asked.sort_unstable();
        asked.dedup();
        asked
    }

    /// Ends the watch over those that have ended. Where the store cannot say, none has.
    async fn look(&self, auth: &AuthService, ids: &[SessionId]) {
        for some in ids.chunks(AT_ONCE) {
            match auth.live_now(some).await {
                Ok(live) => {
                    let state = self.state.lock();
                    for session in some.iter().filter(|session| !live.contains(*session)) {
                        if let Some(entry) = state.watched.get(session) {
                            entry.ended.close();
                        }
                    }
                }
                Err(error) => {
                    tracing::debug!(error = %chain(&error), "sessions were not looked at");
                    return;
                }
            }
        }
    }
}

/// The watch of one connection over its session.
pub(super) struct Watched {
    shared: Arc<Shared>,
    session: SessionId,
    ended: Arc<Semaphore>,
}

impl Watched {
    /// Has the session looked at out of turn.
    pub(super) fn look(&self) {
        self.shared.state.lock().asked.push(self.session);
        self.shared.asked.notify_one();
    }

    /// Resolves when the store does not have the session any more.
    pub(super) async fn ended(&self) {
        // Nobody adds permits: this waits for the close.
        let closed = self.ended.acquire().await;
        debug_assert!(closed.is_err(), "a session's end is a close");
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        if let Some(entry) = state.watched.get_mut(&self.session) {
            entry.watchers -= 1;
            if entry.watchers == 0 {
                state.watched.remove(&self.session);
            }
        }
    }
}
