//! The contract suite of the stores over MongoDB.

use talksy_tests::contract::Stores;
use talksy_tests::contract_suite;
use talksy_tests::servers::mongo::Mongo;

contract_suite!(mongo: stores = mongo_stores().await);

async fn mongo_stores() -> Stores {
    let (store, events) = Mongo::shared().await.store().await;
    Stores::of(store, events)
}
