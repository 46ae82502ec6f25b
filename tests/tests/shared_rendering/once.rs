//! What all viewers of an event share is loaded once, however many they are.

use futures_util::future::join_all;
use serde_json::json;
use talksy_tests::app::TestApp;
use talksy_tests::websocket::Subscription;

use super::people::Group;
use super::selections::{FORMS, Form, Last, Of, everything};

/// How many are told.
const WATCHERS: [usize; 3] = [1, 10, 100];
/// How many devices one side of a direct chat has.
const DEVICES: [usize; 3] = [1, 10, 100];
/// How often each is measured. The first time each count is read, which then follows the events.
const TRIES: usize = 4;
/// How many feeds are opened at once.
const AT_ONCE: usize = 25;

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

/// The fewest store calls for which an event of this form is told to so many; `open` opens the next
/// feed, and `last` is what was last done in the group.
async fn costs<'a>(
    group: &'a Group,
    form: &Form,
    watchers: &[usize],
    last: &mut Last<'a>,
    open: impl AsyncFn(usize) -> Subscription,
) -> Vec<u64> {
    let mut feeds = Vec::new();
    let mut costs = Vec::new();
    for &watchers in watchers {
        while feeds.len() < watchers {
            let opening = (feeds.len()..watchers.min(feeds.len() + AT_ONCE)).map(async |n| {
                let mut feed = open(n).await;
                // It begins with a checkpoint: what happens ahead of that is not told.
                if form.name == "accountEvents" {
                    feed.next().await;
                }
                feed
            });
            feeds.extend(join_all(opening).await);
        }
        let mut fewest = u64::MAX;
        for _ in 0..TRIES {
            let before = happens(group, form, last).await;
            for feed in &mut feeds {
                while !form.tells(&feed.next().await[form.name], *last) {}
            }
            fewest = fewest.min(group.app.adapters.store.calls() - before);
        }
        costs.push(fewest);
    }
    let Form {
        name, arguments, ..
    } = form;
    report(&format!(
        "{name}{arguments}: {costs:?} store calls for {watchers:?}"
    ));
    costs
}

#[expect(clippy::print_stdout, reason = "figures, for who asks for them")]
fn report(line: &str) {
    println!("{line}");
}

#[track_caller]
fn assert_equal(costs: &[u64]) {
    let (most, fewest) = (costs.iter().max().unwrap(), costs.iter().min().unwrap());
    // One more where the session is looked up, and one where a name is.
    assert!(most - fewest <= 2, "{costs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_costs_the_store_the_same_however_many_are_told() {
    // So many are told of read marks too.
    let builder = TestApp::builder().config(|config| config.chats.large_group_members = 100_000);
    let group = Group::start_on(builder).await;
    let members = group.join(WATCHERS[WATCHERS.len() - 1]).await;
    let mut last = Last::default();
    for form in &FORMS {
        let query = everything(form).shared;
        let open = async |n: usize| {
            let variables = form.variables(&group.chat, 0);
            members[n].client.subscribe(&query, variables).await
        };
        let costs = costs(&group, form, &WATCHERS, &mut last, open).await;
        assert_equal(&costs);
    }
    group.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_chat_costs_the_store_the_same_on_however_many_devices_it_is_told() {
    let group = Group::direct().await;
    let mut last = Last::default();
    for form in &FORMS {
        if form.tells_of != Of::Chats {
            continue;
        }
        let query = everything(form).shared;
        // Of either side.
        let sides = [&group.ben, &group.ada];
        let open = async |n: usize| {
            let variables = form.variables(&group.chat, 0);
            sides[n % 2].client.subscribe(&query, variables).await
        };
        let costs = costs(&group, form, &DEVICES, &mut last, open).await;
        assert_equal(&costs);
    }
    group.app.stop().await;
}
