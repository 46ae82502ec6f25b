//! Presence and typing in GraphQL.

mod loaders;
mod mutation;
mod subscription;
mod types;

pub(crate) use loaders::PresenceOf;
pub use mutation::PresenceMutation;
pub use subscription::PresenceSubscription;
pub use types::{PresenceObject, TypingStateObject};
