//! Who asks, and from where: what a transport puts beside each request.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

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
    /// When the access token expires. A socket opened with it closes then (4403), unless
    /// `refreshSession` over it has renewed it.
    pub expires_at: Timestamp,
}

/// The client's side of the connection, as seen by the transport.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// The peer's address, or the one a trusted proxy gave.
    pub ip: Option<IpAddr>,
    /// The `User-Agent` header, cut at 256 characters.
    pub user_agent: Option<String>,
    /// Of a connection that outlives its requests: by which its session is renewed.
    pub renewal: Option<Renewal>,
}

/// Until when a connection that was opened with an access token may stay open. `refreshSession`
/// over the connection prolongs it: whoever gets fresh tokens of the same session over it has
/// proved no less than who opens a new one with them.
#[derive(Clone, Debug)]
pub struct Renewal {
    session_id: SessionId,
    /// Milliseconds since the Unix epoch.
    expires_at: Arc<AtomicI64>,
}

impl Renewal {
    /// Of a connection that this viewer has opened: until their access token expires.
    pub fn new(viewer: &Viewer) -> Self {
        Self {
            session_id: viewer.session_id,
            expires_at: Arc::new(AtomicI64::new(viewer.expires_at.as_millis())),
        }
    }

    /// Notes that an access token was issued over the connection. Another session's does nothing,
    /// nor does one that expires earlier.
    pub fn renew(&self, session: SessionId, expires_at: Timestamp) {
        if session == self.session_id {
            self.expires_at
                .fetch_max(expires_at.as_millis(), Ordering::SeqCst);
        }
    }

    /// When the connection's last access token expires.
    pub fn expires_at(&self) -> Timestamp {
        Timestamp::from_millis(self.expires_at.load(Ordering::SeqCst))
    }
}

/// The same connection's.
impl PartialEq for Renewal {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.expires_at, &other.expires_at)
    }
}

impl Eq for Renewal {}

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::id;

    #[test]
    fn a_connection_is_renewed_by_its_own_session_and_never_shortened() {
        let start = Timestamp::from_millis(1_000);
        let later = start + Duration::from_mins(10);
        let viewer = Viewer {
            user_id: id::from_bytes([1; 16]),
            session_id: id::from_bytes([2; 16]),
            expires_at: start,
        };
        let renewal = Renewal::new(&viewer);
        renewal.clone().renew(id::from_bytes([3; 16]), later);
        assert_eq!(renewal.expires_at(), start, "another session's token");
        renewal.clone().renew(viewer.session_id, later);
        assert_eq!(renewal.expires_at(), later);
        renewal.renew(viewer.session_id, start);
        assert_eq!(
            renewal.expires_at(),
            later,
            "an earlier answer that came late"
        );
    }
}
