//! The keys that access tokens are signed with, and the tokens themselves.
//!
//! Owns the key file, usually `keys.json` in the data directory: Ed25519 keys, one of which signs, and
//! the secret that sign-in codes and what clients hold are authenticated with. There is no default
//! secret: the file is made on the first start, for the server's user alone. A retired key goes on
//! verifying until the last token it signed has expired; then it is pruned. A key that somebody else
//! has is revoked: it verifies nothing from then on, and the secret is replaced with it. A running
//! server picks up a changed file by itself.
//!
//! Knows nothing of sessions: whether a session was revoked is the domain's question.

mod eddsa;
mod error;
mod file;
mod looks;
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
use talksy_domain::keyed_hash::SecretSource;
use tokio::sync::watch::Sender;

pub use crate::config::KEY_FILE;
pub use error::KeyError;

use file::{KeyFile, Stamp};
use looks::Looks;
use ring::Ring;
use tokens::TokenCache;

/// How much longer than a token's life a retired key verifies: the clocks of instances differ.
const SKEW: Duration = Duration::from_mins(1);

/// What the keys are used for, as configured.
#[derive(Clone, Debug)]
pub struct KeyOptions {
    /// How long an access token is valid.
    pub access_token_ttl: Duration,
    /// How many verified tokens are remembered. 0: none.
    pub token_cache: u64,
    /// Who issues the tokens. `None`: an id that the key file has.
    pub issuer: Option<String>,
    /// Whom the tokens are for. `None`: the issuer.
    pub audience: Option<String>,
}

impl From<&crate::config::Config> for KeyOptions {
    fn from(config: &crate::config::Config) -> Self {
        let auth = &config.auth;
        Self {
            access_token_ttl: auth.access_token_ttl,
            token_cache: auth.token_cache,
            issuer: auth
                .token_issuer
                .clone()
                .or_else(|| config.public_url.clone()),
            audience: auth.token_audience.clone(),
        }
    }
}

/// How a file's keys are used.
#[derive(Clone, Debug)]
struct RingOptions {
    /// How long a key verifies after it was retired.
    overlap: Duration,
    issuer: Option<String>,
    audience: Option<String>,
}

/// The server's keys, in force. Implements
/// [`AccessTokens`](talksy_domain::auth::AccessTokens).
pub struct Keys {
    held: Arc<Held>,
    clock: Arc<dyn Clock>,
    access_token_ttl: Duration,
    cache: TokenCache,
    looks: Looks,
}

/// The file, and what is in force of it.
struct Held {
    path: PathBuf,
    options: RingOptions,
    ring: RwLock<Arc<Ring>>,
    /// The file as it was last looked at, whether or not it could be used.
    seen: Mutex<Option<Stamp>>,
    /// How often keys were revoked.
    revoked: Sender<u64>,
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
        let access_token_ttl = options.access_token_ttl;
        let overlap = access_token_ttl + SKEW;
        let ring_options = RingOptions {
            overlap,
            issuer: options.issuer,
            audience: options.audience,
        };
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
            (Ring::new(path, &keys, &ring_options)?, file::stamp(path)?)
        };
        Ok(Self {
            held: Arc::new(Held {
                path: path.to_owned(),
                options: ring_options,
                ring: RwLock::new(Arc::new(ring)),
                seen: Mutex::new(Some(stamp)),
                revoked: Sender::new(0),
            }),
            clock,
            access_token_ttl,
            cache: TokenCache::new(options.token_cache),
            looks: Looks::default(),
        })
    }

    /// The secret of what stores keep, such as fingerprints of messages: 32 bytes, the same for the
    /// life of the file. Whoever uses it for a purpose puts that purpose's name into the MAC.
    pub fn lasting_secret(&self) -> SecretSlice<u8> {
        self.ring().lasting_secret()
    }

    /// Reads the file if it has changed since it was last looked at. `true`: new keys are in
    /// force.
    ///
    /// # Errors
    /// [`KeyError`] once for each change that cannot be used, again and again where it could not be read
    /// just now; the keys in force stay.
    pub fn reload(&self) -> Result<bool, KeyError> {
        self.held.reload()
    }

    /// How often keys were revoked since the server started. What is proved once this was asked is
    /// proved by the keys behind the last of these revocations, or by later ones.
    pub fn revocations(&self) -> u64 {
        *self.held.revoked.borrow()
    }

    /// Resolves when keys have been revoked more often than so: no access token that was good before
    /// is good any more.
    pub fn revoked(&self, since: u64) -> impl Future<Output = ()> + Send + use<> {
        let mut revoked = self.held.revoked.subscribe();
        async move {
            if revoked.wait_for(|count| *count > since).await.is_err() {
                // The keys are gone with the server.
                std::future::pending::<()>().await;
            }
        }
    }

    fn ring(&self) -> Arc<Ring> {
        self.held.ring()
    }
}

/// The secret of sign-in codes and of what clients hold. It is replaced where keys are revoked.
/// Whoever uses it for a purpose puts that purpose's name into the MAC.
impl SecretSource for Keys {
    fn secret(&self) -> SecretSlice<u8> {
        self.ring().code_secret()
    }
}

impl Held {
    fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read())
    }

    /// See [`Keys::reload`].
    fn reload(&self) -> Result<bool, KeyError> {
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
        let before = std::mem::replace(&mut *seen, stamp);
        let keys = file::load(&self.path).inspect_err(|error| {
            // Looked at again: the file may say that keys are revoked.
            if error.may_pass() {
                *seen = before;
            }
        });
        let keys = keys?.ok_or_else(|| KeyError::missing(&self.path))?;
        let ring = Arc::new(Ring::new(&self.path, &keys, &self.options)?);
        let before = std::mem::replace(&mut *self.ring.write(), Arc::clone(&ring));
        if ring.revokes_of(&before) {
            tracing::warn!(
                "signing keys were revoked: all access tokens are void, sockets are closed"
            );
            self.revoked.send_modify(|count| *count += 1);
        }
        Ok(true)
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
    change(path, access_token_ttl, clock, |keys, now| {
        keys.rotate(now, entropy);
    })
}

/// Throws all keys and the code secret away, as somebody else has them, and makes new ones. From when
/// a server has read the file on, no access token of before is good, no socket or stream that was
/// opened with one stays open, and no sign-in code or device token of before is accepted. Sessions and
/// their refresh tokens stay: they are not made with the file. Gives the one new key.
///
/// # Errors
/// [`KeyError`], [`KeyError::Missing`] where there are no keys yet.
pub fn replace(
    path: &Path,
    access_token_ttl: Duration,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<Vec<KeyInfo>, KeyError> {
    change(path, access_token_ttl, clock, |keys, now| {
        keys.replace(now, entropy);
    })
}

fn change(
    path: &Path,
    access_token_ttl: Duration,
    clock: &dyn Clock,
    change: impl FnOnce(&mut KeyFile, Timestamp),
) -> Result<Vec<KeyInfo>, KeyError> {
    if !path.parent().is_some_and(Path::is_dir) {
        return Err(KeyError::missing(path));
    }
    let overlap = access_token_ttl + SKEW;
    let _lock = file::lock(path)?;
    let mut keys = file::load(path)?.ok_or_else(|| KeyError::missing(path))?;
    let now = clock.now();
    change(&mut keys, now);
    keys.prune(now, overlap);
    file::save(path, &keys)?;
    Ok(keys.infos(overlap))
}
