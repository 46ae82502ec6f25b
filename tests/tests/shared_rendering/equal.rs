//! Every viewer gets from a shared rendering, byte for byte, what an execution of their own gives.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use talksy_tests::client::User;
use talksy_tests::soon;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::people::Group;
use super::selections::{Draw, FORMS, Form, Last, Of, Pair, draw, everything};

/// Payloads as text, as they came. A task reads them, so that the server finds its socket alive also
/// while the test looks at others.
struct Raw(mpsc::UnboundedReceiver<String>);

impl Raw {
    async fn open(viewer: &User, query: &str, variables: &Value) -> Self {
        let mut socket = viewer.client.socket().await;
        socket.subscribe("1", query, variables.clone()).await;
        let (came, payloads) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(frame) = socket.any_frame().await {
                if let Frame::Text(text) = frame
                    && came.send(text.to_string()).is_err()
                {
                    break;
                }
            }
        });
        Self(payloads)
    }

    async fn next(&mut self) -> String {
        let text = self.0.recv().await.unwrap();
        assert!(text.contains(r#""type":"next""#), "{text}");
        text
    }
}

/// The event of a payload.
fn event(text: &str, form: &Form) -> Value {
    let message: Value = serde_json::from_str(text).unwrap();
    message["payload"]["data"][form.name].clone()
}

/// One viewer's subscription, shared and alone.
struct Follower {
    name: String,
    form: &'static Form,
    shared: Raw,
    alone: Raw,
    text: String,
}

impl Follower {
    async fn open(
        group: &Group,
        viewer: &User,
        form: &'static Form,
        pair: &Pair,
        kind: usize,
    ) -> Self {
        let variables = form.variables(&group.chat, kind);
        Self {
            name: viewer.name.clone(),
            form,
            shared: Raw::open(viewer, &pair.shared, &variables).await,
            alone: Raw::open(viewer, &pair.alone, &variables).await,
            text: pair.shared.clone(),
        }
    }

    /// The payloads up to an event, by what they are of.
    async fn up_to(
        raw: &mut Raw,
        form: &Form,
        is_last: impl Fn(&Value) -> bool,
    ) -> BTreeMap<String, String> {
        let mut seen = BTreeMap::new();
        loop {
            let text = raw.next().await;
            let event = event(&text, form);
            let key = if form.tells_of == Of::Account {
                text.clone()
            } else {
                let at = format!("{} {}", event["sync"], event["changes"]);
                format!("{at} {} {}", event["who"], event["about"])
            };
            seen.insert(key, text);
            if is_last(&event) {
                return seen;
            }
        }
    }

    /// Compares what came up to an event; of chats only the last, which tells of what is at rest.
    /// What only one of them was told, because it opened earlier or was told of two events as one,
    /// is not compared where `is_first`.
    async fn compare(&mut self, is_first: bool, last: Last<'_>) {
        let form = self.form;
        let is_last = |event: &Value| form.tells(event, last);
        let is_comparable = |text: &str| form.is_comparable(&event(text, form), last);
        let mut shared = Self::up_to(&mut self.shared, form, is_last).await;
        let mut alone = Self::up_to(&mut self.alone, form, is_last).await;
        shared.retain(|_, text| is_comparable(text));
        alone.retain(|_, text| is_comparable(text));
        if form.tells_of == Of::Account && !is_first {
            assert_eq!(shared, alone, "of {}: {}", self.name, self.text);
        }
        let mut compared = 0;
        for (key, text) in &shared {
            if let Some(other) = alone.get(key) {
                assert_eq!(text, other, "of {}: {}", self.name, self.text);
                compared += 1;
            }
        }
        assert!(compared > 0, "of {}: {shared:?} {alone:?}", self.name);
    }
}

/// Has things happen until all feeds are open: before that they tell of nothing.
async fn opened(group: &Group, followers: &mut [Follower]) {
    let mut closed: Vec<&mut Raw> = followers
        .iter_mut()
        .flat_map(|one| [&mut one.shared, &mut one.alone])
        .collect();
    while !closed.is_empty() {
        group.mute(&group.ben, true).await;
        let (_, sent) = group.send(&group.ada, "anybody there?").await;
        group.alter(&group.ada, &sent, Some("hello?")).await;
        group.dora.mark_read(&group.chat, 1_000_000).await;
        let mut still = Vec::new();
        for raw in closed {
            let waited = Duration::from_millis(200);
            if tokio::time::timeout(waited, raw.next()).await.is_err() {
                still.push(raw);
            }
        }
        closed = still;
    }
}

/// Things happen in a group. What they end with tells all of them.
async fn happen(group: &Group, round: usize) -> Last<'_> {
    let (_, old) = group.send(&group.ada, "soon deleted").await;
    let (_, kept) = group.send(&group.ben, "soon edited").await;
    group.reply(&group.ada).await;
    group.mute(&group.cleo, round == 0).await;
    group.cleo.mark_read(&group.chat, 8).await;
    let (read, _) = group.send(&group.dora, "to be read \u{1F600} \"\\").await;
    group.alter(&group.ada, &old, None).await;
    let change_seq = group.alter(&group.ben, &kept, Some("edited")).await;
    group.ben.mark_read(&group.chat, read).await;
    let (seq, _) = group.send(&group.ada, "last").await;
    Last {
        seq,
        is_notice: false,
        change_seq,
        read,
        reader: &group.ben.id,
    }
}

/// Checks a subscription for all viewers, each with variables of a kind.
async fn check(form: &'static Form, pair: &Pair, kind_of: impl Fn(usize) -> usize) {
    let group = Group::start().await;
    let mut followers = Vec::new();
    for (n, viewer) in group.viewers().into_iter().enumerate() {
        let follower = Follower::open(&group, viewer, form, pair, kind_of(n));
        followers.push(follower.await);
    }
    opened(&group, &mut followers).await;
    for round in 0..2 {
        let mut last = happen(&group, round).await;
        all_told_the_same(&mut followers, round == 0, last).await;
        // Apart from the others, as those may show the title of before or behind it.
        let input = json!({ "chatId": group.chat, "title": format!("title {round}") });
        group.change("updateGroup", "UpdateGroupInput", input).await;
        (last.seq, last.is_notice) = (last.seq + 1, true);
        if !["messageUpdated", "readReceiptUpdated"].contains(&form.name) {
            all_told_the_same(&mut followers, round == 0, last).await;
        }
    }
    group.app.stop().await;
}

async fn all_told_the_same(followers: &mut [Follower], is_first: bool, last: Last<'_>) {
    for follower in followers {
        let compared = follower.compare(is_first, last);
        soon("both to tell the same", compared).await;
    }
}

async fn check_form(name: &str, tells_of: Of) {
    let mut forms = FORMS.iter();
    let form = forms
        .find(|form| form.name == name && form.tells_of == tells_of)
        .unwrap();
    check(form, &everything(form), |_| 0).await;
    let cases = std::env::var("TALKSY_TEST_SELECTIONS");
    let cases = cases.ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    for seed in 1..=cases {
        let skew = usize::try_from(seed).unwrap();
        let pair = draw(form, Draw::new(seed));
        check(form, &pair, |n| n + skew).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_message_added() {
    check_form("messageAdded", Of::Events).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_message_updated() {
    check_form("messageUpdated", Of::Events).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_read_receipt_updated() {
    check_form("readReceiptUpdated", Of::Events).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_chat_updated() {
    check_form("chatUpdated", Of::Chats).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_account_events() {
    check_form("accountEvents", Of::Account).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_account_events_without_detail() {
    check_form("accountEvents", Of::Chats).await;
}
