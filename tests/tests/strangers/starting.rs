//! What a server that others can connect to does not start with, or warns of.

use std::net::SocketAddr;
use std::path::Path;

use talksy_tests::process::{ServerProcess, run_talksy, talksy};
use talksy_tests::servers::free_port;
use talksy_tests::soon;

/// An address that other machines may reach.
fn everywhere() -> String {
    format!("0.0.0.0:{}", free_port())
}

/// What `check-config` prints, or why it fails.
async fn checked(data: &Path, settings: &[&str]) -> Result<String, String> {
    let mut arguments: Vec<&str> = Vec::new();
    for setting in settings {
        arguments.extend(["--set", setting]);
    }
    arguments.push("check-config");
    let output = run_talksy(data, &arguments).await;
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

#[tokio::test]
async fn a_server_that_others_reach_needs_a_way_to_send_mail() {
    let data = tempfile::tempdir().unwrap();
    for listen in ["0.0.0.0:4000", "192.0.2.1:4000", "[::]:4000"] {
        let listen = format!("listen={listen}");
        let said = checked(data.path(), &[&listen]).await.unwrap_err();
        let rule = "`smtp_url` must be set where `listen` is no loopback address";
        assert!(said.contains(rule), "{said}");
        for enough in [
            "smtp_url=smtps://u:hunter2@mail.example.org",
            "smtp_url=smtp://mail.example.org",
            "amqp_url=amqp://rabbitmq",
            "mail.outbox=true",
        ] {
            checked(data.path(), &[&listen, enough]).await.unwrap();
        }
    }
    for listen in ["127.0.0.1:4000", "127.9.9.9:4000", "[::1]:4000"] {
        let listen = format!("listen={listen}");
        let printed = checked(data.path(), &[&listen]).await.unwrap();
        assert!(!printed.contains("# Warning"), "{printed}");
    }

    // Not at the start either, and nothing is made.
    let listen = everywhere();
    let output = run_talksy(data.path(), &["--listen", &listen]).await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("`smtp_url` must be set"), "{said}");
    assert!(!data.path().join("keys.json").exists());
}

#[tokio::test]
async fn a_password_for_mail_goes_in_the_clear_only_where_that_is_said() {
    let data = tempfile::tempdir().unwrap();
    for url in [
        "smtp://u:hunter2@mail.example.org",
        "smtp://u:hunter2@mail.example.org?tls=opportunistic",
    ] {
        let url = format!("smtp_url={url}");
        let said = checked(data.path(), &[&url]).await.unwrap_err();
        assert!(said.contains("`mail.plain_credentials` is true"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        let allowed = [&*url, "mail.plain_credentials=true"];
        checked(data.path(), &allowed).await.unwrap();
    }
    for url in [
        "smtp://u:hunter2@localhost:1025",
        "smtp://u:hunter2@127.0.0.1",
        "smtp://u:hunter2@mail.example.org?tls=required",
        "smtps://u:hunter2@mail.example.org",
        "smtp://mail.example.org",
    ] {
        let url = format!("smtp_url={url}");
        checked(data.path(), &[&url]).await.unwrap();
    }
}

#[tokio::test]
async fn an_open_server_without_a_choice_of_its_directory_is_warned_of() {
    let data = tempfile::tempdir().unwrap();
    let mail = "smtp_url=smtps://mail.example.org";
    let open = ["listen=0.0.0.0:4000", mail];
    let behind_a_proxy = ["public_url=https://chat.example.org", mail];
    for settings in [open, behind_a_proxy] {
        let printed = checked(data.path(), &settings).await.unwrap();
        let warning = printed.lines().find(|line| line.starts_with("# Warning: "));
        let warning = warning.unwrap();
        for word in [
            "`users.directory`",
            "`auth.sign_up`",
            "before the `@`",
            "`shared_chats`",
        ] {
            assert!(warning.contains(word), "{word} is not in {warning}");
        }
        for chosen in [
            "users.directory=everyone",
            "users.directory=shared_chats",
            "users.directory=off",
            "auth.sign_up=closed",
        ] {
            let settings = [settings[0], settings[1], chosen];
            let printed = checked(data.path(), &settings).await.unwrap();
            assert!(!printed.contains("# Warning"), "{printed}");
        }
    }
    // With warnings it is a configuration still.
    let printed = checked(data.path(), &["listen=0.0.0.0:4000", "mail.outbox=true"]).await;
    let printed = printed.unwrap();
    let warnings = printed
        .lines()
        .filter(|line| line.starts_with("# Warning: "));
    assert_eq!(warnings.count(), 2, "{printed}");
    std::fs::write(data.path().join("talksy.toml"), &printed).unwrap();
    checked(data.path(), &[]).await.unwrap();
}

#[tokio::test]
async fn sign_up_by_domains_needs_domains() {
    let data = tempfile::tempdir().unwrap();
    let by_domains = "auth.sign_up=domains";
    for settings in [
        &[by_domains][..],
        &["auth.sign_up_domains=[\"example.org\"]"],
        &[by_domains, "auth.sign_up_domains=[\"Example.org\"]"],
        &[by_domains, "auth.sign_up_domains=[\"@example.org\"]"],
        &[by_domains, "auth.sign_up_domains=[\"example.org\", \"\"]"],
    ] {
        let said = checked(data.path(), settings).await.unwrap_err();
        assert!(said.contains("`auth.sign_up_domains` must "), "{said}");
    }
    let domains = "auth.sign_up_domains=[\"example.org\", \"sub.example.net\"]";
    checked(data.path(), &[by_domains, domains]).await.unwrap();
    let said = checked(data.path(), &["auth.sign_up=maybe"])
        .await
        .unwrap_err();
    assert!(said.contains("`auth.sign_up`"), "{said}");
}

/// A code in the log lets whoever reads it sign in as anybody.
#[tokio::test(flavor = "multi_thread")]
async fn codes_are_logged_only_where_nobody_else_reaches_the_server() {
    let proxied = "http.trusted_proxies=127.0.0.1";
    for (listen, setting, is_logged) in [
        ("127.0.0.1", "mail.outbox=true", true),
        ("0.0.0.0", "mail.outbox=true", false),
        ("127.0.0.1", proxied, false),
    ] {
        let data = tempfile::tempdir().unwrap();
        let port = free_port();
        let address: SocketAddr = format!("{listen}:{port}").parse().unwrap();
        let settings = ["--set", setting];
        let mut server = ServerProcess::start_at(address, data.path(), &settings).await;
        // By the loopback address, wherever else it can be reached.
        server.address = SocketAddr::from(([127, 0, 0, 1], port));
        server.sign_in(data.path(), "ada").await;
        server.signal("TERM").await;
        let log = server.rest_of_log().await.join("\n");
        assert!(log.contains("mail sent"), "{log}");
        assert_eq!(log.contains("the sign-in code for"), is_logged, "{log}");
        if !is_logged {
            let letter = std::fs::read_dir(data.path().join("outbox")).unwrap();
            let letter = letter.flatten().next().unwrap();
            let text = std::fs::read_to_string(letter.path()).unwrap();
            let subject = text.lines().find(|line| line.starts_with("Subject: "));
            let code = subject.and_then(|line| line.split(' ').nth(1)).unwrap();
            assert_eq!(code.len(), 6, "{code}");
            assert!(!log.contains(code), "{log}");
        }
    }
}

/// Whoever runs the command by hand sees the warning too.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_server_warns_as_it_starts() {
    let data = tempfile::tempdir().unwrap();
    let listen = everywhere();
    let mut command = talksy(data.path());
    command
        .args(["--listen", &listen, "--set", "mail.outbox=true"])
        // Ends the start at once.
        .args(["--set", "store_url=sqlite:/proc/nowhere/talksy.db"]);
    let output = soon("the command's end", command.output()).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    for word in [
        "WARN",
        "`users.directory` is not set",
        "neither `smtp_url` nor `amqp_url` is set",
    ] {
        assert!(said.contains(word), "{word} is not in {said}");
    }
}
