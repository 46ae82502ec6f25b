//! The key file: made once, for its owner alone, and never damaged.

use std::os::unix::fs::{MetadataExt as _, chown};

use super::*;

#[test]
fn the_file_is_made_once_and_for_its_owner_alone() {
    let bench = Bench::new();
    let data = bench.directory.path().join("deep/data");
    let open = || {
        Keys::open(
            &data.join(KEY_FILE),
            options(),
            bench.clock.clone(),
            &*bench.entropy,
        )
        .unwrap()
    };
    let first = open();
    assert_eq!(mode(&data), 0o700);
    for file in ["keys.json", "keys.lock"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
    assert_eq!(first.secret().expose_secret().len(), 32);
    let again = open();
    assert_eq!(kids(&first), kids(&again));
    assert_eq!(
        first.secret().expose_secret(),
        again.secret().expose_secret()
    );
    let (viewer, token) = bench.issue(&first);
    assert_eq!(bench.verify(&again, &token), Ok(viewer));

    // A leftover of a crash neither stops a rotation nor lends the new file its mode.
    let leftover = data.join("keys.json.new");
    fs::write(&leftover, "half").unwrap();
    fs::set_permissions(&leftover, Permissions::from_mode(0o644)).unwrap();
    rotate(&data.join(KEY_FILE), TTL, &*bench.clock, &*bench.entropy).unwrap();
    assert_eq!(mode(&data.join(KEY_FILE)), 0o600);
    assert!(!leftover.exists());
}

/// An administrator's rotation leaves the files to the user that the server runs as. Only an administrator can
/// give them away to begin with: for others there is nothing to look at.
#[test]
fn a_rotation_leaves_the_files_to_their_owner() {
    let bench = Bench::new();
    bench.open();
    if chown(bench.path(), Some(61_234), Some(61_234)).is_err() {
        return;
    }
    let lock = bench.path().with_extension("lock");
    fs::remove_file(&lock).unwrap();
    rotate(&bench.path(), TTL, &*bench.clock, &*bench.entropy).unwrap();
    for file in [bench.path(), lock] {
        let metadata = fs::metadata(&file).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (61_234, 61_234));
        assert_eq!(mode(&file), 0o600);
    }
}

#[test]
fn a_file_open_to_others_is_refused_with_the_remedy() {
    let bench = Bench::new();
    bench.open();
    for mode in [0o640, 0o604, 0o660, 0o666] {
        fs::set_permissions(bench.path(), Permissions::from_mode(mode)).unwrap();
        let text = bench.try_open(options()).err().unwrap().to_string();
        assert!(
            text.contains(&format!("chmod 600 {}", bench.path().display())),
            "{text}"
        );
        assert!(text.contains(&format!("{mode:03o}")), "{text}");
    }
    fs::set_permissions(bench.path(), Permissions::from_mode(0o400)).unwrap();
    bench.open();
}

#[test]
fn a_file_that_is_no_key_file_is_refused_and_left_untouched() {
    let bench = Bench::new();
    bench.open();
    let sound = fs::read_to_string(bench.path()).unwrap();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut json: Value = serde_json::from_str(&sound).unwrap();
        change(&mut json);
        json.to_string()
    };
    let cases = [
        (String::new(), "its JSON breaks at line 1"),
        (sound[..sound.len() / 2].to_owned(), "its JSON breaks"),
        ("\u{0}".repeat(sound.len()), "its JSON breaks"),
        (
            changed(&|json| json["version"] = json!(3)),
            "it has version 3, not 1 to 2",
        ),
        (
            changed(&|json| json["keys"] = json!([])),
            "0 of its keys are not retired",
        ),
        (
            changed(&|json| json["keys"][0]["retiredAt"] = json!("2026-01-01T00:00:00Z")),
            "0 of its keys",
        ),
        (
            changed(&|json| json["keys"][0]["kid"] = json!("other")),
            "has another key's id",
        ),
        (
            changed(&|json| json["keys"][0]["pkcs8"] = json!("AAAA")),
            "is not Ed25519",
        ),
        (
            changed(&|json| json["keys"][0]["createdAt"] = json!("today")),
            "is not RFC 3339",
        ),
        (
            changed(&|json| json["codeSecret"] = json!("AAAA")),
            "`codeSecret` is not 32 bytes",
        ),
        (
            changed(&|json| json["lastingSecret"] = json!("AAAA")),
            "`lastingSecret` is not 32 bytes",
        ),
        (
            changed(&|json| json["revoked"] = json!([{ "kid": "a", "revokedAt": "today" }])),
            "is not RFC 3339",
        ),
        (changed(&|json| json["extra"] = json!(1)), "its JSON breaks"),
    ];
    for (text, reason) in cases {
        fs::write(bench.path(), &text).unwrap();
        for error in [
            bench.try_open(options()).err().unwrap(),
            rotate(&bench.path(), TTL, &*bench.clock, &*bench.entropy).unwrap_err(),
        ] {
            assert!(matches!(error, KeyError::Corrupt { .. }));
            assert!(
                error.to_string().contains(reason),
                "{reason} is not in {error}"
            );
        }
        assert_eq!(fs::read_to_string(bench.path()).unwrap(), text);
    }
}

#[test]
fn a_running_server_keeps_its_keys_when_the_new_file_is_unusable_and_says_so_once() {
    let bench = Bench::new();
    let keys = bench.open();
    let (viewer, token) = bench.issue(&keys);
    let sound = fs::read(bench.path()).unwrap();

    fs::write(bench.path(), "{").unwrap();
    assert!(matches!(keys.reload(), Err(KeyError::Corrupt { .. })));
    assert!(!keys.reload().unwrap());
    assert_eq!(bench.verify(&keys, &token), Ok(viewer));

    fs::remove_file(bench.path()).unwrap();
    assert!(keys.reload().is_err());
    assert!(!keys.reload().unwrap());
    assert_eq!(bench.verify(&keys, &token), Ok(viewer));

    fs::write(bench.path(), sound).unwrap();
    assert!(matches!(keys.reload(), Err(KeyError::Exposed { .. })));
    assert!(!keys.reload().unwrap());
    fs::set_permissions(bench.path(), Permissions::from_mode(0o600)).unwrap();
    assert!(keys.reload().unwrap(), "it was put right, and not written");
    let rotated = bench.rotate();
    assert!(keys.reload().unwrap());
    assert_eq!(kids(&keys)[1], rotated[1].kid);
    assert_eq!(bench.verify(&keys, &token), Ok(viewer));
}
