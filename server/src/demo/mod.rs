//! `talksy demo`: a server on data that is thrown away at its end, for this machine alone, with two people
//! and a bot who have chatted already, and a page that shows both people side by side.
//!
//! All that is there goes through the services that requests go through. What a usual server does not
//! have, the pages and the sign-in by one click, are routes of `pages`, which exist here alone.

mod bot;
mod browser;
mod clock;
mod mail;
mod pages;
mod script;
mod seed;

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use talksy_domain::clock::{Clock as _, SystemClock, SystemEntropy};
use talksy_domain::services::Services;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::adapters::{Adapters, StartError};
use crate::app::{Environment, Server};
use crate::cli::{DemoArgs, SettingsArgs};
use crate::config::{Config, Quota};
use crate::lifecycle::Shutdown;

use bot::{Bot, Doings};
use clock::DemoClock;
use mail::Mailbox;
use pages::Stage;
use seed::Cast;

/// How long ago the first of the messages was sent, as the chats tell.
const PAST: Duration = Duration::from_hours(60);

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// It was given a setting that it cannot have.
    #[error("`talksy demo` takes no settings but `--listen` and `--log`: its data is thrown away")]
    Settings,
    /// `--listen` is none.
    #[error("`--listen` must be an address and a port, such as `127.0.0.1:4000`")]
    Listen,
    /// Others could connect.
    #[error("`talksy demo` signs in whoever asks: `--listen` must be a loopback address")]
    Elsewhere,
    /// A setting is broken.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// The folder of its data.
    #[error("there is no place for its data")]
    Folder(#[source] io::Error),
    /// The port.
    #[error("cannot listen on {0}")]
    Port(SocketAddr, #[source] io::Error),
    /// What it shows could not be made.
    #[error("the chats could not be made: {0}")]
    Seed(String),
}

/// A demo that is to be started.
pub struct Demo {
    /// Its configuration.
    pub config: Config,
    args: DemoArgs,
    /// Whether another port may be taken.
    may_move: bool,
    clock: Arc<DemoClock>,
    /// Removed with this.
    _folder: TempDir,
}

impl Demo {
    /// A demo of these arguments, with a folder of its own.
    ///
    /// # Errors
    /// See [`DemoError`].
    pub fn new(args: DemoArgs, settings: &SettingsArgs) -> Result<Self, DemoError> {
        if settings.config.is_some() || settings.data_dir.is_some() || !settings.set.is_empty() {
            return Err(DemoError::Settings);
        }
        let folder = tempfile::Builder::new().prefix("talksy-demo-").tempdir();
        let folder = folder.map_err(DemoError::Folder)?;
        let mut config = configured(folder.path().to_owned());
        if let Some(listen) = &settings.listen {
            config.listen = listen.parse().map_err(|_| DemoError::Listen)?;
        }
        if let Some(filter) = &settings.log {
            config.log.filter.clone_from(filter);
        }
        config.validate()?;
        if !config.is_loopback() {
            return Err(DemoError::Elsewhere);
        }
        let clock = Arc::new(DemoClock::default());
        clock.go_to(SystemClock.now() - PAST);
        Ok(Self {
            config,
            args,
            may_move: settings.listen.is_none(),
            clock,
            _folder: folder,
        })
    }

    /// Listens at the usual port, or where another server has it at any.
    ///
    /// # Errors
    /// [`DemoError::Port`].
    pub async fn listen(&self) -> Result<TcpListener, DemoError> {
        let wanted = self.config.listen;
        match TcpListener::bind(wanted).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && self.may_move => {
                let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                let listener = TcpListener::bind(free).await;
                tracing::info!("port {} is taken: the demo has another one", wanted.port());
                listener.map_err(|error| DemoError::Port(free, error))
            }
            bound => bound.map_err(|error| DemoError::Port(wanted, error)),
        }
    }

    /// The server, and what plays on it.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn build(&self, shutdown: &Shutdown) -> Result<(Server, Play), StartError> {
        let environment = Environment {
            clock: Arc::clone(&self.clock) as _,
            entropy: Arc::new(SystemEntropy),
        };
        let mut adapters = Adapters::open(&self.config, &environment).await?;
        let mailbox = Mailbox::in_front_of(Arc::clone(&adapters.ports.mail));
        adapters.ports.mail = Arc::clone(&mailbox) as _;
        let server = Server::on(
            adapters.clone(),
            &self.config,
            environment.clone(),
            shutdown.clone(),
        )?;
        let services = server.services().clone();
        let doings = Arc::new(Doings::default());
        let stage = Stage::new(
            Arc::clone(&services.auth),
            Arc::clone(&mailbox),
            Arc::clone(&doings),
            &*environment.entropy,
        );
        let play = Play {
            services,
            adapters,
            mailbox,
            doings,
            clock: Arc::clone(&self.clock),
            args: self.args.clone(),
            shutdown: shutdown.clone(),
        };
        Ok((server.with_pages(pages::router(stage)), play))
    }
}

/// The defaults, in this folder, with room for who clicks a lot.
fn configured(folder: PathBuf) -> Config {
    let mut config = Config {
        data_dir: folder,
        ..Config::default()
    };
    let many = Quota {
        burst: 10_000,
        period: Duration::from_secs(1),
    };
    let limits = &mut config.limits;
    for quota in [
        &mut limits.login_ip,
        &mut limits.login_network,
        &mut limits.login_address,
        &mut limits.login_device,
        &mut limits.send,
        &mut limits.react,
    ] {
        *quota = many;
    }
    config.auth.otp_resend = Duration::from_secs(1);
    // GraphiQL has one token, and does not renew it.
    config.auth.access_token_ttl = Duration::from_hours(1);
    config
}

/// What happens on the server of a demo.
pub struct Play {
    services: Services,
    adapters: Adapters,
    mailbox: Arc<Mailbox>,
    doings: Arc<Doings>,
    clock: Arc<DemoClock>,
    args: DemoArgs,
    shutdown: Shutdown,
}

impl Play {
    /// Makes the chats, shows them, and has the bot go on until the server stops. Where the chats cannot
    /// be made, the server is stopped.
    ///
    /// # Errors
    /// [`DemoError::Seed`].
    pub async fn run(self, url: String) -> Result<(), DemoError> {
        let stop = self.shutdown.soft().clone();
        let prepared = self.adapters.backends.prepared();
        if stop.run_until_cancelled(prepared).await.is_none() {
            return Ok(());
        }
        let seeded = seed::seed(&self.services, &self.mailbox, &self.clock).await;
        self.clock.go_on();
        let Cast { bot, chats } = match seeded {
            Ok(cast) => cast,
            Err(error) => {
                self.shutdown.begin();
                return Err(DemoError::Seed(error.to_string()));
            }
        };
        self.doings.open();
        tell(&url);
        if !self.args.no_open {
            browser::open(&url);
        }
        let bot = Bot::new(self.services, bot, chats, self.doings, self.args.pause());
        stop.run_until_cancelled(bot.run()).await;
        Ok(())
    }
}

/// Says where the demo is. It is what was asked for, and so no line of the log.
fn tell(url: &str) {
    let text = format!(
        "\n  Two people and a bot are chatting:\n\n      {url}/\n\n  \
         This machine alone can connect. Ctrl-C ends it, and nothing of it stays.\n\n"
    );
    // Where this cannot be written, the log has the address too.
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> DemoArgs {
        DemoArgs {
            no_open: true,
            pause: 20,
        }
    }

    #[test]
    fn a_demo_is_for_this_machine_and_for_no_data_of_anybody() {
        let given = |change: fn(&mut SettingsArgs)| {
            let mut settings = SettingsArgs::default();
            change(&mut settings);
            Demo::new(args(), &settings)
                .err()
                .map(|error| error.to_string())
        };
        assert_eq!(given(|_| ()), None);
        let refused = |said: Option<String>, part: &str| {
            assert!(said.is_some_and(|said| said.contains(part)), "{part}");
        };
        refused(
            given(|all| all.data_dir = Some("data".into())),
            "no settings",
        );
        refused(
            given(|all| all.config = Some("x.toml".into())),
            "no settings",
        );
        refused(
            given(|all| all.set.push(("store_url".into(), "mongodb://x/y".into()))),
            "no settings",
        );
        refused(given(|all| all.listen = Some("here".into())), "port");
        // Its rules, too, want a mail server where others connect.
        assert!(given(|all| all.listen = Some("0.0.0.0:4000".into())).is_some());
    }

    #[test]
    fn nothing_of_it_stays() {
        let demo = Demo::new(args(), &SettingsArgs::default()).unwrap();
        let folder = demo.config.data_dir.clone();
        assert!(folder.is_dir());
        drop(demo);
        assert!(!folder.exists());
    }
}
