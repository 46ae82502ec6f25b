//! The Talksy server: everything that touches the outside world of the chat domain.
//!
//! The rules of chatting are in `talksy-schema`; this crate owns what surrounds them: the
//! configuration and its sources, the signing keys, the adapters behind the domain's ports, and
//! the life of the process.

pub mod adapters;
pub mod app;
pub mod cli;
pub mod config;
pub mod demo;
pub mod graphql;
pub mod http;
pub mod keys;
pub mod lifecycle;
mod metrics;
mod operator;
pub mod telemetry;

#[cfg(test)]
mod testing;
