//! Two servers on one MongoDB and one Redis, each with clients of its own, while backends and
//! servers come and go.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod backends;
mod blocks;
mod costs;
mod everyone;
mod example;
mod instances;
mod mail;
mod moderation;
mod search;
mod start;

use std::collections::HashMap;

use futures_util::future::join_all;
use talksy_tests::client::User;
use talksy_tests::cluster::{Acknowledged, Addresses, Cluster, Instance, history, send};

/// Two servers and two people who talk.
struct Two {
    cluster: Cluster,
    a: Instance,
    b: Instance,
    ada: User,
    bob: User,
    chat: String,
}

impl Two {
    async fn start(settings: &[&str]) -> Self {
        let cluster = Cluster::start().await;
        let a = cluster.instance(settings).await;
        let b = cluster.instance(settings).await;
        let (ada, bob) = (a.sign_in("ada").await, b.sign_in("bob").await);
        let chat = ada.start_chat(&bob).await;
        Self {
            cluster,
            a,
            b,
            ada,
            bob,
            chat,
        }
    }

    /// Only the first server, only the second, and both.
    fn addresses(&self) -> (Addresses, Addresses, Addresses) {
        let (a, b) = (self.a.address(), self.b.address());
        (
            Addresses::new(&[a]),
            Addresses::new(&[b]),
            Addresses::new(&[a, b]),
        )
    }
}

/// Many senders at once, each with some messages one after the other. Gives what was
/// acknowledged by the client's ids.
async fn burst(
    user: &User,
    at: &Addresses,
    chat: &str,
    name: &str,
    senders: usize,
    each: usize,
) -> HashMap<String, Acknowledged> {
    let sending = (0..senders).map(|sender| async move {
        let mut sent = Vec::with_capacity(each);
        for n in 0..each {
            let id = format!("{name}-{sender}-{n}");
            let acknowledged = send(user, at, chat, &id).await;
            sent.push((id, acknowledged));
        }
        sent
    });
    join_all(sending).await.into_iter().flatten().collect()
}

/// Every acknowledged message is in the history once, with the number it was acknowledged with,
/// and there are no others.
async fn verify(user: &User, chat: &str, sent: &HashMap<String, Acknowledged>) {
    let found = history(&user.client, chat).await;
    assert_eq!(found.len(), sent.len());
    for (id, acknowledged) in sent {
        assert_eq!(found.get(id), Some(&acknowledged.seq), "{id}");
    }
}

/// For the record: what a fault test did and counted.
fn report(what: &str, sent: &HashMap<String, Acknowledged>) {
    use std::io::Write as _;
    let failures: usize = sent.values().map(|sent| sent.failures.len()).sum();
    let line = format!(
        "{what}: {} messages acknowledged, {failures} tries failed, none lost or doubled\n",
        sent.len()
    );
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}
