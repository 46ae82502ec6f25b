//! What an interruption of the bus costs MongoDB, counted as commands on the wire.

use std::sync::Arc;

use secrecy::SecretString;
use talksy_domain::services::Ports;
use talksy_mongo::MongoStore;
use talksy_tests::backend::{Backend, no_heartbeat};
use talksy_tests::servers::counted::CountedMongo;
use talksy_tests::servers::mongo::{Mongo, patient};
use talksy_tests::sidebars::{Chats, Kind, Sidebars};

use super::nobody;

/// All have missed a message.
#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_costs_each_feed_of_many_chats_a_few_commands() {
    // Each may be the only one that asks at its time: of these calls those for the ends of chats take two
    // commands. What is told is the same for all.
    const EACH: [usize; 2] = [5, 7];
    const CHATS: usize = 60;
    const PEOPLE: usize = 20;
    let mongo = Mongo::shared().await;
    let counted = CountedMongo::start(mongo.port).await;
    let database = mongo.new_database();
    let url = SecretString::from(format!("mongodb://{}/{database}", counted.address));
    let store = MongoStore::open(&url, &patient(), nobody()).unwrap();
    store.prepare().await.unwrap();
    let store = Arc::new(store);
    let backend = Backend::open().await;
    let ports = Ports {
        users: Arc::clone(&store) as _,
        sessions: Arc::clone(&store) as _,
        chats: Arc::clone(&store) as _,
        messages: Arc::clone(&store) as _,
        groups: Arc::clone(&store) as _,
        jobs: store,
        ..backend.ports.clone()
    };
    let groups = Chats::Groups(CHATS);
    let mut sidebars = Sidebars::new(ports, PEOPLE, groups, no_heartbeat()).await;
    let mut opened = [0, 0];
    for feeds in [[5, 0], [PEOPLE, 0], [PEOPLE, 5], [PEOPLE, PEOPLE]] {
        for (kind, index) in [(Kind::Chats, 0), (Kind::Account, 1)] {
            sidebars.open(kind, opened[index]..feeds[index]).await;
        }
        opened = feeds;
        counted.take();
        sidebars.miss_a_message(&feeds).await;
        let commands = counted.take();
        println!("{feeds:?} of `chatUpdated` and `accountEvents`: {commands:?}");
        let sum: u64 = commands.values().sum();
        let most: usize = EACH
            .iter()
            .zip(feeds)
            .map(|(each, feeds)| each * feeds)
            .sum();
        assert!(
            sum <= u64::try_from(most).unwrap(),
            "{commands:?}, at most {most}"
        );
    }
}
