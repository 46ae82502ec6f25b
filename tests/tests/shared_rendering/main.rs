//! What is rendered once for all viewers of an event is, byte for byte, what an execution for each
//! one alone gives.

mod equal;
mod people;
mod removal;
mod selections;
