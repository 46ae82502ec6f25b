//! Messages: sent once, numbered without a hole, read in pages.

pub(crate) mod model;
pub(crate) mod service;
pub(crate) mod store;

pub use model::*;
pub use service::*;
pub use store::*;
