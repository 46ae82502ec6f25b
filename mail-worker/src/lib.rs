//! Turns mail jobs into mail.
//!
//! A [`queue`] brings jobs, the [`worker::MailWorker`] renders each with its [`templates`] and
//! hands it to a [`transport`]. How one job is handled does not depend on where it came from.

pub mod amqp;
pub mod cli;
mod health;
pub mod metrics;
pub mod queue;
mod redact;
pub mod run;
pub mod templates;
pub mod transport;
pub mod worker;

pub use worker::{JobError, MailWorker};
