//! What users report, what the operators of the server do about it, and the log of what they did.

pub(crate) mod audit;
mod listing;
pub(crate) mod model;
pub(crate) mod service;
pub(crate) mod store;

pub use audit::*;
pub use model::*;
pub use service::*;
pub use store::*;
