//! The search of messages: hits newest first, at a cost that neither the length of the chats raises nor
//! how frequent a word is, or how short the beginning of one.
//!
//! The index `by_word` has chat, word, time and number. What has a word is found there in the order of
//! the times; what has a word with a prefix is not, and would have to be sorted; and of two words one is
//! looked up and the other looked for in the documents. So first it is counted, up to [`FEW`], how many
//! messages have some of the words. Where one of them has few, these are all read, and nothing is left
//! open. Otherwise the newest messages are looked through that have the most telling whole word, or any
//! text where there is none, [`LOOKS`] of them at most: what is frequent is soon found there. Where that
//! does not fill the page, it is shorter, and the next one goes on where this one has stopped.

use std::collections::HashMap;

use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mongodb::bson::{DateTime, Document, RawDocumentBuf, Uuid, deserialize_from_slice, doc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use talksy_domain::id::{self, ChatId};
use talksy_domain::messages::Message;
use talksy_domain::search::{MessageSearch, SearchPage, SearchPlace, Term, sender_word, words};
use talksy_domain::seq::{self, Seq};

use super::call::Call;
use super::commands::Shape;
use super::documents::{MESSAGES, MessageDocument, date, instant, key, keys, limit};
use super::fault::Fault;
use super::indexes::{MESSAGES_BY_SEQ, MESSAGES_BY_WORD};
use super::names;
use super::search::ANY;

/// How many chats one command searches: as many ranges of an index as MongoDB merges in their order, in
/// the place of sorting what it finds.
const CHATS_A_COMMAND: usize = 200;

/// How many of these are searched at once.
const AT_ONCE: usize = 4;

/// How many messages are few: they are read and sorted.
const FEW: usize = 200;

/// How many messages a page looks through at most of those of one command: more than there are chats in
/// one, so that each page comes further.
const LOOKS: usize = 2_000;

/// How many words of a query it is counted of how many messages have them, besides the last one and the
/// sender: the first, which are the longest.
const COUNTED: usize = 2;

/// How far the clocks of instances may be apart, in milliseconds: so much ahead of the first message that
/// may be found is looked at too.
const DISORDER: i64 = 10 * 60 * 1_000;

/// A page of hits.
pub(super) async fn find(call: &Call, search: &MessageSearch) -> Result<SearchPage, Fault> {
    let chats = search.parts.chunks(CHATS_A_COMMAND);
    let finders = chats.map(|parts| Finder {
        call,
        search,
        parts,
    });
    let finding = finders.map(Finder::find).collect::<Vec<_>>();
    let found: Vec<Found> = stream::iter(finding)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let stopped = found.iter().filter_map(|found| found.stopped).max();
    let mut hits: Vec<Message> = found.into_iter().flat_map(|found| found.hits).collect();
    // Behind the place where one has stopped there may be others.
    hits.retain(|hit| stopped.is_none_or(|stopped| SearchPlace::of(hit) > stopped));
    hits.sort_by_key(|hit| std::cmp::Reverse(SearchPlace::of(hit)));
    let is_more = hits.len() > search.limit;
    hits.truncate(search.limit);
    let next = if is_more {
        hits.last().map(SearchPlace::of)
    } else {
        stopped
    };
    Ok(SearchPage { hits, next })
}

/// What was found in some chats.
#[derive(Default)]
struct Found {
    /// The hits ahead of the place where it has stopped: one more than the page holds, where there are.
    hits: Vec<Message>,
    /// What lies behind this place was not looked at. `None` where nothing does.
    stopped: Option<SearchPlace>,
}

/// The search of the chats of one command.
struct Finder<'a> {
    call: &'a Call,
    search: &'a MessageSearch,
    parts: &'a [(ChatId, Seq)],
}

/// When a message was sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    chat_id: Uuid,
    created_at: DateTime,
    seq: Seq,
}

/// From when on the messages of the chats are to be found of which only a part is searched.
type Starts = HashMap<Uuid, DateTime>;

impl Finder<'_> {
    async fn find(self) -> Result<Found, Fault> {
        if let Some(term) = self.rare().await? {
            let filter = doc! { "chatId": self.chats(), "words": word(&term) };
            return Ok(Found {
                hits: self.hits(filter, MESSAGES_BY_WORD).await?,
                stopped: None,
            });
        }
        let starts = self.starts().await?;
        let stop = self.stop(&starts).await?;
        self.newest(&starts, stop).await
    }

    /// The sender, and the words.
    fn terms(&self) -> impl Iterator<Item = Term> {
        let sender = self.search.sender.map(|sender| Term {
            text: sender_word(sender),
            is_prefix: false,
        });
        let terms = self.search.query.terms().iter().cloned();
        sender.into_iter().chain(terms)
    }

    /// One of the words that few messages have.
    async fn rare(&self) -> Result<Option<Term>, Fault> {
        let mut terms: Vec<Term> = self.terms().collect();
        let first = COUNTED + usize::from(self.search.sender.is_some());
        if let Some(last) = terms.pop() {
            terms.truncate(first);
            terms.push(last);
        }
        let counts = try_join_all(terms.iter().map(|term| self.count(term))).await?;
        let rarest = terms
            .into_iter()
            .zip(counts)
            .min_by_key(|(_, count)| *count);
        Ok(rarest
            .filter(|(_, count)| *count <= FEW)
            .map(|(term, _)| term))
    }

    /// How many messages have the word; one more than [`FEW`] where there are more.
    async fn count(&self, term: &Term) -> Result<usize, Fault> {
        #[derive(Deserialize)]
        struct Counted {
            count: i64,
        }
        let pipeline = [
            doc! { "$match": { "chatId": self.chats(), "words": word(term) } },
            doc! { "$limit": limit(FEW + 1) },
            doc! { "$count": "count" },
        ];
        let counted = self.aggregate(pipeline).await?;
        let counted = counted.first().map(parse::<Counted>).transpose()?;
        let count = counted.map_or(0, |counted| counted.count);
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// From when on those chats are searched of which only a part is. One whose part has not begun is
    /// not among them.
    async fn starts(&self) -> Result<Starts, Fault> {
        let cut = self.parts.iter().filter(|(_, from)| *from > 1);
        let firsts: Vec<Document> = cut
            .map(|(chat, from)| doc! { "chatId": key(id::bytes(*chat)), "seq": i64::from(*from) })
            .collect();
        if firsts.is_empty() {
            return Ok(Starts::new());
        }
        let shape = Shape {
            fields: Some(doc! { "chatId": 1, "createdAt": 1, "seq": 1 }),
            index: Some(MESSAGES_BY_SEQ),
            ..Shape::default()
        };
        let filter = doc! { "$or": firsts };
        let found = self.call.find_raw(MESSAGES, filter, shape).await?;
        let start = |raw| {
            let sent: Sent = parse(raw)?;
            let at = sent.created_at.timestamp_millis().saturating_sub(DISORDER);
            Ok((sent.chat_id, DateTime::from_millis(at)))
        };
        found.iter().map(start).collect()
    }

    /// The last message that a page may look at; `None` where it may look at all there are.
    async fn stop(&self, starts: &Starts) -> Result<Option<Sent>, Fault> {
        let Some(filter) = self.newest_filter(starts, None, &[]) else {
            return Ok(None);
        };
        let pipeline = [
            doc! { "$match": filter },
            doc! { "$sort": newest_first() },
            doc! { "$skip": limit(LOOKS - 1) },
            doc! { "$limit": 1 },
            doc! { "$project": { "_id": 0, "chatId": 1, "createdAt": 1, "seq": 1 } },
        ];
        let found = self.aggregate(pipeline).await?;
        found.first().map(parse).transpose()
    }

    /// The newest hits, down to the place where the page stops.
    async fn newest(&self, starts: &Starts, stop: Option<Sent>) -> Result<Found, Fault> {
        let Some(filter) = self.newest_filter(starts, stop.as_ref(), &self.rest()) else {
            return Ok(Found::default());
        };
        let wanted = self.search.limit.saturating_add(1);
        let shape = Shape {
            sort: Some(newest_first()),
            index: Some(MESSAGES_BY_WORD),
            ..Shape::default()
        };
        let mut hits = (self.call)
            .find_first::<MessageDocument>(filter, shape, wanted)
            .await?;
        if hits.len() < wanted {
            let stopped = stop.map(|stop| self.behind(&stop));
            hits.retain(|hit| stopped.is_none_or(|stopped| SearchPlace::of(hit) > stopped));
            return Ok(Found { hits, stopped });
        }
        if let Some(last) = hits.last().filter(|_| self.parts.len() > 1) {
            // Which of those that were sent at once and have the same number are among them is chance.
            let last = SearchPlace::of(last);
            let same = doc! {
                "chatId": self.chats(),
                "seq": i64::from(last.seq),
                "createdAt": date(last.at),
            };
            let same = self.hits(same, MESSAGES_BY_SEQ).await?;
            hits.retain(|hit| (hit.created_at, hit.seq) != (last.at, last.seq));
            hits.extend(same);
        }
        Ok(Found {
            hits,
            stopped: None,
        })
    }

    /// The place behind which the messages at this one's time and number lie, and all further ones: of
    /// several chats that may have one.
    fn behind(&self, stop: &Sent) -> SearchPlace {
        let chat_id = match self.parts {
            [(chat, _)] => *chat,
            _ => id::from_bytes([0; 16]),
        };
        SearchPlace {
            at: instant(stop.created_at),
            chat_id,
            seq: stop.seq.saturating_add(1).min(seq::MAX),
        }
    }

    /// The hits among the messages that match, of which there are few.
    async fn hits(&self, filter: Document, index: &'static str) -> Result<Vec<Message>, Fault> {
        let shape = Shape {
            index: Some(index),
            ..Shape::default()
        };
        let mut found = self.call.find::<MessageDocument>(filter, shape).await?;
        let starts: HashMap<ChatId, Seq> = self.parts.iter().copied().collect();
        found.retain(|message| {
            let from = starts.get(&message.chat_id).copied().unwrap_or(seq::MAX);
            message.seq >= from && self.is_hit(message)
        });
        Ok(found)
    }

    /// Whether it is one, if it lies in the part of its chat that is searched.
    fn is_hit(&self, message: &Message) -> bool {
        let MessageSearch {
            query,
            sender,
            after,
            ..
        } = self.search;
        let text = message.text.as_ref().map(|text| words(text.as_str()));
        text.is_some_and(|words| query.matches(&words))
            && sender.is_none_or(|sender| message.sender_id == Some(sender))
            && after.is_none_or(|after| SearchPlace::of(message) < after)
    }

    fn chats(&self) -> Document {
        let chats: Vec<ChatId> = self.parts.iter().map(|(chat, _)| *chat).collect();
        doc! { "$in": keys(&chats, id::bytes) }
    }

    /// The messages that are looked through: those with a whole word, in the parts of the chats, behind the
    /// search's place and down to `stop`, where there is one. Each branch of the filter is a range of the
    /// index for each of its chats. `None` where no part has begun.
    fn newest_filter(
        &self,
        starts: &Starts,
        stop: Option<&Sent>,
        rest: &[Document],
    ) -> Option<Document> {
        let whole = self.terms().find(|term| !term.is_prefix);
        let word = whole.map_or_else(|| ANY.to_owned(), |term| term.text);
        let before = self.search.after.map(|after| date(after.at));
        let stop = stop.map(|stop| stop.created_at);
        let branch = |chat: Document, start: Option<DateTime>| {
            let mut branch = chat;
            branch.insert("words", &word);
            let mut times = Document::new();
            if let Some(from) = start.max(stop) {
                times.insert("$gte", from);
            }
            if let Some(before) = before {
                times.insert("$lte", before);
            }
            if !times.is_empty() {
                branch.insert("createdAt", times);
            }
            if !rest.is_empty() {
                branch.insert("$and", rest);
            }
            branch
        };
        let is_whole = |part: &&(ChatId, Seq)| part.1 <= 1;
        let whole = self.parts.iter().filter(is_whole);
        let whole: Vec<ChatId> = whole.map(|(chat, _)| *chat).collect();
        let mut branches = Vec::new();
        if !whole.is_empty() {
            let chats = doc! { "chatId": { "$in": keys(&whole, id::bytes) } };
            branches.push(branch(chats, None));
        }
        for (chat, from) in self.parts.iter().filter(|part| !is_whole(part)) {
            let chat = key(id::bytes(*chat));
            if let Some(start) = starts.get(&chat) {
                let mut part = doc! { "chatId": chat };
                if !rest.is_empty() {
                    part.insert("seq", doc! { "$gte": i64::from(*from) });
                }
                branches.push(branch(part, Some(*start)));
            }
        }
        match branches.len() {
            0 | 1 => branches.pop(),
            _ => Some(doc! { "$or": branches }),
        }
    }

    /// What a hit has besides.
    fn rest(&self) -> Vec<Document> {
        let terms = self.search.query.terms().iter();
        let mut rest: Vec<Document> = terms.map(|term| doc! { "words": word(term) }).collect();
        if let Some(sender) = self.search.sender {
            rest.push(doc! { "senderId": key(id::bytes(sender)) });
        }
        if let Some(after) = &self.search.after {
            let (at, seq) = (date(after.at), i64::from(after.seq));
            rest.push(doc! { "$or": [
                { "createdAt": { "$lt": at } },
                { "createdAt": at, "seq": { "$lt": seq } },
                { "createdAt": at, "seq": seq, "chatId": { "$lt": key(id::bytes(after.chat_id)) } },
            ] });
        }
        rest
    }

    async fn aggregate(
        &self,
        pipeline: impl IntoIterator<Item = Document>,
    ) -> Result<Vec<RawDocumentBuf>, Fault> {
        let index = Some(MESSAGES_BY_WORD);
        self.call.aggregate_by(MESSAGES, index, pipeline).await
    }
}

/// The order of the index, which does not tell chats apart.
fn newest_first() -> Document {
    doc! { "createdAt": -1, "seq": -1 }
}

fn word(term: &Term) -> Document {
    if term.is_prefix {
        doc! { "$elemMatch": names::starting_with(&term.text) }
    } else {
        doc! { "$eq": &term.text }
    }
}

fn parse<T: DeserializeOwned>(raw: &RawDocumentBuf) -> Result<T, Fault> {
    let parsed = deserialize_from_slice(raw.as_bytes());
    parsed.map_err(|error| Fault::document("a part of a message", error.into()))
}
