//! What a server fails of graphql-http's audits for the GraphQL over HTTP specification. They are
//! run by node; without it, or without its packages, there is no figure.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::outcome::{Context as _, Outcome};
use super::process::Process;
use super::run::say;

/// The names of the audits that failed, by what the specification says of them.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Audits {
    pub(super) run: usize,
    pub(super) must: Vec<String>,
    pub(super) should: Vec<String>,
    pub(super) may: Vec<String>,
}

/// Runs all audits.
pub(super) async fn of(server: &Process) -> Outcome<Option<Audits>> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/audits"));
    if !folder.join("node_modules").exists() {
        say("no audits: run `npm ci --prefix tests/bench/audits` first");
        return Ok(None);
    }
    let url = format!("http://{}/graphql", server.address);
    let mut node = Command::new("node");
    node.arg("audit.mjs").arg(url).current_dir(folder);
    let output = node.kill_on_drop(true).output().await;
    let output = output.context("node is not to be had for the audits")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the audits cannot be run: {said}").into());
    }
    Ok(Some(serde_json::from_slice(&output.stdout)?))
}
