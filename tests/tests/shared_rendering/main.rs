//! What is rendered once for all viewers of an event is, byte for byte, what an execution for each
//! one alone gives.

#![expect(
    clippy::unwrap_used,
    reason = "what is not as a test expects ends the test"
)]

mod equal;
mod meanings;
mod mentions;
mod once;
mod people;
mod reactions;
mod removal;
mod replies;
mod selections;
