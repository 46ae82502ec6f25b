//! Moderation in GraphQL.

mod loaders;
mod mutation;
mod query;
mod types;

pub use mutation::*;
pub use query::*;
pub use types::*;
