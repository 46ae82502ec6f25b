//! The chat domain of Talksy and its GraphQL face.
//!
//! Organised by capability; each room has the same furniture: `model` (plain types that parse,
//! not validate), `store` (the port: narrow traits, each method atomic on its own), `service`
//! (rules and authorization; knows neither GraphQL nor a driver) and `graphql` (thin resolvers).
//!
//! A request flows one way: transport → query guard → resolver → service → port → adapter.
//! Without the `graphql` feature the crate is the domain alone.

pub mod accounts;
pub mod chats;
pub mod clock;
pub mod context;
pub mod cursor;
pub mod error;
#[cfg(feature = "graphql")]
pub(crate) mod graphql;
pub mod id;
pub mod limits;
pub mod live;
#[cfg(feature = "graphql")]
pub mod loaders;
pub mod mail;
pub mod messages;
pub mod metrics;
pub mod page;
pub mod presence;
#[cfg(feature = "graphql")]
pub mod schema;
pub mod services;
mod text;
