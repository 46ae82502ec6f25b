//! The `talksy-mail-worker` binary.
//!
//! In the embedded default the server does its mail jobs itself. This binary does single jobs and
//! shows the templates.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use secrecy::SecretString;
use talksy_mail_worker::MailWorker;
use talksy_mail_worker::templates::Templates;
use talksy_mail_worker::transport::{FileTransport, SmtpTransport, Transport};
use talksy_schema::clock::SystemClock;
use talksy_schema::error::chain;
use talksy_schema::mail::MailContent;

/// Sends Talksy's mail. In the embedded default the server does this by itself; use this to try
/// an SMTP server or to look at the templates.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send one mail job, given as JSON in a file or on standard input.
    Send(Send),
    /// Write the mails to a folder, rendered with sample values.
    Preview {
        /// Where to write `sign_in_code.txt` and `sign_in_code.html`.
        folder: PathBuf,
    },
}

#[derive(Args)]
struct Send {
    /// The job; standard input where absent.
    #[arg(long)]
    file: Option<PathBuf>,
    /// `smtps://user:password@host`, or `smtp://host?tls=required`.
    #[arg(
        long,
        env = "TALKSY_SMTP_URL",
        hide_env_values = true,
        conflicts_with = "outbox"
    )]
    smtp_url: Option<SecretString>,
    /// Write an `.eml` file to this folder instead.
    #[arg(long, required_unless_present = "smtp_url")]
    outbox: Option<PathBuf>,
    /// The sender.
    #[arg(
        long,
        env = "TALKSY_MAIL__FROM",
        default_value = "Talksy <no-reply@localhost>"
    )]
    from: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Send(send) => do_send(send).await,
        Command::Preview { folder } => preview(&folder),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where even this cannot be written, the exit code still tells.
            let _ = writeln!(std::io::stderr(), "talksy-mail-worker: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn do_send(send: Send) -> Result<(), Box<dyn std::error::Error>> {
    let json = if let Some(path) = send.file {
        std::fs::read_to_string(path)?
    } else {
        let mut json = String::new();
        std::io::stdin().read_to_string(&mut json)?;
        json
    };
    let job = serde_json::from_str(&json)?;
    let transport: Arc<dyn Transport> = match (send.smtp_url, send.outbox) {
        (Some(url), _) => Arc::new(SmtpTransport::new(&url)?),
        (None, Some(folder)) => Arc::new(FileTransport::new(folder)?),
        (None, None) => return Err("give --smtp-url or --outbox".into()),
    };
    MailWorker::new(transport, &send.from, Arc::new(SystemClock))?
        .handle(&job)
        .await?;
    Ok(())
}

fn preview(folder: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
    let content = MailContent::SignInCode {
        code: "042137".into(),
        expires_in: 300,
    };
    let mail = Templates::new()?.render(&content)?;
    std::fs::create_dir_all(folder)?;
    std::fs::write(
        folder.join("sign_in_code.txt"),
        format!("{}\n\n{}", mail.subject, mail.text),
    )?;
    std::fs::write(folder.join("sign_in_code.html"), mail.html)?;
    Ok(())
}
