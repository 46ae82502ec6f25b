//! Mail over a real SMTP server: how it is handed over, what is done where it is refused, and that
//! nobody on the way can read or change it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod handing_over;
mod queue;

use std::path::Path;
use std::process::Stdio;

use secrecy::{ExposeSecret as _, SecretString};
use talksy_domain::mail::MailJob;
use talksy_tests::process::binary;
use talksy_tests::soon;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

const FROM: &str = "Talksy Chat <no-reply@talksy.example>";

/// A mail worker that sends one job, given as JSON, and what it says where it does not.
async fn send_json(
    url: &SecretString,
    ca_file: Option<&Path>,
    from: &str,
    job: &str,
) -> Result<(), String> {
    let mut command = Command::new(binary("talksy-mail-worker"));
    command
        .args(["send", "--from", from])
        .env("TALKSY_SMTP_URL", url.expose_secret())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(path) = ca_file {
        command.arg("--smtp-ca-file").arg(path);
    }
    let mut worker = command.spawn().unwrap();
    let mut input = worker.stdin.take().unwrap();
    // One that refuses its settings does not read.
    let _ = input.write_all(job.as_bytes()).await;
    drop(input);
    let output = soon("the worker's end", worker.wait_with_output()).await;
    let output = output.unwrap();
    if output.status.success() {
        return Ok(());
    }
    assert_eq!(output.status.code(), Some(1));
    Err(String::from_utf8(output.stderr).unwrap())
}

async fn send(url: &SecretString, ca_file: Option<&Path>, job: &MailJob) -> Result<(), String> {
    let json = serde_json::to_string(job).unwrap();
    send_json(url, ca_file, FROM, &json).await
}
