//! Chats, their members and what each member has read.

mod model;
mod store;

pub use model::{Chat, ChatKind, Member, MemberRole, ReadReceipt};
pub use store::{ChatStore, ReadMark};
