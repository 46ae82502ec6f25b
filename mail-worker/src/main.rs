//! The `talksy-mail-worker` binary.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser as _;
use talksy_mail_worker::amqp::{DeadLetter, DeadLetters};
use talksy_mail_worker::cli::{Cli, Command, DeadLettersCommand};
use talksy_mail_worker::run::run;
use talksy_mail_worker::templates::Templates;
use talksy_schema::error::chain;
use talksy_schema::mail::MailContent;
use tracing_subscriber::EnvFilter;

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
        Command::Run => {
            log(&cli.process.log)?;
            run(cli).await
        }
        Command::DeadLetters(command) => {
            let letters = DeadLetters::new(cli.queue.url()?, &cli.queue.options())?;
            dead_letters(&letters, command).await
        }
        Command::Send { file } => send(cli, file.as_ref()).await,
        Command::Preview { folder } => preview(folder),
    }
}

/// Pretty on a terminal, JSON lines elsewhere.
fn log(filter: &str) -> Outcome {
    let filter = EnvFilter::builder()
        .parse(filter)
        .map_err(|error| format!("`--log` must be a filter such as `info`: {error}"))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    if io::stderr().is_terminal() {
        lines.init();
    } else {
        lines.json().flatten_event(true).init();
    }
    Ok(())
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
    let content = MailContent::SignInCode {
        code: "042137".into(),
        expires_in: 300,
    };
    let mail = Templates::new()?.render(&content)?;
    std::fs::create_dir_all(folder)?;
    let text = format!("{}\n\n{}", mail.subject, mail.text);
    std::fs::write(folder.join("sign_in_code.txt"), text)?;
    std::fs::write(folder.join("sign_in_code.html"), mail.html)?;
    Ok(())
}
