//! `talksy demo`: its data is thrown away, and what signs in by one click is there alone and for its own page
//! alone.

#![expect(clippy::unwrap_used, reason = "what fails to start fails the test")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use http::Method;
use serde_json::{Value, json};
use talksy_tests::client::Client;
use talksy_tests::process::binary;
use talksy_tests::wire::Answer;
use talksy_tests::{eventually, soon};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// A demo, and where it was started.
struct Demo {
    address: SocketAddr,
    child: Child,
    data: PathBuf,
    _folder: TempDir,
}

impl Demo {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Neither a file nor the environment leads it to data of anybody.
        std::fs::write(folder.path().join("talksy.toml"), "nonsense = 1").unwrap();
        let mut child = Command::new(binary("talksy"))
            .args([
                "demo",
                "--no-open",
                "--pause",
                "20",
                "--listen",
                "127.0.0.1:0",
            ])
            .current_dir(folder.path())
            .env("TALKSY_STORE_URL", "mongodb://nowhere.invalid/talksy")
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = soon("the demo's address", async {
            while let Ok(Some(line)) = lines.next_line().await {
                let named = line.split_once("serves http://");
                if let Some((address, _)) = named.and_then(|(_, rest)| rest.split_once('/')) {
                    return address.parse().unwrap();
                }
            }
            panic!("the demo ended");
        });
        let address = address.await;
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let mut inside = std::fs::read_dir(folder.path()).unwrap().flatten();
        let data = inside.find(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with("talksy-demo-")
        });
        let demo = Self {
            address,
            child,
            data: data.unwrap().path(),
            _folder: folder,
        };
        eventually("the chats", async || {
            let state = demo.state().await;
            (state["isReady"] == true).then_some(())
        })
        .await;
        demo
    }

    fn client(&self) -> Client {
        Client::new(self.address)
    }

    async fn state(&self) -> Value {
        Answer::to(self.client().request(Method::GET, "/demo/state"))
            .await
            .json()
    }

    async fn ticket(&self, of: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.client().request(Method::POST, "/demo/ticket");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::to(request.json(&json!({ "as": of }))).await
    }

    fn origin(&self) -> String {
        format!("http://{}", self.address)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_signs_in_to_chats_full_of_history_and_nothing_of_them_stays() {
    let mut demo = Demo::start().await;
    assert!(demo.data.join("talksy.db").exists());
    let origin = demo.origin();
    let ticket = demo.ticket("ada", &[("origin", &origin)]).await;
    assert_eq!(ticket.status, 200);
    assert_eq!(ticket.header("cache-control"), "no-store");
    let ticket = ticket.json();
    let (challenge, code) = (&ticket["challenge"], &ticket["code"]);
    let (challenge, code) = (challenge.as_str().unwrap(), code.as_str().unwrap());
    let signed_in = demo.client().present(challenge, code).await.data();
    let token = signed_in["verifyOtp"]["accessToken"]
        .as_str()
        .unwrap()
        .to_owned();
    // It is good once.
    assert!(demo.client().present(challenge, code).await.code() == "OTP_EXPIRED");

    let ada = demo.client().with_token(&token);
    let query = "{ chats(first: 10) { nodes { kind messages(first: 50) { nodes {
        kind editedAt deletedAt createdAt isPinned sender { name } replyTo { id }
        reactions { emoji } attachments { id } mentions { id } } } } } }";
    let answer = ada.data(query, json!({})).await;
    let chats = answer["chats"]["nodes"].as_array().unwrap();
    assert_eq!(chats.len(), 3);
    let messages = chats
        .iter()
        .flat_map(|chat| chat["messages"]["nodes"].as_array().unwrap());
    let messages: Vec<_> = messages.collect();
    assert!(messages.len() > 60, "{}", messages.len());
    let has = |what: fn(&Value) -> bool| messages.iter().any(|message| what(message));
    assert!(has(|one| one["editedAt"].is_string()));
    assert!(has(|one| one["deletedAt"].is_string()));
    assert!(has(|one| one["replyTo"].is_object()));
    assert!(has(|one| one["isPinned"] == true));
    for list in ["reactions", "attachments", "mentions"] {
        let is_there = messages
            .iter()
            .any(|one| one[list].as_array().is_some_and(|all| !all.is_empty()));
        assert!(is_there, "{list}");
    }
    let mut days: Vec<_> = messages
        .iter()
        .map(|one| &one["createdAt"].as_str().unwrap()[..10])
        .collect();
    days.sort_unstable();
    days.dedup();
    assert!(days.len() >= 2, "{days:?}");

    // The bot goes on while somebody asks.
    eventually("the bot", async || {
        let bot = demo.state().await["bot"].clone();
        let done = |what: &str| bot[what].as_u64() > Some(0);
        (done("sent") && done("edited") && done("deleted") && done("reacted")).then_some(())
    })
    .await;

    let id = demo.child.id().unwrap();
    let mut kill = Command::new("kill");
    assert!(kill.arg(id.to_string()).status().await.unwrap().success());
    let ended = soon("the end of the demo", demo.child.wait())
        .await
        .unwrap();
    assert!(ended.success());
    assert!(!demo.data.exists(), "its data is there still");
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_are_for_the_demos_own_page() {
    let demo = Demo::start().await;
    let origin = demo.origin();
    for headers in [
        &[][..],
        &[("origin", "null")],
        &[("origin", "https://example.org")],
        &[("origin", &*origin), ("host", "example.org")],
    ] {
        assert_eq!(demo.ticket("ada", headers).await.status, 403, "{headers:?}");
    }
    let of_bot = demo.ticket("bot", &[("origin", &origin)]).await;
    assert_eq!(of_bot.status, 404);
    // A form of another page cannot send JSON.
    let form = demo.client().request(Method::POST, "/demo/ticket");
    let form = form
        .header("origin", &origin)
        .header("content-type", "text/plain");
    assert_eq!(Answer::to(form.body(r#"{"as":"ada"}"#)).await.status, 415);
    // A name that leads here reads nothing.
    let rebound = demo.client().request(Method::GET, "/demo/state");
    assert_eq!(
        Answer::to(rebound.header("host", "evil.example"))
            .await
            .status,
        403
    );

    let page = Answer::to(demo.client().request(Method::GET, "/demo")).await;
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy");
    assert!(
        policy.ends_with("frame-ancestors 'none'; frame-src 'self'"),
        "{policy}"
    );
    let framed = Answer::to(demo.client().request(Method::GET, "/demo/pane?as=ada")).await;
    let policy = framed.header("content-security-policy");
    assert!(policy.ends_with("frame-ancestors 'self'"), "{policy}");
}
