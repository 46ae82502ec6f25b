//! Messages in GraphQL.

mod mutation;
mod sharing;
mod subscription;
mod types;

pub use mutation::MessageMutation;
pub use sharing::SharedOperation;
pub use subscription::{MessageSubscription, Rendered};
pub use types::{MessageConnection, MessageEdge, MessageNode};
