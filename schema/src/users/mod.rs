//! Users in GraphQL.

mod deletion;
mod loaders;
mod mutation;
mod query;
mod types;

pub use deletion::*;
pub use mutation::*;
pub use query::*;
pub use types::*;
