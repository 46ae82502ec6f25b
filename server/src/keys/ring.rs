//! The keys of one version of the file, ready for use. Never changes: a new version of the file
//! makes a new ring.

use std::path::Path;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::SecretSlice;
use secrecy::zeroize::Zeroizing;
use serde::Serialize;
use talksy_domain::clock::Timestamp;

use super::file::{self, KeyFile, RevokedKey, StoredKey};
use super::{KeyError, RingOptions, eddsa};

/// The keys in force.
pub(super) struct Ring {
    pub(super) header: Header,
    pub(super) signing: EncodingKey,
    /// What the claims of tokens must be, besides their times.
    pub(super) validation: Validation,
    /// Who issues the tokens.
    pub(super) issuer: String,
    /// Whom they are for.
    pub(super) audience: String,
    verifying: Vec<VerifyingKey>,
    revoked: Vec<RevokedKey>,
    overlap: Duration,
    code_secret: Zeroizing<[u8; 32]>,
    lasting_secret: Zeroizing<[u8; 32]>,
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
    pub(super) fn new(
        path: &Path,
        file: &KeyFile,
        options: &RingOptions,
    ) -> Result<Self, KeyError> {
        eddsa::install();
        let overlap = options.overlap;
        let issuer = options.issuer.as_ref().unwrap_or(&file.deployment);
        let audience = options.audience.as_ref().unwrap_or(issuer);
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
            validation: validation(issuer, audience),
            issuer: issuer.clone(),
            audience: audience.clone(),
            verifying: verifying.map_err(|reason| KeyError::corrupt(path, reason))?,
            revoked: file.revoked.clone(),
            overlap,
            code_secret: file.code_secret.clone(),
            lasting_secret: file.lasting_secret.clone(),
        })
    }

    /// Whether a token of this key's id is to be exchanged for another: the key was revoked, and its
    /// last token would not have expired yet.
    pub(super) fn is_revoked(&self, kid: &str, now: Timestamp) -> bool {
        let mut revoked = self.revoked.iter().filter(|key| key.kid == kid);
        revoked.any(|key| now < key.revoked_at + self.overlap)
    }

    /// Whether this ring revokes a key that was in force in the one before.
    pub(super) fn revokes_of(&self, before: &Self) -> bool {
        let is_revoked =
            |key: &VerifyingKey| self.revoked.iter().any(|revoked| *revoked.kid == *key.kid);
        before.verifying.iter().any(is_revoked)
    }

    /// Whether there is a key of this id, also one that verifies nothing any more.
    pub(super) fn knows(&self, kid: &str) -> bool {
        self.verifying.iter().any(|key| &*key.kid == kid)
            || self.revoked.iter().any(|key| key.kid == kid)
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

    pub(super) fn lasting_secret(&self) -> SecretSlice<u8> {
        SecretSlice::from(self.lasting_secret.to_vec())
    }

    fn in_force(&self, now: Timestamp) -> impl Iterator<Item = &VerifyingKey> {
        self.verifying
            .iter()
            .filter(move |key| key.until.is_none_or(|until| now < until))
    }
}

fn validation(issuer: &str, audience: &str) -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // The library would read the machine's clock; the caller's time is compared instead.
    validation.validate_exp = false;
    validation
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
