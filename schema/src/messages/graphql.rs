//! Messages in GraphQL.

mod mutation;
mod subscription;
mod types;

pub use mutation::MessageMutation;
pub use subscription::{MessageSubscription, Rendered};
pub use types::{MessageConnection, MessageEdge, MessageNode};
