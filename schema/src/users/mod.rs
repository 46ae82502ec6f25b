//! Users in GraphQL.

mod loaders;
mod mutation;
mod query;
mod types;

pub use mutation::UserMutation;
pub use query::UserQuery;
pub(crate) use types::load_user;
pub use types::{UserConnection, UserNode};
