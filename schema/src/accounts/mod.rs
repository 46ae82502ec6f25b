//! Users, their sessions, and how they sign in.

pub mod codes;
mod model;
mod store;
pub mod tokens;

pub use model::{About, DisplayName, ProfileChange, RefreshToken, Session, TokenHash, User};
pub use store::{AccountStore, Rotation};
