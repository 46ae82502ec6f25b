//! The live feeds: what a subscriber is promised, made of events that may be lost, doubled or
//! reordered.
//!
//! [`MessageFeed`] is loss-free, ordered and free of duplicates, because it numbers what it
//! delivers and reads from the store what the bus did not bring. The other feeds carry absolute
//! state, so that doubling is harmless, never go back, and compare their state with the store's after
//! an interruption and on every heartbeat, by which a store that was set back is noticed too.

pub(crate) mod account;
pub(crate) mod change_feed;
pub(crate) mod chat_feed;
pub(crate) mod chat_removed_feed;
pub(crate) mod chat_run;
pub(crate) mod chat_state;
pub(crate) mod chat_states;
pub(crate) mod chat_subscription;
pub(crate) mod context;
pub(crate) mod counted;
pub(crate) mod ends;
pub(crate) mod error;
pub(crate) mod feed;
pub(crate) mod heartbeats;
pub(crate) mod incarnation;
mod left_chats;
pub(crate) mod message_feed;
pub(crate) mod policy;
pub(crate) mod presence_feed;
mod read_by_all;
mod readiness;
mod recovery;
mod reply_target;
pub(crate) mod retry;
pub(crate) mod sequencer;
pub(crate) mod service;
mod session_watch;
pub(crate) mod shared_reader;
pub(crate) mod state_feed;
mod timer;
pub(crate) mod told_chat;
pub(crate) mod typing_feed;
pub(crate) mod viewer_chat;

pub use account::{
    AccountCursor, AccountEvent, AccountFeed, AccountItem, AccountPosition, ChatPlace, EventCursor,
    MAX_POSITION, MAX_SINCE,
};
pub use change_feed::{ChangeFeed, ChangeItem};
pub use chat_feed::{ChatFeed, ChatItem};
pub use chat_removed_feed::{ChatRemovedFeed, Removal};
pub use chat_state::ChatState;
pub use counted::Counted;
pub use error::FeedError;
pub use feed::Feed;
pub use message_feed::MessageFeed;
pub use policy::FeedPolicy;
pub use presence_feed::PresenceFeed;
pub use reply_target::ReplyTarget;
pub use sequencer::Sequencer;
pub use service::FeedService;
pub use state_feed::{MemberState, StateFeed, StateItem};
pub use typing_feed::{TypingFeed, TypingState};
