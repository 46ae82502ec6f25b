//! Messages in GraphQL.

mod loaders;
mod mutation;
mod shared_rendering;
mod subscription;
mod types;

pub(crate) use loaders::*;
pub use mutation::*;
pub use shared_rendering::*;
pub use subscription::*;
pub use types::*;
