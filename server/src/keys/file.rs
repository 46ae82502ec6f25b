//! The key file: its format, and reading and writing it so that a crash at any moment leaves
//! either the old file or the new one, and nobody but the owner ever can read it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown,
};
use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use talksy_domain::clock::{Entropy, Timestamp};

use super::{KeyError, KeyInfo};

/// The format's version. Version 1 had neither an id of the deployment nor a secret that stays.
const VERSION: u32 = 2;
/// The oldest version that is read.
const OLDEST_VERSION: u32 = 1;
/// How many characters of the thumbprint make a `kid`: 96 bits.
const KID_LENGTH: usize = 16;

/// The file's content. Every part was checked when it was loaded.
pub(super) struct KeyFile {
    /// Tells one deployment from another, for the life of the file.
    pub(super) deployment: String,
    pub(super) keys: Vec<StoredKey>,
    /// Keys that were thrown away, as somebody else has them.
    pub(super) revoked: Vec<RevokedKey>,
    pub(super) code_secret: Zeroizing<[u8; 32]>,
    /// The secret of what stores keep: never replaced.
    pub(super) lasting_secret: Zeroizing<[u8; 32]>,
}

/// What is known of a key that was revoked.
#[derive(Clone)]
pub(super) struct RevokedKey {
    pub(super) kid: String,
    pub(super) revoked_at: Timestamp,
}

/// A key of the file.
pub(super) struct StoredKey {
    pub(super) kid: String,
    pub(super) created_at: Timestamp,
    pub(super) retired_at: Option<Timestamp>,
    pub(super) key: SigningKey,
}

/// Tells one version of the file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    length: u64,
    modified: Option<SystemTime>,
    /// Whose it is, and its permission bits: a file that could not be used for them can be once they
    /// were put right.
    owner: u32,
    mode: u32,
}

impl StoredKey {
    fn generate(now: Timestamp, entropy: &dyn Entropy) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        entropy.fill(&mut *seed);
        let key = SigningKey::from_bytes(&seed);
        Self {
            kid: kid(&key),
            created_at: now,
            retired_at: None,
            key,
        }
    }

    /// Until when the key verifies; `None` while it signs.
    pub(super) fn verifies_until(&self, overlap: Duration) -> Option<Timestamp> {
        self.retired_at.map(|retired| retired + overlap)
    }
}

impl KeyFile {
    /// A new file's content: one key and a secret.
    pub(super) fn generate(now: Timestamp, entropy: &dyn Entropy) -> Self {
        let mut deployment = [0; 16];
        entropy.fill(&mut deployment);
        Self {
            deployment: hex::encode(deployment),
            keys: vec![StoredKey::generate(now, entropy)],
            revoked: Vec::new(),
            code_secret: secret(entropy),
            lasting_secret: secret(entropy),
        }
    }

    /// Retires the key that signs and adds the one that does from now on.
    pub(super) fn rotate(&mut self, now: Timestamp, entropy: &dyn Entropy) {
        for key in &mut self.keys {
            key.retired_at.get_or_insert(now);
        }
        self.keys.push(StoredKey::generate(now, entropy));
    }

    /// Throws all keys and the code secret away, as others have them, and makes new ones. Of the keys
    /// their ids stay, so that who holds a token of theirs is told to refresh.
    pub(super) fn replace(&mut self, now: Timestamp, entropy: &dyn Entropy) {
        let revoked = self.keys.drain(..).map(|key| RevokedKey {
            kid: key.kid,
            revoked_at: now,
        });
        self.revoked.extend(revoked);
        self.keys.push(StoredKey::generate(now, entropy));
        self.code_secret = secret(entropy);
    }

    /// Drops the keys that verify nothing any more, and the ids of those whose last token would have
    /// expired. `true`: there were some.
    pub(super) fn prune(&mut self, now: Timestamp, overlap: Duration) -> bool {
        let before = self.keys.len() + self.revoked.len();
        self.keys
            .retain(|key| key.verifies_until(overlap).is_none_or(|until| now < until));
        self.revoked.retain(|key| now < key.revoked_at + overlap);
        self.keys.len() + self.revoked.len() != before
    }

    pub(super) fn infos(&self, overlap: Duration) -> Vec<KeyInfo> {
        self.keys
            .iter()
            .map(|key| KeyInfo {
                kid: key.kid.clone(),
                created_at: key.created_at,
                verifies_until: key.verifies_until(overlap),
            })
            .collect()
    }
}

fn secret(entropy: &dyn Entropy) -> Zeroizing<[u8; 32]> {
    let mut secret = Zeroizing::new([0; 32]);
    entropy.fill(&mut *secret);
    secret
}

/// The public key's coordinate, as a JWK has it (RFC 8037, section 2).
pub(super) fn coordinate(key: &SigningKey) -> String {
    URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes())
}

/// The head of the key's JWK thumbprint (RFC 7638; for this key type RFC 8037, appendix A.3).
fn kid(key: &SigningKey) -> String {
    let canonical = format!(
        r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#,
        coordinate(key)
    );
    let mut thumbprint = URL_SAFE_NO_PAD.encode(Sha256::digest(canonical));
    thumbprint.truncate(KID_LENGTH);
    thumbprint
}

/// Whether a text may be a key's id. What cannot be is not looked for.
pub(super) fn is_kid(text: &str) -> bool {
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.len() == KID_LENGTH && text.bytes().all(is_base64url)
}

/// The JSON form.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FileJson {
    version: u32,
    #[serde(default)]
    deployment: Option<String>,
    keys: Vec<KeyJson>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    revoked: Vec<RevokedJson>,
    /// Base64.
    code_secret: String,
    /// Base64.
    #[serde(default)]
    lasting_secret: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RevokedJson {
    kid: String,
    /// RFC 3339.
    revoked_at: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyJson {
    kid: String,
    /// RFC 3339.
    created_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retired_at: Option<String>,
    /// The private key: PKCS #8 (RFC 8410) in base64.
    pkcs8: String,
}

#[derive(Deserialize)]
struct VersionJson {
    version: u32,
}

/// Keeps other processes from changing the file while the returned lock lives. Makes the data
/// directory where there is none.
pub(super) fn lock(path: &Path) -> Result<File, KeyError> {
    if let Some(directory) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(KeyError::io("make the directory", directory))?;
    }
    let lock_path = path.with_extension("lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&lock_path)
        .map_err(KeyError::io("open", &lock_path))?;
    keep_owner(path, &lock_path);
    lock.lock().map_err(KeyError::io("lock", &lock_path))?;
    Ok(lock)
}

/// Reads the file. `None`: there is none.
pub(super) fn load(path: &Path) -> Result<Option<KeyFile>, KeyError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(KeyError::io("read", path)(error)),
    };
    let metadata = file.metadata().map_err(KeyError::io("read", path))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & forbidden(&metadata) != 0 {
        return Err(KeyError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = Zeroizing::new(String::new());
    match io::Read::read_to_string(&mut file, &mut text) {
        Ok(_) => parse(&text)
            .map(Some)
            .map_err(|reason| KeyError::corrupt(path, reason)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(KeyError::corrupt(path, "it is not UTF-8"))
        }
        Err(error) => Err(KeyError::io("read", path)(error)),
    }
}

/// The permission bits that a key file must not have: none for others than its owner. Where the
/// owner is another user than this process's, as with secrets that a container platform mounts,
/// the group is how the process may read it.
fn forbidden(metadata: &fs::Metadata) -> u32 {
    let me = fs::metadata("/proc/self").map(|process| process.uid());
    if me.is_ok_and(|me| me != metadata.uid()) {
        0o037
    } else {
        0o077
    }
}

/// Writes the file in place of the old one, durably. The caller holds the [`lock`].
pub(super) fn save(path: &Path, keys: &KeyFile) -> Result<(), KeyError> {
    let text = render(keys).map_err(|reason| KeyError::corrupt(path, reason))?;
    let new = path.with_extension("json.new");
    write_private(&new, text.as_bytes()).map_err(KeyError::io("write", &new))?;
    keep_owner(path, &new);
    fs::rename(&new, path).map_err(KeyError::io("replace", path))?;
    let directory = directory_of(path);
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(KeyError::io("sync the directory", directory))
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    // A leftover of a crash keeps the mode it had.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Gives a new file beside the key file, or one that is to replace it, the key file's owner, or the directory's
/// where there is no key file yet. An administrator who rotates the keys would else take them from the server,
/// which runs as a user of its own.
fn keep_owner(path: &Path, new: &Path) {
    let before = fs::metadata(path).or_else(|_| fs::metadata(directory_of(path)));
    let (Ok(before), Ok(now)) = (before, fs::metadata(new)) else {
        return;
    };
    if now.uid() != before.uid() {
        // Only an administrator may. Others keep what they have made.
        chown(new, Some(before.uid()), Some(before.gid())).ok();
    }
}

fn directory_of(path: &Path) -> &Path {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    directory.unwrap_or(Path::new("."))
}

/// The file's present stamp.
pub(super) fn stamp(path: &Path) -> Result<Stamp, KeyError> {
    let metadata = fs::metadata(path).map_err(KeyError::io("read", path))?;
    Ok(Stamp {
        inode: metadata.ino(),
        length: metadata.len(),
        modified: metadata.modified().ok(),
        owner: metadata.uid(),
        mode: metadata.mode(),
    })
}

/// The error is the reason, without anything of the content.
fn parse(text: &str) -> Result<KeyFile, String> {
    let place = |error: serde_json::Error| {
        format!(
            "its JSON breaks at line {}, column {}",
            error.line(),
            error.column()
        )
    };
    let VersionJson { version } = serde_json::from_str(text).map_err(place)?;
    if !(OLDEST_VERSION..=VERSION).contains(&version) {
        return Err(format!(
            "it has version {version}, not {OLDEST_VERSION} to {VERSION}"
        ));
    }
    let json: FileJson = serde_json::from_str(text).map_err(place)?;
    let code_secret = parse_secret(&json.code_secret, "codeSecret")?;
    // A file of version 1 has one secret for all, of which an id is made that tells nothing of it.
    let lasting_secret = match &json.lasting_secret {
        Some(text) => parse_secret(text, "lastingSecret")?,
        None => code_secret.clone(),
    };
    let deployment = json.deployment.unwrap_or_else(|| {
        let id = Sha256::new()
            .chain_update(b"talksy deployment")
            .chain_update(*code_secret);
        hex::encode(&id.finalize()[..16])
    });
    let keys = json
        .keys
        .iter()
        .map(parse_key)
        .collect::<Result<Vec<_>, _>>()?;
    let revoked = json
        .revoked
        .into_iter()
        .map(|key| {
            let revoked_at = parse_time(&key.revoked_at, &key.kid)?;
            let kid = key.kid;
            Ok(RevokedKey { kid, revoked_at })
        })
        .collect::<Result<_, String>>()?;
    let signing = keys.iter().filter(|key| key.retired_at.is_none()).count();
    if signing != 1 {
        return Err(format!(
            "{signing} of its keys are not retired; exactly one must sign"
        ));
    }
    Ok(KeyFile {
        deployment,
        keys,
        revoked,
        code_secret,
        lasting_secret,
    })
}

fn parse_secret(text: &str, name: &str) -> Result<Zeroizing<[u8; 32]>, String> {
    let bytes = STANDARD.decode(text.as_bytes()).map(Zeroizing::new);
    bytes
        .ok()
        .and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok())
        .map(Zeroizing::new)
        .ok_or_else(|| format!("its `{name}` is not 32 bytes of base64"))
}

fn parse_time(text: &str, kid: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|_| format!("a time of the key `{kid}` is not RFC 3339"))
}

fn parse_key(json: &KeyJson) -> Result<StoredKey, String> {
    let name = &json.kid;
    let der = STANDARD.decode(json.pkcs8.as_bytes()).map(Zeroizing::new);
    let key = der
        .ok()
        .and_then(|der| SigningKey::from_pkcs8_der(&der).ok())
        .ok_or_else(|| format!("the key `{name}` is not Ed25519 in PKCS #8"))?;
    if kid(&key) != *name {
        return Err(format!("the key `{name}` has another key's id"));
    }
    let time = |text: &str| parse_time(text, name);
    Ok(StoredKey {
        kid: name.clone(),
        created_at: time(&json.created_at)?,
        retired_at: json.retired_at.as_deref().map(time).transpose()?,
        key,
    })
}

fn render(keys: &KeyFile) -> Result<Zeroizing<String>, String> {
    let revoked = keys.revoked.iter().map(|key| RevokedJson {
        kid: key.kid.clone(),
        revoked_at: key.revoked_at.to_string(),
    });
    let json = FileJson {
        version: VERSION,
        deployment: Some(keys.deployment.clone()),
        keys: keys
            .keys
            .iter()
            .map(|key| {
                let der = pkcs8(&key.key)?;
                Ok(KeyJson {
                    kid: key.kid.clone(),
                    created_at: key.created_at.to_string(),
                    retired_at: key.retired_at.map(|at| at.to_string()),
                    pkcs8: STANDARD.encode(&*der),
                })
            })
            .collect::<Result<_, String>>()?,
        revoked: revoked.collect(),
        code_secret: STANDARD.encode(*keys.code_secret),
        lasting_secret: Some(STANDARD.encode(*keys.lasting_secret)),
    };
    serde_json::to_string_pretty(&json)
        .map(Zeroizing::new)
        .map_err(|error| error.to_string())
}

/// The private key as PKCS #8 in DER.
pub(super) fn pkcs8(key: &SigningKey) -> Result<Zeroizing<Vec<u8>>, String> {
    let document = key.to_pkcs8_der().map_err(|error| error.to_string())?;
    Ok(Zeroizing::new(document.as_bytes().to_vec()))
}
