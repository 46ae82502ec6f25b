//! Whom users have blocked, in GraphQL.

mod loaders;
mod mutation;
mod query;

pub use loaders::*;
pub use mutation::*;
pub use query::*;
