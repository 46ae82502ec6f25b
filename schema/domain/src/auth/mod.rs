//! Signing in by mailed code, sessions and their tokens.

pub(crate) mod codes;
pub(crate) mod model;
pub(crate) mod service;
pub(crate) mod store;
pub(crate) mod tokens;

pub use codes::*;
pub use model::*;
pub use service::*;
pub use store::*;
pub use tokens::*;
