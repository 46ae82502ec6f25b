//! Who is online, as leases that expire by themselves, and who is typing.

mod model;
mod store;

pub use model::{ConnectionId, Presence, PresenceStatus};
pub use store::PresenceStore;
