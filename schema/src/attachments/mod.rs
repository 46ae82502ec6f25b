//! Attachments in GraphQL.

mod loaders;
mod mutation;
mod types;

pub use mutation::*;
pub use types::*;
