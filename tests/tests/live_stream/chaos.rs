//! Whatever the bus does, a subscriber's view is the store's: every message, in order, once.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use proptest::collection::vec;
use proptest::prelude::*;
use talksy_domain::feeds::{Feed as _, FeedPolicy, MessageFeed};
use talksy_domain::messages::Message;
use talksy_domain::seq::Seq;
use talksy_tests::chaos::{Faults, bad_bus};
use talksy_tests::soon;
use tokio::sync::watch;

use super::property::{check, runtime};
use super::world::{Backend, World, message, next, quick_heartbeat};

/// How the bus behaves, who sends, and who listens.
#[derive(Clone, Debug)]
struct Case {
    faults: Faults,
    seed: u64,
    mailbox: usize,
    /// How many messages each of the senders sends, one after another.
    senders: Vec<usize>,
    subscribers: Vec<Subscriber>,
}

/// What a subscriber does, in parts of a hundred of all messages.
#[derive(Clone, Debug)]
struct Subscriber {
    /// Behind which message it begins, once that was sent; `None` for before the first is sent,
    /// without a cursor.
    after: Option<usize>,
    /// After how many messages it leaves; it comes back when so many were sent.
    departures: Vec<(usize, usize)>,
    /// After how many it stops reading until all were sent.
    stall: Option<usize>,
}

fn faults() -> impl Strategy<Value = Faults> {
    let percent = || prop_oneof![1 => Just(0), 3 => 0..=70_u8];
    (percent(), percent(), percent(), 0..=20_u8).prop_map(|(lose, double, hold, interrupt)| {
        Faults {
            lose,
            double,
            hold,
            interrupt,
        }
    })
}

fn subscriber() -> impl Strategy<Value = Subscriber> {
    (
        prop::option::of(0..=100_usize),
        vec((1..=100_usize, 0..=100_usize), 0..=3),
        prop::option::weighted(0.3, 0..=100_usize),
    )
        .prop_map(|(after, departures, stall)| Subscriber {
            after,
            departures,
            stall,
        })
}

fn case() -> impl Strategy<Value = Case> {
    (
        faults(),
        any::<u64>(),
        prop_oneof![3 => 1..=4_usize, 1 => Just(256)],
        vec(1..=8_usize, 1..=5),
        vec(subscriber(), 1..=4),
    )
        .prop_map(|(faults, seed, mailbox, senders, subscribers)| Case {
            faults,
            seed,
            mailbox,
            senders,
            subscribers,
        })
}

/// A case as it runs.
struct Run {
    world: World,
    total: usize,
    /// How many messages were sent so far.
    sent: watch::Sender<usize>,
}

impl Run {
    fn part(&self, percent: usize) -> usize {
        self.total * percent / 100
    }

    /// Waits until so many messages were sent.
    async fn until_sent(&self, count: usize) {
        let mut sent = self.sent.subscribe();
        let enough = sent.wait_for(|sent| *sent >= count);
        soon("messages to be sent", enough).await.unwrap();
    }

    async fn send(&self, sender: usize, count: usize) {
        let who = [self.world.ann, self.world.ben][sender % 2];
        for number in 0..count {
            let own_id = format!("{sender}.{number}");
            self.world.send_once(&who, &own_id).await;
            self.sent.send_modify(|sent| *sent += 1);
        }
    }

    /// Listens as planned until every message has come; `early` is a feed that was opened before
    /// any was sent.
    async fn listen(&self, plan: &Subscriber, early: Option<MessageFeed>) -> Vec<Message> {
        let after = self.part(plan.after.unwrap_or(0));
        let mut feed = match early {
            Some(feed) => feed,
            None => self.resume(after, after).await,
        };
        let mut view: Vec<Message> = Vec::new();
        let mut departures = plan.departures.clone();
        departures.sort_unstable();
        let mut departures = departures.into_iter().peekable();
        let mut stall = plan.stall;
        while after + view.len() < self.total {
            if stall.is_some_and(|stall| view.len() >= self.part(stall)) {
                stall = None;
                self.until_sent(self.total).await;
            }
            let published = next(&mut feed).await;
            view.push(message(&published));
            let leaves = departures.next_if(|(count, _)| view.len() >= self.part(*count).max(1));
            if let Some((_, until)) = leaves {
                drop(feed);
                let last = view.last().map_or(after, |message| as_usize(message.seq));
                feed = self.resume(last, self.part(until)).await;
            }
        }
        if let Some(Ok(more)) = feed.next().now_or_never() {
            view.push(message(&more));
        }
        view
    }

    async fn resume(&self, after: usize, sent: usize) -> MessageFeed {
        self.until_sent(sent.max(after)).await;
        self.world.follow_after(Seq::try_from(after).unwrap()).await
    }
}

fn as_usize(seq: Seq) -> usize {
    usize::try_from(seq).unwrap()
}

async fn run(case: Case, backend: Arc<Backend>, live: FeedPolicy) {
    let bus = bad_bus(case.faults, case.seed, case.mailbox);
    let run = Arc::new(Run {
        world: World::new(backend, bus, live).await,
        total: case.senders.iter().sum(),
        sent: watch::Sender::new(0),
    });
    let mut listening = Vec::new();
    for plan in case.subscribers.clone() {
        let early = match plan.after {
            None => Some(run.world.follow().await),
            Some(_) => None,
        };
        let run = Arc::clone(&run);
        listening.push(tokio::spawn(async move { run.listen(&plan, early).await }));
    }
    let sending = case
        .senders
        .iter()
        .copied()
        .enumerate()
        .map(|(sender, count)| {
            let run = Arc::clone(&run);
            tokio::spawn(async move { run.send(sender, count).await })
        });
    for sender in join_all(sending).await {
        sender.unwrap();
    }
    let held = run.world.held().await;
    let numbers: Vec<_> = held.iter().map(|message| as_usize(message.seq)).collect();
    assert_eq!(numbers, (1..=run.total).collect::<Vec<_>>());
    for (view, plan) in join_all(listening).await.into_iter().zip(&case.subscribers) {
        let after = run.part(plan.after.unwrap_or(0));
        assert_eq!(view.unwrap(), held[after..], "{plan:?}");
    }
}

#[test]
fn a_view_is_the_store_s_whatever_the_bus_does() {
    let runtime = runtime();
    let backend = runtime.block_on(Backend::open());
    check(120, &case(), |case| {
        runtime.block_on(run(case, Arc::clone(&backend), quick_heartbeat()));
    });
}
