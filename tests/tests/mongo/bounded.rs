//! What reads cost: so many commands, and no more documents than are shown, whatever the number of
//! members, of chats and of those that are asked for at once. What is sent is read on the wire, and
//! each filter there has to begin with the fields of an index.

use futures_util::future::try_join_all;
use mongodb::bson::{Bson, Document, doc};
use talksy_domain::chats::{ChatStore as _, ChatTitle, LargeGroups, MemberFilter, MemberRole};
use talksy_domain::groups::{GroupAction, GroupOutcome, GroupStore as _};
use talksy_domain::id::{ChatId, UserId};
use talksy_domain::messages::{
    ChangeAction, HistoryFrom, Message, MessageChange, MessageStore as _,
};
use talksy_domain::users::UserStore as _;
use talksy_mongo::{MongoStore, index_specs};
use talksy_tests::servers::counted::CountedMongo;
use talksy_tests::servers::mongo::{Mongo, patient};

use super::{
    Fixture, NOW, ask, candidate, done, draft, forward, group, ids, made, member_page, nobody, user,
};

/// Commands and documents.
pub(super) type Cost = (u64, u64);

/// A store on the fixture's database by a way on which its commands are seen.
pub(super) async fn seen(mongo: &Mongo, database: &str) -> (MongoStore, CountedMongo) {
    let way = CountedMongo::start(mongo.port).await;
    let url = format!("mongodb://{}/{database}", way.address);
    let store = MongoStore::open(&url.into(), &patient(), nobody()).unwrap();
    store.prepare().await.unwrap();
    way.take();
    way.reads();
    (store, way)
}

/// What the work costs. What the store says of its commands is what was sent.
pub(super) async fn cost<T>(
    (store, way): &(MongoStore, CountedMongo),
    work: impl Future<Output = T>,
) -> (T, Cost) {
    way.take();
    let before = (store.commands(), store.documents());
    let done = work.await;
    let commands = store.commands() - before.0;
    assert_eq!(way.take().values().sum::<u64>(), commands, "on the wire");
    (done, (commands, store.documents() - before.1))
}

/// Asserts that each query that was sent finds its documents in an index, and a page's order too.
pub(super) fn assert_indexed(way: &CountedMongo, most: usize) {
    let reads = way.reads();
    assert!(!reads.is_empty() && reads.len() <= most, "{}", reads.len());
    for command in reads {
        for (collection, filter, sort) in queries(&command) {
            assert!(
                is_indexed(&collection, &filter, &sort),
                "{collection}: {filter} by {sort}"
            );
        }
    }
}

/// The queries of a command: of which collection, by which filter and in which order.
fn queries(command: &Document) -> Vec<(String, Document, Document)> {
    if let Ok(collection) = command.get_str("find") {
        let part = |name| command.get_document(name).cloned().unwrap_or_default();
        return vec![(collection.to_owned(), part("filter"), part("sort"))];
    }
    let collection = command.get_str("aggregate").unwrap();
    queries_of(collection, command.get_array("pipeline").unwrap())
}

fn queries_of(collection: &str, pipeline: &[Bson]) -> Vec<(String, Document, Document)> {
    let stages: Vec<&Document> = pipeline.iter().filter_map(Bson::as_document).collect();
    let first = stages.first().unwrap();
    let mut queries = Vec::new();
    if let Ok(filter) = first.get_document("$match") {
        let sort = stages
            .get(1)
            .and_then(|stage| stage.get_document("$sort").ok());
        let sort = sort.cloned().unwrap_or_default();
        queries.push((collection.to_owned(), filter.clone(), sort));
    } else {
        assert_eq!(
            first.get("$limit").and_then(Bson::as_i32),
            Some(1),
            "{first}"
        );
    }
    for lookup in stages
        .iter()
        .filter_map(|stage| stage.get_document("$lookup").ok())
    {
        let from = lookup.get_str("from").unwrap();
        match lookup.get_array("pipeline") {
            Ok(pipeline) => queries.extend(queries_of(from, pipeline)),
            Err(_) => assert_eq!(lookup.get_str("foreignField").unwrap(), "_id"),
        }
    }
    queries
}

/// Fields that a filter compares, and whether for equality.
fn fields(filter: &Document) -> Vec<(String, bool)> {
    let mut fields = Vec::new();
    for (field, value) in filter {
        if field == "$expr" {
            let and = value.as_document().unwrap().get_array("$and").unwrap();
            for comparison in and.iter().filter_map(Bson::as_document) {
                let (operator, sides) = comparison.iter().next().unwrap();
                let field = sides.as_array().unwrap()[0].as_str().unwrap();
                fields.push((field.trim_start_matches('$').to_owned(), operator == "$eq"));
            }
        } else if field != "$or" {
            let operators = value.as_document();
            // Of the few values of `$in` each is a walk of the index; the server merges them in order.
            let is_equal = operators.is_none_or(|operators| {
                operators.contains_key("$eq") || operators.contains_key("$in")
            });
            fields.push((field.clone(), is_equal));
        }
    }
    fields
}

fn is_indexed(collection: &str, filter: &Document, sort: &Document) -> bool {
    if let (Ok(branches), true) = (filter.get_array("$or"), fields(filter).is_empty()) {
        let mut branches = branches.iter().filter_map(Bson::as_document);
        return branches.all(|branch| is_indexed(collection, branch, sort));
    }
    let fields = fields(filter);
    let compares = |name: &str| fields.iter().any(|(field, _)| field == name);
    let is_equal = |name: &str| fields.iter().any(|(field, equal)| field == name && *equal);
    // So many documents at most as there are ids.
    if compares("_id") {
        return true;
    }
    index_specs().iter().any(|spec| {
        let fixed = spec.fields.iter().take_while(|field| is_equal(field));
        spec.collection == collection
            && compares(spec.fields[0])
            && (0..=fixed.count()).any(|skipped| {
                let ordered = spec.fields.iter().skip(skipped).take(sort.len());
                sort.keys().eq(ordered)
            })
    })
}

#[test]
fn a_filter_without_an_index_is_noticed() {
    let chat = doc! { "chatId": 1, "active": true };
    assert!(is_indexed("members", &chat, &doc! { "userId": 1 }));
    assert!(is_indexed(
        "members",
        &chat,
        &doc! { "lastReadSeq": 1, "userId": 1 }
    ));
    assert!(!is_indexed("members", &chat, &doc! { "joinedAt": 1 }));
    assert!(!is_indexed("members", &doc! { "role": 1 }, &doc! {}));
    assert!(!is_indexed("messages", &doc! { "text": "x" }, &doc! {}));
    let either = doc! { "$or": [{ "chatId": 1 }, { "text": 1 }] };
    assert!(!is_indexed("messages", &either, &doc! {}));
}

/// A group with its owner and this many more members, some of whom have a name; who the first are.
async fn group_of(store: &MongoStore, owner: UserId, count: usize) -> (ChatId, Vec<UserId>) {
    let chat = group(store, owner, &[]).await;
    let mut members: Vec<UserId> = Vec::new();
    for n in 0..10 {
        members.push(user(store, &format!("Zoë {n}")).await.id);
    }
    members.resize_with(count, || ids().next());
    for users in members.chunks(100) {
        let add = GroupAction::Add {
            users: users.to_vec(),
            history: HistoryFrom::All,
        };
        let mut change = super::group_change(chat, owner, add);
        change.max_members = 10_000;
        made(store.change_group(&change).await.unwrap());
    }
    (chat, members)
}

/// What is read of a group of 2,000 costs what it costs of one of twelve.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_thousands_costs_what_a_small_one_does() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let [ada, bob] = fixture.users;
    let at = seen(mongo, &fixture.database).await;
    let store = &at.0;
    let mut costs: Vec<Vec<(&str, Cost)>> = Vec::new();
    for size in [12, 2_000] {
        let (chat, members) = group_of(&fixture.store, ada, size).await;
        let seq = done(store.append(&draft(chat, ada)).await.unwrap());
        let seq = seq.message.seq;
        for reader in &members[..8] {
            let marked = store.mark_read(chat, *reader, seq, NOW, LargeGroups::NONE);
            assert!(marked.await.unwrap().unwrap().moved);
        }
        at.1.reads();
        let mut of_size = Vec::new();
        let (first, it) = cost(&at, store.first_members(&[chat], 5)).await;
        assert_eq!(first.unwrap().len(), 5);
        of_size.push(("first members", it));
        let (lowest, it) = cost(&at, store.lowest_read_marks(&[chat])).await;
        assert_eq!(lowest.unwrap().len(), 2);
        of_size.push(("lowest marks", it));
        for (what, has_read, name) in [
            ("members", None, None),
            ("readers", Some(seq), None),
            ("members by name", None, Some("zoë".to_owned())),
            ("readers by name", Some(seq), Some("zoë".to_owned())),
        ] {
            let filter = MemberFilter { has_read, name };
            let wanted = [member_page(chat, filter, forward(None, 5))];
            let (page, it) = cost(&at, store.member_pages(&wanted)).await;
            let page = page.unwrap().remove(0);
            assert_eq!((page.items.len(), page.has_next), (5, true), "{what}");
            assert!(it.1 <= 6, "{what}: {it:?}");
            of_size.push((what, it));
        }
        let (sharing, it) = cost(&at, store.sharing(ada, &members[..8])).await;
        assert_eq!(sharing.unwrap().len(), 8);
        assert!(it.1 <= 9, "{it:?}");
        of_size.push(("sharing", it));
        let (_, it) = cost(&at, store.unread_counts(members[9], &[chat])).await;
        // One more where a system message of somebody lies above the mark.
        assert!(it.1 <= 3, "{it:?}");
        of_size.push(("unread", (it.0, 0)));
        assert_indexed(&at.1, 32);

        // Behind the members that others have added.
        let title = ChatTitle::parse("Other engines").unwrap();
        made(ask(store, chat, ada, GroupAction::rename(title)).await);
        let role = |role| GroupAction::SetRole {
            user: members[3],
            role,
        };
        let (changed, it) = cost(&at, ask(store, chat, ada, role(MemberRole::Admin))).await;
        made(changed);
        of_size.push(("role", it));
        let (changed, it) = cost(&at, ask(store, chat, ada, GroupAction::Leave)).await;
        made(changed);
        of_size.push(("leaving", it));
        assert_indexed(&at.1, 64);
        let refused = ask(store, chat, ada, GroupAction::Remove(bob)).await;
        assert!(matches!(refused, GroupOutcome::Refused(_)));
        costs.push(of_size);
    }
    println!("{:?}", costs[1]);
    assert_eq!(costs[0], costs[1]);
}

/// Who shares a chat with somebody is read in one command, and who of them is blocked in another; no more
/// is returned than is shown.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_known_users_costs_the_same_however_many_are_known() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let [ada, _] = fixture.users;
    let at = seen(mongo, &fixture.database).await;
    let mut costs = Vec::new();
    for size in [12, 1_000] {
        group_of(&fixture.store, ada, size).await;
        at.1.reads();
        let window = forward(None, 5);
        let (page, it) = cost(&at, at.0.known_users_by_name("zoë", ada, &window)).await;
        let page = page.unwrap();
        assert_eq!((page.items.len(), page.has_next), (5, true));
        assert_indexed(&at.1, 8);
        costs.push(it);
    }
    assert_eq!(costs, [(2, 6), (2, 6)]);
}

/// Chats of the user with as many new ones, who are made fifty at a time.
async fn chats_with(store: &MongoStore, ada: UserId, count: usize) -> Vec<(ChatId, UserId)> {
    let mut chats = Vec::new();
    for _ in 0..count.div_ceil(50) {
        let made = (0..count.min(50)).map(|n| async move {
            let other = user(store, &format!("Eve {n}")).await.id;
            let (chat, _) = store.open_direct(&candidate(), [ada, other]).await?;
            Ok::<_, talksy_domain::error::PortError>((chat.id, other))
        });
        chats.extend(try_join_all(made).await.unwrap());
    }
    chats
}

/// A list of chats costs what is shown of it, whether the user has 51 or 501.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_chats_costs_what_it_shows() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let [ada, bob] = fixture.users;
    let at = seen(mongo, &fixture.database).await;
    let store = &at.0;
    let mut costs: Vec<Vec<(&str, Cost)>> = Vec::new();
    let mut chats = vec![(fixture.chat, bob)];
    for size in [51, 501] {
        let more = chats_with(&fixture.store, ada, size - chats.len()).await;
        chats.extend(more);
        at.1.reads();
        let mut of_size = Vec::new();
        for (what, search) in [("list", None), ("search", Some("e"))] {
            let window = forward(None, 20);
            let (page, it) = cost(&at, store.chats_of(ada, search, &window)).await;
            let page = page.unwrap();
            assert_eq!((page.items.len(), page.has_next), (20, true));
            assert!(it.1 <= 21 + 3, "{what}: {it:?}");
            of_size.push((what, it));
        }
        let (all, it) = cost(&at, store.chat_ids_of(ada)).await;
        assert!(all.unwrap().len() >= size);
        of_size.push(("ids", it));
        let peers: Vec<UserId> = chats.iter().map(|(_, peer)| *peer).take(20).collect();
        let (sharing, it) = cost(&at, store.sharing(ada, &peers)).await;
        assert_eq!(sharing.unwrap().len(), 20);
        of_size.push(("sharing with peers", it));
        let strangers = [ids().next(), ids().next(), chats[0].1];
        let (sharing, it) = cost(&at, store.sharing(ada, &strangers)).await;
        assert_eq!(sharing.unwrap(), [chats[0].1]);
        assert!(it.1 <= 4, "{it:?}");
        of_size.push(("sharing with strangers", it));
        let (versions, it) = cost(&at, store.membership_versions(&[ada])).await;
        assert_eq!(versions.unwrap().len(), 1);
        of_size.push(("versions", it));
        let (left, it) = cost(&at, store.left_chats_of(ada)).await;
        assert_eq!(left.unwrap(), []);
        of_size.push(("left", it));
        let (ever, it) = cost(&at, store.chats_ever_of(ada, None, 20)).await;
        let ever = ever.unwrap();
        assert_eq!(ever.len(), 20);
        of_size.push(("ever", it));
        let (own, it) = cost(&at, store.participations(ada, &ever)).await;
        assert_eq!(own.unwrap().len(), 20);
        of_size.push(("participations", it));
        assert_indexed(&at.1, 32);
        costs.push(of_size);
    }
    println!("{:?}", costs[1]);
    assert_eq!(costs[0], costs[1]);
}

/// Three deleted messages in each chat, and three replies that mention the user.
async fn fill(store: &MongoStore, user: UserId, chats: &[(ChatId, UserId)]) {
    for (chat, peer) in chats {
        for _ in 0..3 {
            let sent = store.append(&draft(*chat, *peer)).await.unwrap();
            let deletion = MessageChange {
                message_id: done(sent).message.id,
                chat_id: *chat,
                actor_id: *peer,
                at: NOW,
                action: ChangeAction::Delete,
            };
            store.change(&deletion).await.unwrap();
        }
        for _ in 0..3 {
            let reply = Message {
                reply_to: Some(1),
                mention_ids: vec![user],
                ..draft(*chat, *peer)
            };
            done(store.append(&reply).await.unwrap());
        }
    }
}

/// What an inbox of fifty chats shows costs as many commands as two chats do, and of each chat no
/// more documents.
#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_costs_a_fixed_number_of_commands() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let [ada, _] = fixture.users;
    let chats = chats_with(&fixture.store, ada, 50).await;
    fill(&fixture.store, ada, &chats).await;
    let at = seen(mongo, &fixture.database).await;
    let store = &at.0;
    let mut costs: Vec<Vec<(&str, Cost)>> = Vec::new();
    for count in [2, 50] {
        let some: Vec<ChatId> = chats.iter().map(|(chat, _)| *chat).take(count).collect();
        let peers: Vec<UserId> = chats.iter().map(|(_, peer)| *peer).take(count).collect();
        let mut of_count = Vec::new();
        let mut note = |what, found: usize, each: usize, (commands, documents): Cost| {
            assert_eq!(found, each * count, "{what}");
            // For each chat the same, and what is there once.
            let count = u64::try_from(count).unwrap();
            of_count.push((what, (commands, documents / count)));
        };
        let (found, it) = cost(&at, store.chats_of(ada, None, &forward(None, count))).await;
        note("list", found.unwrap().items.len(), 1, it);
        let (found, it) = cost(&at, store.chats(&some)).await;
        note("chats", found.unwrap().len(), 1, it);
        let (found, it) = cost(&at, store.memberships(ada, &some)).await;
        note("memberships", found.unwrap().len(), 1, it);
        let (found, it) = cost(&at, store.first_members(&some, 10)).await;
        note("first members", found.unwrap().len(), 2, it);
        let (found, it) = cost(&at, store.lowest_read_marks(&some)).await;
        note("lowest marks", found.unwrap().len(), 2, it);
        let (found, it) = cost(&at, store.unread_counts(ada, &some)).await;
        note("unread", found.unwrap().len(), 1, it);
        let (found, it) = cost(&at, store.unread_mentions(ada, &some)).await;
        note("mentions", found.unwrap().len(), 1, it);
        let firsts: Vec<_> = some.iter().map(|chat| (*chat, 1)).collect();
        let (found, it) = cost(&at, store.reply_counts(&firsts)).await;
        note("replies", found.unwrap().len(), 1, it);
        let wanted: Vec<_> = firsts.iter().map(|of| (*of, forward(None, 1))).collect();
        let (found, it) = cost(&at, store.reply_pages(&wanted)).await;
        let found = found.unwrap();
        let items: Vec<_> = found.iter().flat_map(|page| &page.items).collect();
        note("pages of replies", items.len(), 1, it);
        let (found, it) = cost(&at, store.sharing(ada, &peers)).await;
        note("sharing", found.unwrap().len(), 1, it);
        let (found, it) = cost(&at, store.heads(&some)).await;
        note("heads", found.unwrap().len(), 1, it);
        let (found, it) = cost(&at, store.last_messages(&some)).await;
        note("last messages", found.unwrap().len(), 1, it);
        let wanted: Vec<_> = some.iter().map(|chat| (*chat, forward(None, 1))).collect();
        let (found, it) = cost(&at, store.pages(&wanted)).await;
        note("pages", found.unwrap().len(), 1, it);
        let filters = [None, Some("eve".to_owned())].map(|name| MemberFilter {
            has_read: None,
            name,
        });
        for (filter, what) in filters.into_iter().zip(["member pages", "by name"]) {
            let wanted: Vec<_> = some
                .iter()
                .map(|chat| member_page(*chat, filter.clone(), forward(None, 1)))
                .collect();
            let (found, it) = cost(&at, store.member_pages(&wanted)).await;
            let found = found.unwrap();
            let items: Vec<_> = found.iter().flat_map(|page| &page.items).collect();
            note(what, items.len(), 1, it);
        }
        let wanted = some.iter().map(|chat| (*chat, 1, forward(Some(1), 1)));
        let wanted: Vec<_> = wanted.collect();
        let (found, it) = cost(&at, store.change_pages(&wanted)).await;
        let found = found.unwrap();
        let items: Vec<_> = found.iter().flat_map(|page| &page.items).collect();
        assert!(items.iter().all(|message| message.change_seq == 2));
        note("change pages", items.len(), 1, it);
        assert_indexed(&at.1, 64);
        costs.push(of_count);
    }
    println!("{:?}", costs[1]);
    let commands = |costs: &[(&'static str, Cost)]| -> Vec<_> {
        costs
            .iter()
            .map(|(what, (commands, _))| (*what, *commands))
            .collect()
    };
    assert_eq!(commands(&costs[0]), commands(&costs[1]));
    for ((what, (_, few)), (_, (_, many))) in costs[0].iter().zip(&costs[1]) {
        assert!(many <= few, "{what}: {few} documents a chat, then {many}");
    }
}
