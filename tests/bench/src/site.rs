//! Servers that work together, with users, chats and loads of their own.

use super::account::{self, Chat, User};
use super::deliveries::{Paths, Room};
use super::options::{Fanout, Plan};
use super::outcome::{Context as _, Outcome};
use super::process::{Home, Process};
use super::sends::{CONNECTIONS, Load, NEIGHBOURS};
use super::stats::{Clock, Round};

/// Running servers: one, or several on the same backends.
pub(super) struct Site {
    homes: Vec<Home>,
    pub(super) servers: Vec<Process>,
    pub(super) users: Vec<User>,
    pub(super) chats: Vec<Chat>,
    load: Load,
    pub(super) room: Room,
}

impl Site {
    /// Starts a server in each home, and signs users in at the first.
    pub(super) async fn start(homes: Vec<Home>) -> Outcome<Self> {
        let mut servers = Vec::new();
        for home in &homes {
            servers.push(home.start().await?.0);
        }
        let home = homes.first().context("no home")?;
        let server = servers.first().context("no server")?;
        let users = account::sign_in(home, server, "sender", CONNECTIONS).await?;
        let chats = account::ring(server, &users, NEIGHBOURS).await?;
        let pair = account::sign_in(home, server, "room", 2).await?;
        let room = account::ring(server, &pair[..], 1).await?;
        let room = room.first().context("no chat")?;
        let tokens = [0, 1].map(|end| pair[room.members[end]].token.clone());
        let room = Room::new(Paths::SERVER, room.id.clone(), tokens);
        let load = Load::new(server, &users, &chats, true)?;
        Ok(Self {
            homes,
            servers,
            users,
            chats,
            load,
            room,
        })
    }

    /// One round of sends to the first server.
    pub(super) async fn sends(&mut self, plan: &Plan, clock: Clock) -> Outcome<Round> {
        let server = self.servers.first().context("no server")?;
        self.load.round(server, plan, clock).await
    }

    /// One round of deliveries to subscribers of all servers.
    pub(super) async fn deliveries(
        &self,
        fanout: Fanout,
        plan: &Plan,
        clock: Clock,
    ) -> Outcome<Round> {
        let room = &self.room;
        room.round(&self.servers, fanout, plan, plan.real, clock)
            .await
    }

    /// Stops the servers, and gives back the home of the first.
    pub(super) async fn stop(self) -> Outcome<Home> {
        for server in self.servers {
            server.stop().await?;
        }
        self.homes.into_iter().next().context("no home")
    }
}
