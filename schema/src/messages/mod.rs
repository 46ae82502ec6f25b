//! Messages in GraphQL.

mod loaders;
mod mutation;
mod notice;
mod shared_rendering;
mod subscription;
mod types;

pub(crate) use loaders::*;
pub use mutation::*;
pub use notice::*;
pub use shared_rendering::*;
pub use subscription::*;
pub use types::*;
