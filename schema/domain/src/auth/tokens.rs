//! The port that makes and proves access tokens.

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::PortError;
use crate::viewer::Viewer;

/// Why an access token was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenProblem {
    /// It was valid once, or was signed with a key that was revoked.
    #[error("The access token has expired. Refresh the session.")]
    Expired,
    /// It is malformed, of another algorithm or issuer, or signed with an unknown key.
    #[error("The access token is not valid. Sign in again.")]
    Invalid,
}

/// Signs and verifies access tokens: JWTs (RFC 7519) with the algorithm EdDSA over Ed25519
/// (RFC 8037) and a `kid`.
#[async_trait]
pub trait AccessTokens: Send + Sync {
    /// A token for the viewer, valid from `issued_at` until `viewer.expires_at`.
    fn issue(&self, viewer: &Viewer, issued_at: Timestamp) -> Result<String, PortError>;

    /// The viewer that the token proves at the time `now`. Expires with the token, at the latest
    /// after the longest time for which tokens are made.
    async fn verify(&self, token: &str, now: Timestamp) -> Result<Viewer, TokenProblem>;

    /// The public keys that tokens may be signed with, as a JWK set (RFC 7517) in JSON.
    fn jwks(&self) -> String;
}
