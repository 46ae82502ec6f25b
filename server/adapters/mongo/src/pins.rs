//! Pinned messages. A message that is pinned says in which chat, and by the number of which change:
//! in fields of their own, so that a sparse index has the pinned messages alone.
//!
//! How many are pinned is judged behind a claim that is settled, and written behind the next one
//! (see `changes`). So nobody pins in between, and the count is exact.

use std::collections::HashMap;

use mongodb::bson::raw::RawDocument;
use mongodb::bson::{Bson, Uuid, doc};
use serde::Deserialize;
use talksy_domain::id::{self, ChatId};
use talksy_domain::messages::{MAX_PINS, Message};
use talksy_domain::page::{Page, Window};
use talksy_domain::seq::Seq;

use super::call::Call;
use super::commands::Shape;
use super::documents::{MESSAGES, MessageDocument, Stored, id_text, key, keys, limit, overread};
use super::fault::{Fault, Why};

/// How many messages are pinned in the chat, up to [`MAX_PINS`].
pub(super) async fn count(call: &Call, chat: ChatId) -> Result<usize, Fault> {
    let filter = doc! { "pinnedIn": key(id::bytes(chat)) };
    let shape = Shape {
        limit: Some(limit(MAX_PINS)),
        fields: Some(doc! { "_id": 1 }),
        ..Shape::default()
    };
    Ok(call.find_raw(MESSAGES, filter, shape).await?.len())
}

/// A pinned message: its chat, the number of the change that has pinned it, and its own.
type Pin = (ChatId, Seq, Seq);

/// Where a pinned message is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PinDocument {
    pinned_in: Uuid,
    pinned_seq: Seq,
    seq: Seq,
}

impl Stored for PinDocument {
    type Value = Pin;
    const COLLECTION: &'static str = MESSAGES;

    fn name(raw: &RawDocument) -> String {
        let chat = id_text(raw, "pinnedIn", |bytes| {
            let id: ChatId = id::from_bytes(bytes);
            id.to_string()
        });
        format!("a pin of chat {chat}")
    }

    fn value(self) -> Result<Self::Value, Why> {
        let chat = id::from_bytes(self.pinned_in.bytes());
        Ok((chat, self.pinned_seq, self.seq))
    }
}

/// Pages of the pinned messages of chats, newest pin first. The places of all pins are read, of which
/// a chat has at most [`MAX_PINS`], and then the messages of the pages.
pub(super) async fn pages(
    call: &Call,
    wanted: &[(ChatId, Seq, Window<Seq>)],
) -> Result<Vec<Page<Message>>, Fault> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let chats: Vec<_> = wanted.iter().map(|(chat, ..)| *chat).collect();
    let filter = doc! { "pinnedIn": { "$in": keys(&chats, id::bytes) } };
    let mut pins = call
        .gather::<PinDocument>(filter, &["pinnedIn", "pinnedSeq", "seq"])
        .await?;
    pins.sort_unstable_by_key(|(_, pinned, _)| std::cmp::Reverse(*pinned));
    let pages: Vec<Page<Pin>> = wanted
        .iter()
        .map(|(chat, from, window)| {
            let behind = window.after.unwrap_or(Seq::MAX);
            let pins = pins
                .iter()
                .filter(|(of, pinned, seq)| of == chat && *pinned < behind && seq >= from);
            Page::from_overread(pins.copied().take(overread(window)).collect(), window)
        })
        .collect();
    let mut places = HashMap::<ChatId, Vec<Bson>>::new();
    for (chat, _, seq) in pages.iter().flat_map(|page| &page.items) {
        let known = places.entry(*chat).or_default();
        known.push(Bson::Int64(i64::from(*seq)));
    }
    let places = places.into_iter().map(|(chat, seqs)| {
        doc! { "chatId": key(id::bytes(chat)), "seq": { "$in": seqs } }
    });
    let places: Vec<_> = places.collect();
    let found = if places.is_empty() {
        Vec::new()
    } else {
        let filter = doc! { "$or": places };
        let found = call.find::<MessageDocument>(filter, Shape::default());
        found.await?
    };
    let found = found.into_iter();
    let found = found.map(|message| ((message.chat_id, message.seq), message));
    Ok(messages_of(pages, &found.collect()))
}

/// The messages of pages. One that was unpinned in between is none, nor is one that was pinned again since:
/// its place is another now, from which nobody would find on.
fn messages_of(
    pages: Vec<Page<Pin>>,
    found: &HashMap<(ChatId, Seq), Message>,
) -> Vec<Page<Message>> {
    let message = |(chat, pinned, seq): &Pin| {
        let message = found.get(&(*chat, *seq));
        message.filter(|message| message.pinned_seq == *pinned)
    };
    let page = |page: Page<Pin>| Page {
        items: page.items.iter().filter_map(message).cloned().collect(),
        has_next: page.has_next,
        has_previous: page.has_previous,
    };
    pages.into_iter().map(page).collect()
}

#[cfg(test)]
mod tests {
    use talksy_domain::clock::Timestamp;
    use talksy_domain::messages::MessageText;

    use super::*;

    #[test]
    fn what_is_pinned_otherwise_since_is_left_out() {
        let (chat, sender) = (id::from_bytes([1; 16]), id::from_bytes([2; 16]));
        let text = MessageText::parse("hello").unwrap();
        let at = Timestamp::from_millis(0);
        let pinned = |seq, pinned_seq| Message {
            seq,
            pinned_seq,
            ..Message::draft(id::from_bytes([3; 16]), chat, sender, text.clone(), at)
        };
        // As they are now: the second was pinned again, the third is pinned no longer.
        let messages = [pinned(1, 7), pinned(2, 9), pinned(3, 0)];
        let found = messages
            .clone()
            .map(|message| ((chat, message.seq), message));
        let listed = Page {
            items: vec![(chat, 7, 1), (chat, 6, 2), (chat, 5, 3)],
            has_next: true,
            has_previous: false,
        };
        let pages = messages_of(vec![listed], &found.into_iter().collect());
        assert_eq!(pages.len(), 1);
        assert_eq!(pages[0].items, messages[..1]);
        assert!(pages[0].has_next && !pages[0].has_previous);
    }
}
