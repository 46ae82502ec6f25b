//! What an operator sees of the configuration.

mod declarations;
mod fuzz;

use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::*;

fn sources(
    file: &str,
    environment: &[(&str, &str)],
    overrides: &[(&str, &str)],
) -> (tempfile::TempDir, Sources) {
    let pairs = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("talksy.toml");
    std::fs::write(&path, file).unwrap();
    let sources = Sources {
        file: Some(path),
        environment: pairs(environment),
        overrides: pairs(overrides),
    };
    (directory, sources)
}

fn load(
    file: &str,
    environment: &[(&str, &str)],
    overrides: &[(&str, &str)],
) -> Result<Config, ConfigError> {
    let (_directory, sources) = sources(file, environment, overrides);
    Config::load(&sources)
}

#[test]
fn introspection_is_on_by_itself_where_nobody_else_reaches_the_server() {
    let is_on = |said: &str, others: &[(&str, &str)]| {
        let settings = [&[("http.introspection", said)], others].concat();
        let config = load("", &[], &settings).unwrap();
        config.http.introspection.of(config.is_public()).is_on()
    };
    for local in ["127.0.0.1:4000", "127.9.9.9:4000", "[::1]:4000"] {
        let local = [("listen", local)];
        assert!(is_on("auto", &local) && is_on("on", &local) && !is_on("off", &local));
    }
    let everywhere = [("listen", "0.0.0.0:4000"), ("mail.outbox", "true")];
    let elsewhere = [("public_url", "https://chat.example.org")];
    let proxied = [("http.trusted_proxies", "[\"127.0.0.1/32\"]")];
    for public in [&everywhere[..], &elsewhere, &proxied] {
        assert!(!is_on("auto", public) && is_on("on", public), "{public:?}");
        assert!(!is_on("off", public), "{public:?}");
    }
}

/// The problems as `setting: rule`, for comparing.
fn problems(error: &ConfigError) -> Vec<(&str, &str)> {
    error
        .problems
        .iter()
        .map(|p| (p.setting.as_str(), p.rule.as_str()))
        .collect()
}

#[test]
fn the_defaults_are_valid_and_need_no_source() {
    Config::default().validate().unwrap();
    let config = load("", &[], &[]).unwrap();
    assert_eq!(
        config.to_toml().unwrap(),
        Config::default().to_toml().unwrap()
    );
    assert!(matches!(
        config.store_location().unwrap(),
        StoreLocation::Sqlite(path) if path == std::path::Path::new("data/talksy.db")
    ));
}

#[test]
fn each_source_goes_over_the_one_before() {
    let file = "listen = \"127.0.0.1:1\"\n[limits]\nsend = { burst = 1, period = \"1s\" }\n[live]\nmailbox = 16\n";
    let environment = [
        ("TALKSY_LISTEN", "127.0.0.1:2"),
        ("TALKSY_LIMITS__SEND__BURST", "2"),
        ("TALKSY_CONFIG", "elsewhere.toml"),
        ("TALKSY_SMTP_URL", ""),
        ("PATH", "/bin"),
    ];
    let config = load(file, &environment, &[("listen", "127.0.0.1:3")]).unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(
        config.limits.send,
        Quota {
            burst: 2,
            period: Duration::from_secs(1)
        }
    );
    assert_eq!(config.live.mailbox, 16);
    assert_eq!(config.live.replay_limit, 1_000);
    assert!(
        config.smtp_url.is_none(),
        "an empty variable is an absent one"
    );
}

#[test]
fn every_problem_is_listed_at_once_with_its_setting_rule_and_origin() {
    let file = "listem = 1\nstore_url = \"postgres://u:hunter2@h/db\"\n[auth]\notp_tries = 0\nsession_ttl = 30\n[log]\nformat = \"xml\"\n";
    let environment = [
        ("TALKSY_LISTEN", "localhost"),
        ("TALKSY_LIVE__HEARTBEAT", "soon"),
        ("TALKSY_LIVE__MAIL_BOX", "16"),
        ("TALKSY_LIMITS", "none"),
    ];
    let error = load(file, &environment, &[("presence.grace", "1h")]).unwrap_err();
    let settings: Vec<_> = error.problems.iter().map(|p| p.setting.as_str()).collect();
    assert_eq!(
        settings,
        [
            "auth.otp_tries",
            "auth.session_ttl",
            "limits",
            "listem",
            "listen",
            "live.heartbeat",
            "live.mail_box",
            "log.format",
            "presence.grace",
            "presence.grace",
            "store_url",
        ]
    );
    let text = error.to_string();
    for line in [
        "The configuration has 11 problems:",
        "`auth.otp_tries` must be from 1 to 10, not 0 (in ",
        "`auth.session_ttl` must be a duration such as `30s`, `5m` or `1h`, not a number (in ",
        "`limits` must be a table of settings, not a string (from TALKSY_LIMITS)",
        "`listem` is not a setting; there are `listen`, `public_url`, ",
        "`listen` must be an IP address and port such as `127.0.0.1:4000` (from TALKSY_LISTEN)",
        "`live.heartbeat` must be a duration such as `30s`, `5m` or `1h` (from TALKSY_LIVE__HEARTBEAT)",
        "`live.mail_box` is not a setting; there are `replay_limit`, `heartbeat`, `session_check`, `reorder_grace`, `typing_timeout`, `mailbox` (from TALKSY_LIVE__MAIL_BOX)",
        "`log.format` must be one of `auto`, `pretty`, `json` (in ",
        "`presence.grace` must be from 0s to 1m, not 1h (from the command line)",
        "`presence.grace` must be shorter than `presence.lease` (from the command line)",
        "`store_url` must begin with `sqlite:` or `mongodb://` (in ",
    ] {
        assert!(text.contains(line), "{line}\nis not in\n{text}");
    }
    assert!(!text.contains("hunter2"));
}

#[test]
fn a_value_that_is_wrong_in_two_sources_is_reported_for_both() {
    let error = load(
        "[live]\nmailbox = \"big\"\n",
        &[("TALKSY_LIVE__MAILBOX", "-1")],
        &[],
    )
    .unwrap_err();
    assert_eq!(
        problems(&error),
        [
            ("live.mailbox", "must be a whole number, zero or more"),
            (
                "live.mailbox",
                "must be a whole number, zero or more, not a string"
            ),
        ]
    );
}

#[test]
fn a_text_that_looks_like_a_number_stays_a_text_where_one_is_wanted() {
    let config = load(
        "",
        &[("TALKSY_DATA_DIR", "2026")],
        &[("log.filter", "true")],
    )
    .unwrap();
    assert_eq!(config.data_dir, PathBuf::from("2026"));
    assert_eq!(config.log.filter, "true");
}

#[test]
fn a_list_in_a_variable_needs_no_brackets() {
    let proxies = |text: &str| {
        let config = load("", &[("TALKSY_HTTP__TRUSTED_PROXIES", text)], &[]);
        let config = config.map_err(|error| error.to_string())?;
        let shown = config.http.trusted_proxies.iter().map(ToString::to_string);
        Ok::<_, String>(shown.collect::<Vec<_>>().join(" "))
    };
    for text in [
        "10.0.0.0/8,::1",
        " 10.0.0.0/8 , ::1, ",
        "[\"10.0.0.0/8\", \"::1\"]",
    ] {
        assert_eq!(proxies(text).as_deref(), Ok("10.0.0.0/8 ::1/128"), "{text}");
    }
    assert_eq!(proxies("::1").as_deref(), Ok("::1/128"));
    for wrong in ["10.0.0.0/8,ten", "7", "true"] {
        let error = proxies(wrong).unwrap_err();
        let told = "`http.trusted_proxies` must be address ranges such as `10.0.0.0/8` or `::1` \
            (from TALKSY_HTTP__TRUSTED_PROXIES)";
        assert!(error.contains(told), "{wrong}: {error}");
    }
    let origins = "https://a.example.org,https://b.example.org";
    let config = load("", &[], &[("http.cors_origins", origins)]).unwrap();
    assert_eq!(
        config.http.cors_origins,
        ["https://a.example.org", "https://b.example.org"]
    );
    // A file has lists of its own.
    let error = load(
        "[http]\ncors_origins = \"https://a.example.org\"\n",
        &[],
        &[],
    );
    let error = error.unwrap_err();
    assert_eq!(
        problems(&error),
        [("http.cors_origins", "must be a list, not a string")]
    );
}

#[test]
fn service_links_of_kubernetes_are_no_settings() {
    let links = [
        ("TALKSY_SERVICE_HOST", "10.0.0.1"),
        ("TALKSY_SERVICE_PORT", "4000"),
        ("TALKSY_SERVICE_PORT_HTTP", "4000"),
        ("TALKSY_PORT", "tcp://10.0.0.1:4000"),
        ("TALKSY_PORT_4000_TCP", "tcp://10.0.0.1:4000"),
        ("TALKSY_PORT_4000_TCP_ADDR", "10.0.0.1"),
    ];
    load("", &links, &[]).unwrap();
    assert!(load("", &[("TALKSY_PORTS", "1")], &[]).is_err());
}

#[test]
fn a_file_that_does_not_parse_says_where_and_quotes_nothing() {
    let error = load(
        "[log]\nfilter = \"info\"\nsmtp_url = \"smtp://u:hunter2@h\n",
        &[("TALKSY_LIVE__MAILBOX", "1")],
        &[],
    )
    .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("is not TOML: line 3: "), "{text}");
    assert!(
        text.contains("`live.mailbox` must be from 16 to 65536, not 1"),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_named_file_must_exist() {
    let sources = Sources {
        file: Some("/nowhere/talksy.toml".into()),
        ..Sources::default()
    };
    let text = Config::load(&sources).unwrap_err().to_string();
    assert!(
        text.contains("/nowhere/talksy.toml cannot be read"),
        "{text}"
    );
}

#[test]
fn secrets_are_shown_nowhere() {
    let secret = "smtps://user:hunter2@mail.example.org:465";
    let config = load("", &[("TALKSY_SMTP_URL", secret)], &[]).unwrap();
    assert_eq!(config.smtp_url.as_ref().unwrap().expose_secret(), secret);
    assert!(!format!("{config:?}").contains("hunter2"));
    let toml = config.to_toml().unwrap();
    assert!(toml.contains("smtp_url = \"smtps://[redacted]\""), "{toml}");
    for url in ["smtp:hunter2", "https://hunter2@h", "hunter2", "12345"] {
        let error = load("", &[("TALKSY_SMTP_URL", url)], &[]).unwrap_err();
        assert_eq!(
            problems(&error),
            [(
                "smtp_url",
                "must be a URL such as `smtps://user:password@mail.example.org`"
            )]
        );
    }
}

#[test]
fn urls_are_checked() {
    for url in [
        "chat.example.org",
        "ftp://x",
        "https://u:p@x",
        "https://x?y",
        "https://",
    ] {
        assert!(
            load("", &[("TALKSY_PUBLIC_URL", url)], &[]).is_err(),
            "{url}"
        );
    }
    load(
        "",
        &[("TALKSY_PUBLIC_URL", "https://example.org/chat")],
        &[],
    )
    .unwrap();
    load("store_url = \"mongodb://h/db\"", &[], &[]).unwrap();
    let wrong = "store_url = \"postgres://h/db\"\nredis_url = \"h:6379\"\namqp_url = \"amqp:\"";
    let error = load(wrong, &[], &[]).unwrap_err();
    assert_eq!(error.problems.len(), 3);
}
