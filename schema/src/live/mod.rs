//! The live stream: events on a bus that may lose, double or reorder them, and the feeds that
//! make of it what a subscriber is promised.
//!
//! The data's way: a service commits, then publishes an [`Event`] on a [`Topic`] of the [`Bus`];
//! the process's [`Hub`] puts it in the [`Receiver`] of each interested feed; the feed delivers.
//! [`MessageFeed`] is loss-free, ordered and free of duplicates, because it numbers what it
//! delivers and reads from the store what the bus did not bring. The other feeds carry absolute
//! state, so that doubling is harmless, and send the state again after an interruption.

mod bus;
mod chat_feed;
mod event;
mod feed;
mod head;
mod hub;
mod message_feed;
mod patience;
mod policy;
mod presence_feed;
mod receipt_feed;
mod sequencer;
mod service;
mod typing_feed;

pub use bus::Bus;
pub use chat_feed::ChatFeed;
pub use event::{Event, Interest, Published, RenderKey, Topic};
pub use feed::Feed;
pub use hub::{Hub, LocalBus, Receiver, Signal, TopicWatcher};
pub use message_feed::MessageFeed;
pub use policy::LivePolicy;
pub use presence_feed::PresenceFeed;
pub use receipt_feed::ReceiptFeed;
pub use sequencer::Sequencer;
pub use service::{LiveError, LiveService};
pub use typing_feed::{TypingFeed, TypingState};
