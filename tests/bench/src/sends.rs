//! How many messages a second are sent and durable, over many connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::account::{Chat, User};
use super::frames::NumberAfter;
use super::http::Connection;
use super::options::Plan;
use super::outcome::{Context as _, Outcome};
use super::process::{self, Process, between};
use super::stats::{Clock, Latency, Round, histogram};
use super::template::SendRequest;

/// Connections, each of a user of its own.
pub(super) const CONNECTIONS: usize = 64;
/// Each user has chats with so many next ones, and so many before.
pub(super) const NEIGHBOURS: usize = 4;

/// Where a round's messages go, and what has gone there.
pub(super) struct Load {
    /// The requests of each connection, with the number of their chat.
    requests: Vec<Vec<(usize, SendRequest)>>,
    /// The last number of each chat. None where the server numbers nothing.
    heads: Option<Vec<u64>>,
    /// Messages sent so far, by connection, for their own ids.
    sent: Vec<u64>,
}

/// What the connections share.
#[derive(Default)]
struct Shared {
    done: AtomicU64,
    measures: AtomicBool,
    over: AtomicBool,
}

/// What one connection did.
struct Sent {
    latency: Histogram<u64>,
    /// Chats and the numbers of the messages there.
    acknowledged: Vec<(usize, u64)>,
    requests: Vec<(usize, SendRequest)>,
    number: u64,
}

impl Load {
    /// Every user writes in turn to each of their chats.
    pub(super) fn new(
        server: &Process,
        users: &[User],
        chats: &[Chat],
        numbers: bool,
    ) -> Outcome<Self> {
        let address = server.address;
        let request = |token: &str, chat: &str| SendRequest::new(address, "/graphql", token, chat);
        Self::of(users, chats, numbers, request)
    }

    /// The same with texts that have no word.
    pub(super) fn wordless(server: &Process, users: &[User], chats: &[Chat]) -> Outcome<Self> {
        let request = |token: &str, chat: &str| SendRequest::wordless(server.address, token, chat);
        Self::of(users, chats, true, request)
    }

    fn of(
        users: &[User],
        chats: &[Chat],
        numbers: bool,
        request: impl Fn(&str, &str) -> Outcome<SendRequest>,
    ) -> Outcome<Self> {
        let mut requests = Vec::new();
        for (index, user) in users.iter().enumerate() {
            let own = chats.iter().enumerate();
            let own = own.filter(|(_, chat)| chat.members.contains(&index));
            let own = own.map(|(number, chat)| Ok((number, request(&user.token, &chat.id)?)));
            requests.push(own.collect::<Outcome<Vec<_>>>()?);
        }
        Ok(Self {
            sent: vec![0; requests.len()],
            requests,
            heads: numbers.then(|| vec![0; chats.len()]),
        })
    }

    /// One round.
    pub(super) async fn round(
        &mut self,
        server: &Process,
        plan: &Plan,
        clock: Clock,
    ) -> Outcome<Round> {
        let one = std::slice::from_ref(server);
        let shared = Arc::new(Shared::default());
        let mut tasks = JoinSet::new();
        for (index, requests) in self.requests.drain(..).enumerate() {
            let connection = Connection::open(server.address).await?;
            let base = u64::try_from(index)? << 32;
            let number = self.sent[index];
            let sender = send(
                connection,
                requests,
                base,
                number,
                clock,
                Arc::clone(&shared),
            );
            tasks.spawn(async move { sender.await.map(|sent| (index, sent)) });
        }
        sleep(plan.warm_up).await;
        shared.measures.store(true, Ordering::Relaxed);
        let (cpu, started) = (process::cpu(one)?, Instant::now());
        let before = shared.done.load(Ordering::Relaxed);
        let length = if self.heads.is_some() {
            plan.real
        } else {
            plan.bare
        };
        tokio::select! {
            () = sleep(length) => {}
            // A sender ends early only in an error, which is found below.
            Some(ended) = tasks.join_next() => { ended??; }
        }
        let done = shared.done.load(Ordering::Relaxed) - before;
        let (cpu, took) = (between(cpu, process::cpu(one)?), started.elapsed());
        shared.measures.store(false, Ordering::Relaxed);
        shared.over.store(true, Ordering::Relaxed);

        let mut all: Vec<(usize, Sent)> = Vec::new();
        for ended in tasks.join_all().await {
            all.push(ended?);
        }
        all.sort_by_key(|(index, _)| *index);
        let mut latency = histogram()?;
        let mut acknowledged = Vec::new();
        for (index, sent) in all {
            latency
                .add(&sent.latency)
                .context("cannot add histograms")?;
            acknowledged.extend(sent.acknowledged);
            self.requests.push(sent.requests);
            self.sent[index] = sent.number;
        }
        if let Some(heads) = &mut self.heads {
            check(heads, acknowledged)?;
        }
        Ok(Round::new(done, took, Latency::from(&latency), cpu))
    }
}

async fn send(
    mut connection: Connection,
    mut requests: Vec<(usize, SendRequest)>,
    base: u64,
    mut number: u64,
    clock: Clock,
    shared: Arc<Shared>,
) -> Outcome<Sent> {
    let mut latency = histogram()?;
    let mut acknowledged = Vec::new();
    let mut seq = NumberAfter::new("\"seq\":");
    while !shared.over.load(Ordering::Relaxed) {
        let turn = usize::try_from(number)? % requests.len();
        number += 1;
        let (chat, request) = &mut requests[turn];
        let sent_at = clock.micros();
        let answer = connection
            .send(request.fill(base + number, sent_at))
            .await?;
        let taken = clock.micros() - sent_at;
        let Some(seq) = seq.find(answer.body).filter(|_| answer.status == 200) else {
            let body = String::from_utf8_lossy(answer.body);
            return Err(format!("a send was refused: {} {body}", answer.status).into());
        };
        acknowledged.push((*chat, seq));
        shared.done.fetch_add(1, Ordering::Relaxed);
        if shared.measures.load(Ordering::Relaxed) {
            latency.record(taken)?;
        }
    }
    Ok(Sent {
        latency,
        acknowledged,
        requests,
        number,
    })
}

/// Checks that the messages of each chat go on where they ended, without a hole or a double.
fn check(heads: &mut [u64], mut acknowledged: Vec<(usize, u64)>) -> Outcome<()> {
    acknowledged.sort_unstable();
    for (chat, seq) in acknowledged {
        if seq != heads[chat] + 1 {
            let head = heads[chat];
            return Err(format!("a chat's message {seq} was acknowledged behind {head}").into());
        }
        heads[chat] = seq;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_without_holes_and_doubles() {
        let mut heads = [0, 5];
        check(&mut heads, vec![(1, 7), (0, 1), (1, 6)]).unwrap();
        assert_eq!(heads, [1, 7]);
        assert!(check(&mut heads, vec![(0, 3)]).is_err());
        assert!(check(&mut heads, vec![(0, 2), (0, 2)]).is_err());
    }
}
