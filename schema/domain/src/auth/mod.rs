//! Signing in by mailed code, sessions and their tokens.

pub(crate) mod codes;
pub(crate) mod model;
pub(crate) mod service;
pub(crate) mod store;
pub(crate) mod tokens;

pub use codes::{Attempt, CodeDigest, CodeKey, CodeStore, CodeStoreLayer, Issue, IssuedCode};
pub use model::{RefreshToken, Session, TokenHash};
pub use service::{AuthError, AuthPolicy, AuthService, CodeSent, SignedIn};
pub use store::{Rotation, SessionStore, SessionStoreLayer};
pub use tokens::{AccessTokens, TokenProblem};
