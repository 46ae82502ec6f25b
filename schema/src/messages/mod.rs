//! Messages: sent once, numbered without a hole, read in pages.

mod model;
mod store;

pub use model::{ClientMessageId, Message, MessageKind, MessageText, Seq};
pub use store::{Append, Appended, Head, MessageStore};
