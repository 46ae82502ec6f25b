//! What a client holds between `login` and `verifyOtp`, and what it keeps of an earlier sign-in.
//! Both are sealed with the server's secret, so that the server keeps nothing of them.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::SecretString;
use subtle::ConstantTimeEq as _;

use super::codes::{ChallengeKey, CodeDigest};
use crate::clock::Entropy;
use crate::id::{self, SessionId, UserId};
use crate::keyed_hash::KeyedHash;
use crate::mail::EmailAddress;

/// The length of a seal: 128 bits cannot be guessed.
const SEAL: usize = 16;

/// The longest text of either, in bytes: no longer one is looked at.
const LONGEST: usize = 512;

/// What a challenge and its code are for. They are good for nothing else: both the seal and what the
/// code must hash to tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Signing in.
    SignIn,
    /// Deleting this account.
    Deletion(UserId),
}

impl Purpose {
    /// What the seal of a challenge is made with.
    fn seal(self) -> Vec<u8> {
        match self {
            Self::SignIn => b"challenge".to_vec(),
            Self::Deletion(user) => [&b"deletion:"[..], &id::bytes(user)].concat(),
        }
    }

    /// What the names and hashes of codes are made with.
    const fn code(self) -> [&'static [u8]; 2] {
        match self {
            Self::SignIn => [b"challenge-key", b"code"],
            Self::Deletion(_) => [b"deletion-key", b"deletion-code"],
        }
    }
}

/// Together with the mailed code it is exchanged for a session, or deletes an account. It is unguessable, so that nobody
/// who was not given it can use up its tries.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    id: [u8; 16],
    purpose: Purpose,
    /// How many digits its code has.
    pub(crate) code_length: u8,
    /// Where the code was sent.
    pub(crate) address: EmailAddress,
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Challenge(…)")
    }
}

impl Challenge {
    /// A new one.
    pub(crate) fn generate(
        purpose: Purpose,
        address: EmailAddress,
        code_length: u8,
        entropy: &dyn Entropy,
    ) -> Self {
        let mut id = [0; 16];
        entropy.fill(&mut id);
        Self {
            id,
            purpose,
            code_length,
            address,
        }
    }

    /// What the client is given: base64url without padding, at most 383 characters.
    pub(crate) fn seal(&self, hash: &KeyedHash) -> SecretString {
        let mut bytes = self.id.to_vec();
        bytes.push(self.code_length);
        bytes.extend(self.address.as_str().as_bytes());
        sealed(hash, &self.purpose.seal(), bytes)
    }

    /// Reads what a client presents; `None` where this server has not made it, or not for this.
    pub(crate) fn open(text: &str, purpose: Purpose, hash: &KeyedHash) -> Option<Self> {
        let bytes = opened(hash, &purpose.seal(), text)?;
        let (id, rest) = bytes.split_first_chunk()?;
        let (code_length, address) = rest.split_first()?;
        Some(Self {
            id: *id,
            purpose,
            code_length: *code_length,
            address: EmailAddress::stored(String::from_utf8(address.to_vec()).ok()?),
        })
    }

    /// Whether a text looks like a challenge, of whatever secret: one that was given before the secret
    /// was replaced, or by another server.
    pub(crate) fn is_alike(text: &str) -> bool {
        let bytes = match BASE64_URL_SAFE_NO_PAD.decode(text) {
            Ok(bytes) if text.len() <= LONGEST => bytes,
            _ => return false,
        };
        let length = bytes.len().saturating_sub(SEAL);
        let inside = bytes
            .get(..length)
            .and_then(|inside| inside.split_at_checked(16));
        let Some((_, [digits, address @ ..])) = inside else {
            return false;
        };
        let address = std::str::from_utf8(address);
        (6..=12).contains(digits) && address.is_ok_and(|address| address.contains('@'))
    }

    /// Under which the code is kept.
    pub(crate) fn key(&self, hash: &KeyedHash) -> ChallengeKey {
        let [name, _] = self.purpose.code();
        ChallengeKey(hash.of(&[name, &self.id]))
    }

    /// What its code must hash to.
    pub(crate) fn digest(&self, code: &str, hash: &KeyedHash) -> CodeDigest {
        let [_, name] = self.purpose.code();
        let address = self.address.as_str().as_bytes();
        CodeDigest(hash.of(&[name, &self.id, address, code.as_bytes()]))
    }
}

/// Says that somebody has signed in with an address on this device before. It gives no access: it
/// has a share of the limits of its own, which strangers cannot use up.
pub(crate) struct DeviceToken;

impl DeviceToken {
    /// The token of the session's device: base64url without padding, 43 characters.
    pub(crate) fn seal(
        session: SessionId,
        address: &EmailAddress,
        hash: &KeyedHash,
    ) -> SecretString {
        let device = id::bytes(session).to_vec();
        sealed(hash, &Self::purpose(address), device)
    }

    /// The device that a token of this address was given to; `None` where it is no such token.
    pub(crate) fn open(text: &str, address: &EmailAddress, hash: &KeyedHash) -> Option<String> {
        let device = opened(hash, &Self::purpose(address), text)?;
        Some(hex::encode(device))
    }

    fn purpose(address: &EmailAddress) -> Vec<u8> {
        [&b"device:"[..], address.as_str().as_bytes()].concat()
    }
}

/// The bytes and a seal over them and what they are for.
fn sealed(hash: &KeyedHash, purpose: &[u8], mut bytes: Vec<u8>) -> SecretString {
    let seal = hash.of(&[purpose, &bytes]);
    bytes.extend(&seal[..SEAL]);
    BASE64_URL_SAFE_NO_PAD.encode(bytes).into()
}

fn opened(hash: &KeyedHash, purpose: &[u8], text: &str) -> Option<Vec<u8>> {
    if text.len() > LONGEST {
        return None;
    }
    let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let seal = bytes.split_off(bytes.len().checked_sub(SEAL)?);
    let right = hash.of(&[purpose, &bytes]);
    bool::from(seal.ct_eq(&right[..SEAL])).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use secrecy::{ExposeSecret as _, SecretSlice};

    use super::*;
    use crate::clock::SystemEntropy;

    fn secret(byte: u8) -> KeyedHash {
        KeyedHash::new(Arc::new(SecretSlice::from(vec![byte; 32])))
    }

    fn address(text: &str) -> EmailAddress {
        EmailAddress::parse(text).unwrap()
    }

    #[test]
    fn a_challenge_is_read_as_it_was_made_and_by_its_server_alone() {
        let made = Challenge::generate(
            Purpose::SignIn,
            address("ada@example.org"),
            8,
            &SystemEntropy,
        );
        let text = made.seal(&secret(1));
        let text = text.expose_secret();
        assert_eq!(
            Challenge::open(text, Purpose::SignIn, &secret(1)).as_ref(),
            Some(&made)
        );
        assert_eq!(Challenge::open(text, Purpose::SignIn, &secret(2)), None);
        assert!(!format!("{made:?}").contains("ada"));
        let longest = address(&format!("{}@{}org", "a".repeat(64), "b.".repeat(92)));
        let longest =
            Challenge::generate(Purpose::SignIn, longest, 12, &SystemEntropy).seal(&secret(1));
        assert!(longest.expose_secret().len() <= 383);
    }

    #[test]
    fn no_altered_challenge_is_read() {
        let text = Challenge::generate(
            Purpose::SignIn,
            address("ada@example.org"),
            6,
            &SystemEntropy,
        );
        let text = text.seal(&secret(1)).expose_secret().to_owned();
        for at in 0..text.len() {
            let mut altered = text.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert_eq!(
                Challenge::open(&altered, Purpose::SignIn, &secret(1)),
                None,
                "{at}"
            );
            assert_eq!(
                Challenge::open(&text[..at], Purpose::SignIn, &secret(1)),
                None,
                "{at}"
            );
        }
        for text in ["", "?", "AAAA", &"A".repeat(10_000)] {
            assert_eq!(Challenge::open(text, Purpose::SignIn, &secret(1)), None);
        }
    }

    #[test]
    fn a_challenge_and_its_code_are_good_for_one_purpose_alone() {
        let [ada, bob] = [1, 2].map(|n: u8| Purpose::Deletion(id::from_bytes([n; 16])));
        let hash = secret(1);
        let purposes = [Purpose::SignIn, ada, bob];
        for purpose in purposes {
            let to = address("ada@example.org");
            let made = Challenge::generate(purpose, to, 6, &SystemEntropy);
            let text = made.seal(&hash);
            for other in purposes {
                let opened = Challenge::open(text.expose_secret(), other, &hash);
                assert_eq!(
                    opened.is_some(),
                    purpose == other,
                    "{purpose:?} as {other:?}"
                );
            }
        }
        // Also where the same challenge had two purposes.
        let one = Challenge::generate(ada, address("ada@example.org"), 6, &SystemEntropy);
        let other = Challenge {
            purpose: Purpose::SignIn,
            ..one.clone()
        };
        assert_ne!(one.key(&hash), other.key(&hash));
        assert!(one.digest("123456", &hash) != other.digest("123456", &hash));
    }

    #[test]
    fn a_challenge_of_another_secret_is_told_from_what_is_none() {
        let made = Challenge::generate(
            Purpose::SignIn,
            address("ada@example.org"),
            8,
            &SystemEntropy,
        );
        let text = made.seal(&secret(1));
        let text = text.expose_secret();
        assert!(Challenge::is_alike(text));
        let session = id::from_bytes([7; 16]);
        let device = DeviceToken::seal(session, &made.address, &secret(1));
        for none in [
            "",
            "?",
            "AAAA",
            "ada@example.org",
            &text[..40],
            device.expose_secret(),
            &"A".repeat(10_000),
        ] {
            assert!(!Challenge::is_alike(none), "{none:.60}");
        }
    }

    #[test]
    fn two_challenges_of_one_address_share_nothing() {
        let [one, other] = [0; 2].map(|_| {
            Challenge::generate(
                Purpose::SignIn,
                address("ada@example.org"),
                6,
                &SystemEntropy,
            )
        });
        let hash = secret(1);
        assert_ne!(one.key(&hash), other.key(&hash));
        assert!(one.digest("123456", &hash) != other.digest("123456", &hash));
    }

    #[test]
    fn a_device_token_is_good_for_its_address_alone() {
        let (ada, bob) = (address("ada@example.org"), address("bob@example.org"));
        let session = id::from_bytes([7; 16]);
        let token = DeviceToken::seal(session, &ada, &secret(1));
        let open = |address, by| DeviceToken::open(token.expose_secret(), address, &secret(by));
        assert_eq!(open(&ada, 1), Some(hex::encode([7; 16])));
        assert_eq!(open(&bob, 1), None);
        assert_eq!(open(&ada, 2), None);
        let challenge =
            Challenge::generate(Purpose::SignIn, ada.clone(), 6, &SystemEntropy).seal(&secret(1));
        let other_kind = DeviceToken::open(challenge.expose_secret(), &ada, &secret(1));
        assert_eq!(other_kind, None);
    }
}
