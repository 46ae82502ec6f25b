//! The keys of one version of the file, ready for use. Never changes: a new version of the file
//! makes a new ring.

use std::path::Path;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use secrecy::SecretSlice;
use secrecy::zeroize::Zeroizing;
use serde::Serialize;
use talksy_domain::clock::Timestamp;

use super::file::{self, KeyFile, StoredKey};
use super::{KeyError, eddsa};

/// The keys in force.
pub(super) struct Ring {
    pub(super) header: Header,
    pub(super) signing: EncodingKey,
    verifying: Vec<VerifyingKey>,
    code_secret: Zeroizing<[u8; 32]>,
}

/// A key that tokens may be signed with.
pub(super) struct VerifyingKey {
    pub(super) kid: Box<str>,
    pub(super) key: DecodingKey,
    /// `None` while it signs.
    until: Option<Timestamp>,
    /// Its entry of the JWK set.
    jwk: String,
}

/// A public key by RFC 7517 and RFC 8037, section 2.
#[derive(Serialize)]
struct Jwk<'a> {
    kty: &'static str,
    crv: &'static str,
    alg: &'static str,
    r#use: &'static str,
    kid: &'a str,
    x: &'a str,
}

impl Ring {
    /// The ring of a file, which has exactly one key that signs.
    pub(super) fn new(path: &Path, file: &KeyFile, overlap: Duration) -> Result<Self, KeyError> {
        eddsa::install();
        let signing = file
            .keys
            .iter()
            .find(|key| key.retired_at.is_none())
            .ok_or_else(|| KeyError::corrupt(path, "none of its keys signs"))?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(signing.kid.clone());
        let der = file::pkcs8(&signing.key).map_err(|reason| KeyError::corrupt(path, reason))?;
        let verifying = file
            .keys
            .iter()
            .map(|key| verifying(key, overlap))
            .collect::<Result<_, _>>();
        Ok(Self {
            header,
            signing: EncodingKey::from_ed_der(&der),
            verifying: verifying.map_err(|reason| KeyError::corrupt(path, reason))?,
            code_secret: file.code_secret.clone(),
        })
    }

    /// The key of this id, while it verifies.
    pub(super) fn verifying(&self, kid: &str, now: Timestamp) -> Option<&VerifyingKey> {
        self.in_force(now).find(|key| &*key.kid == kid)
    }

    /// The public keys in force, as a JWK set.
    pub(super) fn jwks(&self, now: Timestamp) -> String {
        let keys: Vec<&str> = self.in_force(now).map(|key| key.jwk.as_str()).collect();
        format!(r#"{{"keys":[{}]}}"#, keys.join(","))
    }

    pub(super) fn code_secret(&self) -> SecretSlice<u8> {
        SecretSlice::from(self.code_secret.to_vec())
    }

    fn in_force(&self, now: Timestamp) -> impl Iterator<Item = &VerifyingKey> {
        self.verifying
            .iter()
            .filter(move |key| key.until.is_none_or(|until| now < until))
    }
}

fn verifying(stored: &StoredKey, overlap: Duration) -> Result<VerifyingKey, String> {
    let x = file::coordinate(&stored.key);
    let jwk = Jwk {
        kty: "OKP",
        crv: "Ed25519",
        alg: "EdDSA",
        r#use: "sig",
        kid: &stored.kid,
        x: &x,
    };
    Ok(VerifyingKey {
        kid: stored.kid.as_str().into(),
        key: DecodingKey::from_ed_components(&x).map_err(|error| error.to_string())?,
        until: stored.verifies_until(overlap),
        jwk: serde_json::to_string(&jwk).map_err(|error| error.to_string())?,
    })
}
