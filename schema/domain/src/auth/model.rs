//! Sessions and refresh tokens.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::clock::{Entropy, Timestamp};
use crate::id::{self, SessionId, UserId};
use crate::keyed_hash::KeyedHash;

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
    /// When it ends unless it is refreshed before; at the latest when it reaches the longest life.
    pub expires_at: Timestamp,
    /// The client's `User-Agent` when it signed in.
    pub user_agent: Option<String>,
    /// The client's address when it signed in.
    pub ip_address: Option<IpAddr>,
}

/// How long sessions last, and what is forgiven to who refreshes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLife {
    /// How long a session lasts without being refreshed.
    pub idle: Duration,
    /// How long a session lasts at most, however often it is refreshed.
    pub longest: Duration,
    /// For how long a token that was replaced is answered with the same successor, while that was
    /// not used. 0: never.
    pub retry: Duration,
}

impl SessionLife {
    /// When a session ends that was made and is refreshed at these instants.
    pub fn expiry(&self, created_at: Timestamp, refreshed_at: Timestamp) -> Timestamp {
        (refreshed_at + self.idle).min(created_at + self.longest)
    }
}

/// The SHA-256 of a refresh token, which is all that a store keeps of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// What the successor of a refresh token is made of, together with the token itself. Without the
/// token it tells nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenSalt(pub [u8; 32]);

impl TokenSalt {
    /// A new one.
    pub(crate) fn generate(entropy: &dyn Entropy) -> Self {
        let mut salt = [0; 32];
        entropy.fill(&mut salt);
        Self(salt)
    }
}

impl fmt::Debug for TokenSalt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSalt(…)")
    }
}

/// What a store keeps of a session's refresh tokens: as much however many it has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTokens {
    /// The one that is valid now.
    pub current: TokenHash,
    /// How many the session had before it.
    pub generation: u32,
    /// The one before, where there was one.
    pub replaced: Option<ReplacedToken>,
}

impl SessionTokens {
    /// Those of a new session.
    pub const fn first(current: TokenHash) -> Self {
        Self {
            current,
            generation: 0,
            replaced: None,
        }
    }
}

/// A refresh token that was replaced by the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplacedToken {
    /// The token.
    pub hash: TokenHash,
    /// What the current one was made of.
    pub salt: TokenSalt,
    /// When.
    pub at: Timestamp,
}

/// An opaque refresh token, in base64url: the session's id, the token's generation, 32 random bytes,
/// and a seal of the server over the session and the generation, by which it knows that there was a
/// token of that generation though it keeps nothing of it any more.
///
/// A successor's random bytes are made of its predecessor's and of a salt that the store keeps: so
/// who presents the predecessor again can be given the same successor, and nobody else can make it,
/// not even who reads the store.
#[derive(Clone, Debug)]
pub struct RefreshToken {
    /// The session it refreshes.
    pub session_id: SessionId,
    /// How many tokens the session had before it.
    pub generation: u32,
    /// 32 bytes.
    secret: SecretSlice<u8>,
    seal: [u8; SEAL],
    text: SecretString,
}

/// The length of a seal: 128 bits cannot be guessed.
const SEAL: usize = 16;
/// The length of a token.
const LENGTH: usize = 16 + 4 + 32 + SEAL;

impl RefreshToken {
    /// The first token of a session.
    pub(crate) fn first(session_id: SessionId, entropy: &dyn Entropy, hash: &KeyedHash) -> Self {
        let mut secret = [0; 32];
        entropy.fill(&mut secret);
        Self::new(session_id, 0, secret, hash)
    }

    /// The token that replaces this one: the same for the same salt.
    pub(crate) fn successor(&self, salt: &TokenSalt, hash: &KeyedHash) -> Self {
        let generation = self.generation.saturating_add(1);
        let secret = KeyedHash::new(Arc::new(self.secret.clone())).of(&[
            b"refresh-token",
            &id::bytes(self.session_id),
            &generation.to_be_bytes(),
            &salt.0,
        ]);
        Self::new(self.session_id, generation, secret, hash)
    }

    fn new(session_id: SessionId, generation: u32, secret: [u8; 32], hash: &KeyedHash) -> Self {
        let seal = seal(session_id, generation, hash);
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend(id::bytes(session_id));
        bytes.extend(generation.to_be_bytes());
        bytes.extend(secret);
        bytes.extend(seal);
        Self {
            session_id,
            generation,
            secret: SecretSlice::from(secret.to_vec()),
            seal,
            text: BASE64_URL_SAFE_NO_PAD.encode(bytes).into(),
        }
    }

    /// Reads a token that a client sent; `None` where it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; LENGTH] = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (session_id, rest) = bytes.split_first_chunk()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let (secret, rest) = rest.split_first_chunk::<32>()?;
        Some(Self {
            session_id: id::from_bytes(*session_id),
            generation: u32::from_be_bytes(*generation),
            secret: SecretSlice::from(secret.to_vec()),
            seal: rest.try_into().ok()?,
            text: text.to_owned().into(),
        })
    }

    /// Whether the session had a token of this generation. Says nothing of the token itself.
    pub(crate) fn is_sealed(&self, hash: &KeyedHash) -> bool {
        let right = seal(self.session_id, self.generation, hash);
        self.seal.ct_eq(&right).into()
    }

    /// What the store keeps. 256 random bits need no slow hash. The seal is left out: it changes
    /// where the server's secret is replaced, and the token stays the same.
    pub fn hash(&self) -> TokenHash {
        let digest = Sha256::new()
            .chain_update(id::bytes(self.session_id))
            .chain_update(self.generation.to_be_bytes())
            .chain_update(self.secret.expose_secret());
        TokenHash(digest.finalize().into())
    }

    /// The token itself, for the client alone.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

fn seal(session_id: SessionId, generation: u32, hash: &KeyedHash) -> [u8; SEAL] {
    let session = id::bytes(session_id);
    let whole = hash.of(&[b"refresh-seal", &session, &generation.to_be_bytes()]);
    let mut seal = [0; SEAL];
    seal.copy_from_slice(&whole[..SEAL]);
    seal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemEntropy;

    fn server(byte: u8) -> KeyedHash {
        KeyedHash::new(Arc::new(SecretSlice::from(vec![byte; 32])))
    }

    fn first() -> RefreshToken {
        RefreshToken::first(id::from_bytes([7; 16]), &SystemEntropy, &server(1))
    }

    #[test]
    fn a_refresh_token_survives_its_text_form_and_hides_in_debug() {
        let token = first();
        let read = RefreshToken::parse(token.expose()).unwrap();
        assert_eq!(
            (read.session_id, read.generation, read.hash()),
            (token.session_id, 0, token.hash())
        );
        assert!(read.is_sealed(&server(1)));
        assert_eq!(token.expose().len(), 91);
        assert!(!format!("{token:?}").contains(token.expose()));
        assert!(RefreshToken::parse("short").is_none());
        assert!(RefreshToken::parse(&"A".repeat(64)).is_none());
    }

    #[test]
    fn a_successor_is_made_again_by_who_has_the_token_and_by_nobody_else() {
        let token = first();
        let [salt, other_salt] = [TokenSalt([1; 32]), TokenSalt([2; 32])];
        let successor = token.successor(&salt, &server(1));
        assert_eq!(successor.generation, 1);
        assert!(successor.is_sealed(&server(1)));
        let read = RefreshToken::parse(token.expose()).unwrap();
        let again = read.successor(&salt, &server(1));
        assert_eq!(again.expose(), successor.expose());
        let others = [
            token.successor(&other_salt, &server(1)),
            first().successor(&salt, &server(1)),
            successor.successor(&salt, &server(1)),
            token.clone(),
        ];
        assert!(others.iter().all(|other| other.hash() != successor.hash()));
        // Under another secret of the server it is the same token with another seal.
        let again = token.successor(&salt, &server(2));
        assert_eq!(again.hash(), successor.hash());
        assert_ne!(again.expose(), successor.expose());
    }

    #[test]
    fn nobody_else_makes_a_token_of_another_generation() {
        let token = first().successor(&TokenSalt([1; 32]), &server(1));
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token.expose()).unwrap();
        // Each bit of the session and of the generation is under the seal, and so is the seal.
        for at in (0..20).chain(52..LENGTH) {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            let altered = BASE64_URL_SAFE_NO_PAD.encode(altered);
            let read = RefreshToken::parse(&altered).unwrap();
            assert!(!read.is_sealed(&server(1)), "{at}");
        }
        assert!(!token.is_sealed(&server(2)));
    }

    #[test]
    fn a_session_ends_with_its_idle_time_or_its_longest_life() {
        let hour = Duration::from_hours(1);
        let life = SessionLife {
            idle: 2 * hour,
            longest: 5 * hour,
            retry: Duration::ZERO,
        };
        let made = Timestamp::from_millis(0);
        assert_eq!(life.expiry(made, made), made + 2 * hour);
        assert_eq!(life.expiry(made, made + 3 * hour), made + 5 * hour);
        assert_eq!(life.expiry(made, made + 4 * hour), made + 5 * hour);
    }
}
