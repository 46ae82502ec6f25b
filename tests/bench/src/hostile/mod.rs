//! The hostile suite: it starts the server's binary with the settings that it has by itself, attacks
//! it in every way that we know of, and tells what each attack has cost, beside the bound that it must
//! stay below.
//!
//! It talks to nobody but the servers that it has started, on the loopback interface, and ends by
//! itself. A refusal by any proper code is as good as another: what counts is what it has cost.

mod accounts;
mod answers;
mod crowd;
mod documents;
mod events;
mod neighbour;
mod peer;
mod people;
mod random;
mod report;
mod settings;
mod shapes;
mod sockets;
mod swarm;
mod watch;

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use super::options::{HostileArguments, Range as Part};
use super::outcome::{Context as _, Outcome};
use super::process::{self, Home};
use super::run::say;
use report::Group;
use settings::Settings;

/// Files that this program needs besides its connections.
const OTHER_FILES: u64 = 200;

/// Connections of the attacks by many of them.
const CONNECTIONS: u64 = 1_000;

/// Attacks, prints the table, and writes it into a page where one is named.
///
/// # Errors
/// Where a bound is broken, or something could not be measured.
pub(super) async fn run(arguments: &HostileArguments) -> Outcome<()> {
    let files = rlimit::increase_nofile_limit(u64::MAX).context("cannot open more files")?;
    let connections = CONNECTIONS.min(files.saturating_sub(OTHER_FILES));
    if connections < CONNECTIONS {
        say(&format!(
            "{files} files can be open: {connections} connections at a time"
        ));
    }
    let binary = match &arguments.server {
        Some(binary) => binary.clone(),
        None => super::run::beside_this()?,
    };
    if !binary.exists() {
        let binary = binary.display();
        return Err(format!("there is no server at {binary}; `make hostile` builds it").into());
    }
    let seconds = |full, quick| Duration::from_secs(if arguments.quick { quick } else { full });
    let plan = sockets::Plan {
        connections: usize::try_from(connections)?,
        attack: seconds(8, 3),
        quiet: seconds(5, 2),
    };
    let machine = format!(
        "{} cores, shared by server, neighbours and attackers; load average before: {:.1}.",
        std::thread::available_parallelism()?,
        process::load()?
    );
    let mut groups = Vec::new();
    if arguments.wants(Part::Documents) {
        let random = if arguments.quick { 100 } else { 500 };
        groups.extend(Box::pin(documents(&binary, random)).await?);
    }
    if arguments.wants(Part::Answers) {
        say("long and unread answers");
        let settings = Settings::of(&binary)?;
        let rows = Box::pin(answers::attack(&binary, &settings)).await?;
        groups.push(Group {
            title: "Answers",
            rows,
        });
    }
    if arguments.wants(Part::Sockets) {
        let rows = Box::pin(sockets::attack(&binary, plan)).await?;
        groups.push(Group {
            title: "Connections",
            rows,
        });
    }
    if arguments.wants(Part::Accounts) {
        let mut rows = Box::pin(accounts::attack(&binary, plan.quiet)).await?;
        rows.push(Box::pin(events::attack(&binary)).await?);
        groups.push(Group {
            title: "Sign-in, sessions, accounts",
            rows,
        });
    }
    let table = report::text(&groups)?;
    write!(std::io::stdout(), "{table}").context("cannot print")?;
    if let Some(page) = &arguments.write {
        report::write_page(page, &groups, &machine)?;
    }
    match report::broken(&groups) {
        0 => Ok(()),
        1 => Err("a bound is broken".into()),
        broken => Err(format!("{broken} bounds are broken").into()),
    }
}

/// Attacks by single documents, on one server.
async fn documents(binary: &Path, random: usize) -> Outcome<Vec<Group>> {
    say("documents");
    let home = Home::with_limits(binary, Vec::new())?;
    let (server, _) = home.start().await?;
    let mut range = documents::Range::open(&home, &server).await?;
    // The first requests pay for what is made once.
    range
        .shoot("{\"query\":\"{me{id}chats{nodes{id}}}\"}")
        .await?;
    let bombs = range.bombs().await?;
    let mut shapes = range.shapes().await?;
    say("random documents");
    shapes.push(range.random(random).await?);
    server.stop().await?;
    Ok(vec![
        Group {
            title: "Known bombs",
            rows: bombs,
        },
        Group {
            title: "Documents of at most 32 KB",
            rows: shapes,
        },
    ])
}
