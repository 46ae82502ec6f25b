//! Hashes that nobody can make or guess who does not have the server's secret.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::Sha256;

/// Where the server's secret is taken from each time it is used, since it may be replaced while the
/// server runs.
pub trait SecretSource: Send + Sync {
    /// The secret at present: 32 bytes, the same on all instances.
    fn secret(&self) -> SecretSlice<u8>;
}

/// A secret that stays.
impl SecretSource for SecretSlice<u8> {
    fn secret(&self) -> SecretSlice<u8> {
        self.clone()
    }
}

/// Makes HMAC-SHA-256 under the server's secret, which all instances share.
#[derive(Clone)]
pub(crate) struct KeyedHash(Arc<dyn SecretSource>);

impl fmt::Debug for KeyedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyedHash(…)")
    }
}

impl KeyedHash {
    /// Hashes under the secret of this source.
    pub(crate) const fn new(source: Arc<dyn SecretSource>) -> Self {
        Self(source)
    }

    /// The hash of the parts, each preceded by its length. The first names what is hashed, so that
    /// no two uses meet.
    pub(crate) fn of(&self, parts: &[&[u8]]) -> [u8; 32] {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.secret().expose_secret())
            .expect("a key of any length");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}
