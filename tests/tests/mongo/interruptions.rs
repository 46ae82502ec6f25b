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

/// The most commands that an interruption costs each sidebar.
const EACH: u64 = 5;

/// Sidebars of 200 chats each, all of which have missed a message.
async fn hold_to_five(kind: Kind) {
    const CHATS: usize = 200;
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
    let chats = Chats::Groups(CHATS);
    let mut sidebars = Sidebars::new(ports, 200, chats, no_heartbeat()).await;
    let mut opened = 0;
    for count in [50, 200] {
        sidebars.open(kind, opened..count).await;
        opened = count;
        sidebars.write().await;
        counted.take();
        sidebars.hub.interrupt_all();
        let told = sidebars.told(count).await;
        let commands = counted.take();
        println!("{kind:?} of {count} sidebars: {commands:?}");
        assert_eq!(told, (0..count).collect::<Vec<_>>());
        let sum: u64 = commands.values().sum();
        let most = EACH * u64::try_from(count).unwrap();
        assert!(sum <= most, "{commands:?}, at most {most}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_costs_each_sidebar_five_commands() {
    hold_to_five(Kind::Chats).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_costs_each_account_five_commands() {
    hold_to_five(Kind::Account).await;
}
