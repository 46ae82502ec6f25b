//! A RabbitMQ of the test's own: `rabbitmq-server` from Debian's packages, without plugins and
//! without the port mapper daemon that Erlang would leave behind.

use std::path::Path;

use secrecy::SecretString;
use tokio::process::Command;
use tokio::sync::OnceCell;

use super::{Managed, installed, watched};
use crate::eventually;

/// Where the script lies that starts the server as the user who calls it.
const SCRIPTS: [&str; 2] = [
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "/opt/rabbitmq/sbin/rabbitmq-server",
];

/// A running RabbitMQ.
pub struct RabbitMq {
    /// The process.
    pub server: Managed,
}

impl RabbitMq {
    /// Starts one.
    ///
    /// # Panics
    /// Where it is not installed.
    pub async fn start() -> Self {
        let mut server = Managed::new("rabbitmq-server", command);
        server.start().await;
        let rabbitmq = Self { server };
        rabbitmq.ready().await;
        rabbitmq
    }

    /// The one that all tests of this process share, each with queues of its own.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<RabbitMq> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// Kills it and starts it again.
    pub async fn restart(&mut self) {
        self.server.restart().await;
        self.ready().await;
    }

    /// Starts it again after a kill or stop.
    pub async fn start_again(&mut self) {
        self.server.start().await;
        self.ready().await;
    }

    /// The URL that clients take.
    pub fn url(&self) -> SecretString {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.server.port).into()
    }

    /// It listens a moment before it is up.
    async fn ready(&self) {
        eventually("RabbitMQ's start", async || {
            self.server
                .log()
                .contains("Server startup complete")
                .then_some(())
        })
        .await;
    }
}

fn command(port: u16, folder: &Path) -> Command {
    let Some(script) = installed(&SCRIPTS) else {
        panic!(
            "RabbitMQ is not installed: `make test` installs it (apt-get install rabbitmq-server)"
        );
    };
    let distribution = super::free_port();
    let set = |name: &str| folder.join(name);
    for name in ["home", "log"] {
        crate::app::must(std::fs::create_dir_all(set(name)));
    }
    crate::app::must(std::fs::write(set("plugins"), "[]."));
    let mut command = watched(&script, folder);
    command
        // The script makes way for the broker, rather than waiting for it.
        .env("RUNNING_UNDER_SYSTEMD", "true")
        .env("HOME", set("home"))
        .env("RABBITMQ_NODENAME", format!("talksy{port}@localhost"))
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", port.to_string())
        .env("RABBITMQ_DIST_PORT", distribution.to_string())
        .env("RABBITMQ_MNESIA_BASE", set("data"))
        .env("RABBITMQ_LOG_BASE", set("log"))
        .env("RABBITMQ_LOGS", "-")
        .env("RABBITMQ_CONFIG_FILE", set("rabbitmq"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", set("plugins"))
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            format!(
                "-start_epmd false -erl_epmd_port {distribution} \
                 -kernel inet_dist_use_interface {{127,0,0,1}}"
            ),
        );
    command
}
