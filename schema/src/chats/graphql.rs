//! Chats in GraphQL.

mod mutation;
mod query;
mod subscription;
mod types;

pub use mutation::ChatMutation;
pub use query::ChatQuery;
pub use subscription::ChatSubscription;
pub use types::{
    ChatNode, MemberConnection, MemberObject, ReadReceiptConnection, ReadReceiptObject,
};
pub(crate) use types::{load_chat, load_user, member_cursor};
