//! The replica of `client-examples`, for long: while servers are killed and started again. Its
//! short run, on one server that stays, is in `client-examples/test.sh`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use talksy_tests::cluster::Cluster;
use talksy_tests::process::ServerProcess;
use talksy_tests::servers::free_port;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// The example's process.
struct Example {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Example {
    /// Starts it at these servers, and waits until it follows them.
    async fn start(addresses: &[SocketAddr], outbox: &Path) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../client-examples/node");
        let urls = addresses.iter().map(|address| format!("http://{address}"));
        let urls: Vec<_> = urls.collect();
        let mut command = Command::new("node");
        command
            .arg(folder.join("test/replica.mjs"))
            .env("CHAT_URL", &urls[0])
            .env("CHAT_URLS", urls.join(","))
            .env("CHAT_OUTBOX", outbox)
            .env("REPLICA_STEPS", "400")
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        loop {
            // None where it has ended early.
            let line = output.next_line().await.unwrap().unwrap();
            if line == "the replica follows" {
                return Self { child, output };
            }
        }
    }

    /// What it says at its end; none while it runs.
    async fn result(&mut self, patience: Duration) -> Option<String> {
        let line = tokio::time::timeout(patience, self.output.next_line()).await;
        let line = line.ok()?.unwrap();
        let status = self.child.wait().await.unwrap();
        assert!(
            status.success(),
            "the replica is not what the server answers"
        );
        Some(line.unwrap_or_default())
    }
}

/// How often the example is run.
fn runs() -> usize {
    let runs = std::env::var("TALKSY_REPLICA_RUNS");
    runs.map_or(1, |runs| runs.parse().unwrap())
}

fn pause() -> Duration {
    Duration::from_millis(rand::random_range(200..1_500))
}

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long, and needs what `npm ci` installs: `make soak` runs it"]
async fn a_replica_ends_equal_while_its_server_is_killed() {
    let data = tempfile::tempdir().unwrap();
    let generous = [
        "limits.send.burst=1000000",
        "limits.start_chat.burst=1000000",
        "limits.change_chats.burst=1000000",
        "limits.mark_read.burst=1000000",
        "limits.cost_user.burst=2000000000",
        "limits.cost_ip.burst=2000000000",
    ];
    let generous = generous.map(|setting| ["--set", setting]).concat();
    let address = address();
    let start = async || ServerProcess::start_at(address, data.path(), &generous).await;
    let mut server = start().await;
    for _ in 0..runs() {
        let mut example = Example::start(&[address], &data.path().join("outbox")).await;
        let result = loop {
            if let Some(result) = example.result(pause()).await {
                break result;
            }
            server.kill().await;
            server = start().await;
        };
        print(&result);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long, and needs what `npm ci` installs: `make soak` runs it"]
async fn a_replica_ends_equal_while_one_of_two_servers_is_killed() {
    let cluster = Cluster::start().await;
    let arguments = cluster.arguments(&[]);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let places: [(SocketAddr, TempDir); 2] =
        std::array::from_fn(|_| (address(), tempfile::tempdir().unwrap()));
    let start = async |n: usize| {
        let (address, data) = &places[n];
        ServerProcess::start_at(*address, data.path(), &arguments).await
    };
    let mut servers = [Some(start(0).await), Some(start(1).await)];
    for _ in 0..runs() {
        let outbox = places[0].1.path().join("outbox");
        let mut example = Example::start(&[places[0].0, places[1].0], &outbox).await;
        let mut turn = 0;
        let result = loop {
            if let Some(result) = example.result(pause()).await {
                break result;
            }
            turn = (turn + 1) % servers.len();
            if let Some(server) = servers[turn].take() {
                server.kill().await;
            }
            servers[turn] = Some(start(turn).await);
        };
        print(&result);
    }
}

#[expect(clippy::print_stdout, reason = "for who lets it run for long")]
fn print(result: &str) {
    println!("{result}");
}
