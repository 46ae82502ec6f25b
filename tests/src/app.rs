//! A server in this process, on a free port: the real one, with its real adapters, a clock that
//! only the test moves and a mailbox.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use talksy_domain::clock::SystemEntropy;
use talksy_domain::port::Layered;
use talksy_domain::services::Ports;
use talksy_server::adapters::Adapters;
use talksy_server::adapters::backend::StartFailure;
use talksy_server::app::{Environment, Server};
use talksy_server::config::{Config, Quota};
use talksy_server::lifecycle::Shutdown;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::client::{Client, User, string};
use crate::clock::TestClock;
use crate::feeds::Feeds;
use crate::mailbox::Mailbox;
use crate::{DEADLINE, soon};

type Configure = Box<dyn FnOnce(&mut Config)>;
type Replace = Box<dyn FnOnce(Ports) -> Ports>;

/// Says how the server under test differs from the usual one.
#[derive(Default)]
pub struct Builder {
    configure: Vec<Configure>,
    replace: Vec<Replace>,
    data: Option<TempDir>,
}

/// A running server.
pub struct TestApp {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its time.
    pub clock: Arc<TestClock>,
    /// Its mail.
    pub mailbox: Arc<Mailbox>,
    /// Its adapters.
    pub adapters: Adapters,
    client: Client,
    data: Option<TempDir>,
    shutdown: Shutdown,
    serving: Option<JoinHandle<Result<(), StartFailure>>>,
}

impl Builder {
    /// Changes the configuration. Limits of rates are high where the test does not set them.
    #[must_use]
    pub fn config(mut self, change: impl FnOnce(&mut Config) + 'static) -> Self {
        self.configure.push(Box::new(change));
        self
    }

    /// Puts other adapters in the place of some.
    #[must_use]
    pub fn ports(mut self, replace: impl FnOnce(Ports) -> Ports + 'static) -> Self {
        self.replace.push(Box::new(replace));
        self
    }

    /// Uses the data directory of a server that has stopped.
    #[must_use]
    pub fn data(mut self, folder: TempDir) -> Self {
        self.data = Some(folder);
        self
    }

    /// Starts the server.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn start(self) -> TestApp {
        let data = match self.data {
            Some(folder) => folder,
            None => must(tempfile::tempdir()),
        };
        let mut config = test_config();
        data.path().clone_into(&mut config.data_dir);
        for change in self.configure {
            change(&mut config);
        }
        let clock = Arc::new(TestClock::default());
        let environment = Environment {
            clock: Arc::clone(&clock) as _,
            entropy: Arc::new(SystemEntropy),
        };
        let mut adapters = must(Adapters::open(&config, &environment).await);
        let mailbox = Mailbox::new(Arc::clone(&adapters.ports.mail));
        adapters.ports.mail = Arc::clone(&mailbox) as _;
        for replace in self.replace {
            adapters.ports = replace(adapters.ports);
        }
        let feeds = Feeds::new(Arc::clone(&adapters.ports.bus));
        adapters.ports.bus = Arc::new(Layered(feeds.clone()));
        let shutdown = Shutdown::new();
        let server = Server::on(adapters.clone(), &config, environment, shutdown.clone());
        let server = must(server);
        let listener = must(TcpListener::bind("127.0.0.1:0").await);
        let address = must(listener.local_addr());
        TestApp {
            address,
            clock,
            mailbox,
            adapters,
            client: Client::new(address).seeing(&feeds),
            data: Some(data),
            shutdown,
            serving: Some(tokio::spawn(server.serve(listener))),
        }
    }
}

/// The defaults, with rates that no test meets by accident.
fn test_config() -> Config {
    let mut config = Config::default();
    // A client on a busy machine may be slow to begin.
    config.http.websocket.init_timeout = DEADLINE;
    config.http.websocket.anonymous_timeout = DEADLINE;
    config.http.head_timeout = DEADLINE;
    // All clients of a test have one address.
    let shares = &mut config.http.shares;
    shares.connections_per_address = 1_000_000;
    shares.sockets_per_address = 1_000_000;
    shares.sockets_per_user = 1_000_000;
    shares.anonymous_percent = 100;
    shares.anonymous_per_address = 1_000_000;
    shares.operations_per_user = 1_000_000;
    shares.anonymous_operations_per_address = 1_000_000;
    let high = Quota {
        burst: 1_000_000,
        period: Duration::from_secs(1),
    };
    let limits = &mut config.limits;
    for quota in [
        &mut limits.login_ip,
        &mut limits.login_network,
        &mut limits.login_address,
        &mut limits.login_device,
        &mut limits.verify_ip,
        &mut limits.refresh_ip,
        &mut limits.send,
        &mut limits.react,
        &mut limits.block,
        &mut limits.typing,
        &mut limits.start_chat,
        &mut limits.change_chats,
        &mut limits.mark_read,
        &mut limits.update_profile,
        &mut limits.find_address,
        &mut limits.search,
        &mut limits.search_ip,
        &mut limits.uploads,
        &mut limits.export,
        &mut limits.delete_account,
        &mut limits.revoke,
        &mut limits.report,
        &mut limits.moderate,
        &mut config.http.websocket.messages,
    ] {
        *quota = high;
    }
    for budget in [&mut limits.cost_user, &mut limits.cost_ip] {
        budget.burst = 2_000_000_000;
    }
    // A test may hold up an operation, and a machine be busy.
    config.http.execution_timeout = 10 * DEADLINE;
    config.http.executions_per_user = 100_000;
    config
}

impl TestApp {
    /// The usual server.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// A server that differs.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A client without credentials. All of them know the challenges that one was given.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The folder that the server keeps everything in.
    pub fn data_dir(&self) -> &std::path::Path {
        match &self.data {
            Some(data) => data.path(),
            None => unreachable!("the folder is taken only when the app is consumed"),
        }
    }

    /// Signs somebody in by a mailed code: `ada` is `ada@example.org`.
    ///
    /// # Panics
    /// Where that is refused.
    pub async fn sign_in(&self, name: &str) -> User {
        let email = format!("{name}@example.org");
        let client = self.client();
        client.login(&email).await.data();
        let Some(code) = self.mailbox.code(&email) else {
            panic!("no code was mailed to {email}");
        };
        let auth = client.verify(&email, &code).await.data();
        User::of(&client, &auth["verifyOtp"])
    }

    /// Two users with a chat between them.
    pub async fn pair(&self) -> (User, User, String) {
        let (ada, bob) = (self.sign_in("ada").await, self.sign_in("bob").await);
        let chat = ada.start_chat(&bob).await;
        (ada, bob, chat)
    }

    /// Two users, their chat with a first message, and that message's cursor.
    pub async fn pair_with_message(&self) -> (User, User, String, String) {
        let (ada, bob, chat) = self.pair().await;
        let first = ada.send(&chat, "first").await;
        let cursor = string(&first["edge"]["cursor"]);
        (ada, bob, chat, cursor)
    }

    /// Begins the stop, without waiting for its end.
    pub fn begin_stop(&self) {
        self.shutdown.begin();
    }

    /// Stops the server in order and gives its data directory to the next one.
    ///
    /// # Panics
    /// Where it does not stop.
    pub async fn stop(mut self) -> TempDir {
        self.shutdown.begin();
        if let Some(serving) = self.serving.take() {
            must(must(soon("the server's stop", serving).await));
        }
        match self.data.take() {
            Some(data) => data,
            None => unreachable!("the folder is taken only here"),
        }
    }
}

/// A test that ends early stops its server too.
impl Drop for TestApp {
    fn drop(&mut self) {
        self.shutdown.begin();
        self.shutdown.hard().cancel();
    }
}

/// The value, or the end of the test.
#[track_caller]
pub(crate) fn must<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error:?}"),
    }
}
