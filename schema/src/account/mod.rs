//! The viewer's whole account as one stream, in GraphQL.

mod subscription;
mod types;

pub use subscription::*;
pub use types::*;
