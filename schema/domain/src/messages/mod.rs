//! Messages: sent once, numbered without a hole, read in pages.

pub(crate) mod model;
pub(crate) mod service;
pub(crate) mod store;

pub use model::{ClientMessageId, Message, MessageKind, MessageText};
pub use service::{MessageError, MessageService, Sent};
pub use store::{Append, Appended, Head, MessageStore, MessageStoreLayer};
