//! Who is online, as leases that expire by themselves, and who is typing.

#[cfg(feature = "graphql")]
pub mod graphql;
mod model;
mod service;
mod store;

pub use model::{ConnectionId, Presence, PresenceStatus};
pub use service::{PresenceError, PresenceGuard, PresencePolicy, PresenceService};
pub use store::PresenceStore;
