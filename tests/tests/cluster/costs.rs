//! What a send costs the backends, through the whole server. It is counted at the backends, not
//! where the adapters say what they do.

use serde_json::json;
use talksy_tests::client::{MESSAGE_ADDED, SEND, User, start_of};
use talksy_tests::cluster::Cluster;
use talksy_tests::servers::counted::{Commands, CountedMongo};
use talksy_tests::websocket::Subscription;
use talksy_tests::{eventually, soon};

/// How many sends are measured; a multiple of eight, as the newest number is read for each eighth.
const SENDS: u64 = 16;

/// The sender is told the message's number, and subscribers what it says.
const BARE: [&str; 2] = [
    "mutation($input: SendMessageInput!) { sendMessage(input: $input) { message { id seq } } }",
    "subscription($chatId: ID!, $after: String) {
        messageAdded(chatId: $chatId, after: $after) { cursor node { id seq text } } }",
];

/// The sender is told the chat's state too, with the unread count, and subscribers who sends.
const FULL: [&str; 2] = [SEND, MESSAGE_ADDED];

struct World {
    cluster: Cluster,
    mongo: CountedMongo,
    ada: User,
    bob: User,
    chat: String,
    sent: i64,
}

impl World {
    async fn send(&mut self, mutation: &str, subscribers: &mut [Subscription]) {
        let input = json!({ "chatId": self.chat, "text": "hello" });
        let client = &self.ada.client;
        client.data(mutation, json!({ "input": input })).await;
        self.sent += 1;
        for subscriber in subscribers {
            while soon("the message", subscriber.added()).await["node"]["seq"] != json!(self.sent) {
            }
        }
    }

    /// What each send cost, with so many subscribers who have got it.
    async fn costs(&mut self, [mutation, feed]: [&str; 2], count: usize) -> Vec<Cost> {
        let mut subscribers = Vec::new();
        let variables = json!({ "chatId": self.chat, "after": start_of(&self.chat) });
        for n in 0..count {
            let user = if n % 2 == 0 { &self.bob } else { &self.ada };
            subscribers.push(user.client.subscribe(feed, variables.clone()).await);
        }
        self.send(mutation, &mut subscribers).await;
        let mut costs = Vec::new();
        for _ in 0..SENDS {
            // The sender's session is known for a second from here.
            self.ada.client.data("{ __typename }", json!({})).await;
            self.mongo.take();
            self.cluster.redis.run(&["CONFIG", "RESETSTAT"]).await;
            self.send(mutation, &mut subscribers).await;
            // The server's own subscribers have the message before Redis has its event.
            let redis = eventually("the event at Redis", async || {
                let commands = redis_commands(&self.cluster).await;
                commands.contains_key("publish").then_some(commands)
            })
            .await;
            costs.push(Cost {
                mongo: self.mongo.take(),
                redis,
            });
        }
        costs
    }
}

/// What one send cost.
#[derive(Debug)]
struct Cost {
    mongo: Commands,
    redis: Commands,
}

/// What Redis was asked for. The commands that a script runs are in it too.
async fn redis_commands(cluster: &Cluster) -> Commands {
    let statistics = cluster.redis.run(&["INFO", "commandstats"]).await;
    let command = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
    };
    statistics.lines().filter_map(command).collect()
}

/// The smallest number of each command: what lies above it has other reasons than the send.
fn least(costs: &[Cost], of: fn(&Cost) -> &Commands) -> Commands {
    let mut least: Commands = of(&costs[0]).clone();
    for cost in costs {
        least.retain(|name, count| {
            *count = (*count).min(of(cost).get(name).copied().unwrap_or(0));
            *count > 0
        });
    }
    least
}

fn commands(expected: &[(&str, u64)]) -> Commands {
    let owned = expected
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count));
    owned.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_costs_the_same_whatever_the_number_of_subscribers() {
    let cluster = Cluster::start().await;
    let mongo = CountedMongo::start(cluster.mongo.port).await;
    let store = format!("store_url=mongodb://{}/talksy", mongo.address);
    // What is done from time to time is done seldom.
    let quiet = [
        "live.heartbeat=10m",
        "live.session_check=1m",
        "presence.lease=10m",
        "presence.sweep=30s",
    ];
    let settings: Vec<_> = quiet.into_iter().chain([store.as_str()]).collect();
    let server = cluster.instance(&settings).await;
    let (ada, bob) = (server.sign_in("ada").await, server.sign_in("bob").await);
    let chat = ada.start_chat(&bob).await;
    let mut world = World {
        cluster,
        mongo,
        ada,
        bob,
        chat,
        sent: 0,
    };

    // [chat, member], insert, the chat's end.
    let bare = commands(&[("find", 2), ("insert", 1), ("update", 1)]);
    // And the chat, the unread count, the sender's name.
    let full = commands(&[("aggregate", 2), ("find", 5), ("insert", 1), ("update", 1)]);
    for (selections, expected) in [(BARE, bare), (FULL, full)] {
        for subscribers in [1, 20] {
            let costs = world.costs(selections, subscribers).await;
            let what = format!("{subscribers} subscribers: {costs:#?}");
            assert_eq!(least(&costs, |cost| &cost.mongo), expected, "{what}");
            for write in ["insert", "update"] {
                assert!(costs.iter().all(|cost| cost.mongo[write] == 1), "{what}");
            }
            // The newest number at each eighth, and a session of each user that is looked up
            // again.
            let reads = expected["find"] + 3;
            assert!(
                costs.iter().all(|cost| cost.mongo["find"] <= reads),
                "{what}"
            );
            // One event on one topic; the sender's rate is one script.
            assert!(
                costs.iter().all(|cost| cost.redis["publish"] == 1),
                "{what}"
            );
            assert_eq!(least(&costs, |cost| &cost.redis)["evalsha"], 1, "{what}");
        }
    }
}
