//! Chats, their members and what each member has read.

pub(crate) mod model;
pub(crate) mod service;
pub(crate) mod store;
pub(crate) mod total_unread;

pub use model::*;
pub use service::*;
pub use store::*;
pub use total_unread::*;
