//! A room full of people who write and come and go, with clients that follow.

use std::net::SocketAddr;

use serde_json::json;

use super::{Crowd, GroupWorker, Person, Reader, Request, Told, Writer};
use crate::client::{User, string};
use crate::cluster::{Addresses, client_at, send};
use crate::replica::{AccountReplica, ChatReplica};

const TITLE: &str = "The room";

/// A group in which many write, edit, delete and read while one comes and goes, beside groups that
/// are made and changed; and replicas of it.
pub struct Scene {
    /// Who works.
    pub crowd: Crowd,
    accounts: Vec<(User, AccountReplica)>,
    chats: Vec<(User, ChatReplica)>,
}

impl Scene {
    /// Four people, and replicas at each of these sets of servers.
    pub async fn start(people: [&User; 4], at: &[&Addresses]) -> Self {
        let [ada, bob, cyd, dan] = people;
        let address = ada.client.address();
        let input = json!({ "title": TITLE, "memberIds": [bob.id, cyd.id], "clientChatId": TITLE });
        let request = Request::new("createGroup", input, "chat { id }");
        let Told::Done(made) = Person::new(ada).insist(address, &request).await else {
            panic!("{TITLE} was not made")
        };
        let room = string(&made["chat"]["id"]);
        send(ada, &Addresses::new(&[address]), &room, "Welcome").await;

        let mut crowd = Crowd::default();
        for (n, user) in [ada, bob, ada, bob].into_iter().enumerate() {
            crowd.add(Writer::new(user, ada, &room, &format!("w{n}")));
        }
        // Dan comes and goes: much of what he asks for is refused.
        crowd.add(GroupWorker::at_the_door(ada, dan, &room, TITLE));
        crowd.add(Writer::new(dan, ada, &room, "dan"));
        crowd.add(Reader::new(cyd, &room));
        crowd.add(GroupWorker::new([ada, bob, cyd, dan], "one"));
        crowd.add(GroupWorker::new([bob, dan, ada, cyd], "two"));

        let (mut accounts, mut chats) = (Vec::new(), Vec::new());
        for at in at {
            for user in [bob, cyd, dan] {
                accounts.push((user.clone(), AccountReplica::start(user, at)));
            }
            for user in [bob, dan] {
                chats.push((user.clone(), ChatReplica::start(user, at, &room)));
            }
        }
        Self {
            crowd,
            accounts,
            chats,
        }
    }

    /// What was acknowledged is what these servers answer, and what all replicas have.
    ///
    /// # Panics
    /// Where it is not.
    pub async fn check(&mut self, at: &[SocketAddr]) {
        self.crowd.check(at).await;
        for address in at {
            for (user, replica) in &self.accounts {
                replica.agrees_with(&client_at(user, *address)).await;
            }
            for (user, replica) in &self.chats {
                replica.agrees_with(&client_at(user, *address)).await;
            }
        }
    }

    /// How often the replicas have connected.
    pub fn connections(&self) -> usize {
        let accounts = self
            .accounts
            .iter()
            .map(|(_, replica)| replica.connections());
        let chats = self.chats.iter().map(|(_, replica)| replica.connections());
        accounts.chain(chats).sum()
    }
}

/// How many rounds of kills a test has: few, or as many as whoever lets it run for long asks for.
///
/// # Panics
/// Where what they ask for is no number.
pub fn kill_rounds(few: usize) -> usize {
    match std::env::var("TALKSY_KILL_ROUNDS") {
        Ok(rounds) => crate::app::must(rounds.parse()),
        Err(_) => few,
    }
}
