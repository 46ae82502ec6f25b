//! Hashes that nobody can make or guess who does not have the server's secret.

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::Sha256;

/// Makes HMAC-SHA-256 under the server's secret, which all instances share.
#[derive(Clone, Debug)]
pub(crate) struct KeyedHash(SecretSlice<u8>);

impl KeyedHash {
    /// Hashes under this secret.
    pub(crate) const fn new(secret: SecretSlice<u8>) -> Self {
        Self(secret)
    }

    /// The hash of the parts, each preceded by its length. The first names what is hashed, so that
    /// no two uses meet.
    pub(crate) fn of(&self, parts: &[&[u8]]) -> [u8; 32] {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.0.expose_secret()).expect("a key of any length");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}
