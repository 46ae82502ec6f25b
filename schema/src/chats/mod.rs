//! Chats, their members and what each member has read.

#[cfg(feature = "graphql")]
pub mod graphql;
mod model;
mod service;
mod store;

pub use model::{Chat, ChatKind, Member, MemberRole, ReadReceipt};
pub use service::{ChatError, ChatService};
pub(crate) use service::{announce, check_search, visible_users};
pub use store::{ChatStore, ReadMark};
