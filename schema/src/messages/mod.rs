//! Messages: sent once, numbered without a hole, read in pages.

#[cfg(feature = "graphql")]
pub mod graphql;
mod model;
mod service;
mod store;

pub use model::{ClientMessageId, Message, MessageKind, MessageText, Seq};
pub use service::{MessageError, MessageService, Sent};
pub use store::{Append, Appended, Head, MessageStore};
