//! Presence and typing in GraphQL.

mod loaders;
mod mutation;
mod subscription;
mod types;

pub(crate) use loaders::*;
pub use mutation::*;
pub use subscription::*;
pub use types::*;
