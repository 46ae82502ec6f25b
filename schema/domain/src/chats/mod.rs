//! Chats, their members and what each member has read.

pub(crate) mod model;
pub(crate) mod service;
pub(crate) mod store;

pub use model::{Chat, ChatKind, Member, MemberRole, ReadReceipt};
pub use service::{ChatError, ChatService};
pub use store::{ChatStore, ChatStoreLayer, ReadMark};
