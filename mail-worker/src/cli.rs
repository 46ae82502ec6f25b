//! The command line of the worker. Every setting is a flag and an environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use secrecy::SecretString;
use talksy_domain::clock::SystemClock;

use crate::amqp::AmqpOptions;
use crate::transport::{FileTransport, SmtpOptions, SmtpTransport, Transport};
use crate::worker::MailWorker;

const AFTER_HELP: &str = "\
Examples:
  talksy-mail-worker --amqp-url amqp://talksy:secret@rabbitmq/%2f --smtp-url smtps://mail.example.org
  talksy-mail-worker dead-letters list
  talksy-mail-worker dead-letters retry job_01…
  talksy-mail-worker preview /tmp/mails

Passwords belong in the environment: other users of the machine can read command lines.

Traces go to the OpenTelemetry collector at OTEL_EXPORTER_OTLP_ENDPOINT, where it is set.

Signals:
  SIGTERM, SIGINT   finish the mails that are being sent, give the rest back, exit; a second one
                    exits at once

Exit codes:
  0   done                      1   failed; the reason is on standard error
  2   wrong usage               130, 143   ended by a second SIGINT, SIGTERM";

/// Sends Talksy's mail: takes the jobs from RabbitMQ and hands the mails to an SMTP server.
///
/// In the embedded default the server does this by itself.
#[derive(Debug, Parser)]
#[command(name = "talksy-mail-worker", version, after_long_help = AFTER_HELP, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do; `run` where nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Where the jobs are.
    #[command(flatten)]
    pub queue: QueueArgs,
    /// Where the mails go.
    #[command(flatten)]
    pub mail: MailArgs,
    /// How the process runs.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take jobs and send mails until stopped. This is what the worker alone does.
    Run,
    /// Look after jobs that could not be done.
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Send one mail job, given as JSON in a file or on standard input.
    Send {
        /// The job; standard input where absent.
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Write the mails to a folder, rendered with sample values.
    Preview {
        /// Where to write `sign_in_code.txt`, `no_account.txt` and the same as `.html`.
        folder: PathBuf,
    },
}

/// What can be done with dead letters. Without ids, all are meant.
#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// Show each job's id, age, tries, recipient's domain and reason.
    List,
    /// Put jobs back into the queue.
    Retry {
        /// The jobs' ids.
        ids: Vec<String>,
    },
    /// Throw jobs away.
    Drop {
        /// The jobs' ids.
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// Throw all of them away.
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
}

/// The settings of the queue.
#[derive(Debug, Args)]
#[command(next_help_heading = "Queue")]
pub struct QueueArgs {
    /// The broker: `amqp://user:password@host:5672/%2f`, or `amqps://…`
    #[arg(
        long,
        global = true,
        env = "TALKSY_AMQP_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub amqp_url: Option<SecretString>,
    /// What the queues' names start with: the server's `amqp.prefix`
    #[arg(
        long,
        global = true,
        env = "TALKSY_AMQP__PREFIX",
        default_value_t = AmqpOptions::default().prefix,
        value_name = "NAME"
    )]
    pub prefix: String,
    /// How many mails are sent at a time, 1 to 1000
    #[arg(long, global = true, env = "TALKSY_MAIL_WORKER_PREFETCH", default_value_t = AmqpOptions::default().prefetch, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub prefetch: u16,
    /// The pauses before each further try, such as `2s,8s,30s`
    #[arg(long, global = true, env = "TALKSY_MAIL_WORKER_RETRIES", default_value = "2s,8s,30s,1m,2m", value_delimiter = ',', value_parser = pause)]
    pub retries: Vec<Duration>,
}

/// The settings of outgoing mail.
#[derive(Debug, Args)]
#[command(next_help_heading = "Mail")]
pub struct MailArgs {
    /// `smtps://user:password@host`, or `smtp://host?tls=required` for STARTTLS
    #[arg(
        long,
        global = true,
        env = "TALKSY_SMTP_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub smtp_url: Option<SecretString>,
    /// The authorities that the mail server's certificate may come from, in PEM, where they are
    /// not the public ones: the server's `mail.smtp_ca_file`
    #[arg(
        long,
        global = true,
        env = "TALKSY_MAIL__SMTP_CA_FILE",
        value_name = "FILE"
    )]
    pub smtp_ca_file: Option<PathBuf>,
    /// Send the URL's user name and password also where the connection is not certain to be
    /// encrypted, and the mail server is another machine: the server's `mail.plain_credentials`
    #[arg(long, global = true, env = "TALKSY_MAIL__PLAIN_CREDENTIALS")]
    pub plain_credentials: bool,
    /// Write `.eml` files to this folder where no SMTP server is given
    #[arg(
        long,
        global = true,
        env = "TALKSY_MAIL_WORKER_OUTBOX",
        value_name = "FOLDER"
    )]
    pub outbox: Option<PathBuf>,
    /// The sender
    #[arg(
        long,
        global = true,
        env = "TALKSY_MAIL__FROM",
        default_value = "Talksy <no-reply@localhost>",
        value_name = "MAILBOX"
    )]
    pub from: String,
}

/// The settings of the process.
#[derive(Debug, Args)]
#[command(next_help_heading = "Process")]
pub struct ProcessArgs {
    /// Where health and metrics are served
    #[arg(
        long,
        global = true,
        env = "TALKSY_MAIL_WORKER_LISTEN",
        default_value = "127.0.0.1:4001",
        value_name = "IP:PORT"
    )]
    pub listen: SocketAddr,
    /// How long to wait for the broker at the start, before giving up
    #[arg(long, global = true, env = "TALKSY_MAIL_WORKER_START_TIMEOUT", default_value = "2m", value_parser = span, value_name = "SPAN")]
    pub start_timeout: Duration,
    /// How long mails may take to finish after SIGTERM
    #[arg(long, global = true, env = "TALKSY_MAIL_WORKER_DRAIN", default_value = "25s", value_parser = span, value_name = "SPAN")]
    pub drain: Duration,
    /// What to log: `info`, `warn,talksy_mail_worker=debug`
    #[arg(
        long,
        global = true,
        env = "TALKSY_MAIL_WORKER_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub log: String,
}

fn span(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}: expected `30s`, `2m` …"))
}

fn pause(text: &str) -> Result<Duration, String> {
    match span(text)? {
        pause if (Duration::from_millis(1)..=Duration::from_hours(24)).contains(&pause) => {
            Ok(pause)
        }
        _ => Err("must be between 1ms and 24h".to_owned()),
    }
}

impl QueueArgs {
    /// The broker's URL.
    ///
    /// # Errors
    /// Where none is given.
    pub fn url(&self) -> Result<&SecretString, &'static str> {
        self.amqp_url
            .as_ref()
            .ok_or("give the broker: --amqp-url, or TALKSY_AMQP_URL in the environment")
    }

    /// How the broker is used.
    pub fn options(&self) -> AmqpOptions {
        AmqpOptions {
            prefix: self.prefix.clone(),
            retries: self.retries.clone(),
            prefetch: self.prefetch,
            ..AmqpOptions::default()
        }
    }
}

impl MailArgs {
    /// A worker that sends where these settings say.
    ///
    /// # Errors
    /// Where there is neither a server nor a folder, or one of the settings is wrong.
    pub fn worker(&self) -> Result<MailWorker, Box<dyn std::error::Error>> {
        let transport: Arc<dyn Transport> = match (&self.smtp_url, &self.outbox) {
            (Some(url), _) => Arc::new(SmtpTransport::new(
                url,
                &SmtpOptions {
                    ca_file: self.smtp_ca_file.as_deref(),
                    plain_credentials: self.plain_credentials,
                },
            )?),
            (None, Some(folder)) => Arc::new(FileTransport::new(folder)?),
            (None, None) => {
                return Err("give the mail server: --smtp-url, or TALKSY_SMTP_URL in the environment; or a folder: --outbox".into());
            }
        };
        Ok(MailWorker::new(
            transport,
            &self.from,
            Arc::new(SystemClock),
        )?)
    }
}
