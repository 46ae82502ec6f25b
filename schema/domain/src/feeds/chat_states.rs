//! How a chat looks to all its viewers of this process at one place of its lines: loaded once, however
//! many viewers there are, and mostly not at all. An event carries the message that it is about, so
//! that with the state before it the state behind it is known.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use super::ends::Ends;
use crate::chats::model::Chat;
use crate::chats::store::ChatStore;
use crate::clock::Timestamp;
use crate::error::PortError;
use crate::events::event::Published;
use crate::events::rendering::Renderings;
use crate::id::ChatId;
use crate::incarnation::Incarnation;
use crate::messages::model::Message;
use crate::messages::store::MessageStore;
use crate::page::Window;
use crate::seq::Seq;

/// How many states are kept, and newest ones of chats.
const CAPACITY: u64 = 10_000;
/// For how long a state serves. What it was rendered to holds names, which may change meanwhile.
const SERVES: Duration = Duration::from_secs(1);
/// For how long the newest state of a chat serves to make later ones of.
const IS_BASE: Duration = Duration::from_mins(10);

/// A chat at a place of its lines.
#[derive(Debug)]
pub struct ChatState {
    /// The chat.
    pub chat: Chat,
    /// The message with the number `chat.last_seq`, as it was at this place.
    pub last_message: Option<Message>,
    /// What it looks like.
    pub renderings: Renderings,
}

impl ChatState {
    fn new(chat: Chat, last_message: Option<Message>) -> Arc<Self> {
        Arc::new(Self {
            chat,
            last_message,
            renderings: Renderings::default(),
        })
    }

    /// The place.
    pub(super) fn ends(&self) -> Ends {
        Ends {
            seq: self.chat.last_seq,
            change_seq: self.chat.last_change_seq,
        }
    }

    /// Whether the chat and its message are of one place: neither was the message changed between
    /// two looks at the store, nor is it one whose effect on the chat is not in the store yet.
    pub(super) fn is_settled(&self) -> bool {
        let message = self.last_message.as_ref();
        message.is_none_or(|message| {
            message.change_seq <= self.chat.last_change_seq && message.mseq <= self.chat.applied_seq
        })
    }

    /// The number of the newest system message that a viewer must be known to have stayed behind,
    /// to see this.
    pub(super) fn mseq(&self) -> Seq {
        let of_message = self.last_message.as_ref().map_or(0, |message| {
            // Who is removed by a system message sees that one still.
            let notice = message.notice.as_ref();
            notice.map_or(message.mseq, |notice| notice.previous)
        });
        self.chat.applied_seq.max(of_message)
    }
}

/// The messages that a feed has seen since it told of the chat, without a gap.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// The number of the first.
    from: Seq,
    /// When the latest was sent.
    active_at: Timestamp,
    /// The last one's newest event: that it was added, or changed.
    newest: Arc<Published>,
}

impl Run {
    /// A message that was added goes on with the run, or begins one. A system message ends it: it
    /// changes more of a chat than the run knows.
    pub(super) fn add(run: &mut Option<Self>, message: &Message, event: &Arc<Published>) {
        let newest = Arc::clone(event);
        let before = run.take().filter(|run| run.last() + 1 == message.seq);
        if message.mseq != message.seq {
            *run = Some(Self {
                from: before.as_ref().map_or(message.seq, |run| run.from),
                active_at: before.map_or(message.created_at, |run| {
                    run.active_at.max(message.created_at)
                }),
                newest,
            });
        }
    }

    /// A change of the last message is its newest event.
    pub(super) fn change(run: &mut Option<Self>, message: &Message, event: &Arc<Published>) {
        if let Some(run) = run
            && run.last() == message.seq
        {
            run.newest = Arc::clone(event);
        }
    }

    fn last(&self) -> Seq {
        self.newest.message().map_or(0, |message| message.seq)
    }

    /// The state at `ends`, made of an earlier one; `None` where they have a gap between them, or
    /// a system message.
    fn state(&self, base: &ChatState, ends: Ends) -> Option<Arc<ChatState>> {
        let message = self.newest.message()?;
        let fits = message.seq == ends.seq
            && base.chat.applied_seq == message.mseq
            && base.chat.last_seq + 1 >= self.from
            && base.chat.last_seq <= message.seq
            && base.chat.last_change_seq <= ends.change_seq;
        let chat = Chat {
            active_at: base.chat.active_at.max(self.active_at),
            last_seq: ends.seq,
            last_change_seq: ends.change_seq,
            ..base.chat.clone()
        };
        fits.then(|| ChatState::new(chat, Some(message.clone())))
    }
}

/// A chat in one past of the store: a restored one gives the same numbers to other messages.
pub(super) type Line = (Incarnation, ChatId);

/// The states of chats that this process has told of a moment ago.
pub(super) struct ChatStates {
    chats: Arc<dyn ChatStore>,
    messages: Arc<dyn MessageStore>,
    states: Cache<(Line, Ends), Option<Arc<ChatState>>>,
    newest: Cache<Line, Arc<ChatState>>,
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
        }
    }

    /// The chat at `ends`, which a feed knows that it has reached; the state may be further. `None`
    /// where there is no such chat. All who ask for one place share one look at the store.
    pub(super) async fn at(
        &self,
        line: Line,
        ends: Ends,
        run: Option<&Run>,
    ) -> Result<Option<Arc<ChatState>>, PortError> {
        let key = (line, ends);
        let state = self.states.try_get_with(key, self.make(line, ends, run));
        let state = state
            .await
            .map_err(|error: Arc<PortError>| (*error).clone())?;
        if !state.as_ref().is_some_and(|state| state.ends().reach(ends)) {
            // The store is behind what it has told, or has no such chat: it is asked again.
            self.states.invalidate(&key).await;
        }
        Ok(state)
    }

    async fn make(
        &self,
        line: Line,
        ends: Ends,
        run: Option<&Run>,
    ) -> Result<Option<Arc<ChatState>>, PortError> {
        let state = match (run, self.newest.get(&line).await) {
            (Some(run), Some(base)) => run.state(&base, ends),
            _ => None,
        };
        let state = match state {
            Some(state) => Some(state),
            None => self.load(line.1).await?,
        };
        if let Some(state) = state.as_ref().filter(|state| state.is_settled()) {
            let known = self.newest.get(&line).await;
            if known.is_none_or(|known| state.ends().reach(known.ends())) {
                self.newest.insert(line, Arc::clone(state)).await;
            }
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
        Ok(Some(ChatState::new(found, last)))
    }
}
