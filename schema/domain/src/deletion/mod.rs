//! Deleting accounts, by the user themself.
//!
//! A code of its own is mailed (`service`); with it the account is marked as deleted in one commit,
//! which frees its address, empties its profile and writes the job that erases the rest step by step
//! (`erasing`). The user's id stays, for what others have written with them: it is a deleted user then
//! ([`User::is_deleted`](crate::users::User::is_deleted)).

pub(crate) mod erasing;
pub(crate) mod service;

pub use erasing::*;
pub use service::*;
