//! How a chat looks to all its viewers of this process at one place of its lines: loaded once, however
//! many viewers there are, and mostly not at all. An event carries the message that it is about, so
//! that with the state before it the state behind it is known.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::chat_run::Run;
use super::chat_state::ChatState;
use super::ends::Ends;
use crate::chats::model::ChatKind;
use crate::chats::store::ChatStore;
use crate::error::PortError;
use crate::id::{self, ChatId, UserId};
use crate::incarnation::Incarnation;
use crate::messages::store::MessageStore;
use crate::page::Window;

/// How many states are kept, and newest ones of chats.
const CAPACITY: u64 = 10_000;
/// For how long a state serves. What it was rendered to holds names, which may change meanwhile.
const SERVES: Duration = Duration::from_secs(1);
/// Of how many chats the state that was asked for last is at hand.
const SLOTS: usize = 1024;
/// For how long the newest state of a chat serves to make later ones of.
const IS_BASE: Duration = Duration::from_mins(10);

/// A chat in one past of the store: a restored one gives the same numbers to other messages.
pub(super) type Line = (Incarnation, ChatId);

/// The states of chats that this process has told of a moment ago.
pub(super) struct ChatStates {
    chats: Arc<dyn ChatStore>,
    messages: Arc<dyn MessageStore>,
    states: Cache<(Line, Ends), Option<Arc<ChatState>>>,
    newest: Cache<Line, Arc<ChatState>>,
    /// Of some chats the state that was asked for last: what a thousand viewers ask for within a moment
    /// costs each no more than a look. A chat has the slot that its id says.
    last: Box<[Mutex<Option<Last>>]>,
}

/// A state that was asked for, where, and until when it serves.
struct Last {
    line: Line,
    state: Arc<ChatState>,
    until: Instant,
}

impl ChatStates {
    pub(super) fn new(chats: Arc<dyn ChatStore>, messages: Arc<dyn MessageStore>) -> Self {
        Self {
            chats,
            messages,
            states: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(SERVES)
                .build(),
            newest: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_idle(IS_BASE)
                .build(),
            last: (0..SLOTS).map(|_| Mutex::default()).collect(),
        }
    }

    /// The state at `ends`, where it is the one of the chat that was asked for last.
    pub(super) fn known_at(&self, line: Line, ends: Ends) -> Option<Arc<ChatState>> {
        let last = self.slot(line).lock();
        let last = last.as_ref().filter(|last| {
            last.line == line && last.state.ends() == ends && Instant::now() < last.until
        })?;
        Some(Arc::clone(&last.state))
    }

    fn slot(&self, line: Line) -> &Mutex<Option<Last>> {
        // The last bytes of an id are random.
        let [.., one, other] = id::bytes(line.1);
        &self.last[usize::from(u16::from_le_bytes([one, other])) % SLOTS]
    }

    /// The chat at `ends`, which a feed knows that it has reached; the state may be further. `None`
    /// where there is no such chat. All who ask for one place share one look at the store.
    pub(super) async fn at(
        &self,
        line: Line,
        ends: Ends,
        run: &Run,
    ) -> Result<Option<Arc<ChatState>>, PortError> {
        let key = (line, ends);
        let state = self.states.try_get_with(key, self.make(line, ends, run));
        let state = state
            .await
            .map_err(|error: Arc<PortError>| (*error).clone())?;
        match &state {
            Some(state) if state.ends().reach(ends) => {}
            // The store is behind what it has told, or has no such chat: it is asked again.
            _ => self.states.invalidate(&key).await,
        }
        Ok(state)
    }

    async fn make(
        &self,
        line: Line,
        ends: Ends,
        run: &Run,
    ) -> Result<Option<Arc<ChatState>>, PortError> {
        let base = self.newest.get(&line).await;
        let made = base.and_then(|base| {
            if base.ends() == ends {
                base.again()
            } else {
                run.state(&base, ends)
            }
        });
        let state = match made {
            Some(state) => Some(state),
            None => Box::pin(self.load(line.1)).await?,
        };
        if let Some(state) = state.as_ref().filter(|state| state.is_settled()) {
            let known = self.newest.get(&line).await;
            if known.is_none_or(|known| state.ends().reach(known.ends())) {
                self.newest.insert(line, Arc::clone(state)).await;
            }
            *self.slot(line).lock() = Some(Last {
                line,
                state: Arc::clone(state),
                until: Instant::now() + SERVES,
            });
            if state.ends() != ends {
                let further = (line, state.ends());
                self.states.insert(further, Some(Arc::clone(state))).await;
            }
        }
        Ok(state)
    }

    /// Reads the chat, then the message that it counts as its last.
    async fn load(&self, chat: ChatId) -> Result<Option<Arc<ChatState>>, PortError> {
        let Some(found) = self.chats.chats(&[chat]).await?.pop() else {
            return Ok(None);
        };
        let last = match found.last_seq.checked_sub(1) {
            Some(before) => {
                let window = Window {
                    after: Some(before),
                    before: None,
                    limit: 1,
                    from_end: false,
                };
                let last = self.messages.page(chat, &window).await?.items.pop();
                // One that cannot be read is left out.
                last.filter(|message| message.seq == found.last_seq)
            }
            None => None,
        };
        let sides = match found.kind {
            ChatKind::Direct => self.sides(chat).await?,
            ChatKind::Group => None,
        };
        Ok(Some(ChatState::new(found, last, sides)))
    }

    /// The two members of a direct chat, where there are two.
    async fn sides(&self, chat: ChatId) -> Result<Option<[UserId; 2]>, PortError> {
        let members = self.chats.first_members(&[chat], 2).await?;
        let users: Vec<_> = members.iter().map(|member| member.user_id).collect();
        Ok(users.try_into().ok())
    }
}
