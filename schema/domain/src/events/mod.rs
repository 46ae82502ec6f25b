//! What is told to all instances: event types, the bus that carries them, and the fan-out within
//! a process. The bus may lose, double or reorder; the feeds above make a promise of it.
//!
//! The data's way: a service commits, then publishes an [`Event`] on a [`Topic`] of the [`Bus`];
//! the process's [`Hub`] puts it in the [`Receiver`] of each interested feed.

pub(crate) mod bus;
pub(crate) mod event;
pub(crate) mod hub;
pub(crate) mod local_bus;
pub(crate) mod publish;

pub use bus::{Bus, BusLayer};
pub use event::{Event, Interest, Published, RenderKey, Topic};
pub use hub::{Hub, Receiver, Signal, TopicWatcher};
pub use local_bus::LocalBus;
