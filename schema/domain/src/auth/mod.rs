//! Signing in by mailed code, sessions and their tokens.

pub(crate) mod challenge;
pub(crate) mod codes;
pub(crate) mod error;
pub(crate) mod model;
pub(crate) mod places;
pub(crate) mod rules;
pub(crate) mod service;
pub(crate) mod sign_in;
mod sign_up;
pub(crate) mod store;
pub(crate) mod tokens;

pub use codes::*;
pub use error::*;
pub use model::*;
pub use places::{Place, addresses};
pub use rules::*;
pub use service::*;
pub use sign_in::*;
pub use sign_up::*;
pub use store::*;
pub use tokens::*;
