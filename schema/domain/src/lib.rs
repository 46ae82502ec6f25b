//! The rules of Talksy, and the ports through which they reach the outside. This crate knows no
//! GraphQL, no transport and no driver.
//!
//! Organised by capability. Each room has the same furniture: `model` (plain types that parse,
//! not validate), `store` (the port: a narrow trait, each method atomic on its own) and `service`
//! (the rules; those by which a store judges within its commit are pure functions, in `rules`).
//!
//! What may know what, from the bottom up; a test holds every import to it:
//!
//! 1. words that all share: [`id`], [`seq`], [`incarnation`], [`clock`], [`backoff`], [`text`], [`page`],
//!    [`cursor`], [`error`], [`damage`], [`limits`], [`viewer`], [`turns`], [`metrics`],
//!    [`keyed_hash`], [`metadata`], `user_list`, [`search`], [`pausing`]; [`port`], by which ports are declared
//! 2. models, and the ports that keep them
//! 3. [`events`]: what is told to all instances, and how it is published; [`access`]: the one
//!    door, which gives proofs of who may do what
//! 4. services
//!    ([`exports`] is one: all that is a user's own, in an archive)
//! 5. [`feeds`]: the live streams over the lines
//! 6. [`services`]: puts all of it together

pub mod access;
pub mod attachments;
pub mod auth;
pub mod backoff;
pub mod blocks;
pub mod chats;
pub mod clock;
pub mod cursor;
pub mod damage;
pub mod deletion;
pub mod error;
pub mod events;
pub mod exports;
pub mod feeds;
pub mod groups;
pub mod id;
pub mod incarnation;
pub mod jobs;
pub mod keyed_hash;
pub mod limits;
pub mod mail;
pub mod messages;
pub mod metadata;
pub mod metrics;
pub mod moderation;
pub mod page;
pub mod pausing;
pub mod port;
pub mod presence;
pub mod search;
pub mod seq;
pub mod services;
pub mod text;
pub mod turns;
mod user_list;
pub mod users;
pub mod viewer;
