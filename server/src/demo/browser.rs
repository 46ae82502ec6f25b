//! Opens the page in the browser that the system has. Where there is none, its address was told.

use std::process::{Command, Stdio};
use std::thread;

/// Opens `url`, which has no secret in it, and waits for nothing.
pub(super) fn open(url: &str) {
    let mut command = if cfg!(target_os = "macos") {
        Command::new("open")
    } else if cfg!(windows) {
        let mut command = Command::new("cmd");
        command.args(["/C", "start", ""]);
        command
    } else {
        Command::new("xdg-open")
    };
    let started = command
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match started {
        // The system wants to be asked how it has ended.
        Ok(mut opening) => drop(thread::spawn(move || opening.wait())),
        Err(error) => tracing::debug!(%error, "no browser was opened"),
    }
}
