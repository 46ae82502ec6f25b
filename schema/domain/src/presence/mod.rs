//! Who is online, as leases that expire by themselves, and who is typing.

pub(crate) mod model;
pub(crate) mod service;
pub(crate) mod store;

pub use model::{ConnectionId, Presence, PresenceStatus};
pub use service::{PresenceError, PresenceGuard, PresencePolicy, PresenceService};
pub use store::{PresenceStore, PresenceStoreLayer};
