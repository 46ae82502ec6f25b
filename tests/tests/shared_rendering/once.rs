//! What all viewers of an event share is loaded once, however many they are.

use serde_json::json;

use super::people::Group;
use super::selections::{FORMS, Form, Last, everything};

/// How many are told.
const WATCHERS: [usize; 3] = [1, 10, 60];
/// How often each is measured. The first time each count is read, which then follows the events.
const TRIES: usize = 4;

/// Something happens of which a subscription tells; with how often the store was called since.
async fn happens<'a>(group: &'a Group, form: &Form, last: &mut Last<'a>) -> u64 {
    let calls = || group.app.adapters.store.calls();
    // The session is not looked up while it is counted.
    group.ada.client.data("{ __typename }", json!({})).await;
    let before = calls();
    let (seq, message) = group.send(&group.ada, "hi").await;
    last.seq = seq;
    match form.name {
        "messageUpdated" => {
            let before = calls();
            last.change_seq = group.alter(&group.ada, &message, Some("hello")).await;
            before
        }
        "readReceiptUpdated" => {
            group.ben.client.data("{ __typename }", json!({})).await;
            let before = calls();
            group.ben.mark_read(&group.chat, seq).await;
            (last.read, last.reader) = (seq, &group.ben.id);
            before
        }
        _ => before,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_costs_the_store_the_same_however_many_are_told() {
    let group = Group::start().await;
    let members = group.join(WATCHERS[WATCHERS.len() - 1]).await;
    let mut last = Last::default();
    for form in &FORMS {
        let query = everything(form).shared;
        let mut feeds = Vec::new();
        let mut costs = Vec::new();
        for watchers in WATCHERS {
            while feeds.len() < watchers {
                let member = &members[feeds.len()];
                let variables = form.variables(&group.chat, 0);
                feeds.push(member.client.subscribe(&query, variables).await);
            }
            let mut fewest = u64::MAX;
            for _ in 0..TRIES {
                let before = happens(&group, form, &mut last).await;
                for feed in &mut feeds {
                    while !form.tells(&feed.next().await[form.name], last) {}
                }
                fewest = fewest.min(group.app.adapters.store.calls() - before);
            }
            costs.push(fewest);
        }
        println!("{}: {costs:?} store calls for {WATCHERS:?}", form.name);
        let (most, fewest) = (costs.iter().max().unwrap(), costs.iter().min().unwrap());
        // One more where the session is looked up, and one where a name is.
        assert!(most - fewest <= 2, "{}: {costs:?}", form.name);
    }
    group.app.stop().await;
}
