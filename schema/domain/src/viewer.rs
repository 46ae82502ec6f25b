//! Who asks, and from where: what a transport puts beside each request.

use std::net::IpAddr;

use crate::clock::Timestamp;
use crate::error::{ApiError, ErrorCode};
use crate::id::{SessionId, UserId};

/// A signed-in user, as an access token proved it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// The user.
    pub user_id: UserId,
    /// The session that the token belongs to.
    pub session_id: SessionId,
    /// When the access token expires. A socket opened with it closes then (4403).
    pub expires_at: Timestamp,
}

/// The client's side of the connection, as seen by the transport.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// The peer's address, or the one a trusted proxy gave.
    pub ip: Option<IpAddr>,
    /// The `User-Agent` header, cut at 256 characters.
    pub user_agent: Option<String>,
}

/// What a request's credentials came to. A transport puts it beside every request; a resolver
/// that needs a viewer asks for it, so that public operations such as `refreshSession` still run
/// when the client's library attached an expired token to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    /// No credentials were sent.
    #[default]
    Anonymous,
    /// A valid access token was sent.
    SignedIn(Viewer),
    /// Credentials were sent and refused: expired, revoked, malformed.
    Refused(ApiError),
}

impl Authentication {
    /// The viewer, for what needs one.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without credentials, else the reason why they were refused.
    pub fn viewer(&self) -> Result<&Viewer, ApiError> {
        match self {
            Self::SignedIn(viewer) => Ok(viewer),
            Self::Anonymous => Err(ApiError::new(
                ErrorCode::Unauthenticated,
                "Sign in first: send `Authorization: Bearer <access token>`.",
            )),
            Self::Refused(error) => Err(error.clone()),
        }
    }
}
