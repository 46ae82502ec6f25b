//! Messages in GraphQL.

mod loaders;
mod mutation;
mod shared_rendering;
mod subscription;
mod types;

pub(crate) use loaders::LastMessageOf;
pub use mutation::MessageMutation;
pub use shared_rendering::SharedOperation;
pub use subscription::{MessageSubscription, Rendered};
pub use types::{MessageConnection, MessageEdge, MessageNode};
