//! What a search costs: so many commands, and no more documents than are few, whatever is asked for and
//! however many messages there are.

use mongodb::bson::{Bson, DateTime, Document, doc};
use talksy_domain::id::{ChatId, UserId};
use talksy_domain::messages::{MessageStore as _, MessageText};
use talksy_domain::search::{MessageSearch, SearchPage, SearchQuery};
use talksy_domain::seq::Seq;
use talksy_tests::servers::counted::CountedMongo;
use talksy_tests::servers::mongo::Mongo;

use super::bounded::{Cost, assert_indexed, cost, seen};
use super::{Fixture, done, draft, ids, key};

/// How many messages a page looks through.
const LOOKS: i64 = 2_000;

/// How many messages are few.
const FEW: i64 = 200;

/// Fills a chat up to this number, with a frequent word in each message and others in a part of them, one
/// in three seconds.
async fn fill(fixture: &Fixture, mongo: &Mongo, chat: ChatId, to: Seq) {
    let text = |seq: Seq| {
        let half = if seq <= 300 { "early" } else { "later" };
        let rare = if seq == 1 { "needle" } else { "hay" };
        format!("always {half} {rare} o{seq}")
    };
    let first = talksy_domain::messages::Message {
        text: Some(MessageText::parse(text(1)).unwrap()),
        ..draft(chat, fixture.users[0])
    };
    let first = done(fixture.store.append(&first).await.unwrap()).message;
    let messages = fixture.outside(mongo).await;
    let messages = messages.collection::<Document>("messages");
    let of = doc! { "_id": key(talksy_domain::id::bytes(first.id)) };
    let kept = messages.find_one(of).await.unwrap().unwrap();
    let words = kept.get_array("words").unwrap();
    let at = first.created_at.as_millis();
    let all: Vec<Document> = (2..=to)
        .map(|seq| {
            let mut one = kept.clone();
            let own: talksy_domain::id::MessageId = ids().next();
            let bytes = talksy_domain::id::bytes(own);
            let text = text(seq);
            // What it has besides the words of its text.
            let beside = words
                .iter()
                .filter(|word| word.as_str().unwrap().starts_with('@'));
            let own_words = talksy_domain::search::words(&text)
                .into_iter()
                .map(Bson::from);
            let words: Vec<Bson> = beside.cloned().chain(own_words).collect();
            let at = DateTime::from_millis(at + 3_000 * i64::from(seq));
            one.extend(
                doc! { "_id": key(bytes), "seq": i64::from(seq), "dedup": own.to_string(),
                "text": text, "words": words, "createdAt": at },
            );
            one
        })
        .collect();
    for some in all.chunks(1_000) {
        messages.insert_many(some).await.unwrap();
    }
}

/// Asserts that each command reads so many entries of the index, as it is sent: it has a limit, one of
/// times, or one of numbers.
fn assert_bounded(way: &CountedMongo) {
    for command in way.reads() {
        if let Ok(pipeline) = command.get_array("pipeline") {
            let stages: Vec<_> = pipeline.iter().filter_map(Bson::as_document).collect();
            // One that filters behind the first would look for what may not be there.
            let filters = stages.iter().filter(|stage| stage.contains_key("$match"));
            assert_eq!(filters.count(), 1, "{command}");
            let number = |name| {
                let value = stages.iter().find_map(|stage| stage.get(name));
                let number = |value: &Bson| value.as_i64().or(value.as_i32().map(i64::from));
                value.and_then(number).unwrap_or(0)
            };
            let most = number("$skip") + number("$limit");
            assert!((1..=LOOKS).contains(&most), "{command}");
            assert_eq!(command.get_str("hint").unwrap(), "by_word", "{command}");
        } else {
            assert!(["by_word", "by_seq"].contains(&command.get_str("hint").unwrap()));
        }
    }
}

/// A page costs the same of a chat with more than three times as many messages, whatever is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_hits_costs_the_same_however_many_messages_there_are() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let [ada, bob] = fixture.users;
    let at = seen(mongo, &fixture.database).await;
    let small = fixture.chat;
    let (large, _) = open(&fixture, ada).await;
    fill(&fixture, mongo, small, 2_100).await;
    fill(&fixture, mongo, large, 7_000).await;
    let ask = async |query: &str, sender: Option<UserId>, parts: &[(ChatId, Seq)]| {
        let wanted = MessageSearch {
            query: SearchQuery::parse(query).unwrap(),
            sender,
            parts: parts.to_vec(),
            after: None,
            limit: 20,
        };
        at.1.reads();
        let (page, it) = cost(&at, at.0.search(&wanted)).await;
        assert_bounded(&at.1);
        (page.unwrap(), it)
    };
    for (what, query, sender, hits) in [
        ("a frequent word", "always", None, 20),
        ("two of them", "always later", None, 20),
        ("a short prefix", "o", None, 20),
        ("a rare word", "needle", None, 1),
        ("that and a frequent one", "needle always", None, 1),
        ("a word that is nowhere", "nowhere", None, 0),
        ("the sender's", "a", Some(ada), 20),
        ("nobody's", "a", Some(bob), 0),
    ] {
        let mut costs = Vec::new();
        for chat in [small, large] {
            let (page, it) = ask(query, sender, &[(chat, 1)]).await;
            assert_eq!(page.hits.len(), hits, "{what}");
            assert_eq!(page.next.is_some(), hits == 20, "{what}");
            costs.push(it);
        }
        println!("{what}: {:?}", costs[1]);
        let within = |(commands, documents): Cost| commands <= 6 && documents <= 20 + 8;
        assert!(costs.iter().all(|it| within(*it)), "{what}: {costs:?}");
        assert_eq!(costs[0], costs[1], "{what}");
    }
    // Both together, and a part of one.
    let (page, it) = ask("always", None, &[(small, 1), (large, 1)]).await;
    assert_eq!(page.hits.len(), 20);
    assert!(it.0 <= 6 && it.1 <= 40, "{it:?}");
    let (page, it) = ask("o", None, &[(small, 1), (large, 6_990)]).await;
    assert_eq!(page.hits[0].seq, 7_000);
    assert!(it.0 <= 7 && it.1 <= 40, "{it:?}");
}

async fn open(fixture: &Fixture, ada: UserId) -> (ChatId, UserId) {
    use talksy_domain::chats::ChatStore as _;
    let other = super::user(&fixture.store, "Eve").await.id;
    let candidate = super::candidate();
    let (chat, _) = fixture
        .store
        .open_direct(&candidate, [ada, other])
        .await
        .unwrap();
    (chat.id, other)
}

/// What is frequent, but far back or never together, is looked for page by page, each of which stops after
/// so many messages; nothing is left out.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_stops_where_it_has_looked_at_enough() {
    const LAST: Seq = 6_500;
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let [ada, _] = fixture.users;
    let at = seen(mongo, &fixture.database).await;
    let (other, _) = open(&fixture, ada).await;
    fill(&fixture, mongo, fixture.chat, LAST).await;
    fill(&fixture, mongo, other, 300).await;
    let outside = fixture.outside(mongo).await;
    let messages = outside.collection::<Document>("messages");
    // In as many messages as are not few, far back.
    let old = doc! { "chatId": key(talksy_domain::id::bytes(fixture.chat)),
    "seq": { "$lte": FEW + 50 } };
    let push = doc! { "$push": { "words": "zebra" } };
    messages.update_many(old.clone(), push).await.unwrap();
    let text = doc! { "$set": { "text": "zebra always" } };
    messages.update_many(old, text).await.unwrap();
    for (query, parts, hits, pages) in [
        ("zebra", &[(fixture.chat, 1)][..], 250, 6),
        ("zebra", &[(fixture.chat, 1), (other, 1)], 250, 6),
        ("zebra", &[(fixture.chat, 241), (other, 301)], 10, 4),
        ("zebra", &[(fixture.chat, 5_000)], 0, 1),
        ("later zebra", &[(fixture.chat, 1)], 0, 4),
    ] {
        let mut wanted = MessageSearch {
            query: SearchQuery::parse(query).unwrap(),
            sender: None,
            parts: parts.to_vec(),
            after: None,
            limit: 100,
        };
        let (mut found, mut read) = (Vec::new(), 0);
        loop {
            at.1.reads();
            let (page, it) = cost(&at, at.0.search(&wanted)).await;
            let SearchPage { hits, next } = page.unwrap();
            assert!(it.0 <= 7 && it.1 <= 110, "{query}: {it:?}");
            assert_indexed(&at.1, 7);
            read += 1;
            found.extend(hits.iter().map(|hit| hit.seq));
            let Some(next) = next else { break };
            assert!(wanted.after.is_none_or(|after| next < after), "it goes on");
            wanted.after = Some(next);
        }
        assert!(found.is_sorted_by(|one, other| one > other), "{found:?}");
        assert_eq!((found.len(), read), (hits, pages), "{query} in {parts:?}");
    }
}
