//! Whose tokens they are, and files of earlier versions.

use super::*;

#[test]
fn the_issuer_and_the_audience_are_the_deployments_own() {
    let (bench, other) = (Bench::new(), Bench::new());
    let with = |bench: &Bench, issuer: Option<&str>, audience: Option<&str>| {
        let options = KeyOptions {
            issuer: issuer.map(str::to_owned),
            audience: audience.map(str::to_owned),
            ..options()
        };
        bench.try_open(options).unwrap()
    };
    let parties = |token: &str| {
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap());
        let claims: Value = serde_json::from_slice(&claims.unwrap()).unwrap();
        [claims["iss"].clone(), claims["aud"].clone()]
    };
    // Without settings both are an id of the file: the same at each start, another's elsewhere.
    let own = with(&bench, None, None);
    let (viewer, token) = bench.issue(&own);
    let [issuer, audience] = parties(&token);
    assert_eq!(issuer, audience);
    assert_eq!(issuer.as_str().unwrap().len(), 32);
    let again = with(&bench, None, None);
    assert_eq!(bench.verify(&again, &token), Ok(viewer));
    other.viewer();
    let (_, foreign) = other.issue(&with(&other, None, None));
    assert_ne!(parties(&foreign)[0], issuer);

    let url = "https://chat.example.org";
    let named = with(&bench, Some(url), None);
    assert_eq!(parties(&bench.issue(&named).1), [json!(url), json!(url)]);
    let apart = with(&bench, Some(url), Some("api"));
    let (viewer, token) = bench.issue(&apart);
    assert_eq!(parties(&token), [json!(url), json!("api")]);
    assert_eq!(bench.verify(&apart, &token), Ok(viewer));
    // The same keys do not make up for another deployment's names.
    for keys in [&own, &named] {
        assert_eq!(bench.verify(keys, &token), Err(TokenProblem::Invalid));
    }
}

#[test]
fn a_file_of_version_1_is_read_and_keeps_its_id_and_secret() {
    let bench = Bench::new();
    bench.open();
    let mut json: Value = serde_json::from_str(&fs::read_to_string(bench.path()).unwrap()).unwrap();
    let file = json.as_object_mut().unwrap();
    file.insert("version".to_owned(), json!(1));
    file.remove("deployment");
    file.remove("lastingSecret");
    fs::write(bench.path(), json.to_string()).unwrap();
    let without = || KeyOptions {
        issuer: None,
        ..options()
    };
    let keys = bench.try_open(without()).unwrap();
    let (issuer, lasting) = (keys.ring().issuer.clone(), keys.lasting_secret());
    assert_eq!(lasting.expose_secret(), keys.secret().expose_secret());
    replace(&bench.path(), TTL, &*bench.clock, &*bench.entropy).unwrap();
    let keys = bench.try_open(without()).unwrap();
    assert_eq!(keys.ring().issuer, issuer);
    assert_eq!(
        keys.lasting_secret().expose_secret(),
        lasting.expose_secret()
    );
    assert_ne!(keys.secret().expose_secret(), lasting.expose_secret());
}
