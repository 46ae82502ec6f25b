//! Whom users have blocked: between two of whom one has blocked the other nothing is said directly,
//! and neither sees whether the other is there. Groups that both are in stay as they are.

pub(crate) mod model;
pub(crate) mod service;
pub(crate) mod store;

pub use model::*;
pub use service::*;
pub use store::*;
