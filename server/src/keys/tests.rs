//! What must hold of keys and tokens.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, encode};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use talksy_domain::auth::{AccessTokens, TokenProblem};
use talksy_domain::id::IdGenerator;
use talksy_domain::viewer::Viewer;
use tempfile::TempDir;

use super::*;
use crate::testing::{CountingEntropy, ManualClock};

mod deployments;
mod key_file;
mod revoked;
mod unknown;

const TTL: Duration = Duration::from_mins(10);

fn options() -> KeyOptions {
    KeyOptions {
        access_token_ttl: TTL,
        token_cache: 100,
        issuer: Some("talksy".to_owned()),
        audience: None,
    }
}

struct Bench {
    directory: TempDir,
    clock: Arc<ManualClock>,
    entropy: Arc<CountingEntropy>,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            directory,
            clock: Arc::default(),
            entropy: Arc::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join(KEY_FILE)
    }

    fn try_open(&self, options: KeyOptions) -> Result<Keys, KeyError> {
        Keys::open(&self.path(), options, self.clock.clone(), &*self.entropy)
    }

    fn open(&self) -> Keys {
        self.try_open(options()).unwrap()
    }

    fn rotate(&self) -> Vec<KeyInfo> {
        rotate(&self.path(), TTL, &*self.clock, &*self.entropy).unwrap()
    }

    fn viewer(&self) -> Viewer {
        let ids = IdGenerator::new(self.clock.clone(), self.entropy.clone());
        Viewer {
            user_id: ids.next(),
            session_id: ids.next(),
            expires_at: self.clock.now() + TTL,
        }
    }

    fn issue(&self, keys: &Keys) -> (Viewer, String) {
        let viewer = self.viewer();
        (viewer, keys.issue(&viewer, self.clock.now()).unwrap())
    }

    fn verify(&self, keys: &Keys, token: &str) -> Result<Viewer, TokenProblem> {
        verify(keys, token, self.clock.now())
    }

    fn claims(&self) -> Value {
        let viewer = self.viewer();
        json!({
            "iss": "talksy",
            "aud": "talksy",
            "sub": viewer.user_id,
            "sid": viewer.session_id,
            "iat": self.clock.now().as_secs(),
            "exp": viewer.expires_at.as_secs(),
        })
    }
}

/// Verifies by the keys in force, without a look at the file.
fn verify(keys: &Keys, token: &str, now: Timestamp) -> Result<Viewer, TokenProblem> {
    Ok(keys.verify_by_held(token, now)?)
}

/// A token with these claims that is signed with the key in force.
fn signed(keys: &Keys, claims: &Value) -> String {
    let ring = keys.ring();
    encode(&ring.header, claims, &ring.signing).unwrap()
}

fn kids(keys: &Keys) -> Vec<String> {
    let jwks: Value = serde_json::from_str(&keys.jwks()).unwrap();
    let keys = jwks["keys"].as_array().unwrap();
    keys.iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_token_proves_its_viewer_until_it_expires() {
    let bench = Bench::new();
    for token_cache in [0, 100] {
        let keys = bench
            .try_open(KeyOptions {
                token_cache,
                ..options()
            })
            .unwrap();
        let (viewer, token) = bench.issue(&keys);
        let hash: [u8; 32] = Sha256::digest(&token).into();
        for remembered in [false, token_cache > 0] {
            assert_eq!(keys.cache.get(&hash).is_some(), remembered);
            assert_eq!(bench.verify(&keys, &token), Ok(viewer));
        }
        let last = viewer.expires_at - Duration::from_millis(1);
        assert_eq!(verify(&keys, &token, last), Ok(viewer));
        for _ in 0..2 {
            assert_eq!(
                verify(&keys, &token, viewer.expires_at),
                Err(TokenProblem::Expired)
            );
        }
        assert!(token.len() < 400, "{}", token.len());
    }
}

#[test]
fn the_sound_claims_of_these_tests_are_accepted() {
    let bench = Bench::new();
    let keys = bench.open();
    assert!(bench.verify(&keys, &signed(&keys, &bench.claims())).is_ok());
}

#[test]
fn foreign_or_missing_claims_are_refused() {
    let bench = Bench::new();
    let keys = bench.open();
    let wrong = [
        ("iss", json!("other")),
        ("iss", json!(["talksy", "other"])),
        ("aud", json!("other")),
        ("aud", json!(["talksy", "other"])),
        ("sub", json!("ses_01h455vb4pex5vsknk084sn02q")),
        ("sid", json!("nobody")),
        ("exp", json!("tomorrow")),
        ("exp", json!(i64::MAX)),
    ];
    for (name, value) in wrong {
        let mut claims = bench.claims();
        claims[name] = value;
        let token = signed(&keys, &claims);
        assert_eq!(
            bench.verify(&keys, &token),
            Err(TokenProblem::Invalid),
            "{claims}"
        );
    }
    for name in ["iss", "aud", "sub", "sid", "iat", "exp"] {
        let mut claims = bench.claims();
        claims.as_object_mut().unwrap().remove(name);
        let token = signed(&keys, &claims);
        assert_eq!(
            bench.verify(&keys, &token),
            Err(TokenProblem::Invalid),
            "without {name}"
        );
    }
}

#[test]
fn other_algorithms_are_refused() {
    let bench = Bench::new();
    let keys = bench.open();
    let kid = kids(&keys).remove(0);
    let payload = URL_SAFE_NO_PAD.encode(bench.claims().to_string());
    for alg in ["none", "None", "NONE", "HS256", "ES256", "Ed25519"] {
        let header =
            URL_SAFE_NO_PAD.encode(json!({ "alg": alg, "typ": "JWT", "kid": kid }).to_string());
        for signature in ["", "AAAA"] {
            let token = format!("{header}.{payload}.{signature}");
            assert_eq!(
                bench.verify(&keys, &token),
                Err(TokenProblem::Invalid),
                "{token}"
            );
        }
    }

    // The old trick: the public key as the secret of an HMAC.
    let jwks: Value = serde_json::from_str(&keys.jwks()).unwrap();
    let x = jwks["keys"][0]["x"].as_str().unwrap();
    let header = json!({ "alg": "HS256", "typ": "JWT", "kid": kid }).to_string();
    let signed = format!("{}.{payload}", URL_SAFE_NO_PAD.encode(header));
    for secret in [x.as_bytes().to_vec(), URL_SAFE_NO_PAD.decode(x).unwrap()] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
        mac.update(signed.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        let token = format!("{signed}.{signature}");
        assert_eq!(bench.verify(&keys, &token), Err(TokenProblem::Invalid));
    }
}

#[test]
fn there_is_no_signer_and_no_verifier_for_another_algorithm() {
    let bench = Bench::new();
    let keys = bench.open();
    let unsupported = |error: jsonwebtoken::errors::Error| {
        let kind = error.kind();
        assert_eq!(*kind, jsonwebtoken::errors::ErrorKind::UnsupportedAlgorithm);
    };
    let claims = bench.claims();
    let header = Header::new(Algorithm::HS256);
    unsupported(encode(&header, &claims, &EncodingKey::from_secret(b"secret")).unwrap_err());
    let header = Header::new(Algorithm::RS256);
    unsupported(encode(&header, &claims, &EncodingKey::from_rsa_der(b"key")).unwrap_err());
    let (_, token) = bench.issue(&keys);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let verify = |key: &DecodingKey, algorithm| {
        jsonwebtoken::crypto::verify(signature, signed.as_bytes(), key, algorithm)
    };
    let jwks: Value = serde_json::from_str(&keys.jwks()).unwrap();
    let ours = DecodingKey::from_ed_components(jwks["keys"][0]["x"].as_str().unwrap()).unwrap();
    assert!(verify(&ours, Algorithm::EdDSA).unwrap());
    for algorithm in [Algorithm::HS256, Algorithm::ES256, Algorithm::PS256] {
        unsupported(verify(&ours, algorithm).unwrap_err());
    }
    let secret = DecodingKey::from_secret(b"secret");
    unsupported(verify(&secret, Algorithm::EdDSA).unwrap_err());
}

#[test]
fn tokens_of_other_keys_are_refused() {
    let bench = Bench::new();
    let keys = bench.open();
    let other_bench = Bench {
        entropy: Arc::new(CountingEntropy::default()),
        ..Bench::new()
    };
    other_bench.viewer();
    let other = other_bench.open();
    assert_ne!(kids(&keys), kids(&other));
    let (_, foreign) = bench.issue(&other);
    assert_eq!(bench.verify(&keys, &foreign), Err(TokenProblem::Invalid));

    // Signed with a foreign key under our key's name, or under none.
    let mut header = keys.ring().header.clone();
    let token = encode(&header, &bench.claims(), &other.ring().signing).unwrap();
    assert_eq!(bench.verify(&keys, &token), Err(TokenProblem::Invalid));
    header.kid = None;
    let token = encode(&header, &bench.claims(), &keys.ring().signing).unwrap();
    assert_eq!(bench.verify(&keys, &token), Err(TokenProblem::Invalid));
    header.kid.clone_from(&keys.ring().header.kid);
    header.crit = Some(vec!["exp".to_owned()]);
    let token = encode(&header, &bench.claims(), &keys.ring().signing).unwrap();
    assert_eq!(bench.verify(&keys, &token), Err(TokenProblem::Invalid));
}

#[test]
fn no_damaged_token_passes() {
    let bench = Bench::new();
    let keys = bench.open();
    let (viewer, token) = bench.issue(&keys);
    for end in 0..token.len() {
        assert_eq!(
            bench.verify(&keys, &token[..end]),
            Err(TokenProblem::Invalid),
            "cut at {end}"
        );
    }
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let damaged = String::from_utf8(bytes).unwrap();
        assert_eq!(
            bench.verify(&keys, &damaged),
            Err(TokenProblem::Invalid),
            "changed at {at}"
        );
    }
    for text in [
        format!("{token}."),
        format!("{token}="),
        format!(" {token}"),
        "a.b.c".to_owned(),
        "é".repeat(40),
        "x".repeat(100_000),
    ] {
        assert_eq!(bench.verify(&keys, &text), Err(TokenProblem::Invalid));
    }
    assert_eq!(bench.verify(&keys, &token), Ok(viewer));
}

#[test]
fn a_rotated_key_verifies_until_its_last_token_has_expired_and_then_no_more() {
    let bench = Bench::new();
    let keys = bench.open();
    let old_kid = kids(&keys).remove(0);
    let (viewer, old) = bench.issue(&keys);

    let rotated = bench.rotate();
    assert_eq!(rotated.len(), 2);
    assert!(keys.reload().unwrap());
    assert!(!keys.reload().unwrap(), "once a change");
    assert_eq!(kids(&keys), [old_kid.clone(), rotated[1].kid.clone()]);
    assert_eq!(keys.ring().header.kid.as_deref(), Some(&*rotated[1].kid));
    assert_eq!(bench.verify(&keys, &old), Ok(viewer));
    let (new_viewer, new) = bench.issue(&keys);
    assert_eq!(bench.verify(&keys, &new), Ok(new_viewer));

    // A token that would outlive its key, to see the key's end and not the token's.
    let mut claims = bench.claims();
    claims["exp"] = json!((bench.clock.now() + 10 * TTL).as_secs());
    let lasting = {
        let ring = Ring::new(
            &bench.path(),
            &file::load(&bench.path()).unwrap().unwrap(),
            &RingOptions {
                overlap: TTL,
                issuer: None,
                audience: None,
            },
        )
        .unwrap();
        let mut header = ring.header.clone();
        header.kid = Some(old_kid.clone());
        let stored = file::load(&bench.path()).unwrap().unwrap();
        let key = EncodingKey::from_ed_der(&file::pkcs8(&stored.keys[0].key).unwrap());
        encode(&header, &claims, &key).unwrap()
    };
    bench.clock.advance(TTL);
    bench.clock.advance(Duration::from_millis(59_999));
    assert!(bench.verify(&keys, &lasting).is_ok());
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(
        bench.verify(&keys, &lasting),
        Err(TokenProblem::Invalid),
        "also from the cache"
    );
    assert_eq!(kids(&keys), [rotated[1].kid.clone()]);

    // The next start, or rotation, drops it from the file.
    assert!(fs::read_to_string(bench.path()).unwrap().contains(&old_kid));
    let keys = bench.open();
    assert!(!fs::read_to_string(bench.path()).unwrap().contains(&old_kid));
    assert_eq!(bench.verify(&keys, &lasting), Err(TokenProblem::Invalid));
}

#[test]
fn rotations_at_the_same_time_lose_no_key() {
    let bench = Bench::new();
    let secret = bench.open().secret();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| bench.rotate());
        }
    });
    let listed = list(&bench.path(), TTL, bench.clock.now()).unwrap();
    assert_eq!(listed.len(), 9);
    assert_eq!(
        listed
            .iter()
            .filter(|key| key.verifies_until.is_none())
            .count(),
        1
    );
    assert!(listed[8].verifies_until.is_none(), "the newest signs");
    let keys = bench.open();
    assert_eq!(kids(&keys).len(), 9);
    assert_eq!(keys.secret().expose_secret(), secret.expose_secret());
}

#[tokio::test(start_paused = true)]
async fn a_rotation_reaches_the_running_server_by_itself() {
    let bench = Bench::new();
    let keys = Arc::new(bench.open());
    let stop = tokio_util::sync::CancellationToken::new();
    let watch = tokio::spawn(Arc::clone(&keys).watch(stop.clone()));
    let rotated = bench.rotate();
    let reached = async {
        while kids(&keys).len() < 2 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), reached)
        .await
        .unwrap();
    assert_eq!(kids(&keys)[1], rotated[1].kid);
    stop.cancel();
    watch.await.unwrap();
}

#[test]
fn without_a_key_file_there_is_nothing_to_list_or_rotate() {
    let bench = Bench::new();
    let missing = bench.directory.path().join("nowhere");
    for directory in [bench.directory.path(), &missing] {
        assert!(matches!(
            list(&directory.join(KEY_FILE), TTL, bench.clock.now()),
            Err(KeyError::Missing { .. })
        ));
        let error = rotate(
            &directory.join(KEY_FILE),
            TTL,
            &*bench.clock,
            &*bench.entropy,
        )
        .unwrap_err();
        assert!(matches!(error, KeyError::Missing { .. }));
        assert!(!directory.join(KEY_FILE).exists());
    }
    assert!(!missing.exists());
}

#[test]
fn the_jwk_set_has_public_keys_alone_in_the_form_of_its_rfcs() {
    let bench = Bench::new();
    let keys = bench.open();
    let jwks: Value = serde_json::from_str(&keys.jwks()).unwrap();
    let key = jwks["keys"][0].as_object().unwrap();
    let mut names: Vec<_> = key.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x"]);
    assert_eq!(
        (&key["kty"], &key["crv"]),
        (&json!("OKP"), &json!("Ed25519"))
    );
    assert_eq!((&key["alg"], &key["use"]), (&json!("EdDSA"), &json!("sig")));
    assert_eq!(
        URL_SAFE_NO_PAD
            .decode(key["x"].as_str().unwrap())
            .unwrap()
            .len(),
        32
    );

    // Another implementation's reading of it: the thumbprint is the id, and the key verifies.
    let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(jwks["keys"][0].clone()).unwrap();
    let thumbprint = jwk
        .thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256)
        .unwrap();
    assert_eq!(thumbprint[..16], *key["kid"].as_str().unwrap());
    let (_, token) = bench.issue(&keys);
    let mut validation = jsonwebtoken::Validation::new(Algorithm::EdDSA);
    validation.set_audience(&["talksy"]);
    validation.validate_exp = false;
    let decoding = DecodingKey::from_jwk(&jwk).unwrap();
    let claims = jsonwebtoken::decode::<Value>(&token, &decoding, &validation)
        .unwrap()
        .claims;
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
        600
    );
}
