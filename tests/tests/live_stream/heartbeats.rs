//! What feeds and open connections cost the store while nothing happens: what all of them ask is asked
//! together, so that the cost does not grow with their number but with the keys, a hundred or more a
//! call.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use talksy_domain::feeds::{Feed, FeedPolicy, FeedService};
use talksy_domain::id::ChatId;
use talksy_domain::services::Services;
use talksy_domain::viewer::Viewer;
use talksy_tests::eventually;
use talksy_tests::faulty_store::FaultyStore;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::script::ScriptBus;
use super::world::{Backend, NEVER, World, no_heartbeat, policies};

/// How many feeds of each kind there are.
const FEEDS: usize = 400;
/// How many keys a store call asks for.
const KEYS: usize = 100;
/// How many are made at once.
const AT_ONCE: usize = 64;

/// Those whose feeds are open, each with a chat with Ann, and a server for them whose store calls
/// are counted.
struct House {
    world: World,
    users: Vec<(Viewer, ChatId)>,
    counted: Services,
    calls: FaultyStore,
    stop: CancellationToken,
}

impl House {
    async fn open(bus: &std::sync::Arc<ScriptBus>, users: usize, live: FeedPolicy) -> Self {
        let bus = std::sync::Arc::clone(bus);
        let world = World::new(Backend::open().await, bus as _, no_heartbeat()).await;
        let made = (0..users).map(|_| async {
            let user = world.person("user").await;
            let chats = &world.services.chats;
            let (chat, _) = chats.start_direct(&world.ann, user.user_id).await.unwrap();
            (user, chat.id)
        });
        let users = stream::iter(made).buffered(AT_ONCE).collect().await;
        let calls = FaultyStore::new();
        let ports = calls.in_front_of(world.ports.clone());
        let mut policies = policies();
        policies.feeds = live;
        let counted = Services::new(ports, policies);
        let stop = CancellationToken::new();
        Self {
            world,
            users,
            counted,
            calls,
            stop,
        }
    }

    /// Follows a feed until the end of the test.
    fn drive<F: Feed>(&self, mut feed: F, told: Option<mpsc::UnboundedSender<F::Item>>) {
        let stop = self.stop.clone();
        tokio::spawn(async move {
            loop {
                let item = tokio::select! {
                    () = stop.cancelled() => return,
                    item = feed.next() => item,
                };
                match (item, &told) {
                    (Ok(item), Some(told)) => drop(told.send(item)),
                    (Ok(_), None) => {}
                    (Err(error), _) => panic!("the feed has ended: {error}"),
                }
            }
        });
    }

    /// Opens a feed for each user.
    async fn follow<F: Feed>(&self, open: impl AsyncFn(&FeedService, &Viewer, ChatId) -> F) {
        let feeds = &self.counted.feeds;
        for (user, chat) in &self.users {
            self.drive(open(feeds, user, *chat).await, None);
        }
    }

    /// The store calls of each method within so many heartbeats, of the process and so of each feed.
    async fn calls_within(&self, heartbeats: usize) -> BTreeMap<&'static str, usize> {
        let so_far = || -> BTreeMap<&'static str, usize> {
            let methods = FaultyStore::all_calls().into_iter();
            methods
                .map(|call| {
                    let name = format!("{}.{}", call.port, call.method);
                    (call.method, self.calls.calls(&name))
                })
                .collect()
        };
        // The process asks for the incarnation once on each.
        let beats = || self.calls.calls("messages.incarnation");
        let (before, first) = (so_far(), beats());
        eventually("heartbeats", async || {
            (beats() >= first + heartbeats).then_some(())
        })
        .await;
        let mut calls = so_far();
        calls.retain(|method, count| {
            *count -= before[method];
            *count > 0 && *method != "incarnation"
        });
        calls
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn beating() -> FeedPolicy {
    FeedPolicy {
        heartbeat: Duration::from_millis(400),
        session_check: Duration::from_millis(400),
        checkpoint_after: NEVER,
        ..no_heartbeat()
    }
}

/// The calls within heartbeats of feeds of one kind: only these methods, each far less often than
/// once for a feed. How many keys a call asks for depends on how many feeds come to ask at a time, so
/// on a busy machine there are more.
async fn hold_to(house: &House, kind: &str, methods: &[&str]) {
    const BEATS: usize = 4;
    let calls = house.calls_within(BEATS).await;
    for (method, count) in &calls {
        assert!(methods.contains(method), "{kind}: {calls:?}");
        // A heartbeat is begun and another one is ended.
        let most = (BEATS + 2) * FEEDS / 4;
        assert!(*count <= most, "{kind}: {calls:?}, at most {most}");
    }
    for method in methods {
        assert!(calls.contains_key(method), "{kind}: {calls:?}");
    }
}

macro_rules! heartbeats {
    ($($name:ident: $open:expr, $methods:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            let house = House::open(&ScriptBus::new(64), FEEDS, beating()).await;
            house.follow($open).await;
            hold_to(&house, stringify!($name), &$methods).await;
        }
    )*};
}

heartbeats! {
    messages: async |feeds: &FeedService, user: &Viewer, chat| {
        feeds.messages(user, chat, None).await.unwrap()
    }, ["heads"];
    changes: async |feeds: &FeedService, user: &Viewer, chat| {
        feeds.changes(user, chat, None).await.unwrap()
    }, ["heads"];
    typing: async |feeds: &FeedService, user: &Viewer, chat| {
        feeds.typing(user, chat).await.unwrap()
    }, ["heads"];
    receipts: async |feeds: &FeedService, user: &Viewer, chat| {
        feeds.receipts(user, chat).await.unwrap()
    }, ["heads", "first_members"];
    chats: async |feeds: &FeedService, user: &Viewer, _| {
        feeds.chats(user).await.unwrap()
    }, ["heads", "membership_versions", "lowest_read_marks"];
    removals: async |feeds: &FeedService, user: &Viewer, _| {
        feeds.removals(user).await.unwrap()
    }, ["membership_versions"];
    account: async |feeds: &FeedService, user: &Viewer, _| {
        feeds.account(user, None, None).await.unwrap()
    }, ["heads", "membership_versions", "users", "lowest_read_marks"];
    presence: async |feeds: &FeedService, user: &Viewer, _| {
        feeds.presence(user, vec![user.user_id]).await.unwrap()
    }, ["online", "users"];
}

/// The sessions of all open connections are looked at together, a thousand in a call.
#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_sessions_cost_what_ten_do() {
    const BEATS: usize = 4;
    for connections in [10, 500] {
        let house = House::open(&ScriptBus::new(64), connections, beating()).await;
        for (user, _) in &house.users {
            let (feeds, user, stop) = (house.counted.feeds.clone(), *user, house.stop.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    ended = feeds.session_end(&user) => panic!("a session has ended: {ended:?}"),
                }
            });
        }
        let open = async || (house.calls.calls("bus.subscribe") >= connections).then_some(());
        eventually("all to be open", open).await;
        let calls = house.calls_within(BEATS).await;
        let methods: Vec<_> = calls.keys().copied().collect();
        assert_eq!(methods, ["existing_sessions"], "{calls:?}");
        println!("{connections} connections: {calls:?} within {BEATS} looks");
        // Looks and heartbeats come equally often, but for a busy machine.
        assert!(calls["existing_sessions"] <= 2 * (BEATS + 2), "{calls:?}");
    }
}

/// On one thread, so that all who watch have been told before the first has asked.
#[tokio::test]
async fn somebody_who_comes_costs_the_same_however_many_watch() {
    let house = House::open(&ScriptBus::new(64), FEEDS, no_heartbeat()).await;
    let (told, mut tells) = mpsc::unbounded_channel();
    let ann = house.world.ann;
    for (user, _) in &house.users {
        let feeds = &house.counted.feeds;
        let feed = feeds.presence(user, vec![ann.user_id]).await.unwrap();
        house.drive(feed, Some(told.clone()));
    }
    for _ in &house.users {
        tells.recv().await.unwrap();
    }
    let names = ["presence.online", "users.users", "chats.sharing"];
    let calls = || names.map(|name| house.calls.calls(name));
    let before = calls();
    let _socket = house.world.services.presence.connect(&ann);
    for _ in &house.users {
        tells.recv().await.unwrap();
    }
    let after = calls();
    for ((name, before), after) in names.iter().zip(before).zip(after) {
        let most = 3 * FEEDS.div_ceil(KEYS);
        assert!(after - before <= most, "{name}: {}", after - before);
    }
}
