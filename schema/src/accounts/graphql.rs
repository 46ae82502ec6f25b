//! Accounts in GraphQL.

mod mutation;
mod query;
mod types;

pub use mutation::AccountMutation;
pub use query::AccountQuery;
pub use types::{SessionNode, UserConnection, UserNode};
