//! The search of messages. Each message has its words, folded, in its own document, written with its
//! text; the index `by_word` leads from chat and word to the messages, newest first.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mongodb::bson::{Bson, Document, Uuid, deserialize_from_slice, doc};
use serde::Deserialize;
use talksy_domain::id::{self, ChatId, MessageId, UserId};
use talksy_domain::jobs::Task;
use talksy_domain::messages::Message;
use talksy_domain::search::{MessageSearch, SearchPage, SearchPlace, Term, fold_key, words};
use talksy_domain::seq::Seq;

use super::call::Call;
use super::commands::Shape;
use super::documents::{CHATS, MESSAGES, MessageDocument, USERS, date, instant, key, keys, limit};
use super::fault::Fault;
use super::{jobs, names};

/// How many chats one command searches: as many ranges of an index as MongoDB merges in their order, in
/// the place of sorting what it finds.
const CHATS_A_COMMAND: usize = 200;

/// How many commands are on their way at once.
const AT_ONCE: usize = 4;

/// The id of the job that indexes what earlier releases have kept.
const JOB: [u8; 16] = 0x100_u128.to_be_bytes();

/// A page of hits: one command for 200 chats; of several chats one more where the page is full.
pub(super) async fn find(call: &Call, search: &MessageSearch) -> Result<SearchPage, Fault> {
    let commands = search.parts.chunks(CHATS_A_COMMAND);
    let commands = commands.map(|parts| first_of(call, search, parts));
    let found: Vec<Vec<Message>> = stream::iter(commands.collect::<Vec<_>>())
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let mut hits: Vec<Message> = found.into_iter().flatten().collect();
    hits.sort_by_key(|hit| std::cmp::Reverse(SearchPlace::of(hit)));
    let has_more = hits.len() > search.limit;
    hits.truncate(search.limit);
    let next = hits.last().filter(|_| has_more).map(SearchPlace::of);
    Ok(SearchPage { hits, next })
}

/// The newest hits of these chats, one more than the page holds.
async fn first_of(
    call: &Call,
    search: &MessageSearch,
    parts: &[(ChatId, Seq)],
) -> Result<Vec<Message>, Fault> {
    let wanted = search.limit.saturating_add(1);
    let filter = filter(search, parts);
    // In the order of the index, which does not tell chats apart.
    let shape = Shape {
        sort: Some(doc! { "createdAt": -1, "seq": -1 }),
        ..Shape::default()
    };
    let found = call.find_first::<MessageDocument>(filter.clone(), shape, wanted);
    let mut found = found.await?;
    if let Some(last) = found
        .last()
        .filter(|_| parts.len() > 1 && found.len() == wanted)
    {
        // Which of those that were sent at once and have the same number are among them is chance.
        let (at, seq) = (date(last.created_at), i64::from(last.seq));
        let last = SearchPlace::of(last);
        let same = doc! { "$and": [filter, { "createdAt": at, "seq": seq }] };
        let same = call.find::<MessageDocument>(same, Shape::default()).await?;
        found.retain(|hit| (hit.created_at, hit.seq) != (last.at, last.seq));
        found.extend(same);
    }
    Ok(found)
}

fn filter(search: &MessageSearch, parts: &[(ChatId, Seq)]) -> Document {
    let (whole, cut): (Vec<_>, Vec<_>) = parts.iter().partition(|(_, from)| *from <= 1);
    let whole: Vec<ChatId> = whole.iter().map(|(chat, _)| *chat).collect();
    let mut places = vec![doc! { "chatId": { "$in": keys(&whole, id::bytes) } }];
    places.extend(cut.iter().map(|(chat, from)| {
        doc! { "chatId": key(id::bytes(*chat)), "seq": { "$gte": i64::from(*from) } }
    }));
    let place = if places.len() == 1 {
        places.remove(0)
    } else {
        doc! { "$or": places }
    };
    let mut all = vec![place];
    all.extend(search.query.terms().iter().map(word));
    if let Some(sender) = search.sender {
        all.push(doc! { "senderId": key(id::bytes(sender)) });
    }
    if let Some(after) = &search.after {
        let (at, seq) = (date(after.at), i64::from(after.seq));
        all.push(doc! { "createdAt": { "$lte": at } });
        all.push(doc! { "$or": [
            { "createdAt": { "$lt": at } },
            { "createdAt": at, "seq": { "$lt": seq } },
            { "createdAt": at, "seq": seq, "chatId": { "$lt": key(id::bytes(after.chat_id)) } },
        ] });
    }
    doc! { "$and": all }
}

fn word(term: &Term) -> Document {
    if term.is_prefix {
        doc! { "words": { "$elemMatch": names::starting_with(&term.text) } }
    } else {
        doc! { "words": &term.text }
    }
}

/// What is indexed of a message.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Indexed {
    #[serde(rename = "_id")]
    id: Uuid,
    chat_id: Uuid,
    text: Option<String>,
    words: Option<Vec<String>>,
}

/// Gives the next messages by id the words of their texts: those of which they lack, and those that an
/// instance of an earlier release has edited or deleted, which knows of no words.
pub(super) async fn index(
    call: &Call,
    after: Option<MessageId>,
    most: usize,
) -> Result<Option<MessageId>, Fault> {
    let fields = doc! { "chatId": 1, "text": 1, "words": 1 };
    let found = next::<Indexed>(call, MESSAGES, after.map(id::bytes), most, fields).await?;
    let last = found
        .last()
        .map(|message| id::from_bytes(message.id.bytes()));
    let updates = found.into_iter().filter_map(|message| {
        let right = message.text.as_deref().map(words);
        if right == message.words {
            return None;
        }
        let text = message.text.map_or(Bson::Null, Bson::String);
        let as_found = doc! { "_id": message.id, "chatId": message.chat_id, "text": text };
        let update = if let Some(words) = right {
            doc! { "$set": { "words": words } }
        } else {
            doc! { "$unset": { "words": "" } }
        };
        Some(doc! { "q": as_found, "u": update })
    });
    call.update_each(MESSAGES, updates.collect()).await?;
    Ok(last)
}

/// What is searched by name.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    #[serde(rename = "_id")]
    id: Uuid,
    #[serde(alias = "title")]
    name: Option<String>,
    #[serde(alias = "titleKey")]
    name_key: Option<String>,
}

/// Folds the names of the next users by id.
pub(super) async fn fold_names(
    call: &Call,
    after: Option<UserId>,
    most: usize,
) -> Result<Option<UserId>, Fault> {
    let fields = ["name", "nameKey"];
    let last = fold(call, USERS, fields, after.map(id::bytes), most).await?;
    Ok(last.map(id::from_bytes))
}

/// Folds the titles of the next chats by id.
pub(super) async fn fold_titles(
    call: &Call,
    after: Option<ChatId>,
    most: usize,
) -> Result<Option<ChatId>, Fault> {
    let fields = ["title", "titleKey"];
    let last = fold(call, CHATS, fields, after.map(id::bytes), most).await?;
    Ok(last.map(id::from_bytes))
}

async fn fold(
    call: &Call,
    collection: &'static str,
    [name_field, key_field]: [&str; 2],
    after: Option<[u8; 16]>,
    most: usize,
) -> Result<Option<[u8; 16]>, Fault> {
    let fields = doc! { name_field: 1, key_field: 1 };
    let found = next::<Named>(call, collection, after, most, fields).await?;
    let last = found.last().map(|named| named.id.bytes());
    let updates = found.into_iter().filter_map(|named| {
        let name = named.name?;
        let folded = fold_key(&name);
        (named.name_key.as_ref() != Some(&folded)).then(|| {
            doc! {
                // A deleted account keeps none, so that nobody finds it.
                "q": { "_id": named.id, name_field: name, "deletedAt": { "$exists": false } },
                "u": { "$set": { key_field: folded } },
            }
        })
    });
    call.update_each(collection, updates.collect()).await?;
    Ok(last)
}

/// The next documents by id. What does not parse fails the step: it would be looked at again and again.
async fn next<T: serde::de::DeserializeOwned>(
    call: &Call,
    collection: &'static str,
    after: Option<[u8; 16]>,
    most: usize,
    fields: Document,
) -> Result<Vec<T>, Fault> {
    let filter = after.map_or_else(Document::new, |after| doc! { "_id": { "$gt": key(after) } });
    let shape = Shape {
        sort: Some(doc! { "_id": 1 }),
        limit: Some(limit(most)),
        fields: Some(fields),
    };
    let found = call.find_raw(collection, filter, shape).await?;
    let parse = |raw: &mongodb::bson::RawDocumentBuf| {
        deserialize_from_slice(raw.as_bytes())
            .map_err(|error| Fault::document("what is to be indexed", error.into()))
    };
    found.iter().map(parse).collect()
}

/// Asks for the job that indexes what earlier releases have kept.
pub(super) async fn ask_for_job(call: &Call) -> Result<(), Fault> {
    let now = instant(mongodb::bson::DateTime::now());
    let job = Task::FillSearchIndex {}.job(id::from_bytes(JOB), now, now);
    let job = job.map_err(|error| Fault::document("the job of the search", error.into()))?;
    jobs::insert(call, &job).await?;
    Ok(())
}
