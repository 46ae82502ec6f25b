//! Chats, their members and what each member has read.

pub(crate) mod model;
pub(crate) mod service;
pub(crate) mod store;

pub use model::*;
pub use service::*;
pub use store::*;
