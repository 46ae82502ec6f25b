//! What all viewers of a live event share, so that it is rendered once for a thousand of them and not
//! a thousand times.
//!
//! | file | what |
//! |---|---|
//! | `declaration` | how a type says which of its fields viewers share |
//! | `registry` | the types that say so, and the subscriptions |
//! | `operation` | which operations are shared, and under which key |
//! | `recorder` | an execution without a viewer, which notes holes and gives up where it needs one |
//! | `rendered` | an event that a shared operation is executed on |
//! | `filling` | what goes into the holes for one viewer |
//!
//! Two things hold that nobody sees what is another's. An operation is looked at before it runs: only
//! fields that their type declares are shared, anything else makes it run for each subscriber.
//! And the shared execution has no viewer: a field that asks for one and is no hole gives it up.

mod declaration;
mod filling;
mod operation;
mod recorder;
mod registry;
mod rendered;

pub(crate) use declaration::{SharedField, SharedType};
pub use filling::{AllRead, Filling, Reacted};
pub use operation::{Holds, Scope, SharedOperation, shared_scopes};
pub use recorder::{RecordedHole, Recorder};
pub(crate) use rendered::items;
pub use rendered::{OpenedFeed, OwnMessage, Rendered, SharedFeed, Side};
