//! Durable jobs: what must happen, though no request waits for it.
//!
//! A job is written with its cause: in SQLite in the same transaction, in MongoDB ahead of what
//! makes it needed. It is done at least once and by one instance at a time; so what it does must be
//! harmless twice. One that fails is tried again after growing waits, and set aside where that does
//! not help, for an operator to look at. What may be lost is no job but an event.
//!
//! `model` has the kinds of jobs and the steps of a job's life, as pure functions. `runner` takes
//! jobs, holds them and tells what came of them; it does not know what they do. `service` does
//! them, by calling ports.

pub(crate) mod model;
pub(crate) mod runner;
pub(crate) mod service;
pub(crate) mod store;

pub use model::*;
pub use runner::*;
pub use service::*;
pub use store::*;
