//! Tokens of keys that are not known yet, or are none.

use futures_util::future::join_all;

use super::*;

/// A token that another instance signs with a key that this one has not read yet.
fn of_another_instance(bench: &Bench) -> (Viewer, String) {
    let there = bench.open();
    bench.rotate();
    assert!(there.reload().unwrap());
    bench.issue(&there)
}

#[tokio::test]
async fn tokens_of_a_key_that_another_instance_has_just_made_are_verified_at_once() {
    let bench = Bench::new();
    let here = bench.open();
    for _ in 0..3 {
        let (viewer, token) = of_another_instance(&bench);
        let now = bench.clock.now();
        assert_eq!(bench.verify(&here, &token), Err(TokenProblem::Invalid));
        // All that come together share one look, and each is let in by it.
        let all = (0..8).map(|_| AccessTokens::verify(&here, &token, now));
        let all = join_all(all).await;
        assert_eq!(all, vec![Ok(viewer); 8]);
    }
    // Who comes while one is on its way waits for the next.
    let looks = here.looks.begun();
    assert!((3..=6).contains(&looks), "{looks}");
}

#[tokio::test(start_paused = true)]
async fn tokens_of_unknown_keys_share_a_few_looks_at_the_file() {
    const MANY: u32 = 1_000;
    let bench = Bench::new();
    let keys = Arc::new(bench.open());
    let (_, token) = bench.issue(&keys);
    let (_, rest) = token.split_once('.').unwrap();
    let of = |kid: String| {
        let mut header = keys.ring().header.clone();
        header.kid = Some(kid);
        let header = serde_json::to_vec(&header).unwrap();
        format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header))
    };
    let now = bench.clock.now();
    let forged: Vec<_> = (0..MANY).map(|at| of(format!("{at:016}"))).collect();
    let all = forged.iter().map(|token| keys.verify(token, now));
    let all = join_all(all).await;
    assert!(all.iter().all(|one| *one == Err(TokenProblem::Invalid)));
    // The first begins one at once, and all that came meanwhile share the next.
    let looks = keys.looks.begun();
    assert!((1..=2).contains(&looks), "{looks}");
    // Who comes again is not looked for again, nor is what can be no key's id.
    assert_eq!(
        keys.verify(&forged[0], now).await,
        Err(TokenProblem::Invalid)
    );
    for kid in [String::new(), "x".repeat(15), "x".repeat(17), "ä".repeat(8)] {
        let refused = keys.verify(&of(kid), now).await;
        assert_eq!(refused, Err(TokenProblem::Invalid));
    }
    assert_eq!(keys.looks.begun(), looks);

    tokio::time::advance(Duration::from_secs(1)).await;
    let refused = keys.verify(&forged[0], now).await;
    assert_eq!(refused, Err(TokenProblem::Invalid));
    assert_eq!(keys.looks.begun(), looks + 1, "after a second it is");

    // A key that is made meanwhile is found beside them.
    let (viewer, token) = of_another_instance(&bench);
    let flood = (0..MANY).map(|at| of(format!("{:016}", at + MANY)));
    let flood: Vec<_> = flood.collect();
    let flood = join_all(flood.iter().map(|token| keys.verify(token, now)));
    let (_, verified) = tokio::join!(flood, keys.verify(&token, now));
    assert_eq!(verified, Ok(viewer));
}
