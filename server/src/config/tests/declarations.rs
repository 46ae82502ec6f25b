//! What follows from the declarations of the settings, and what all of them must have.

use figment::value::Value;
use humantime_serde::re::humantime;

use super::*;

/// Rewritten by `make example`, which sets `TALKSY_WRITE_EXAMPLE`.
#[test]
fn the_example_file_is_what_the_declarations_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/talksy.example.toml");
    let example = Config::example();
    if std::env::var_os("TALKSY_WRITE_EXAMPLE").is_some() {
        std::fs::write(path, &example).unwrap();
    }
    let published = std::fs::read_to_string(path).unwrap();
    let differing = published
        .lines()
        .zip(example.lines())
        .find(|(published, declared)| published != declared);
    let remedy = "run `make example` and commit the outcome";
    assert_eq!(differing, None, "{remedy}");
    assert_eq!(published.len(), example.len(), "{remedy}");
}

/// The example names every setting, and each with the value that holds without it.
#[test]
fn the_example_file_shows_the_defaults() {
    let example = include_str!("../../../talksy.example.toml");
    let uncommented: Vec<&str> = example
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .filter(|line| line.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()))
        .collect();
    let mut shown: toml::Table = uncommented.join("\n").parse().unwrap();
    load(&uncommented.join("\n"), &[], &[]).unwrap();
    let mut optional = Vec::new();
    for section in Config::describe() {
        for setting in section.settings {
            if setting.default.is_none() {
                let mut table = &mut shown;
                for name in section.path.split('.').filter(|name| !name.is_empty()) {
                    table = table[name].as_table_mut().unwrap();
                }
                let name = setting.name.rsplit('.').next().unwrap();
                assert!(table.remove(name).is_some(), "{} is missing", setting.name);
                optional.push(setting.name);
            }
        }
    }
    assert_eq!(
        optional,
        [
            "public_url",
            "keys_file",
            "store_url",
            "smtp_url",
            "redis_url",
            "amqp_url",
            "objects_url",
            "http.documents.trusted",
            "mail.smtp_ca_file",
            "auth.token_issuer",
            "auth.token_audience",
            "users.directory",
            "objects.endpoint",
            "objects.access_key_id",
            "objects.secret_access_key",
            "metrics.listen",
            "telemetry.otlp_endpoint",
        ]
    );
    let defaults: toml::Table = Config::default().to_toml().unwrap().parse().unwrap();
    assert_eq!(shown, defaults);
    load(example, &[], &[]).unwrap();
}

/// What the rest of the server is like is not the configuration's business.
#[test]
fn the_configuration_imports_nothing_of_its_siblings() {
    let mut folders = vec![PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/config"
    ))];
    let mut looked_at = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            looked_at += 1;
            let text = std::fs::read_to_string(&path).unwrap();
            for (line, text) in (1..).zip(text.lines()) {
                let after = text.split("crate::").skip(1);
                let siblings: Vec<_> = after
                    .filter(|rest| !rest.starts_with("config::"))
                    .filter(|rest| rest.starts_with(|c: char| c == '{' || c.is_ascii_lowercase()))
                    .collect();
                assert!(siblings.is_empty(), "{}:{line}: {text}", path.display());
            }
        }
    }
    assert!(looked_at > 10, "{looked_at} files");
}

/// A limit without bounds could be set to what nothing survives.
#[test]
fn every_number_and_every_duration_has_bounds() {
    let defaults = Value::serialize(Config::default()).unwrap();
    for section in Config::describe() {
        for setting in section.settings {
            let bounded = match defaults.find_ref(&setting.name).unwrap() {
                Value::Num(..) | Value::Dict(..) => true,
                Value::String(_, text) => humantime::parse_duration(text).is_ok(),
                _ => false,
            };
            assert_eq!(setting.bounds.is_some(), bounded, "{}", setting.name);
            assert!(!setting.about.is_empty(), "{}", setting.name);
        }
    }
}

/// One step beyond its bounds, and on them, for every number and duration there is.
#[test]
fn bounds_are_held_at_both_ends() {
    for (setting, below, least, most, above) in [
        (
            "http.max_body_bytes",
            "1023",
            "1024",
            "67108864",
            "67108865",
        ),
        ("http.query.max_depth", "3", "4", "32", "33"),
        (
            "http.websocket.close_timeout",
            "99ms",
            "100ms",
            "1m",
            "1m 1ms",
        ),
        ("limits.send.burst", "0", "1", "1000000", "1000001"),
        ("limits.send.period", "999ms", "1s", "1day", "1day 1ms"),
        ("auth.access_token_ttl", "59s", "1m", "1h", "1h 1ms"),
        ("store.checkpoint_pages", "99", "100", "1000000", "1000001"),
    ] {
        for fits in [least, most] {
            load("", &[], &[(setting, fits)]).unwrap();
        }
        for wrong in [below, above] {
            let error = load("", &[], &[(setting, wrong)]).unwrap_err();
            let rule = format!("must be from {least} to {most}, not {wrong}");
            assert_eq!(problems(&error), [(setting, rule.as_str())]);
        }
    }
}

#[test]
fn sessions_and_the_parties_of_their_tokens_are_held_to_their_rules() {
    let shorter = [
        ("auth.session_ttl", "60days"),
        ("auth.session_max_age", "59days"),
    ];
    let error = load("", &[], &shorter).unwrap_err();
    let rule = "must not be shorter than `auth.session_ttl`";
    assert_eq!(problems(&error), [("auth.session_max_age", rule)]);
    for setting in ["auth.token_issuer", "auth.token_audience"] {
        load("", &[], &[(setting, "https://chat.example.org")]).unwrap();
        for wrong in ["two words", "ä", &"x".repeat(256)] {
            let error = load("", &[], &[(setting, wrong)]).unwrap_err();
            let rule = "must have 1 to 255 visible ASCII characters";
            assert_eq!(problems(&error), [(setting, rule)], "{wrong}");
        }
    }
}
