//! Sessions and refresh tokens.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use crate::clock::{Entropy, Timestamp};
use crate::id::{self, SessionId, UserId};

/// A signed-in device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Identifies the session; access tokens carry it.
    pub id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// When the user signed in.
    pub created_at: Timestamp,
    /// When tokens were last issued for it.
    pub last_used_at: Timestamp,
    /// When it ends unless it is refreshed before.
    pub expires_at: Timestamp,
    /// The client's `User-Agent` when it signed in.
    pub user_agent: Option<String>,
    /// The client's address when it signed in.
    pub ip_address: Option<IpAddr>,
}

/// The SHA-256 of a refresh token, which is all that a store keeps of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// An opaque refresh token: the session's id and 32 random bytes, in base64url.
#[derive(Clone, Debug)]
pub struct RefreshToken {
    /// The session it refreshes.
    pub session_id: SessionId,
    text: SecretString,
}

impl RefreshToken {
    /// A new token for the session.
    pub fn generate(session_id: SessionId, entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 48];
        let (id_part, secret) = bytes.split_at_mut(16);
        id_part.copy_from_slice(&id::bytes(session_id));
        entropy.fill(secret);
        Self {
            session_id,
            text: BASE64_URL_SAFE_NO_PAD.encode(bytes).into(),
        }
    }

    /// Reads a token that a client sent; `None` where it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 48] = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (session_id, _) = bytes.split_first_chunk()?;
        Some(Self {
            session_id: id::from_bytes(*session_id),
            text: text.to_owned().into(),
        })
    }

    /// What the store keeps. 256 random bits need no slow hash.
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.text.expose_secret()).into())
    }

    /// The token itself, for the client alone.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemEntropy;

    #[test]
    fn a_refresh_token_survives_its_text_form_and_hides_in_debug() {
        let token = RefreshToken::generate(id::from_bytes([7; 16]), &SystemEntropy);
        let read = RefreshToken::parse(token.expose()).unwrap();
        assert_eq!(
            (read.session_id, read.hash()),
            (token.session_id, token.hash())
        );
        assert!(!format!("{token:?}").contains(token.expose()));
        assert!(RefreshToken::parse("short").is_none());
    }
}
