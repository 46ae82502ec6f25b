//! Chats in GraphQL.

mod loaders;
mod members;
mod mutation;
mod prefetch;
mod query;
mod subscription;
mod types;

pub(crate) use loaders::*;
pub use members::*;
pub use mutation::*;
pub use query::*;
pub use subscription::*;
pub use types::*;
