//! What is told to all instances: event types, the bus that carries them, and the fan-out within
//! a process. The bus may lose, double or reorder; the feeds above make a promise of it.
//!
//! The data's way: a store commits and hands over what follows from it ([`Announcement`]) to the
//! [`EventQueue`]; the [`Dispatcher`] publishes each [`Event`] on its [`Topic`] of the [`Bus`]; the
//! process's [`Hub`] puts it in the [`Receiver`] of each interested feed. What no store keeps,
//! presence and typing, its service publishes.

pub(crate) mod announcement;
pub(crate) mod bus;
pub(crate) mod event;
pub(crate) mod event_queue;
pub(crate) mod hub;
pub(crate) mod local_bus;
pub(crate) mod publish;
pub(crate) mod rendering;

pub use announcement::{Announcement, EventSink};
pub use bus::{Bus, BusLayer};
pub use event::{Event, Interest, Published, Topic};
pub use event_queue::{Dispatcher, EventQueue};
pub use hub::{Hub, Receiver, Signal, TopicWatcher};
pub use local_bus::LocalBus;
pub use rendering::{Hole, MemberHole, RenderKey, Renderings, Template, TemplateKey};
