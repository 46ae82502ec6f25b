//! Access tokens: JWTs signed with EdDSA, read strictly (RFC 8725): one algorithm, a known `kid`, the
//! deployment's issuer and audience, every claim present. Time comes from the caller.
//!
//! A signature check costs some 50 µs, and a client sends the same token with each request. So
//! verified tokens are remembered by their hash, in a bounded cache; what is remembered is still
//! held against the time and the keys in force.

use std::sync::Arc;

use async_trait::async_trait;
use jsonwebtoken::{decode, decode_header, encode};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use talksy_domain::auth::{AccessTokens, TokenProblem};
use talksy_domain::clock::Timestamp;
use talksy_domain::error::PortError;
use talksy_domain::id::{SessionId, UserId};
use talksy_domain::viewer::Viewer;

use super::Keys;
use super::file::is_kid;

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

/// Why a token is not accepted by the keys in force.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It names a key that is not known, which another instance may have made just now.
    UnknownKey(String),
    /// Whatever keys there are.
    Problem(TokenProblem),
}

impl From<TokenProblem> for Refusal {
    fn from(problem: TokenProblem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Refusal> for TokenProblem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownKey(_) => Self::Invalid,
            Refusal::Problem(problem) => problem,
        }
    }
}

impl Keys {
    /// Checks everything but the expiry.
    fn check(&self, token: &str, now: Timestamp) -> Result<Verified, Refusal> {
        let invalid = || Refusal::from(TokenProblem::Invalid);
        let header = decode_header(token).map_err(|_| invalid())?;
        // An extension that must be understood is not (RFC 7515, section 4.1.11).
        if header.crit.is_some() {
            return Err(invalid());
        }
        let kid = header.kid.ok_or_else(invalid)?;
        let ring = self.ring();
        let Some(key) = ring.verifying(&kid, now) else {
            return Err(if ring.is_revoked(&kid, now) {
                // Nothing is believed of it: whoever has no session to refresh is told so then.
                TokenProblem::Expired.into()
            } else if ring.knows(&kid) || !is_kid(&kid) {
                invalid()
            } else {
                Refusal::UnknownKey(kid)
            });
        };
        let claims = decode::<Claims>(token, &key.key, &ring.validation);
        let claims = claims.map_err(|_| invalid())?.claims;
        let expires_at = claims.exp.checked_mul(1_000).ok_or_else(invalid)?;
        Ok(Verified {
            viewer: Viewer {
                user_id: claims.sub,
                session_id: claims.sid,
                expires_at: Timestamp::from_millis(expires_at),
            },
            kid: Arc::from(&*key.kid),
        })
    }

    /// The viewer that the token proves by the keys in force.
    pub(super) fn verify_by_held(&self, token: &str, now: Timestamp) -> Result<Viewer, Refusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenProblem::Invalid.into());
        }
        let hash: [u8; 32] = Sha256::digest(token).into();
        let in_force = |verified: &Verified| self.ring().verifying(&verified.kid, now).is_some();
        let remembered = self.cache.get(&hash).filter(in_force);
        let known = remembered.is_some();
        let verified = match remembered {
            Some(verified) => verified,
            None => self
                .check(token, now)
                .inspect_err(|_| self.cache.remove(&hash))?,
        };
        if now >= verified.viewer.expires_at {
            self.cache.remove(&hash);
            return Err(TokenProblem::Expired.into());
        }
        if !known {
            self.cache.insert(hash, verified.clone());
        }
        // No token is made for longer. One that says so was made by somebody who has the key, and what
        // is opened with it must not outlive the key.
        let longest = now + self.access_token_ttl;
        Ok(Viewer {
            expires_at: verified.viewer.expires_at.min(longest),
            ..verified.viewer
        })
    }
}

#[async_trait]
impl AccessTokens for Keys {
    fn issue(&self, viewer: &Viewer, issued_at: Timestamp) -> Result<String, PortError> {
        let ring = self.ring();
        let claims = Claims {
            iss: ring.issuer.clone(),
            aud: ring.audience.clone(),
            sub: viewer.user_id,
            sid: viewer.session_id,
            iat: issued_at.as_secs(),
            exp: viewer.expires_at.as_secs(),
        };
        encode(&ring.header, &claims, &ring.signing).map_err(|error| {
            PortError::corrupt(
                format!("signing key in {}", self.held.path.display()),
                error,
            )
        })
    }

    async fn verify(&self, token: &str, now: Timestamp) -> Result<Viewer, TokenProblem> {
        let kid = match self.verify_by_held(token, now) {
            Err(Refusal::UnknownKey(kid)) if self.looks.is_worth(&kid) => kid,
            other => return Ok(other?),
        };
        self.looks.look(&self.held).await;
        let verified = self.verify_by_held(token, now);
        if matches!(verified, Err(Refusal::UnknownKey(_))) {
            self.looks.note_unknown(&kid);
        }
        Ok(verified?)
    }

    fn jwks(&self) -> String {
        self.ring().jwks(self.clock.now())
    }
}
