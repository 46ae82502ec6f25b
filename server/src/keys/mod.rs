//! The keys that access tokens are signed with, and the tokens themselves.
//!
//! Owns the key file, usually `keys.json` in the data directory: Ed25519 keys, one of which signs, and the secret that
//! sign-in codes and cursors are authenticated with. There is no default secret: the file is made
//! on the first start, for the server's user alone. A retired key goes on verifying until the
//! last token it signed has expired; then it is pruned. A running server picks up a changed file
//! by itself.
//!
//! Knows nothing of sessions: whether a session was revoked is the domain's question.

mod eddsa;
mod error;
mod file;
mod ring;
#[cfg(test)]
mod tests;
mod tokens;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use secrecy::SecretSlice;
use talksy_domain::clock::{Clock, Entropy, Timestamp};

pub use crate::config::KEY_FILE;
pub use error::KeyError;

use file::{KeyFile, Stamp};
use ring::Ring;
use tokens::TokenCache;

/// How much longer than a token's life a retired key verifies: the clocks of instances differ.
const SKEW: Duration = Duration::from_mins(1);

/// What the keys are used for, as configured.
#[derive(Clone, Copy, Debug)]
pub struct KeyOptions {
    /// How long an access token is valid.
    pub access_token_ttl: Duration,
    /// How many verified tokens are remembered. 0: none.
    pub token_cache: u64,
}

impl From<&crate::config::AuthConfig> for KeyOptions {
    fn from(auth: &crate::config::AuthConfig) -> Self {
        Self {
            access_token_ttl: auth.access_token_ttl,
            token_cache: auth.token_cache,
        }
    }
}

/// The server's keys, in force. Implements
/// [`AccessTokens`](talksy_domain::auth::AccessTokens).
pub struct Keys {
    path: PathBuf,
    /// How long a key verifies after it was retired.
    overlap: Duration,
    clock: Arc<dyn Clock>,
    ring: RwLock<Arc<Ring>>,
    cache: TokenCache,
    /// The file as it was last looked at, whether or not it could be used.
    seen: Mutex<Option<Stamp>>,
}

impl Keys {
    /// Opens a key file; makes it and its directory where there are none yet, and drops the keys
    /// whose last token has expired. A file that can only be read, such as a mounted secret, is
    /// left as it is.
    ///
    /// # Errors
    /// [`KeyError`] where the file cannot be read or written, where others may read it, or where
    /// it is not a key file. Such a file is never overwritten.
    pub fn open(
        path: &Path,
        options: KeyOptions,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
    ) -> Result<Self, KeyError> {
        let overlap = options.access_token_ttl + SKEW;
        let (ring, stamp) = {
            let lock = match file::lock(path) {
                Err(error) if error.is_read_only() && path.exists() => None,
                lock => Some(lock?),
            };
            let now = clock.now();
            let mut keys = if let Some(keys) = file::load(path)? {
                keys
            } else {
                let keys = KeyFile::generate(now, entropy);
                file::save(path, &keys)?;
                tracing::info!(path = %path.display(), "made a new signing key");
                keys
            };
            if keys.prune(now, overlap) && lock.is_some() {
                file::save(path, &keys)?;
            }
            (Ring::new(path, &keys, overlap)?, file::stamp(path)?)
        };
        Ok(Self {
            path: path.to_owned(),
            overlap,
            clock,
            ring: RwLock::new(Arc::new(ring)),
            cache: TokenCache::new(options.token_cache),
            seen: Mutex::new(Some(stamp)),
        })
    }

    /// The secret of sign-in codes and cursors: 32 bytes, the same for the life of the
    /// file. Whoever uses it for a purpose puts that purpose's name into the MAC.
    pub fn code_secret(&self) -> SecretSlice<u8> {
        self.ring().code_secret()
    }

    /// Reads the file if it has changed since it was last looked at. `true`: new keys are in
    /// force.
    ///
    /// # Errors
    /// [`KeyError`] once for each change that cannot be used; the keys in force stay.
    pub fn reload(&self) -> Result<bool, KeyError> {
        let mut seen = self.seen.lock();
        let stamp = match file::stamp(&self.path) {
            Ok(stamp) => Some(stamp),
            // Gone, or out of reach: said once, like every other change.
            Err(error) => {
                return if seen.take().is_some() {
                    Err(error)
                } else {
                    Ok(false)
                };
            }
        };
        if *seen == stamp {
            return Ok(false);
        }
        *seen = stamp;
        let keys = file::load(&self.path)?.ok_or_else(|| KeyError::missing(&self.path))?;
        let ring = Ring::new(&self.path, &keys, self.overlap)?;
        *self.ring.write() = Arc::new(ring);
        Ok(true)
    }

    fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read())
    }
}

/// What an operator may know of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// The key's id, as in the header of the tokens it signed.
    pub kid: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it verifies. `None`: it is the one that signs.
    pub verifies_until: Option<Timestamp>,
}

/// The keys of a file, oldest first, without those that verify nothing any more.
///
/// # Errors
/// [`KeyError`], [`KeyError::Missing`] where there are no keys yet.
pub fn list(
    path: &Path,
    access_token_ttl: Duration,
    now: Timestamp,
) -> Result<Vec<KeyInfo>, KeyError> {
    let mut keys = file::load(path)?.ok_or_else(|| KeyError::missing(path))?;
    let overlap = access_token_ttl + SKEW;
    keys.prune(now, overlap);
    Ok(keys.infos(overlap))
}

/// Adds a key that signs from now on and retires the one that did, which goes on verifying until
/// its last token has expired. Rotations at the same time happen one after the other. Gives the
/// keys as [`list`] does, the new one last.
///
/// # Errors
/// [`KeyError`], [`KeyError::Missing`] where there are no keys yet.
pub fn rotate(
    path: &Path,
    access_token_ttl: Duration,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<Vec<KeyInfo>, KeyError> {
    if !path.parent().is_some_and(Path::is_dir) {
        return Err(KeyError::missing(path));
    }
    let overlap = access_token_ttl + SKEW;
    let _lock = file::lock(path)?;
    let mut keys = file::load(path)?.ok_or_else(|| KeyError::missing(path))?;
    let now = clock.now();
    keys.rotate(now, entropy);
    keys.prune(now, overlap);
    file::save(path, &keys)?;
    Ok(keys.infos(overlap))
}
