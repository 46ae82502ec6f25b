//! How a chat looks to all its viewers of this process at one place of its lines: loaded once, however
//! many viewers there are, and mostly not at all. An event carries the message that it is about, so
//! that with the state before it the state behind it is known.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::chat_run::Run;
use super::chat_state::ChatState;
use super::ends::Ends;
use super::shared_reader::SharedReader;
use crate::chats::model::{Chat, ChatKind};
use crate::chats::store::ChatStore;
use crate::error::PortError;
use crate::id::{self, ChatId, UserId};
use crate::incarnation::Incarnation;
use crate::messages::model::Message;
use crate::messages::store::MessageStore;
use crate::page::Window;
use crate::pausing;
use crate::seq::Seq;

/// How many states are kept, and newest ones of chats.
const CAPACITY: u64 = 10_000;
/// For how long a state serves. What it was rendered to holds names, which may change meanwhile.
const SERVES: Duration = Duration::from_secs(1);
/// Of how many chats the state that was asked for last is at hand.
const SLOTS: usize = 1024;
/// For how long the newest state of a chat serves to make later ones of.
const IS_BASE: Duration = Duration::from_mins(10);
/// How many chats one store call reads at most.
const CHATS: usize = 100;

/// A chat in one past of the store: a restored one gives the same numbers to other messages.
pub(super) type Line = (Incarnation, ChatId);

/// The states of chats that this process has told of a moment ago.
pub(super) struct ChatStates {
    messages: Arc<dyn MessageStore>,
    /// What states are made of. After an interruption many feeds tell of chats of their own at the same
    /// time: together they read them.
    chats: SharedReader<ChatId, Chat>,
    last_messages: SharedReader<ChatId, Message>,
    sides: SharedReader<ChatId, [UserId; 2]>,
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
    /// Must be called on a Tokio runtime.
    pub(super) fn new(chats: &Arc<dyn ChatStore>, messages: Arc<dyn MessageStore>) -> Self {
        Self {
            chats: SharedReader::over(chats, CHATS, |store, chats| async move {
                let chats = store.chats(&chats).await?;
                Ok(chats.into_iter().map(|chat| (chat.id, chat)).collect())
            }),
            last_messages: SharedReader::over(&messages, CHATS, |store, chats| async move {
                let messages = store.last_messages(&chats).await?.into_iter();
                Ok(messages.map(|message| (message.chat_id, message)).collect())
            }),
            sides: SharedReader::over(chats, CHATS, |store, chats| async move {
                let mut sides = HashMap::<ChatId, Vec<UserId>>::new();
                for member in store.first_members(&chats, 2).await? {
                    sides
                        .entry(member.chat_id)
                        .or_default()
                        .push(member.user_id);
                }
                // Where there are not two, they are left out.
                let both =
                    |(chat, users): (ChatId, Vec<UserId>)| Some((chat, users.try_into().ok()?));
                Ok(sides.into_iter().filter_map(both).collect())
            }),
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
    /// where there is no such chat. All who ask for one place share one look at the store. `sides` are the
    /// members of a direct chat, where who asks knows them.
    pub(super) async fn at(
        &self,
        line: Line,
        ends: Ends,
        run: &Run,
        sides: Option<[UserId; 2]>,
    ) -> Result<Option<Arc<ChatState>>, PortError> {
        let key = (line, ends);
        let state = if let Some(state) = self.states.get(&key).await {
            state
        } else {
            // In a box, so that a feed that waits for events needs no room for it.
            let shared = || {
                let make = self.make(line, ends, run, sides);
                let shared = self.states.try_get_with(key, pausing::holding(make));
                Box::pin(shared)
            };
            let state = pausing::turn(shared).await;
            state.map_err(|error: Arc<PortError>| (*error).clone())?
        };
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
        sides: Option<[UserId; 2]>,
    ) -> Result<Option<Arc<ChatState>>, PortError> {
        let base = self.newest.get(&line).await;
        let sides = sides.or_else(|| base.as_ref()?.sides);
        let made = base.and_then(|base| {
            if base.ends() == ends {
                base.again()
            } else {
                run.state(&base, ends)
            }
        });
        let state = match made {
            Some(state) => Some(state),
            None => Box::pin(self.load(line.1, sides)).await?,
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
    async fn load(
        &self,
        chat: ChatId,
        sides: Option<[UserId; 2]>,
    ) -> Result<Option<Arc<ChatState>>, PortError> {
        let Some(found) = self.chats.one(chat).await? else {
            return Ok(None);
        };
        let last = match found.last_seq {
            0 => None,
            seq => self.last_message(chat, seq).await?,
        };
        let sides = match (found.kind, sides) {
            (ChatKind::Direct, None) => self.sides.one(chat).await?,
            (ChatKind::Direct, known) => known,
            (ChatKind::Group, _) => None,
        };
        Ok(Some(ChatState::new(found, last, sides)))
    }

    /// The message of this number, which was the chat's last; `None` where it cannot be read.
    async fn last_message(&self, chat: ChatId, seq: Seq) -> Result<Option<Message>, PortError> {
        match self.last_messages.one(chat).await? {
            // The chat has moved on meanwhile.
            Some(message) if message.seq > seq => {
                let window = Window {
                    after: Some(seq - 1),
                    before: None,
                    limit: 1,
                    from_end: false,
                };
                let page = self.messages.page(chat, &window).await?;
                Ok(page.items.into_iter().find(|message| message.seq == seq))
            }
            message => Ok(message.filter(|message| message.seq == seq)),
        }
    }
}
