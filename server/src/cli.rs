//! The command line: what can be asked of the binary, and the commands that are not the server
//! itself. Standard output carries results, standard error everything else.

mod jobs;
mod serving;
mod welcome;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use talksy_domain::clock::{Clock, SystemClock, SystemEntropy};
use talksy_domain::error::{Invalid, chain};
use talksy_domain::id::{self, JobId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::adapters::restoring;
use crate::config::{Config, ConfigError, DEFAULT_FILE, ENV_PREFIX, Sources};
use crate::demo::Demo;
use crate::keys::{self, KeyInfo};
pub use serving::{DemoArgs, Serving};
pub use welcome::welcome;

/// How long `talksy health` waits for an answer.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);

const AFTER_HELP: &str = "\
Examples:
  talksy                                    serve on 127.0.0.1:4000 with all data in ./data
  talksy demo                               people, a bot and their chats, thrown away at the end
  TALKSY_SMTP_URL=smtps://… talksy --listen 0.0.0.0:4000 --data-dir /var/lib/talksy
  talksy --set limits.send.burst=50 check-config
  talksy schema > schema.graphql
  talksy keys rotate                        a running server picks the new key up by itself
  talksy keys rotate --now                  the key file has leaked: nothing made with it is good
  talksy jobs retry                         try all again that has failed for good

Configuration, each over the one before:
  1. built-in defaults
  2. talksy.toml in the working directory, or the file of --config / TALKSY_CONFIG
  3. environment variables: TALKSY_LISTEN, TALKSY_SMTP_URL, TALKSY_LIMITS__SEND__BURST …
     (a double underscore between section and setting; an empty variable counts as absent)
  4. the command line
  `talksy check-config` prints the outcome, which is also the list of all settings. Passwords
  belong in the environment or the file: other users of the machine can read command lines.

Data (in ./data, or where data_dir says):
  talksy.db   the embedded database     keys.json   signing keys, mode 0600
  outbox/     mails as .eml files, while no SMTP server is configured (on a loopback address)
  `talksy backup FILE` copies the database, also while the server runs; back keys.json up too, and
  keep it secret. After any other way of restoring a store run `talksy restored` before the server.

Signals:
  SIGTERM, SIGINT   finish what runs, close sockets so that clients resume elsewhere, exit;
                    a second one exits at once
  SIGHUP            look at keys.json now

Exit codes:
  0   done                      1   failed; the reason is on standard error
  2   wrong usage               130, 143   ended by a second SIGINT, SIGTERM";

/// A chat backend with one GraphQL schema: queries, mutations and live subscriptions.
#[derive(Debug, Parser)]
#[command(name = "talksy", version, after_long_help = AFTER_HELP, disable_help_subcommand = true)]
pub struct Cli {
    /// Where the settings come from.
    #[command(flatten)]
    pub settings: SettingsArgs,
    /// What to do; `serve` where nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Run the server. This is what `talksy` alone does.
    Serve,
    /// Show Talksy with people in it: chats on data that is thrown away, for this machine alone, and a
    /// page that opens in the browser.
    Demo(DemoArgs),
    /// Print the effective configuration as TOML, secrets left out, with what to think about, or
    /// every problem of it.
    CheckConfig,
    /// Print the GraphQL schema (SDL).
    Schema,
    /// Look after the keys that access tokens are signed with.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Look after the durable jobs in the store, beside running servers or without.
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// Copy the embedded database to a new file, also while the server runs. To restore it, stop
    /// the server and put the copy in the database's place.
    Backup {
        /// The file to make.
        file: PathBuf,
    },
    /// Say that the store was restored otherwise than from a copy of `talksy backup`. Run it before
    /// the server starts, once for all instances: clients then refetch what they hold of the past.
    Restored,
    /// Ask the running server of this configuration whether it lives. For container health checks.
    Health,
}

/// What can be done with the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum KeysCommand {
    /// Show each key's id, age and state.
    List,
    /// Sign with a new key from now on; the old one verifies until its last token has expired.
    Rotate {
        /// Somebody else has the file: throw all its keys and its secret away at once. Every access
        /// token is void then, every socket and stream is closed, and codes that were mailed are no
        /// longer accepted; clients refresh their sessions, which stay.
        #[arg(long)]
        now: bool,
    },
}

/// What can be done with durable jobs. A job that fails for good stays until it is retried or
/// dropped.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum JobsCommand {
    /// Show each job's id, kind, state, time, number of tries and last error; failed ones first.
    List,
    /// Have failed jobs tried again, or waiting ones at once. Without ids, all that have failed.
    Retry {
        /// The jobs' ids.
        #[arg(value_parser = job_id)]
        ids: Vec<JobId>,
    },
    /// Throw failed jobs away: what they were for is not done.
    Drop {
        /// The jobs' ids.
        #[arg(value_parser = job_id, required_unless_present = "all")]
        ids: Vec<JobId>,
        /// Throw all of them away that have failed.
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
}

fn job_id(text: &str) -> Result<JobId, Invalid> {
    id::parse(text, "id")
}

/// Settings on the command line, on every command.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct SettingsArgs {
    /// The configuration file [default: talksy.toml, where it exists]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "TALKSY_CONFIG",
        hide_env_values = true
    )]
    pub config: Option<PathBuf>,
    /// The setting `listen`.
    #[arg(long, global = true, value_name = "IP:PORT", help = help_of("listen"))]
    pub listen: Option<String>,
    /// The setting `data_dir`.
    #[arg(long, global = true, value_name = "DIRECTORY", help = help_of("data_dir"))]
    pub data_dir: Option<String>,
    /// The setting `log.filter`.
    #[arg(long, global = true, value_name = "FILTER", help = help_of("log.filter"))]
    pub log: Option<String>,
    /// Any other setting by its dotted name. Repeatable
    #[arg(long = "set", global = true, value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub set: Vec<(String, String)>,
}

/// What the configuration says of a setting that has a flag of its own, in a line.
fn help_of(setting: &str) -> String {
    let sections = Config::describe();
    let mut settings = sections.iter().flat_map(|section| &section.settings);
    let Some(setting) = settings.find(|known| known.name == setting) else {
        return String::new();
    };
    let about = setting.about.split_once(". ");
    let about = about.map_or(setting.about.trim_end_matches('.'), |(first, _)| first);
    match &setting.default {
        Some(default) => format!("{about} [default: {}]", default.trim_matches('"')),
        None => about.to_owned(),
    }
}

fn name_and_value(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("expected a setting and its value, as in `live.mailbox=512`"),
    }
}

impl SettingsArgs {
    /// These settings over the process's environment and the file.
    pub fn sources(&self) -> Sources {
        let mut overrides = self.set.clone();
        for (name, value) in [
            ("listen", &self.listen),
            ("data_dir", &self.data_dir),
            ("log.filter", &self.log),
        ] {
            overrides.extend(value.clone().map(|value| (name.to_owned(), value)));
        }
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| {
                let name = name
                    .into_string()
                    .ok()
                    .filter(|name| name.starts_with(ENV_PREFIX))?;
                Some((name, value.to_string_lossy().into_owned()))
            })
            .collect();
        let file = self
            .config
            .clone()
            .filter(|path| !path.as_os_str().is_empty());
        Sources {
            file,
            environment,
            overrides,
        }
    }
}

impl Cli {
    /// The configuration that this command line asks for.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem.
    pub fn load_config(&self) -> Result<Config, ConfigError> {
        Config::load(&self.settings.sources())
    }

    /// Does what was asked; `serve` runs the server.
    pub async fn run(self, serve: impl AsyncFnOnce(Serving) -> ExitCode) -> ExitCode {
        let command = self.command.clone().unwrap_or(Command::Serve);
        match &command {
            Command::Schema => return print(&talksy_schema::schema::sdl()),
            Command::Demo(args) => {
                return match Demo::new(args.clone(), &self.settings) {
                    Ok(demo) => serve(Serving::Demo(Box::new(demo))).await,
                    Err(error) => fail(chain(&error)),
                };
            }
            _ => {}
        }
        let config = match self.load_config() {
            Ok(config) => config,
            Err(error) => return fail(error),
        };
        match command {
            Command::Serve => serve(Serving::Usual(Box::new(config))).await,
            Command::CheckConfig => check_config(&self.settings, &config),
            Command::Schema | Command::Demo(_) => ExitCode::SUCCESS,
            Command::Keys(command) => keys_command(command, &config),
            Command::Jobs(command) => match jobs::run(&command, &config).await {
                Ok(said) => print(&said),
                Err(error) => fail(chain(&*error)),
            },
            Command::Backup { file } => match restoring::back_up(&config, &file) {
                Ok(()) => print(&format!("{} is a copy of the database\n", file.display())),
                Err(error) => fail(chain(&error)),
            },
            Command::Restored => match restoring::renew_incarnation(&config).await {
                Ok(()) => print("the store has a new incarnation\n"),
                Err(error) => fail(chain(&error)),
            },
            Command::Health => match health(config.listen).await {
                Ok(()) => print(&format!("{} lives\n", config.listen)),
                Err(error) => fail(format_args!("{} does not answer: {error}", config.listen)),
            },
        }
    }
}

fn check_config(settings: &SettingsArgs, config: &Config) -> ExitCode {
    let sources = settings.sources();
    let file = match &sources.file {
        Some(path) => path.display().to_string(),
        None if PathBuf::from(DEFAULT_FILE).exists() => DEFAULT_FILE.to_owned(),
        None => "no file".to_owned(),
    };
    let mut warnings = String::new();
    for warning in config.warnings() {
        warnings.push_str("# Warning: ");
        warnings.push_str(&warning);
        warnings.push('\n');
    }
    match config.to_toml() {
        Ok(toml) => print(&format!(
            "# The configuration in effect: defaults, {file}, environment, command line.\n{warnings}{toml}"
        )),
        Err(error) => fail(error),
    }
}

fn keys_command(command: KeysCommand, config: &Config) -> ExitCode {
    let ttl = config.auth.access_token_ttl;
    let (path, clock, entropy) = (config.keys_path(), SystemClock, SystemEntropy);
    let keys = match command {
        KeysCommand::List => keys::list(&path, ttl, clock.now()),
        KeysCommand::Rotate { now: false } => keys::rotate(&path, ttl, &clock, &entropy),
        KeysCommand::Rotate { now: true } => keys::replace(&path, ttl, &clock, &entropy),
    };
    match keys {
        Ok(keys) => print(&describe(&keys)),
        Err(error) => fail(chain(&error)),
    }
}

/// A line a key.
fn describe(keys: &[KeyInfo]) -> String {
    let line = |key: &KeyInfo| {
        let state = match key.verifies_until {
            None => "signs".to_owned(),
            Some(until) => format!("verifies until {until}"),
        };
        format!("{}  made {}  {state}\n", key.kid, key.created_at)
    };
    keys.iter().map(line).collect()
}

/// Asks the server bound to `listen` for `/livez`.
///
/// # Errors
/// Where nothing listens, or no answer of status 200 comes within three seconds.
pub async fn health(listen: SocketAddr) -> io::Result<()> {
    let asked = tokio::time::timeout(HEALTH_TIMEOUT, ask(reachable(listen)));
    asked
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// A server that listens on every address is asked on this machine's own.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn ask(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /livez HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).await?;
    match &head {
        b"HTTP/1.1 200" => Ok(()),
        other => Err(io::Error::other(format!(
            "it says `{}`",
            String::from_utf8_lossy(other)
        ))),
    }
}

/// Writes a result to standard output. A reader that closes early, like `head`, is no failure.
fn print(text: &str) -> ExitCode {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => fail(error),
    }
}

/// Says on standard error why the command failed.
fn fail(reason: impl Display) -> ExitCode {
    // Where even this cannot be written, the exit code still tells.
    let _ = writeln!(io::stderr(), "talksy: {reason}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use talksy_domain::clock::Timestamp;
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_its_help_names_what_an_operator_needs() {
        Cli::command().debug_assert();
        let help = Cli::command().render_long_help().to_string();
        for word in [
            "check-config",
            "TALKSY_SMTP_URL",
            "keys.json",
            "Exit codes",
            "The address and port that the server binds [default: 127.0.0.1:4000]",
            "[default: data]",
            "[default: info]",
        ] {
            assert!(help.contains(word), "{word} is not in\n{help}");
        }
    }

    #[test]
    fn nothing_said_means_serve_and_settings_go_before_or_after_the_command() {
        assert_eq!(Cli::try_parse_from(["talksy"]).unwrap().command, None);
        for line in [
            &[
                "talksy",
                "--set",
                "live.mailbox=512",
                "keys",
                "list",
                "--listen",
                "[::1]:0",
            ][..],
            &[
                "talksy",
                "--listen",
                "[::1]:0",
                "keys",
                "list",
                "--set",
                "live.mailbox = 512",
            ],
        ] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert_eq!(cli.command, Some(Command::Keys(KeysCommand::List)));
            let expected = [("live.mailbox", "512"), ("listen", "[::1]:0")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(cli.settings.sources().overrides, expected);
        }
        assert!(Cli::try_parse_from(["talksy", "--set", "live.mailbox"]).is_err());
    }

    #[test]
    fn a_key_is_described_on_a_line() {
        let key = KeyInfo {
            kid: "abc".to_owned(),
            created_at: Timestamp::from_millis(0),
            verifies_until: None,
        };
        let retired = KeyInfo {
            verifies_until: Some(Timestamp::from_millis(660_000)),
            ..key.clone()
        };
        assert_eq!(
            describe(&[retired, key]),
            "abc  made 1970-01-01T00:00:00.000Z  verifies until 1970-01-01T00:11:00.000Z\n\
             abc  made 1970-01-01T00:00:00.000Z  signs\n"
        );
    }

    async fn answering(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 256];
            let read = stream.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"GET /livez HTTP/1.1\r\n"));
            stream.write_all(answer).await.unwrap();
        });
        SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port())
    }

    #[tokio::test]
    async fn health_asks_the_server_on_this_machine() {
        health(answering(b"HTTP/1.1 200 OK\r\n\r\n").await)
            .await
            .unwrap();
        let error = health(answering(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").await).await;
        assert_eq!(error.unwrap_err().to_string(), "it says `HTTP/1.1 503`");
        let error = health(answering(b"").await).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
