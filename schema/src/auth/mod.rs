//! Signing in and sessions in GraphQL.

mod mutation;
mod query;
mod types;

pub use mutation::AuthMutation;
pub use query::AuthQuery;
pub use types::SessionNode;
