//! The `talksy-mail-worker` binary.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser as _;
use talksy_domain::error::chain;
use talksy_domain::mail::MailContent;
use talksy_mail_worker::amqp::{DeadLetter, DeadLetters};
use talksy_mail_worker::cli::{Cli, Command, DeadLettersCommand};
use talksy_mail_worker::run::run;
use talksy_mail_worker::templates::Templates;
use talksy_telemetry::{LogFormat, Options};

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match act(&cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where even this cannot be written, the exit code still tells.
            let _ = writeln!(io::stderr(), "talksy-mail-worker: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn act(cli: &Cli) -> Outcome {
    match cli.command.as_ref().unwrap_or(&Command::Run) {
        Command::Run => observed(cli).await,
        Command::DeadLetters(command) => {
            let letters = DeadLetters::new(cli.queue.url()?, &cli.queue.options())?;
            dead_letters(&letters, command).await
        }
        Command::Send { file } => send(cli, file.as_ref()).await,
        Command::Preview { folder } => preview(folder),
    }
}

async fn observed(cli: &Cli) -> Outcome {
    let telemetry = talksy_telemetry::init(&Options {
        service: "talksy-mail-worker",
        version: env!("CARGO_PKG_VERSION"),
        format: LogFormat::Auto,
        filter: &cli.process.log,
        metrics: true,
        otlp_endpoint: None,
    })?;
    talksy_mail_worker::metrics::describe();
    let ran = run(cli, telemetry.metrics()).await;
    telemetry.shutdown().await;
    ran
}

async fn dead_letters(letters: &DeadLetters, command: &DeadLettersCommand) -> Outcome {
    let (found, said) = match command {
        DeadLettersCommand::List => (letters.list().await?, "dead"),
        DeadLettersCommand::Retry { ids } => (letters.retry(ids).await?, "put back"),
        DeadLettersCommand::Drop { ids, .. } => (letters.drop(ids).await?, "thrown away"),
    };
    let mut out = io::stdout().lock();
    for letter in &found {
        writeln!(out, "{}", line(letter))?;
    }
    writeln!(out, "{} {said}", found.len())?;
    Ok(())
}

fn line(letter: &DeadLetter) -> String {
    let DeadLetter {
        id,
        reason,
        attempts,
        died_at,
        domain,
    } = letter;
    let died_at = died_at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    let domain = domain.as_deref().unwrap_or("-");
    format!("{id}  {died_at}  tries {attempts}  to …@{domain}  {reason}")
}

async fn send(cli: &Cli, file: Option<&PathBuf>) -> Outcome {
    let json = if let Some(path) = file {
        std::fs::read_to_string(path)?
    } else {
        let mut json = String::new();
        io::stdin().read_to_string(&mut json)?;
        json
    };
    let job = serde_json::from_str(&json)?;
    Ok(cli.mail.worker()?.handle(&job).await?)
}

fn preview(folder: &Path) -> Outcome {
    let expires_in = 300;
    let code = "042137".to_owned();
    let deletion = MailContent::AccountDeletionCode {
        code: code.clone(),
        expires_in,
    };
    let mails = [
        ("account_deletion_code", deletion),
        ("sign_in_code", MailContent::SignInCode { code, expires_in }),
        ("no_account", MailContent::NoAccount { expires_in }),
    ];
    let templates = Templates::new()?;
    std::fs::create_dir_all(folder)?;
    for (name, content) in mails {
        let mail = templates.render(&content)?;
        let text = format!("{}\n\n{}", mail.subject, mail.text);
        std::fs::write(folder.join(format!("{name}.txt")), text)?;
        std::fs::write(folder.join(format!("{name}.html")), mail.html)?;
    }
    Ok(())
}
