//! Pages of the messages, and of the changes, of many chats at once.
//!
//! Numbers are dense, so that a page is a range of them wherever it is cut: one command reads the
//! ranges of all chats. Only for a page that is cut from behind its chat's end has to be known.
//!
//! Numbers of changes are not, as a message keeps the latest one alone: see `lookups`.

use std::collections::{BTreeMap, HashMap};

use mongodb::bson::{Bson, Document, doc};
use talksy_domain::id::{self, ChatId};
use talksy_domain::messages::Message;
use talksy_domain::page::{Page, Window};
use talksy_domain::seq::Seq;

use super::call::Call;
use super::commands::Shape;
use super::documents::{MessageDocument, key, overread};
use super::fault::Fault;
use super::heads;
use super::lookups::{self, Lookup};

/// A page of each of these chats, in their order.
pub(super) async fn of_chats(
    call: &Call,
    wanted: &[(ChatId, Window<Seq>)],
) -> Result<Vec<Page<Message>>, Fault> {
    let ends = ends(call, wanted).await?;
    let ranges: Vec<_> = wanted
        .iter()
        .map(|(chat, window)| range(window, ends.get(chat).copied().unwrap_or_default()))
        .collect();
    let filters: Vec<_> = wanted
        .iter()
        .zip(&ranges)
        .filter(|(_, range)| range.behind + 1 < range.ahead)
        .map(|((chat, _), range)| {
            doc! {
                "chatId": key(id::bytes(*chat)),
                "seq": { "$gt": range.behind, "$lt": range.ahead },
            }
        })
        .collect();
    let mut found = HashMap::<ChatId, BTreeMap<i64, Message>>::new();
    if !filters.is_empty() {
        let filter = doc! { "$or": filters };
        for message in call
            .find::<MessageDocument>(filter, Shape::default())
            .await?
        {
            let messages = found.entry(message.chat_id).or_default();
            messages.insert(message.seq.into(), message);
        }
    }
    let nothing = BTreeMap::new();
    let pages = wanted.iter().zip(ranges).map(|((chat, window), range)| {
        let messages = found.get(chat).unwrap_or(&nothing);
        let of_range = messages.range(range.behind + 1..range.ahead.max(range.behind + 1));
        let items = of_range.map(|(_, message)| message.clone());
        let items = if window.from_end {
            items.rev().take(overread(window)).collect()
        } else {
            items.take(overread(window)).collect()
        };
        Page::from_overread(items, window)
    });
    Ok(pages.collect())
}

/// Pages of changed messages, each of a chat from a number on, by change.
pub(super) async fn of_changes(
    call: &Call,
    wanted: &[(ChatId, Seq, Window<Seq>)],
) -> Result<Vec<Page<Message>>, Fault> {
    let ranges = wanted.iter().map(|(chat, from, window)| {
        let after = window.after.unwrap_or(0);
        let [after, from] = [after, *from].map(|seq| Bson::Int64(seq.into()));
        let values = vec![key(id::bytes(*chat)).into(), after, from];
        (overread(window), values)
    });
    // In the index on (chat, change).
    let lookup = |limit| Lookup {
        common: Document::new(),
        comparisons: vec![("chatId", "$eq"), ("changeSeq", "$gt"), ("seq", "$gte")],
        sort: doc! { "changeSeq": 1 },
        and_then: Vec::new(),
        limit,
    };
    let found = lookups::of_kinds::<_, MessageDocument>(call, ranges, lookup).await?;
    let pages = found.into_iter().zip(wanted);
    Ok(pages
        .map(|(messages, (_, _, window))| Page::from_overread(messages, window))
        .collect())
}

/// The newest numbers of the chats of which a page is cut from behind.
async fn ends(
    call: &Call,
    wanted: &[(ChatId, Window<Seq>)],
) -> Result<HashMap<ChatId, Seq>, Fault> {
    let from_end = wanted.iter().filter(|(_, window)| window.from_end);
    let chats: Vec<_> = from_end.map(|(chat, _)| *chat).collect();
    let chats = heads::chats(call, &chats).await?;
    Ok(chats
        .into_iter()
        .map(|chat| (chat.id, chat.last_seq))
        .collect())
}

/// The numbers between two others.
struct Range {
    behind: i64,
    ahead: i64,
}

/// The numbers that the page of a window needs, one more than it holds among them.
fn range(window: &Window<Seq>, last: Seq) -> Range {
    let after = i64::from(window.after.unwrap_or(0));
    let size = i64::try_from(overread(window)).unwrap_or(i64::MAX);
    if window.from_end {
        let end = i64::from(last) + 1;
        let ahead = window.before.map_or(end, |before| end.min(before.into()));
        let behind = after.max(ahead.saturating_sub(size + 1));
        Range { behind, ahead }
    } else {
        let ahead = after.saturating_add(size + 1);
        let ahead = window
            .before
            .map_or(ahead, |before| ahead.min(before.into()));
        Range {
            behind: after,
            ahead,
        }
    }
}
