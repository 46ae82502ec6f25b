//! Messages in GraphQL.

mod change;
mod loaders;
mod mutation;
mod notice;
mod reactions;
mod replies;
mod search;
mod subscription;
mod types;

pub use change::*;
pub(crate) use loaders::*;
pub use mutation::*;
pub use notice::*;
pub use reactions::{
    AddReactionInput, AddReactionPayload, PinMessageInput, PinMessagePayload, ReactionGroupObject,
    ReactionMutation, RemoveReactionInput, RemoveReactionPayload,
};
pub(crate) use reactions::{PinnedOf, SHARED as SHARED_REACTIONS};
pub use search::*;
pub use subscription::*;
pub use types::*;
