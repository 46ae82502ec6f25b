//! Chats in GraphQL.

mod loaders;
mod mutation;
mod query;
mod subscription;
mod types;

pub(crate) use loaders::{FirstMembersOf, LowestReadMarksOf};
pub use mutation::ChatMutation;
pub use query::ChatQuery;
pub use subscription::ChatSubscription;
pub use types::{
    ChatNode, MemberConnection, MemberObject, ReadReceiptConnection, ReadReceiptObject,
};
pub(crate) use types::{load_chat, member_cursor};
