//! Groups in GraphQL.

mod mutation;

pub use mutation::*;
