//! Users and what they show of themselves.

pub(crate) mod model;
pub(crate) mod service;
pub(crate) mod store;

pub use model::{About, DisplayName, ProfileChange, User};
pub use service::{UserError, UserService};
pub use store::{UserStore, UserStoreLayer};
