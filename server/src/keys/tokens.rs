//! Access tokens: JWTs signed with EdDSA, read strictly (RFC 8725): one algorithm, a known `kid`,
//! our issuer, our audience, every claim present. Time comes from the caller.
//!
//! A signature check costs some 50 µs, and a client sends the same token with each request. So
//! verified tokens are remembered by their hash, in a bounded cache; what is remembered is still
//! held against the time and the keys in force.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, Validation, decode, decode_header, encode};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use talksy_domain::auth::{AccessTokens, TokenProblem};
use talksy_domain::clock::Timestamp;
use talksy_domain::error::PortError;
use talksy_domain::id::{SessionId, UserId};
use talksy_domain::viewer::Viewer;

use super::Keys;

/// Who issues the tokens, and whom they are for.
const ISSUER: &str = "talksy";
/// Ours have some 350 bytes.
const MAX_TOKEN_BYTES: usize = 2_048;

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    /// The user.
    sub: UserId,
    /// The session.
    sid: SessionId,
    /// Seconds since the Unix epoch.
    iat: i64,
    /// Seconds since the Unix epoch.
    exp: i64,
}

/// Tokens whose signature was checked, by the SHA-256 of their text.
pub(super) struct TokenCache(Option<Cache<[u8; 32], Verified>>);

#[derive(Clone)]
pub(super) struct Verified {
    viewer: Viewer,
    kid: Arc<str>,
}

impl TokenCache {
    pub(super) fn new(capacity: u64) -> Self {
        Self((capacity > 0).then(|| Cache::new(capacity)))
    }

    pub(super) fn get(&self, hash: &[u8; 32]) -> Option<Verified> {
        self.0.as_ref()?.get(hash)
    }

    fn insert(&self, hash: [u8; 32], verified: Verified) {
        if let Some(cache) = &self.0 {
            cache.insert(hash, verified);
        }
    }

    fn remove(&self, hash: &[u8; 32]) {
        if let Some(cache) = &self.0 {
            cache.invalidate(hash);
        }
    }
}

impl Keys {
    /// Checks everything but the expiry.
    fn check(&self, token: &str, now: Timestamp) -> Option<Verified> {
        let header = decode_header(token).ok()?;
        // An extension that must be understood is not (RFC 7515, section 4.1.11).
        if header.crit.is_some() {
            return None;
        }
        let ring = self.ring();
        let key = ring.verifying(header.kid.as_deref()?, now)?;
        let claims = decode::<Claims>(token, &key.key, &validation())
            .ok()?
            .claims;
        Some(Verified {
            viewer: Viewer {
                user_id: claims.sub,
                session_id: claims.sid,
                expires_at: Timestamp::from_millis(claims.exp.checked_mul(1_000)?),
            },
            kid: Arc::from(&*key.kid),
        })
    }
}

impl Keys {
    /// Another instance may sign with a key that this one has not read yet: looks at the file,
    /// which costs no more than its metadata where it is unchanged.
    fn check_anew(&self, token: &str, now: Timestamp) -> Option<Verified> {
        let kid = decode_header(token).ok()?.kid?;
        if self.ring().verifying(&kid, now).is_some() || !matches!(self.reload(), Ok(true)) {
            return None;
        }
        self.check(token, now)
    }
}

fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // The library would read the machine's clock; the caller's time is compared instead.
    validation.validate_exp = false;
    validation
}

impl AccessTokens for Keys {
    fn issue(&self, viewer: &Viewer, issued_at: Timestamp) -> Result<String, PortError> {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: ISSUER.to_owned(),
            sub: viewer.user_id,
            sid: viewer.session_id,
            iat: issued_at.as_secs(),
            exp: viewer.expires_at.as_secs(),
        };
        let ring = self.ring();
        encode(&ring.header, &claims, &ring.signing).map_err(|error| {
            PortError::corrupt(format!("signing key in {}", self.path.display()), error)
        })
    }

    fn verify(&self, token: &str, now: Timestamp) -> Result<Viewer, TokenProblem> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenProblem::Invalid);
        }
        let hash: [u8; 32] = Sha256::digest(token).into();
        let remembered = self.cache.get(&hash);
        let known = remembered.is_some();
        let verified = match remembered {
            Some(verified) => verified,
            None => self
                .check(token, now)
                .or_else(|| self.check_anew(token, now))
                .ok_or(TokenProblem::Invalid)?,
        };
        if now >= verified.viewer.expires_at {
            self.cache.remove(&hash);
            return Err(TokenProblem::Expired);
        }
        if known {
            if self.ring().verifying(&verified.kid, now).is_none() {
                self.cache.remove(&hash);
                return Err(TokenProblem::Invalid);
            }
        } else {
            self.cache.insert(hash, verified.clone());
        }
        Ok(verified.viewer)
    }

    fn jwks(&self) -> String {
        self.ring().jwks(self.clock.now())
    }
}
