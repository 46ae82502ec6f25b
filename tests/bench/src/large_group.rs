//! What a message costs in a group of very many members of whom nobody is online, beside a
//! message in a direct chat.

use std::path::Path;

use serde::Serialize;

use super::account::{self, Chat};
use super::crowd;
use super::options::Plan;
use super::outcome::{Context as _, Outcome};
use super::process::Home;
use super::run::say;
use super::sends::{CONNECTIONS, Load, NEIGHBOURS};
use super::stats::{Clock, Round};

/// Alternating rounds on one server, over [`CONNECTIONS`] connections of as many users.
#[derive(Clone, Debug, Serialize)]
pub(super) struct LargeGroup {
    pub(super) members: usize,
    pub(super) group: Vec<Round>,
    pub(super) direct: Vec<Round>,
}

/// Sends into a group of so many members, and into direct chats of some of them.
pub(super) async fn measure(
    binary: &Path,
    members: usize,
    plan: &Plan,
    clock: Clock,
) -> Outcome<LargeGroup> {
    say(&format!(
        "signing {members} users in, the members of one group"
    ));
    let setting = format!("chats.max_members={members}");
    let home = Home::with(binary, vec![setting])?;
    let (server, _) = home.start().await?;
    let crowd = crowd::sign_in(&home, &server, members).await?;
    let senders = crowd.get(..CONNECTIONS).context("too few users")?;
    let group = Chat {
        id: crowd::group(&server, &crowd).await?,
        members: (0..CONNECTIONS).collect(),
    };
    let ring = account::ring(&server, senders, NEIGHBOURS).await?;
    // The group's own notices stand ahead of what is sent.
    let mut group = Load::new(&server, senders, &[group], false)?;
    let mut direct = Load::new(&server, senders, &ring, false)?;
    let mut found = LargeGroup {
        members,
        group: Vec::new(),
        direct: Vec::new(),
    };
    for round in 1..=plan.rounds {
        let of = format!("round {round} of {}", plan.rounds);
        say(&format!("{of}: sends into a group of {members}"));
        found.direct.push(direct.round(&server, plan, clock).await?);
        found.group.push(group.round(&server, plan, clock).await?);
    }
    server.stop().await?;
    Ok(found)
}
