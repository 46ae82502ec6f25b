//! A key file that somebody else has.

use futures_util::FutureExt as _;

use super::*;

#[tokio::test]
async fn keys_that_somebody_else_has_are_good_for_nothing_from_the_next_look_on() {
    let bench = Bench::new();
    let keys = bench.open();
    bench.rotate();
    keys.reload().unwrap();
    let (deployment, lasting) = (keys.ring().issuer.clone(), keys.lasting_secret());
    let stolen = {
        let file = file::load(&bench.path()).unwrap().unwrap();
        file.keys
            .iter()
            .map(|key| key.kid.clone())
            .collect::<Vec<_>>()
    };
    let secret = keys.secret();
    let (_, token) = bench.issue(&keys);
    bench.verify(&keys, &token).unwrap();
    let mut closed = Box::pin(keys.revoked(keys.revocations()));
    assert_eq!((&mut closed).now_or_never(), None);

    let left = replace(&bench.path(), TTL, &*bench.clock, &*bench.entropy).unwrap();
    assert_eq!(left.len(), 1);
    assert!(keys.reload().unwrap());
    closed.await;
    // Who was proved before and asks only now learns of it.
    assert_eq!(keys.revocations(), 1);
    assert_eq!(keys.revoked(0).now_or_never(), Some(()));
    assert_eq!(kids(&keys), [left[0].kid.clone()]);
    assert!(!stolen.contains(&left[0].kid));
    // Whoever holds a token is told to refresh, also from the cache, and whoever forges one no more.
    for _ in 0..2 {
        assert_eq!(bench.verify(&keys, &token), Err(TokenProblem::Expired));
    }
    assert_ne!(keys.secret().expose_secret(), secret.expose_secret());
    assert_eq!(
        keys.lasting_secret().expose_secret(),
        lasting.expose_secret()
    );
    assert_eq!(keys.ring().issuer, deployment);
    let text = fs::read_to_string(bench.path()).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        json["keys"].as_array().unwrap().len(),
        1,
        "no private half is left"
    );
    assert_eq!(json["revoked"].as_array().unwrap().len(), 2);
    let (viewer, fresh) = bench.issue(&keys);
    assert_eq!(bench.verify(&keys, &fresh), Ok(viewer));
    let restarted = bench.open();
    assert_eq!(bench.verify(&restarted, &token), Err(TokenProblem::Expired));

    // A rotation is no revocation: nobody's socket is closed by it.
    let mut closed = Box::pin(keys.revoked(keys.revocations()));
    bench.rotate();
    assert!(keys.reload().unwrap());
    assert_eq!((&mut closed).now_or_never(), None);
    // The ids go with what would have been their last tokens.
    bench.clock.advance(TTL + SKEW);
    assert_eq!(bench.verify(&keys, &token), Err(TokenProblem::Invalid));
    bench.rotate();
    let text = fs::read_to_string(bench.path()).unwrap();
    assert!(stolen.iter().all(|kid| !text.contains(kid)));
}

#[test]
fn a_token_that_says_it_lives_longer_than_any_is_good_for_no_longer() {
    let bench = Bench::new();
    let keys = bench.open();
    let mut claims = bench.claims();
    claims["exp"] = json!((bench.clock.now() + 1_000 * TTL).as_secs());
    let token = signed(&keys, &claims);
    for _ in 0..2 {
        let viewer = bench.verify(&keys, &token).unwrap();
        assert_eq!(viewer.expires_at, bench.clock.now() + TTL);
        bench.clock.advance(TTL);
    }
}
