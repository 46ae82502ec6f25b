//! The command line as an operator uses it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use talksy_domain::clock::SystemEntropy;
use talksy_tests::app::TestApp;
use talksy_tests::client::{Client, MESSAGE_ADDED};
use talksy_tests::process::{ServerProcess, binary, run_talksy, talksy};
use talksy_tests::{eventually, soon};
use tempfile::TempDir;

fn data_dir() -> TempDir {
    match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => panic!("{error}"),
    }
}

/// The output of a command that succeeds.
#[track_caller]
fn result(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Why a command failed. It printed no result.
#[track_caller]
fn failure(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    assert!(said.starts_with("talksy: "), "{said}");
    said
}

fn mode(path: &Path) -> u32 {
    match std::fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode() & 0o777,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

fn write(path: &Path, text: &str) {
    if let Err(error) = std::fs::write(path, text) {
        panic!("{}: {error}", path.display());
    }
}

#[tokio::test]
async fn schema_prints_the_sdl_and_needs_no_configuration() {
    let data = data_dir();
    write(&data.path().join("talksy.toml"), "nonsense = 1");
    let printed = result(&run_talksy(data.path(), &["schema"]).await);
    assert_eq!(printed, talksy_schema::schema::sdl());
    assert!(printed.contains("type Subscription {"));
}

#[tokio::test]
async fn help_names_every_command_and_wrong_usage_has_its_own_code() {
    let data = data_dir();
    let help = result(&run_talksy(data.path(), &["--help"]).await);
    for word in [
        "serve",
        "check-config",
        "schema",
        "keys",
        "audit",
        "backup",
        "restored",
        "health",
        "--config",
        "--listen",
        "--data-dir",
        "--log",
        "--set",
        "TALKSY_",
        "talksy.toml",
        "SIGTERM",
        "Exit codes",
    ] {
        assert!(help.contains(word), "{word} is not in\n{help}");
    }
    let help = result(&run_talksy(data.path(), &["keys", "--help"]).await);
    assert!(help.contains("list") && help.contains("rotate"), "{help}");
    let version = result(&run_talksy(data.path(), &["--version"]).await);
    assert!(version.starts_with("talksy 0."), "{version}");
    for wrong in [
        &["nonsense"][..],
        &["--nonsense"],
        &["keys"],
        &["--set", "x"],
    ] {
        let output = run_talksy(data.path(), wrong).await;
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(!output.stderr.is_empty(), "{wrong:?}");
    }
}

#[tokio::test]
async fn the_printed_configuration_is_one_that_the_server_takes() {
    let data = data_dir();
    let body = |printed: &str| printed.split_once('\n').map(|(_, rest)| rest.to_owned());
    let arguments = ["--set", "limits.send.burst=77", "--set", "auth.otp_ttl=10m"];
    let printed = talksy(data.path())
        .args(arguments)
        .env("TALKSY_PUBLIC_URL", "https://chat.example.org")
        .env("TALKSY_LIVE__MAILBOX", "512")
        .arg("check-config")
        .output();
    let printed = result(&soon("check-config", printed).await.unwrap());
    for line in [
        "burst = 77",
        "otp_ttl = \"10m\"",
        "public_url = \"https://chat.example.org\"",
        "mailbox = 512",
        "replay_limit = 1000",
    ] {
        assert!(printed.contains(line), "{line} is not in\n{printed}");
    }
    write(&data.path().join("talksy.toml"), &printed);
    let again = result(&run_talksy(data.path(), &["check-config"]).await);
    assert_eq!(body(&again), body(&printed));
    assert!(again.contains("talksy.toml"), "{again}");
}

#[tokio::test]
async fn every_problem_of_the_configuration_is_listed_at_once() {
    let data = data_dir();
    let file = "listen = \"nonsense\"\nspeed = 9\nsmtp_url = \"http://ada:hunter2@mail\"\n\
        [auth]\notp_tries = 99\n[live]\nmail_box = 3\n[presence]\nlease = \"soon\"\n";
    write(&data.path().join("talksy.toml"), file);
    for command in ["check-config", "serve"] {
        let output = talksy(data.path())
            .env("TALKSY_LIMITS__SEND__BURST", "0")
            .args(["--set", "http.max_batch=many", command])
            .output();
        let said = failure(&soon(command, output).await.unwrap());
        for setting in [
            "`listen`",
            "`speed`",
            "`smtp_url`",
            "`auth.otp_tries`",
            "`live.mail_box`",
            "`presence.lease`",
            "`limits.send.burst`",
            "`http.max_batch`",
            "talksy.toml",
            "TALKSY_LIMITS__SEND__BURST",
        ] {
            assert!(said.contains(setting), "{setting} is not in\n{said}");
        }
        assert!(!said.contains("hunter2"), "{said}");
    }
    assert!(!data.path().join("talksy.db").exists());
    assert!(!data.path().join("keys.json").exists());

    write(&data.path().join("talksy.toml"), "listen = ");
    let said = failure(&run_talksy(data.path(), &["check-config"]).await);
    assert!(said.contains("talksy.toml is not TOML: line 1"), "{said}");
    let missing = run_talksy(data.path(), &["--config", "nowhere.toml", "check-config"]).await;
    let said = failure(&missing);
    assert!(said.contains("nowhere.toml cannot be read"), "{said}");
}

#[tokio::test]
async fn a_secret_is_never_shown() {
    let data = data_dir();
    let output = talksy(data.path())
        .env("TALKSY_SMTP_URL", "smtps://ada:hunter2@mail.example.org")
        .arg("check-config")
        .output();
    let printed = result(&soon("check-config", output).await.unwrap());
    assert!(
        printed.contains("smtp_url = \"smtps://[redacted]\""),
        "{printed}"
    );
    assert!(
        !printed.contains("hunter2") && !printed.contains("ada"),
        "{printed}"
    );
    let output = talksy(data.path())
        .env("TALKSY_SMTP_URL", "hunter2")
        .arg("check-config")
        .output();
    let said = failure(&soon("check-config", output).await.unwrap());
    assert!(
        said.contains("TALKSY_SMTP_URL") && !said.contains("hunter2"),
        "{said}"
    );
}

#[tokio::test]
async fn health_tells_a_server_that_lives_from_one_that_does_not() {
    let data = data_dir();
    let mut server = ServerProcess::start(data.path(), &[]).await;
    let listen = server.address.to_string();
    let ask = ["--listen", &listen, "health"];
    assert_eq!(
        result(&run_talksy(data.path(), &ask).await),
        format!("{listen} lives\n")
    );
    server.signal("INT").await;
    assert_eq!(server.ended().await.code(), Some(0));
    let said = failure(&run_talksy(data.path(), &ask).await);
    assert!(
        said.starts_with(&format!("talksy: {listen} does not answer: ")),
        "{said}"
    );
}

#[tokio::test]
async fn what_the_server_keeps_is_its_owner_s_alone() {
    // The folder itself may have been made by somebody else, for all to read.
    let home = data_dir();
    let made = home.path().join("data");
    if let Err(error) = std::fs::create_dir(&made) {
        panic!("{error}");
    }
    let server = ServerProcess::start(&made, &[]).await;
    server.sign_in(&made, "ada").await;
    let outbox = made.join("outbox");
    assert_eq!(mode(&outbox), 0o700);
    for file in [
        "talksy.db",
        "talksy.db-wal",
        "talksy.db-shm",
        "talksy.db.lock",
        "keys.json",
    ] {
        assert_eq!(mode(&made.join(file)), 0o600, "{file}");
    }
    let mails = match std::fs::read_dir(&outbox) {
        Ok(mails) => mails,
        Err(error) => panic!("{error}"),
    };
    for mail in mails.flatten() {
        assert_eq!(mode(&mail.path()), 0o600, "{}", mail.path().display());
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_is_named() {
    let data = data_dir();
    let store = "store_url=sqlite:/proc/nowhere/talksy.db";
    let said = failure(&run_talksy(data.path(), &["--set", store]).await);
    let reason = "the store cannot be opened: cannot open /proc/nowhere: ";
    assert!(said.contains(reason), "{said}");
}

/// The ids of the keys that the server publishes.
async fn published(client: &Client) -> Vec<String> {
    let response = client
        .request(http::Method::GET, "/.well-known/jwks.json")
        .send()
        .await;
    let keys: Value = match response {
        Ok(response) => response.json().await.unwrap_or_default(),
        Err(error) => panic!("{error}"),
    };
    let keys = keys["keys"].as_array().cloned().unwrap_or_default();
    keys.iter()
        .map(|key| key["kid"].as_str().unwrap_or("").to_owned())
        .collect()
}

/// The id of the key that signed a client's token.
fn kid(client: &Client) -> String {
    let head = client.token().and_then(|token| token.split('.').next());
    let head = BASE64_URL_SAFE_NO_PAD.decode(head.unwrap_or_default());
    let head: Value = serde_json::from_slice(&head.unwrap_or_default()).unwrap_or_default();
    head["kid"].as_str().unwrap_or("").to_owned()
}

/// The first word of each line.
fn listed(output: &str) -> Vec<String> {
    let word = |line: &str| line.split(' ').next().unwrap_or("").to_owned();
    output.lines().map(word).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_signs_from_then_on_while_the_old_one_goes_on_verifying() {
    let data = data_dir();
    let said = failure(&run_talksy(data.path(), &["keys", "list"]).await);
    assert!(
        said.contains("the server makes it on its first start"),
        "{said}"
    );
    let server = ServerProcess::start(data.path(), &[]).await;
    let ada = server.sign_in(data.path(), "ada").await;
    let old = kid(&ada.client);
    let list = result(&run_talksy(data.path(), &["keys", "list"]).await);
    assert_eq!(listed(&list), [old.as_str()]);
    assert!(list.trim_end().ends_with("signs"), "{list}");

    let rotated = result(&run_talksy(data.path(), &["keys", "rotate"]).await);
    let [first, new] = &listed(&rotated)[..] else {
        panic!("not two keys: {rotated}");
    };
    assert_eq!(first, &old);
    assert!(rotated.contains("verifies until"), "{rotated}");
    server.signal("HUP").await;
    let client = server.client();
    eventually("the new key", async || {
        (published(&client).await.len() == 2).then_some(())
    })
    .await;
    assert_eq!(published(&client).await, [old.clone(), new.clone()]);
    assert_eq!(mode(&data.path().join("keys.json")), 0o600);

    let me = ada.client.data("{ me { name } }", json!({})).await;
    assert_eq!(me["me"]["name"], json!("ada"));
    let bob = server.sign_in(data.path(), "bob").await;
    assert_eq!(&kid(&bob.client), new);
    bob.client.data("{ me { name } }", json!({})).await;
    let fresh = ada.client.refresh(&ada.refresh_token).await.data();
    let fresh = &fresh["refreshSession"]["accessToken"];
    let fresh = client.with_token(fresh.as_str().unwrap_or_default());
    assert_eq!(&kid(&fresh), new);
    let list = result(&run_talksy(data.path(), &["keys", "list"]).await);
    assert_eq!(listed(&list), [old, new.clone()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_leaked_is_good_for_nothing_at_once() {
    let data = data_dir();
    let server = ServerProcess::start(data.path(), &[]).await;
    let ada = server.sign_in(data.path(), "ada").await;
    let old = kid(&ada.client);
    result(&run_talksy(data.path(), &["keys", "rotate"]).await);
    let replaced = result(&run_talksy(data.path(), &["keys", "rotate", "--now"]).await);
    let [new] = &listed(&replaced)[..] else {
        panic!("not one key: {replaced}");
    };
    assert_ne!(new, &old);
    assert!(replaced.trim_end().ends_with("signs"), "{replaced}");
    server.signal("HUP").await;
    let client = server.client();
    eventually("the new key", async || {
        (published(&client).await == [new.clone()]).then_some(())
    })
    .await;
    let reply = ada.client.run("{ me { name } }", json!({})).await;
    assert_eq!(reply.code(), "TOKEN_EXPIRED");
    let fresh = ada.client.refresh(&ada.refresh_token).await.data();
    let fresh = &fresh["refreshSession"]["accessToken"];
    let fresh = client.with_token(fresh.as_str().unwrap_or_default());
    assert_eq!(&kid(&fresh), new);
    fresh.data("{ me { name } }", json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_key_is_gone_when_its_last_token_has_expired() {
    let app = TestApp::start().await;
    let ada = app.sign_in("ada").await;
    let old = kid(&ada.client);
    let ttl = Duration::from_mins(10);
    let file = app.data_dir().join(talksy_server::keys::KEY_FILE);
    let rotated = talksy_server::keys::rotate(&file, ttl, &*app.clock, &SystemEntropy);
    let new = match &rotated.as_deref() {
        Ok([_, new]) => new.kid.clone(),
        other => panic!("{other:?}"),
    };
    eventually("the new key", async || {
        (published(&app.client()).await.len() == 2).then_some(())
    })
    .await;
    app.clock.advance(Duration::from_secs(599));
    ada.client.data("{ me { id } }", json!({})).await;
    // A minute more for clocks that differ.
    app.clock.advance(Duration::from_mins(1));
    assert_eq!(published(&app.client()).await, [old, new.clone()]);
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(published(&app.client()).await, [new]);
}

/// Where the system tells of a process's limits.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn the_server_takes_as_many_open_files_as_it_may() {
    let data = data_dir();
    let mut command = tokio::process::Command::new("sh");
    command
        .args(["-c", "ulimit -S -n 256; exec \"$@\"", "sh"])
        .arg(binary("talksy"))
        .args(["--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data.path())
        .current_dir(data.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let Ok(server) = command.spawn() else {
        panic!("the server does not start");
    };
    let limits = format!("/proc/{}/limits", server.id().unwrap_or(0));
    eventually("a soft limit that is the hard one", async || {
        let limits = std::fs::read_to_string(&limits).ok()?;
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max open files"))?;
        let limits: Vec<_> = line.split_whitespace().skip(3).take(2).collect();
        (limits[0] == limits[1] && limits[0] != "256").then_some(())
    })
    .await;
}

/// What is behind a cursor of the chat.
const BEHIND: &str = "query($id: ID!, $after: String) { chat(id: $id) {
    messages(first: 9, after: $after) { nodes { text } } } }";

/// The texts of the chat's messages behind a cursor.
async fn behind(client: &Client, chat: &str, cursor: &Value) -> Vec<Value> {
    let data = client
        .data(BEHIND, json!({ "id": chat, "after": cursor }))
        .await;
    let nodes = data["chat"]["messages"]["nodes"].as_array().cloned();
    let texts = nodes.unwrap_or_default().into_iter();
    texts.map(|node| node["text"].clone()).collect()
}

/// The server says that it was restored since it gave the cursor.
async fn assert_restored(client: &Client, chat: &str, cursor: &Value) {
    let variables = json!({ "id": chat, "after": cursor });
    let refused = client.run(BEHIND, variables.clone()).await;
    assert_eq!(refused.code_and_field(), ("RESYNC_REQUIRED", "after"));
    let variables = json!({ "chatId": chat, "after": cursor });
    let mut feed = client.subscribe(MESSAGE_ADDED, variables).await;
    assert_eq!(feed.error_code().await, "RESYNC_REQUIRED");
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_from_before_a_restore_are_told_so() {
    let data = data_dir();
    let (home, copy) = (data.path(), data.path().join("copy.db"));
    let copy_name = copy.to_string_lossy();
    let said = failure(&run_talksy(home, &["backup", &copy_name]).await);
    assert!(said.contains("there is no database"), "{said}");
    let said = failure(&run_talksy(home, &["restored"]).await);
    assert!(said.contains("there is no database"), "{said}");

    let mut server = ServerProcess::start(home, &[]).await;
    let ada = server.sign_in(home, "ada").await;
    let bob = server.sign_in(home, "bob").await;
    let chat = ada.start_chat(&bob).await;
    let first = ada.send(&chat, "first").await["edge"]["cursor"].clone();
    ada.send(&chat, "second").await;
    result(&run_talksy(home, &["backup", &copy_name]).await);
    assert_eq!(mode(&copy), 0o600);
    let said = failure(&run_talksy(home, &["backup", &copy_name]).await);
    assert!(said.contains("copy.db"), "{said}");
    ada.send(&chat, "third").await;
    let client = &ada.client;
    assert_eq!(behind(client, &chat, &first).await, ["second", "third"]);
    let said = failure(&run_talksy(home, &["restored"]).await);
    assert!(said.contains("in use by another server"), "{said}");
    server.signal("INT").await;
    server.ended().await;

    // A restart alone is no restore.
    let mut server = ServerProcess::start(home, &[]).await;
    let token = client.token().unwrap_or_default().to_owned();
    let client = server.client().with_token(&token);
    assert_eq!(behind(&client, &chat, &first).await, ["second", "third"]);
    server.signal("INT").await;
    server.ended().await;

    // The copy of `talksy backup` needs nothing but to be put there.
    if let Err(error) = std::fs::rename(&copy, home.join("talksy.db")) {
        panic!("{error}");
    }
    let mut server = ServerProcess::start(home, &[]).await;
    let client = server.client().with_token(&token);
    assert_restored(&client, &chat, &first).await;
    let start = Value::Null;
    assert_eq!(behind(&client, &chat, &start).await, ["first", "second"]);
    let head = "query($id: ID!) { chat(id: $id) { headCursor } }";
    let head = client.data(head, json!({ "id": chat })).await;
    let head = &head["chat"]["headCursor"];
    assert!(behind(&client, &chat, head).await.is_empty());
    server.signal("INT").await;
    server.ended().await;

    // Whatever else restores needs the word of it.
    result(&run_talksy(home, &["restored"]).await);
    let server = ServerProcess::start(home, &[]).await;
    let client = server.client().with_token(&token);
    assert_restored(&client, &chat, head).await;
}
