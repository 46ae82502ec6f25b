//! How much memory an idle socket with a subscription takes.

use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;

use super::account;
use super::deliveries::{Paths, Room};
use super::outcome::Outcome;
use super::process::{Home, Process};
use super::readers::{Readers, open_all};
use super::stats::{Clock, float};

const USERS: usize = 16;
const NEIGHBOURS: usize = 4;

/// Pause between two looks at a process's memory, and how many must show the same.
const LOOK: Duration = Duration::from_millis(100);
const SAME: usize = 5;
const MOST_LOOKS: usize = 50;
/// What counts as the same, in bytes.
const TOLERANCE: u64 = 64 * 1024;

/// Resident bytes for each socket.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Memory {
    /// Before its first message.
    pub(super) idle: f64,
    /// After it.
    pub(super) used: f64,
}

/// Measures a fresh server. The sockets belong to 16 users and follow their 64 chats evenly.
pub(super) async fn measure(home: &Home, sockets: usize, clock: Clock) -> Outcome<Memory> {
    let (server, _) = home.start().await?;
    let users = account::sign_in(home, &server, "idle", USERS).await?;
    let chats = account::ring(&server, &users, NEIGHBOURS).await?;
    let rooms = chats.into_iter().map(|chat| {
        let tokens = chat.members.map(|member| users[member].token.clone());
        Room::new(Paths::SERVER, chat.id, tokens)
    });
    let memory = idle(&server, &rooms.collect::<Vec<_>>(), sockets, clock).await?;
    server.stop().await?;
    Ok(memory)
}

/// Opens the sockets, looks, sends each a message, and looks again.
pub(super) async fn idle(
    server: &Process,
    rooms: &[Room],
    sockets: usize,
    clock: Clock,
) -> Outcome<Memory> {
    let mut anchors = Vec::new();
    for room in rooms {
        anchors.push(room.anchor(server, clock).await?);
    }
    let after = anchors.first().map_or(0, |anchor| anchor.seq);
    let before = settled(server).await?;
    let open = (0..sockets).map(|number| {
        let (room, turn) = (number % rooms.len(), number / rooms.len());
        rooms[room].subscriber(server, &anchors[room], turn)
    });
    let sockets = open_all(open).await?;
    let count = float(sockets.len() as u64);
    let each = |memory: u64| float(memory.saturating_sub(before)) / count;
    let idle = each(settled(server).await?);
    // Proves, too, that each of them is subscribed.
    let mut readers = Readers::start(sockets, after, clock)?;
    for room in rooms {
        room.anchor(server, clock).await?;
    }
    readers.all_received(1).await?;
    let used = each(settled(server).await?);
    Ok(Memory { idle, used })
}

/// The server's memory once it has stopped changing.
async fn settled(server: &Process) -> Outcome<u64> {
    let mut last = server.memory()?;
    let mut same = 0;
    for _ in 0..MOST_LOOKS {
        sleep(LOOK).await;
        let now = server.memory()?;
        same = if now.abs_diff(last) <= TOLERANCE {
            same + 1
        } else {
            0
        };
        last = now;
        if same == SAME {
            break;
        }
    }
    Ok(last)
}
