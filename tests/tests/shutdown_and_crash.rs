//! The server process's end, in order and by force, and what its next start finds.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use talksy_tests::app::TestApp;
use talksy_tests::client::{Client, SEND, User, string};
use talksy_tests::cluster::{Addresses, history};
use talksy_tests::crowd::{Scene, kill_rounds};
use talksy_tests::faulty_store::{Fault, FaultyStore};
use talksy_tests::process::{ServerProcess, run_talksy};
use talksy_tests::{eventually, soon};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Limits that the tests do not meet.
const GENEROUS: [&str; 10] = [
    "--set",
    "limits.send.burst=1000000",
    "--set",
    "limits.login_ip.burst=1000",
    "--set",
    "limits.start_chat.burst=1000000",
    "--set",
    "limits.cost_user.burst=2000000000",
    "--set",
    "limits.cost_ip.burst=2000000000",
];

fn data_dir() -> TempDir {
    match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => panic!("{error}"),
    }
}

/// The user's client on the server's next start.
fn at(user: &User, address: SocketAddr) -> User {
    User {
        client: Client::new(address).with_token(user.client.token().unwrap_or_default()),
        ..user.clone()
    }
}

/// Sends; the message's number, or nothing where no answer came.
async fn try_send(user: &User, chat: &str, own_id: &str) -> Option<i64> {
    let input = json!({ "chatId": chat, "text": own_id, "clientMessageId": own_id });
    let reply = user.client.try_run(SEND, json!({ "input": input })).await;
    let data = reply.ok()?.data();
    data["sendMessage"]["message"]["seq"].as_i64()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_loses_nothing_that_was_acknowledged() {
    let data = data_dir();
    let mut server = ServerProcess::start(data.path(), &GENEROUS).await;
    let mut people = Vec::new();
    for name in ["ada", "bob", "cyd", "dan"] {
        people.push(server.sign_in(data.path(), name).await);
    }
    let at = Addresses::new(&[server.address]);
    let [ada, bob, cyd, dan] = people.iter().collect::<Vec<_>>().try_into().unwrap();
    let mut scene = Scene::start([ada, bob, cyd, dan], &[&at]).await;
    for round in 0..kill_rounds(3) {
        let enough = 40 + 17 * (round % 10);
        let address = server.address;
        scene.crowd.work(&[address], enough, server.kill()).await;
        server = ServerProcess::start(data.path(), &GENEROUS).await;
        at.set(&[server.address]);
        scene.check(&[server.address]).await;
    }
    report(&scene);
}

/// For the record: what was done and counted.
fn report(scene: &Scene) {
    use std::io::Write as _;
    // Not by a macro, whose output the tests' runner keeps to itself.
    let _ = writeln!(
        std::io::stderr(),
        "{} things acknowledged or refused, {} cut off by a kill, none lost or half done; \
         {} connections of replicas",
        scene.crowd.answers,
        scene.crowd.unknown,
        scene.connections()
    );
}

/// A POST of which only the first half of the body has been sent; the server is reading it.
struct HalfSent {
    stream: TcpStream,
    rest: String,
}

impl HalfSent {
    async fn start(user: &User, query: &str, variables: Value) -> Self {
        match Self::try_start(user, query, variables).await {
            Ok(request) => request,
            Err(error) => panic!("not sent: {error}"),
        }
    }

    async fn try_start(user: &User, query: &str, variables: Value) -> std::io::Result<Self> {
        let address = user.client.address();
        let token = user.client.token().unwrap_or_default();
        let mut body = json!({ "query": query, "variables": variables }).to_string();
        let head = format!(
            "POST /graphql HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
            body.len()
        );
        let rest = body.split_off(body.len() / 2);
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(head.as_bytes()).await?;
        // The server says so when it begins to read the body.
        let mut answer = [0; 25];
        soon("100 Continue", stream.read_exact(&mut answer)).await?;
        assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(body.as_bytes()).await?;
        Ok(Self { stream, rest })
    }

    /// Sends the rest; the answer.
    async fn finish(mut self) -> std::io::Result<String> {
        self.stream.write_all(self.rest.as_bytes()).await?;
        let mut answer = String::new();
        let read = self.stream.read_to_string(&mut answer);
        soon("the answer and the connection's end", read).await?;
        Ok(answer)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_what_runs_and_sends_sockets_elsewhere() {
    let data = data_dir();
    let mut server = ServerProcess::start(data.path(), &GENEROUS).await;
    let ada = server.sign_in(data.path(), "ada").await;
    let bob = server.sign_in(data.path(), "bob").await;
    let chat = ada.start_chat(&bob).await;
    let mut feed = bob.follow(&chat, None).await;
    let mut idle = server.client().socket().await;
    ada.send(&chat, "before").await;
    let seen = feed.added().await;
    let input = json!({ "chatId": chat, "text": "x", "clientMessageId": "x" });
    let request = HalfSent::start(&ada, SEND, json!({ "input": input })).await;

    server.signal("TERM").await;
    assert_eq!(feed.socket().closed().await, 1012);
    assert_eq!(idle.closed().await, 1012);
    let answer = request.finish().await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains(r#""text":"x""#), "{answer}");
    let status = server.ended().await;
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(TcpStream::connect(server.address).await.is_err());

    // The next start takes up where this one ended: same tokens, same messages, same cursors.
    let server = ServerProcess::start(data.path(), &GENEROUS).await;
    let bob = at(&bob, server.address);
    let after = string(&seen["cursor"]);
    let mut feed = bob.follow(&chat, Some(&after)).await;
    assert_eq!(feed.added().await["node"]["text"], json!("x"));
    let retry = try_send(&at(&ada, server.address), &chat, "x").await;
    assert_eq!(retry, Some(2));
}

/// Over sockets as over HTTP; see also the test of event streams.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_begun_over_a_socket_is_answered_before_a_stop_closes_it() {
    let store = FaultyStore::new();
    let app = TestApp::builder()
        .config(|config| config.http.websocket.close_timeout = Duration::from_mins(1))
        .ports(store.install())
        .start()
        .await;
    let (ada, _, chat) = app.pair().await;
    let mut idle = app.client().socket().await;
    let mut socket = ada.client.socket().await;
    store.set("messages.append", Fault::Held);
    let input = json!({ "input": { "chatId": chat, "text": "hi" } });
    socket.subscribe("1", SEND, input).await;
    store.arrived("messages.append").await;
    let stop = async {
        app.stop().await;
    };
    let answer = async {
        // By then it stops.
        assert_eq!(idle.closed().await, 1012);
        store.release("messages.append", 1);
        let sent = socket.message().await;
        let seq = &sent["payload"]["data"]["sendMessage"]["message"]["seq"];
        assert_eq!(seq, 1, "{sent}");
        assert_eq!(socket.message().await["type"], "complete");
        assert_eq!(socket.closed().await, 1012);
    };
    tokio::join!(stop, answer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_sigterm_ends_a_drain_that_hangs() {
    let data = data_dir();
    let arguments = [
        &GENEROUS[..],
        &[
            "--set",
            "shutdown.drain=5m",
            "--set",
            "http.body_timeout=5m",
        ],
    ];
    let mut server = ServerProcess::start(data.path(), &arguments.concat()).await;
    let ada = server.sign_in(data.path(), "ada").await;
    let bob = server.sign_in(data.path(), "bob").await;
    let chat = ada.start_chat(&bob).await;
    ada.send(&chat, "kept").await;
    let _request = HalfSent::start(&ada, "{ me { id } }", json!({})).await;

    server.signal("TERM").await;
    let line = server.log_line("stopping").await;
    assert!(line.contains("SIGTERM"), "{line}");
    server.signal("TERM").await;
    let status = server.ended().await;
    assert_eq!(status.code(), Some(143), "{status}");

    let server = ServerProcess::start(data.path(), &GENEROUS).await;
    let mut feed = at(&bob, server.address).follow(&chat, None).await;
    at(&ada, server.address).send(&chat, "next").await;
    assert_eq!(feed.seqs(1).await, [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_finish_in_the_drain_time_is_cut_off() {
    let data = data_dir();
    let arguments = [&GENEROUS[..], &["--set", "shutdown.drain=200ms"]];
    let mut server = ServerProcess::start(data.path(), &arguments.concat()).await;
    let ada = server.sign_in(data.path(), "ada").await;
    let mut request = HalfSent::start(&ada, "{ me { id } }", json!({})).await;
    server.signal("TERM").await;
    let status = server.ended().await;
    assert_eq!(status.code(), Some(0), "{status}");
    let mut rest = Vec::new();
    // Cut off with a reset or an end, without an answer.
    drop(request.stream.read_to_end(&mut rest).await);
    assert_eq!(String::from_utf8_lossy(&rest), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_data_or_port_says_what_is_in_its_way() {
    let data = data_dir();
    let server = ServerProcess::start(data.path(), &GENEROUS).await;
    let ada = server.sign_in(data.path(), "ada").await;

    let second = run_talksy(data.path(), &["--listen", "127.0.0.1:0"]).await;
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    let database = data.path().join("talksy.db");
    let reason = format!(
        "talksy: the store cannot be opened: {} is in use by another server; stop that one first, \
         or give this one a data directory of its own",
        database.display()
    );
    assert!(said.contains(&reason), "{said}");

    let elsewhere = data_dir();
    let listen = server.address.to_string();
    let second = run_talksy(elsewhere.path(), &["--listen", &listen]).await;
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    let reason = format!("talksy: cannot listen on {listen}: Address already in use");
    assert!(said.contains(&reason), "{said}");

    // The first took no harm.
    let me = ada.client.data("{ me { name } }", json!({})).await;
    assert_eq!(me["me"]["name"], json!("ada"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_by_the_check_of_readiness_and_may_pass() {
    let data = data_dir();
    let server = ServerProcess::start_limitable(data.path(), &GENEROUS).await;
    let ada = server.sign_in(data.path(), "ada").await;
    let bob = server.sign_in(data.path(), "bob").await;
    let chat = ada.start_chat(&bob).await;
    let ready = async || {
        let url = format!("http://{}/readyz", server.address);
        let response = talksy_tests::http_client().get(url).send().await;
        response.unwrap().status().as_u16()
    };
    assert_eq!(ready().await, 200);
    assert_eq!(try_send(&ada, &chat, "first").await, Some(1));

    server.limit_files("4096").await;
    let told = eventually("no readiness", async || {
        (ready().await == 503).then_some(())
    });
    told.await;
    let input = json!({ "chatId": chat, "text": "second", "clientMessageId": "second" });
    let refused = ada.client.run(SEND, json!({ "input": input })).await;
    assert_eq!(refused.error()["extensions"]["code"], "UNAVAILABLE");
    assert_eq!(
        history(&ada.client, &chat).await.len(),
        1,
        "it can still be read"
    );

    server.limit_files("unlimited").await;
    eventually("readiness", async || (ready().await == 200).then_some(())).await;
    assert_eq!(try_send(&ada, &chat, "second").await, Some(2));
}
