//! Several servers on shared backends, and clients as they should be: they try again, elsewhere
//! if need be, and resume where they were.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::app::must;
use crate::client::{Client, MESSAGE_ADDED, SEND, User};
use crate::eventually;
use crate::process::ServerProcess;
use crate::servers::mongo::Mongo;
use crate::servers::redis::RedisServer;
use crate::websocket::Received;

/// `MongoDB`, Redis, and what the servers on them share.
pub struct Cluster {
    /// The store.
    pub mongo: Mongo,
    /// The bus.
    pub redis: RedisServer,
    folder: TempDir,
    amqp_url: Option<SecretString>,
}

/// A server with a data directory of its own.
pub struct Instance {
    /// The process.
    pub process: ServerProcess,
    /// Its data directory.
    pub data: TempDir,
}

impl Cluster {
    /// Starts the backends.
    pub async fn start() -> Self {
        let (mongo, redis) = tokio::join!(Mongo::start(), RedisServer::start());
        Self {
            mongo,
            redis,
            folder: must(tempfile::tempdir()),
            amqp_url: None,
        }
    }

    /// Has servers hand their mail to this broker.
    #[must_use]
    pub fn with_amqp(mut self, url: SecretString) -> Self {
        self.amqp_url = Some(url);
        self
    }

    /// The arguments of a server on these backends.
    pub fn arguments(&self, more: &[&str]) -> Vec<String> {
        let keys = self.folder.path().join("keys.json");
        let store_url = self.mongo.url("talksy");
        let redis_url = self.redis.url();
        let mut settings = vec![
            format!("store_url={}", store_url.expose_secret()),
            format!("redis_url={}", redis_url.expose_secret()),
            format!("keys_file={}", keys.display()),
        ];
        if let Some(url) = &self.amqp_url {
            settings.push(format!("amqp_url={}", url.expose_secret()));
        }
        for limit in [
            "login_ip",
            "login_network",
            "login_address",
            "verify_ip",
            "send",
            "react",
            "block",
            "start_chat",
            "change_chats",
            "mark_read",
            "export",
            "search",
            "search_ip",
        ] {
            settings.push(format!("limits.{limit}.burst=1000000"));
            settings.push(format!("limits.{limit}.period=1s"));
        }
        // All clients have one address.
        for share in [
            "sockets_per_address",
            "sockets_per_user",
            "anonymous_per_address",
            "operations_per_user",
            "anonymous_operations_per_address",
        ] {
            settings.push(format!("http.shares.{share}=1000000"));
        }
        for budget in ["cost_user", "cost_ip"] {
            settings.push(format!("limits.{budget}.burst=2000000000"));
        }
        settings.push("http.execution_timeout=10m".to_owned());
        settings.extend(more.iter().map(|&setting| setting.to_owned()));
        let set = |setting| ["--set".to_owned(), setting];
        settings.into_iter().flat_map(set).collect()
    }

    /// Starts a server and waits until it is ready.
    pub async fn instance(&self, settings: &[&str]) -> Instance {
        let instance = self.starting(settings).await;
        instance.ready().await;
        instance
    }

    /// Starts a server, which may wait for its backends.
    pub async fn starting(&self, settings: &[&str]) -> Instance {
        let data = must(tempfile::tempdir());
        let arguments = self.arguments(settings);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        Instance {
            process: ServerProcess::start(data.path(), &arguments).await,
            data,
        }
    }
}

impl Instance {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.process.address
    }

    /// Signs somebody in here.
    pub async fn sign_in(&self, name: &str) -> User {
        self.process.sign_in(self.data.path(), name).await
    }

    /// The status and the text of a page.
    pub async fn page(&self, path: &str) -> Option<(u16, String)> {
        let request = self.process.client().request(http::Method::GET, path);
        let response = request.send().await.ok()?;
        Some((response.status().as_u16(), response.text().await.ok()?))
    }

    /// Waits until requests are served.
    pub async fn ready(&self) {
        eventually("a ready server", async || {
            (self.page("/readyz").await?.0 == 200).then_some(())
        })
        .await;
    }
}

/// Which servers a client may turn to; it tries them in turn.
#[derive(Clone, Default)]
pub struct Addresses(Arc<Mutex<Vec<SocketAddr>>>);

impl Addresses {
    /// These.
    pub fn new(addresses: &[SocketAddr]) -> Self {
        Self(Arc::new(Mutex::new(addresses.to_vec())))
    }

    /// Now these.
    pub fn set(&self, addresses: &[SocketAddr]) {
        *self.0.lock() = addresses.to_vec();
    }

    /// The one whose turn it is.
    pub(crate) fn pick(&self, turn: usize) -> SocketAddr {
        let addresses = self.0.lock();
        addresses[turn % addresses.len()]
    }
}

/// What a client does between two tries.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);

/// How long a client goes on trying. Many who write to one chat wait for each other, and a stand-in
/// for MongoDB is slow: it reads whole chats where MongoDB would use an index.
const PATIENCE: Duration = Duration::from_mins(2);

/// What became of a send that was tried until it succeeded.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// The message's number.
    pub seq: i64,
    /// How often it was tried in vain.
    pub failures: Vec<String>,
}

/// Sends a message as a good client does: with an id of its own, again and again until it is
/// acknowledged, each time to the next server.
///
/// # Panics
/// Where it is refused for another reason than that a backend is down.
pub async fn send(user: &User, at: &Addresses, chat: &str, id: &str) -> Acknowledged {
    let input = json!({ "chatId": chat, "text": id, "clientMessageId": id });
    let mut failures = Vec::new();
    let trying = async {
        loop {
            let client = client_at(user, at.pick(failures.len()));
            match client.try_run(SEND, json!({ "input": input })).await {
                Ok(reply) if reply.body.get("errors").is_none() => {
                    let message = &reply.body["data"]["sendMessage"]["message"];
                    assert_eq!(message["text"], json!(id));
                    if let Some(seq) = message["seq"].as_i64() {
                        return seq;
                    }
                    failures.push("no number".to_owned());
                }
                Ok(reply) => {
                    assert_eq!(reply.code(), "UNAVAILABLE", "{}", reply.body);
                    failures.push("UNAVAILABLE".to_owned());
                }
                Err(error) => failures.push(error.to_string()),
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let seq = tokio::time::timeout(PATIENCE, trying).await;
    let seq = must(seq.map_err(|_| format!("{id} was not acknowledged in {PATIENCE:?}")));
    Acknowledged { seq, failures }
}

/// The user's client at another server.
pub fn client_at(user: &User, address: SocketAddr) -> Client {
    match user.client.token() {
        Some(token) => Client::new(address).with_token(token),
        None => Client::new(address),
    }
}

/// Follows a chat for as long as the test runs: reconnects when its socket ends, and resumes
/// behind the last message it has.
pub struct Follower {
    seen: Arc<Mutex<Seen>>,
    running: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    seqs: Vec<i64>,
    texts: Vec<String>,
    connections: usize,
}

impl Follower {
    /// Follows the chat from its present end.
    pub async fn start(user: &User, at: &Addresses, chat: &str) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let (user, at, chat) = (user.clone(), at.clone(), chat.to_owned());
        let log = Arc::clone(&seen);
        let running = tokio::spawn(async move {
            let mut after: Option<String> = None;
            for turn in 0.. {
                follow(&user, at.pick(turn), &chat, &mut after, &log).await;
                tokio::time::sleep(PAUSE).await;
            }
        });
        let follower = Self { seen, running };
        eventually("a follower that follows", async || {
            (follower.seen.lock().connections > 0).then_some(())
        })
        .await;
        follower
    }

    /// Waits until it has seen so many messages, and gives their numbers.
    ///
    /// # Panics
    /// Where one came twice, out of order, or was left out.
    pub async fn seqs(&self, count: usize) -> Vec<i64> {
        eventually("the messages", async || {
            let seen = self.seen.lock();
            let dense = seen.seqs.windows(2).all(|pair| pair[1] == pair[0] + 1);
            assert!(dense, "not each once and in order: {:?}", seen.seqs);
            (seen.seqs.len() >= count).then(|| seen.seqs.clone())
        })
        .await
    }

    /// The texts of the messages it has seen, in order.
    pub fn texts(&self) -> Vec<String> {
        self.seen.lock().texts.clone()
    }

    /// How often it has connected.
    pub fn connections(&self) -> usize {
        self.seen.lock().connections
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// One connection's life.
async fn follow(
    user: &User,
    address: SocketAddr,
    chat: &str,
    after: &mut Option<String>,
    log: &Mutex<Seen>,
) {
    let Some(mut socket) = client_at(user, address).try_socket().await else {
        return;
    };
    let variables = json!({ "chatId": chat, "after": after });
    socket.subscribe("1", MESSAGE_ADDED, variables).await;
    socket.send(json!({ "type": "ping" })).await;
    while let Received::Message(message) = socket.next_or_end().await {
        let added = &message["payload"]["data"]["messageAdded"];
        match message["type"].as_str() {
            Some("pong") => log.lock().connections += 1,
            Some("next") if added.is_object() => note(added, after, log),
            _ => return,
        }
    }
}

fn note(added: &Value, after: &mut Option<String>, log: &Mutex<Seen>) {
    *after = added["cursor"].as_str().map(str::to_owned);
    let mut seen = log.lock();
    seen.seqs.extend(added["node"]["seq"].as_i64());
    seen.texts
        .extend(added["node"]["text"].as_str().map(str::to_owned));
}

/// All messages of a chat by their client's id, read from the history.
///
/// # Panics
/// Where an id comes twice or the numbers are not 1, 2, 3 ….
pub async fn history(client: &Client, chat: &str) -> HashMap<String, i64> {
    const PAGE: &str = "query($id: ID!, $after: String) { node(id: $id) { ... on Chat {
        messages(first: 100, after: $after) { nodes { seq clientMessageId }
            pageInfo { hasNextPage endCursor } } } } }";
    let mut found = HashMap::new();
    let mut after = Value::Null;
    loop {
        let data = client
            .data(PAGE, json!({ "id": chat, "after": after }))
            .await;
        let page = &data["node"]["messages"];
        for node in page["nodes"].as_array().into_iter().flatten() {
            let seq = node["seq"].as_i64().unwrap_or(-1);
            assert_eq!(seq, i64::try_from(found.len()).unwrap_or(-1) + 1, "a hole");
            let id = node["clientMessageId"].as_str().unwrap_or("").to_owned();
            assert!(found.insert(id.clone(), seq).is_none(), "{id} came twice");
        }
        if page["pageInfo"]["hasNextPage"] != json!(true) {
            return found;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}
