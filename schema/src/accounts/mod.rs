//! Users, their sessions, and how they sign in.

pub mod codes;
#[cfg(feature = "graphql")]
pub mod graphql;
mod model;
mod service;
mod store;
pub mod tokens;

pub use model::{About, DisplayName, ProfileChange, RefreshToken, Session, TokenHash, User};
pub(crate) use service::SESSION_CACHE;
pub use service::{AccountError, AccountService, AuthPolicy, CodeSent, SignedIn};
pub use store::{AccountStore, Rotation};
