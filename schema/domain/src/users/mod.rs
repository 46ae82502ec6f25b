//! Users and what they show of themselves.

pub(crate) mod model;
pub(crate) mod service;
pub(crate) mod store;

pub use model::*;
pub use service::*;
pub use store::*;
