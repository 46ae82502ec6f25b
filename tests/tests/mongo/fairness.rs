//! Instances that meet at one busy chat where an insert takes long: nobody starves, with Redis and
//! without.

use std::sync::Arc;
use std::time::{Duration, Instant};

use talksy_domain::clock::SystemClock;
use talksy_domain::error::PortError;
use talksy_domain::id::{ChatId, UserId};
use talksy_domain::messages::{
    ChangeAction, Changed, Message, MessageChange, MessageStore as _, MessageText,
};
use talksy_domain::seq::Seq;
use talksy_domain::turns::{Turn, Turns};
use talksy_mongo::{MongoOptions, MongoStore};
use talksy_redis::{RedisAdapters, RedisOptions};
use talksy_tests::servers::mongo::Mongo;
use talksy_tests::servers::redis::RedisServer;
use talksy_tests::slow_way::SlowWay;
use talksy_tests::{eventually, soon};

use super::{Fixture, NOW, done, draft, forward, nobody, with_own_id};

/// How many send at each instance at the same time.
const SENDERS: usize = 16;

/// How many messages each sends, and how long one may take: for machines that have other work to do, or as a server has it where
/// `TALKSY_FAIRNESS_MESSAGES=200` asks for figures (`make soak`).
fn load() -> (usize, Duration) {
    match std::env::var("TALKSY_FAIRNESS_MESSAGES") {
        Ok(count) => (count.parse().unwrap(), MongoOptions::default().timeout),
        Err(_) => (8, Duration::from_secs(20)),
    }
}

/// How many milliseconds are put before each insert or change.
const DELAYS: [u64; 4] = [0, 5, 15, 50];

/// The adapters of one instance, connected.
async fn redis(server: &RedisServer) -> RedisAdapters {
    let options = RedisOptions::new("fair:", 16);
    let redis = RedisAdapters::open(&server.url(), Arc::new(SystemClock), &options).unwrap();
    eventually("Redis", async || redis.prepare().await.ok()).await;
    redis
}

/// A store over a slow way.
async fn store(
    way: &SlowWay,
    database: &str,
    timeout: Duration,
    turns: Option<Arc<dyn Turns>>,
) -> MongoStore {
    let options = MongoOptions {
        timeout,
        reach_timeout: timeout / 2,
        ..MongoOptions::default()
    };
    let store = MongoStore::open_with(&way.url(database), &options, nobody(), turns).unwrap();
    eventually("a prepared store", async || store.prepare().await.ok()).await;
    store
}

/// What everybody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Send,
    /// Each a message of their own, again and again.
    Edit,
}

/// How many messages each sends to one chat at most, where MongoDB is a stand-in: it reads the whole
/// chat for its last number, so that a long one would measure only that. Who is to send more goes on
/// in another chat, where all meet again.
const PART: usize = 25;

/// How a rush went.
struct Rush {
    /// How many messages were sent or changed, in which time.
    count: usize,
    took: Duration,
    /// When the first instance had all its messages through, what share of theirs, in percent, the
    /// others had at least.
    least_share: usize,
}

/// Everybody sends, or edits, at once, and nobody is refused.
async fn rush(fixture: &Fixture, instances: &[MongoStore], each: usize, work: Work) -> Rush {
    let before = fixture.seqs().await.len();
    let mut own = Vec::new();
    for _ in 0..instances.len() * SENDERS {
        own.push(match work {
            Work::Send => fixture.draft(),
            Work::Edit => fixture.send().await,
        });
    }
    let started = Instant::now();
    let mut tasks = Vec::new();
    for (n, message) in own.into_iter().enumerate() {
        let (store, user) = (instances[n / SENDERS].clone(), fixture.users[n % 2]);
        tasks.push(tokio::spawn(async move {
            let mut numbers = Vec::new();
            for turn in 0..each {
                let number = match work {
                    Work::Send => send(&store, message.chat_id, user).await,
                    Work::Edit => edit(&store, &message, &format!("edit {turn}")).await,
                };
                numbers.push(number.unwrap_or_else(|error| {
                    let instance = n / SENDERS;
                    panic!("{n} at instance {instance} was refused: {error:?}")
                }));
            }
            assert!(numbers.is_sorted());
            numbers
        }));
    }
    let mut by_instance = vec![Vec::new(); instances.len()];
    for (n, task) in tasks.into_iter().enumerate() {
        by_instance[n / SENDERS].extend(task.await.unwrap());
    }
    let took = started.elapsed();
    let ends = by_instance.iter().map(|numbers| numbers.iter().max());
    let end = ends.min().unwrap();
    let through = |numbers: &Vec<_>| numbers.iter().filter(|seq| Some(*seq) <= end).count();
    let fewest = by_instance.iter().map(through).min().unwrap();
    let least_share = fewest * 100 / (SENDERS * each);
    let mut numbers = by_instance.concat();
    numbers.sort_unstable();
    match work {
        Work::Send => {
            // Dense, and each message is there once.
            let first = u32::try_from(before).unwrap() + 1;
            let last = u32::try_from(before + numbers.len()).unwrap();
            assert_eq!(numbers, (first..=last).collect::<Vec<_>>());
            assert_eq!(fixture.seqs().await, (1..=last).collect::<Vec<_>>());
        }
        Work::Edit => each_is_changed(fixture, &numbers, each).await,
    }
    Rush {
        count: numbers.len(),
        took,
        least_share,
    }
}

/// Every change has a number of its own, and each message is as its last change left it.
async fn each_is_changed(fixture: &Fixture, numbers: &[Seq], each: usize) {
    assert!(
        numbers.windows(2).all(|pair| pair[0] < pair[1]),
        "{numbers:?}"
    );
    let heads = fixture.store.heads(&[fixture.chat]).await.unwrap();
    assert_eq!(Some(&heads[0].last_change_seq), numbers.last());
    let window = forward(None, 1_000);
    let changed = fixture.store.changes(fixture.chat, 1, &window);
    let changed = changed.await.unwrap().items;
    assert_eq!(changed.len(), numbers.len() / each);
    for message in changed {
        let text = message.text.as_ref().map(MessageText::as_str);
        assert_eq!(text, Some(format!("edit {}", each - 1).as_str()));
        assert!(numbers.contains(&message.change_seq));
    }
}

async fn send(store: &MongoStore, chat: ChatId, user: UserId) -> Result<Seq, PortError> {
    let appended = store.append(&draft(chat, user)).await?;
    Ok(done(appended).message.seq)
}

async fn edit(store: &MongoStore, message: &Message, text: &str) -> Result<Seq, PortError> {
    let change = MessageChange {
        message_id: message.id,
        chat_id: message.chat_id,
        actor_id: message.sender_id.unwrap(),
        at: NOW,
        action: ChangeAction::Edit {
            edit: MessageText::parse(text).unwrap().into(),
            expected: None,
        },
    };
    match store.change(&change).await? {
        Changed::Done(changed) => Ok(changed.message.change_seq),
        refused @ Changed::Refused(_) => panic!("{refused:?}"),
    }
}

impl Rush {
    fn rate(&self) -> f64 {
        f64::from(u32::try_from(self.count).unwrap()) / self.took.as_secs_f64()
    }
}

/// Everybody does so many things, in one chat or one after the other.
async fn rushes(
    way: &SlowWay,
    timeout: Duration,
    turns: &[Option<Arc<dyn Turns>>],
    messages: usize,
    work: Work,
) -> Rush {
    let mongo = Mongo::shared().await;
    let (mut count, mut took, mut shares) = (0, Duration::ZERO, Vec::new());
    let mut left = messages;
    while left > 0 {
        let each = if Mongo::is_real() {
            left
        } else {
            left.min(PART)
        };
        left -= each;
        let fixture = Fixture::new(mongo).await;
        let mut instances = Vec::new();
        for turns in turns {
            instances.push(store(way, &fixture.database, timeout, turns.clone()).await);
        }
        let rush = rush(&fixture, &instances, each, work).await;
        count += rush.count;
        took += rush.took;
        shares.push(rush.least_share);
    }
    Rush {
        count,
        took,
        least_share: shares.iter().sum::<usize>() / shares.len(),
    }
}

#[expect(clippy::print_stdout, reason = "figures, for who asks for them")]
fn report(work: Work, delay: u64, instances: usize, alone: f64, rush: &Rush) {
    let (rate, share) = (rush.rate(), rush.least_share);
    println!(
        "{work:?}, {delay:2} ms before each, instances: {instances}, a second: {rate:.0} \
         (one instance: {alone:.0}), least share: {share} %"
    );
}

/// One, two and three instances with 16 senders each, and 0, 5, 15 and 50 ms put before each
/// insert or change: nobody is refused. Returns the least shares of the rushes of several
/// instances, on average.
async fn all_are_served(server: Option<&RedisServer>, work: Work) -> usize {
    let (messages, timeout) = load();
    let way = SlowWay::to(Mongo::shared().await).await;
    let mut turns = vec![None; 3];
    if let Some(server) = server {
        for turns in &mut turns {
            *turns = Some(redis(server).await.turns());
        }
    }
    let mut shares = Vec::new();
    for delay in DELAYS {
        way.delay(Duration::from_millis(delay));
        let mut alone = 0.0;
        for count in 1..=3 {
            let rush = rushes(&way, timeout, &turns[..count], messages, work).await;
            if count == 1 {
                alone = rush.rate();
            } else {
                shares.push(rush.least_share);
            }
            report(work, delay, count, alone, &rush);
        }
    }
    shares.iter().sum::<usize>() / shares.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_redis_nobody_starves() {
    let server = RedisServer::start().await;
    // Whoever starves is nearly refused: that is seen by the share sooner.
    let share = all_are_served(Some(&server), Work::Send).await;
    assert!(
        share >= 50,
        "{share} %: one instance was nearly done before another"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_redis_nobody_who_changes_starves() {
    let server = RedisServer::start().await;
    all_are_served(Some(&server), Work::Edit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_sends_succeed() {
    all_are_served(None, Work::Send).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_changes_succeed() {
    all_are_served(None, Work::Edit).await;
}

/// A Redis that stands still, or is gone, fails no send.
#[tokio::test(flavor = "multi_thread")]
async fn sends_go_on_while_redis_is_away() {
    let mut server = RedisServer::start().await;
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let way = SlowWay::to(mongo).await;
    way.delay(Duration::from_millis(5));
    let mut instances = Vec::new();
    for _ in 0..2 {
        let turns = Some(redis(&server).await.turns());
        instances.push(store(&way, &fixture.database, Duration::from_secs(20), turns).await);
    }
    rush(&fixture, &instances, 4, Work::Send).await;
    server.0.pause().await;
    rush(&fixture, &instances, 4, Work::Send).await;
    server.0.kill().await;
    rush(&fixture, &instances, 4, Work::Send).await;
}

/// An insert whose answer is lost is told as what it is: done, each message once.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_an_insert_is_settled() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let way = SlowWay::to(mongo).await;
    let store = store(&way, &fixture.database, Duration::from_secs(20), None).await;
    for round in 0..5 {
        way.lose_answers(1);
        let draft = with_own_id(fixture.draft(), &format!("alone {round}"));
        let appended = done(store.append(&draft).await.unwrap());
        assert_eq!(way.answers_to_lose(), 0);
        assert_eq!(
            (appended.message.seq, appended.is_duplicate),
            (round + 1, false)
        );
        let again = done(store.append(&draft).await.unwrap());
        assert_eq!(again.message, appended.message);
        assert!(again.is_duplicate);
    }
    // Batches of many, several answers in a row among them.
    way.delay(Duration::from_millis(5));
    for count in 1..=3 {
        way.lose_answers(count);
        rush(&fixture, std::slice::from_ref(&store), 2, Work::Send).await;
        assert_eq!(way.answers_to_lose(), 0);
    }
}

/// A change whose answer is lost, or that of what settles it too, is told as what it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_a_change_is_settled() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let way = SlowWay::to(mongo).await;
    let store = store(&way, &fixture.database, Duration::from_secs(20), None).await;
    let message = fixture.send().await;
    for round in 1..=4 {
        way.lose_answers(1 + round % 2);
        let number = edit(&store, &message, &format!("edit {round}")).await;
        assert_eq!(way.answers_to_lose(), 0);
        let heads = fixture.store.heads(&[fixture.chat]).await.unwrap();
        assert_eq!(number.unwrap(), heads[0].last_change_seq);
    }
    way.delay(Duration::from_millis(5));
    for count in 1..=2 {
        let fixture = Fixture::new(mongo).await;
        let store = self::store(&way, &fixture.database, Duration::from_secs(20), None).await;
        way.lose_answers(count);
        rush(&fixture, std::slice::from_ref(&store), 2, Work::Edit).await;
        assert_eq!(way.answers_to_lose(), 0);
    }
}

/// Turns are passed on in the order of asking; who is gone loses its turn to time.
#[tokio::test(flavor = "multi_thread")]
async fn turns_are_passed_on_in_order() {
    let server = RedisServer::start().await;
    let adapters = redis(&server).await;
    let turns = adapters.turns();
    let long = Duration::from_mins(10);
    let ask = async |worker: &str| turns.ask("q", worker, long).await.unwrap();
    let pass = async |worker: &str| turns.pass("q", worker, long).await.unwrap();
    let others = async |worker: &str| turns.others("q", worker).await.unwrap();

    assert!(!others("a").await);
    assert_eq!(ask("a").await, Turn::Granted);
    assert!(!others("a").await);
    assert!(others("b").await);
    for worker in ["b", "c", "d", "b"] {
        assert_eq!(ask(worker).await, Turn::Waiting);
    }
    assert!(others("a").await);
    // Another queue has turns of its own.
    assert_eq!(turns.ask("other", "b", long).await.unwrap(), Turn::Granted);

    // c gives up, and passing what one does not have changes nothing.
    assert!(pass("c").await);
    assert!(pass("x").await);
    assert_eq!(ask("b").await, Turn::Waiting);
    assert!(pass("a").await);
    assert_eq!(ask("d").await, Turn::Waiting);
    assert_eq!(ask("b").await, Turn::Granted);

    // b dies in its turn, which ends by its time; then it is d's.
    let short = Duration::from_millis(1);
    assert_eq!(turns.ask("q", "b", short).await.unwrap(), Turn::Granted);
    assert_eq!(soon("d's turn", granted(&*turns, "d")).await, Ok(()));
    assert!(!pass("d").await);
    assert!(!others("a").await);
    assert_eq!(
        server
            .run(&["--scan", "--pattern", "fair:turns:{q}*"])
            .await
            .trim(),
        ""
    );
}

async fn granted(turns: &dyn Turns, worker: &str) -> Result<(), String> {
    let limit = Duration::from_mins(10);
    loop {
        let turn: Result<Turn, PortError> = turns.ask("q", worker, limit).await;
        if turn.map_err(|error| error.to_string())? == Turn::Granted {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}
