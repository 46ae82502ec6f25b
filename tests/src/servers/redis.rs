//! Redis servers, alone, watched by a Sentinel and as a Cluster. They keep nothing on disk: one
//! that is killed comes back empty.

use std::path::Path;
use std::process::Stdio;

use secrecy::SecretString;
use tokio::process::Command;

use super::{Managed, free_port, installed, watched};
use crate::app::must;
use crate::eventually;

/// The program, or how to come by it.
fn program(names: &[&str]) -> String {
    match installed(names) {
        Some(program) => program,
        None => panic!(
            "{} is not installed: these tests need it (Debian: `apt-get install redis-server redis-tools`)",
            names.join(" or ")
        ),
    }
}

fn command(port: u16, folder: &Path, mode: &str) -> Command {
    let mut command = watched(&program(&["redis-server", "valkey-server"]), folder);
    command
        .arg(folder.join("redis.conf"))
        .args(["--port", &port.to_string(), "--dir"])
        .arg(folder);
    if !mode.is_empty() {
        command.arg(mode);
    }
    command
}

fn start_server(port: u16, folder: &Path) -> Command {
    command(port, folder, "")
}

fn start_sentinel(port: u16, folder: &Path) -> Command {
    command(port, folder, "--sentinel")
}

/// A Redis server.
pub struct RedisServer(pub Managed);

impl RedisServer {
    /// Starts a server with the usual configuration.
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// Starts a server with these lines in its configuration file besides.
    pub async fn with(lines: &str) -> Self {
        let mut server = Managed::new("redis-server", start_server);
        let lines = format!("bind 127.0.0.1\nsave \"\"\nappendonly no\n{lines}\n");
        must(std::fs::write(server.folder().join("redis.conf"), lines));
        server.start().await;
        Self(server)
    }

    /// Its URL.
    pub fn url(&self) -> SecretString {
        SecretString::from(format!("redis://127.0.0.1:{}", self.0.port))
    }

    /// Runs a command by `redis-cli` and returns what it prints.
    ///
    /// # Panics
    /// Where it fails.
    pub async fn run(&self, arguments: &[&str]) -> String {
        run(self.0.port, arguments).await
    }

    /// How often the server has run a command since its start or `CONFIG RESETSTAT`, in scripts
    /// or not.
    pub async fn calls(&self, command: &str) -> u64 {
        let statistics = self.run(&["INFO", "commandstats"]).await;
        let start = format!("cmdstat_{command}:calls=");
        statistics
            .lines()
            .filter_map(|line| {
                line.strip_prefix(&start)?
                    .split(',')
                    .next()?
                    .parse::<u64>()
                    .ok()
            })
            .sum()
    }
}

async fn run(port: u16, arguments: &[&str]) -> String {
    let mut command = Command::new(program(&["redis-cli", "valkey-cli"]));
    command
        .args(["-e", "-p", &port.to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = must(must_soon(command).await);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{arguments:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

async fn must_soon(mut command: Command) -> std::io::Result<std::process::Output> {
    crate::soon("redis-cli's end", command.output()).await
}

/// A server and its Sentinel.
pub struct RedisSentinel {
    /// The primary.
    pub primary: RedisServer,
    /// A replica of it.
    pub replica: RedisServer,
    sentinel: Managed,
}

impl RedisSentinel {
    /// Starts a primary, a replica and a Sentinel that fails over within a second or two.
    pub async fn start() -> Self {
        let primary = RedisServer::start().await;
        let port = primary.0.port;
        let replica = RedisServer::with(&format!("replicaof 127.0.0.1 {port}")).await;
        let mut sentinel = Managed::new("redis-sentinel", start_sentinel);
        let lines = format!(
            "bind 127.0.0.1\n\
             sentinel monitor talksy 127.0.0.1 {port} 1\n\
             sentinel down-after-milliseconds talksy 500\n\
             sentinel failover-timeout talksy 2000\n"
        );
        must(std::fs::write(sentinel.folder().join("redis.conf"), lines));
        sentinel.start().await;
        let sentinel = Self {
            primary,
            replica,
            sentinel,
        };
        eventually("a Sentinel that knows the replica", async || {
            let known = run(sentinel.sentinel.port, &["SENTINEL", "REPLICAS", "talksy"]).await;
            let replication = sentinel.replica.run(&["INFO", "replication"]).await;
            let up = replication.contains("master_link_status:up");
            (up && known.contains("slave")).then_some(())
        })
        .await;
        sentinel
    }

    /// Has the primary and the Sentinel stand still.
    pub async fn pause(&self) {
        self.sentinel.pause().await;
        self.primary.0.pause().await;
    }

    /// Has them go on.
    pub fn resume(&self) {
        self.primary.0.resume();
        self.sentinel.resume();
    }

    /// Its URL.
    pub fn url(&self) -> SecretString {
        SecretString::from(format!(
            "redis+sentinel://127.0.0.1:{}/talksy",
            self.sentinel.port
        ))
    }
}

/// Three primaries without replicas.
pub struct RedisCluster {
    /// The primaries, with a third of the slots each.
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts a Cluster and waits until it serves all slots.
    pub async fn start() -> Self {
        let mut nodes = Vec::new();
        for slots in [("0", "5460"), ("5461", "10922"), ("10923", "16383")] {
            let bus = free_port();
            let node = RedisServer::with(&format!(
                "cluster-enabled yes\ncluster-port {bus}\ncluster-node-timeout 5000"
            ))
            .await;
            node.run(&["CLUSTER", "ADDSLOTSRANGE", slots.0, slots.1])
                .await;
            let epoch = (nodes.len() + 1).to_string();
            node.run(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await;
            nodes.push((node, bus));
        }
        let (first, _) = &nodes[0];
        for (node, bus) in &nodes[1..] {
            let (port, bus) = (node.0.port.to_string(), bus.to_string());
            first
                .run(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus])
                .await;
        }
        let nodes: Vec<_> = nodes.into_iter().map(|(node, _)| node).collect();
        for node in &nodes {
            eventually("a Cluster that is up", async || {
                let info = node.run(&["CLUSTER", "INFO"]).await;
                let up = info.contains("cluster_state:ok") && info.contains("cluster_size:3");
                up.then_some(())
            })
            .await;
        }
        Self { nodes }
    }

    /// Its URL, by one of its nodes.
    pub fn url(&self) -> SecretString {
        SecretString::from(format!(
            "redis+cluster://127.0.0.1:{}",
            self.nodes[0].0.port
        ))
    }

    /// How often the nodes together have run a command.
    pub async fn calls(&self, command: &str) -> u64 {
        let mut calls = 0;
        for node in &self.nodes {
            calls += node.calls(command).await;
        }
        calls
    }
}
