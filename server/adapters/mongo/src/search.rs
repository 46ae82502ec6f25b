//! What messages, people and titles are found by. Each message has its words, folded, in its own
//! document, written with its text; the index `by_word` leads from chat and word to the messages, newest
//! first. How they are found says `finding`.

use mongodb::bson::{Bson, Document, Uuid, deserialize_from_slice, doc};
use serde::Deserialize;
use talksy_domain::id::{self, ChatId, MessageId, UserId};
use talksy_domain::jobs::Task;
use talksy_domain::messages::{Message, MessageText};
use talksy_domain::search::{fold_key, sender_word, words};

use super::call::Call;
use super::commands::Shape;
use super::documents::{CHATS, MESSAGES, USERS, instant, key, limit};
use super::fault::Fault;
use super::jobs;

/// The id of the job that indexes what earlier releases have kept.
const JOB: [u8; 16] = 0x100_u128.to_be_bytes();

/// The word of each message that has a text, so that those of a chat are found in the order of their
/// times, whatever they say. No text has it.
pub(super) const ANY: &str = "@";

/// What a message is found by: its words, its sender's, and [`ANY`]; `None` where it has no text.
pub(super) fn words_of(message: &Message) -> Option<Vec<String>> {
    let text = message.text.as_ref().map(MessageText::as_str)?;
    Some(kept(message.sender_id, text))
}

fn kept(sender: Option<UserId>, text: &str) -> Vec<String> {
    let ahead = [ANY.to_owned()].into_iter().chain(sender.map(sender_word));
    ahead.chain(words(text)).collect()
}

/// What is indexed of a message.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Indexed {
    #[serde(rename = "_id")]
    id: Uuid,
    chat_id: Uuid,
    sender_id: Option<Uuid>,
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
    let fields = doc! { "chatId": 1, "senderId": 1, "text": 1, "words": 1 };
    let found = next::<Indexed>(call, MESSAGES, after.map(id::bytes), most, fields).await?;
    let last = found
        .last()
        .map(|message| id::from_bytes(message.id.bytes()));
    let updates = found.into_iter().filter_map(|message| {
        let sender = message
            .sender_id
            .map(|sender| id::from_bytes(sender.bytes()));
        let right = message.text.as_deref().map(|text| kept(sender, text));
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
        ..Shape::default()
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
