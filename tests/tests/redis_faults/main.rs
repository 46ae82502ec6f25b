//! What instances that share a Redis live through: it is killed, stands still, refuses, moves;
//! and what they ask of it while all is well.

#![expect(
    clippy::unwrap_used,
    reason = "a fixture that cannot be made fails the test"
)]

mod bus;
mod checks;
mod costs;
mod outages;
mod topologies;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use talksy_domain::auth::{CodeDigest, IssuedCode};
use talksy_domain::clock::{Clock as _, Entropy as _, SystemClock, SystemEntropy, Timestamp};
use talksy_domain::error::PortError;
use talksy_domain::events::{Bus, Event, Interest, Receiver, Signal, Topic};
use talksy_domain::id::{ChatId, IdGenerator};
use talksy_domain::limits::{Quota, Rule};
use talksy_redis::{RedisAdapters, RedisOptions};
use talksy_tests::{DEADLINE, eventually, soon};

const LEASE: Duration = Duration::from_secs(45);

fn ids() -> IdGenerator {
    IdGenerator::new(Arc::new(SystemClock), Arc::new(SystemEntropy))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemEntropy.fill(&mut bytes);
    bytes
}

fn now() -> Timestamp {
    SystemClock.now()
}

fn options() -> RedisOptions {
    RedisOptions {
        linger: Duration::from_millis(20),
        timeout: DEADLINE / 6,
        ..RedisOptions::new("talksy:", 1_024)
    }
}

/// An instance that is not connected.
fn closed(url: &SecretString) -> RedisAdapters {
    RedisAdapters::open(url, Arc::new(SystemClock), &options()).unwrap()
}

/// An instance that runs.
async fn instance(url: &SecretString) -> RedisAdapters {
    started(closed(url)).await
}

async fn started(adapters: RedisAdapters) -> RedisAdapters {
    eventually("a prepared Redis", async || {
        match adapters.prepare().await {
            Ok(()) => Some(()),
            Err(error) if error.is_transient() => None,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
    adapters.start();
    adapters
}

fn typing(chat_id: ChatId) -> Event {
    Event::Typing {
        chat_id,
        user_id: ids().next(),
        is_typing: true,
        mseq: 0,
    }
}

/// The next event; interruptions are passed over.
async fn event(receiver: &mut Receiver) -> Event {
    soon("an event", async {
        loop {
            if let Signal::Event(published) = receiver.recv().await {
                return published.event.clone();
            }
        }
    })
    .await
}

/// Waits until the receiver is told that it may have missed something; events are passed over.
async fn interruption(receiver: &mut Receiver) {
    soon("an interruption", async {
        while matches!(receiver.recv().await, Signal::Event(_)) {}
    })
    .await;
}

/// Publishes until one event gets through: a bus may lose some before it knows that it does.
/// Further ones of the same kind may come after it.
async fn gets_through(bus: &dyn Bus, chat: ChatId, receiver: &mut Receiver) {
    let mut sent = Vec::new();
    soon("an event that gets through", async {
        loop {
            sent.push(typing(chat));
            let event_sent = sent[sent.len() - 1].clone();
            bus.publish(Topic::Chat(chat), event_sent).await.unwrap();
            let passes = async { while !sent.contains(&event(receiver).await) {} };
            // Not a measure: one that comes later is waited for beside the next one.
            if tokio::time::timeout(Duration::from_millis(100), passes)
                .await
                .is_ok()
            {
                return;
            }
        }
    })
    .await;
}

async fn follow(adapters: &RedisAdapters, chat: ChatId) -> Receiver {
    let topics = [Topic::Chat(chat)];
    let bus = adapters.bus();
    bus.subscribe(Interest::TYPING, &topics).await.unwrap()
}

fn assert_unavailable<T: std::fmt::Debug>(result: Result<T, PortError>) {
    assert!(
        matches!(result, Err(PortError::Unavailable { .. })),
        "{result:?}"
    );
}

fn new_code(at: Timestamp) -> IssuedCode {
    IssuedCode {
        digest: CodeDigest(random()),
        issued_at: at,
        expires_at: at + Duration::from_mins(5),
        tries: 5,
    }
}

const RULE: Rule = Rule {
    name: "test",
    quota: Quota {
        burst: 2,
        period: Duration::from_hours(1),
    },
};
