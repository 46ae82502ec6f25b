//! Messages in GraphQL.

mod loaders;
mod mutation;
mod notice;
mod replies;
mod subscription;
mod types;

pub(crate) use loaders::*;
pub use mutation::*;
pub use notice::*;
pub use subscription::*;
pub use types::*;
