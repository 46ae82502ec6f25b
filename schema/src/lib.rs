//! The GraphQL face of Talksy: types, resolvers, loaders and the SDL over the domain's services.
//!
//! A room for each capability of the domain. A resolver parses its arguments, asks a service and
//! wraps the answer: rules live in `talksy-domain`, and no store is reached from here.

pub mod account;
pub mod attachments;
mod auth;
pub mod batch_scheduler;
pub mod blocks;
pub mod chats;
pub mod connection;
pub mod context;
pub mod error;
pub mod groups;
pub mod loaders;
pub mod messages;
pub mod metadata;
mod moderation;
pub mod node;
pub mod presence;
pub mod scalars;
pub mod schema;
pub mod server;
pub mod sharing;
pub mod sizes;
pub mod users;
