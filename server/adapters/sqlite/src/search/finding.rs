//! Finds the messages that have words: in each chat from the newest down its tree, and of many chats
//! the newest first.
//!
//! The chats are opened in the order of their activity, and only as far as they can have something that
//! is newer than what was found. How much is looked at for one page is bounded, also where no message
//! has words together that each stand in many: then the page is what was found, with the place where the
//! next one goes on.
//!
//! A chat's hits come by number. Among chats the times of the messages decide, which in one chat may run
//! backwards by a little, where the clocks of instances differ: the walk of a chat goes on behind a
//! place with the first of its hits that is older, whatever lies behind that.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::rc::Rc;

use rusqlite::Connection;
use rusqlite::types::Value;
use talksy_domain::clock::Timestamp;
use talksy_domain::id::{self, ChatId};
use talksy_domain::messages::Message;
use talksy_domain::search::{MessageSearch, SearchPage, SearchPlace, Term, sender_word};
use talksy_domain::seq::{self, Seq};

use super::{FAN, LEVELS, bit_of, is_full, node_of, span};
use crate::fault::Fault;
use crate::rows::{self, Key, all, message_columns, one, statements};
use crate::users::prefix_end;

/// How many nodes a page may look at, all chats taken together.
const MAX_LOOKS: usize = 8_192;

/// How many nodes a page may look at in each chat, however many there are.
const MIN_LOOKS: usize = 64;

/// How many words of a node that have a prefix count as one look.
const WORDS_A_LOOK: usize = 32;

/// How many words of a node that have a prefix are looked at, for each part that is asked for. Beyond it
/// all of those are taken to have one: what lies in them says whether they do.
const WORDS_A_PART: usize = 8;

/// How far numbers and times may be in another order: so many messages above the place that the times
/// say are looked at too.
const DISORDER: i64 = 64;

statements! {
    CHATS = "SELECT id, last_seq, active_at FROM rarray(?1) AS wanted
        CROSS JOIN chats ON id = wanted.value";
    NEXT_NODE = "SELECT node FROM rarray(?3) AS wanted
        CROSS JOIN search_nodes ON chat_id = ?1 AND level = ?2 AND node = wanted.value
            AND word >= ?4 AND word < ?5 LIMIT 1";
    CHILDREN = "SELECT children FROM search_nodes
        WHERE chat_id = ?1 AND level = ?2 AND node = ?3 AND word >= ?4 AND word < ?5";
    NEWEST = "SELECT seq, words FROM messages
        WHERE chat_id = ?1 AND seq >= ?2 AND seq <= ?3 AND words IS NOT NULL ORDER BY seq DESC";
    HIT = concat!("SELECT ", message_columns!(), " FROM messages
        WHERE chat_id = ?1 AND seq = ?2 AND deleted_at IS NULL");
    SENT_AT = "SELECT created_at FROM messages WHERE chat_id = ?1 AND seq = ?2";
}

/// A page of hits.
pub(crate) fn find(conn: &Connection, search: &MessageSearch) -> Result<SearchPage, Fault> {
    rows::snapshot(conn, || Finder::new(conn, search).page())
}

/// The words as they are looked up.
struct Wanted {
    term: Term,
    /// Between spaces, or behind one.
    spaced: String,
    /// The least value behind all words that are meant.
    end: Value,
}

impl Wanted {
    fn new(term: Term) -> Self {
        let spaced = if term.is_prefix {
            format!(" {}", term.text)
        } else {
            format!(" {} ", term.text)
        };
        let end = if term.is_prefix {
            prefix_end(&term.text)
        } else {
            // No word lies between.
            Value::Text(format!("{}\0", term.text))
        };
        Self { term, spaced, end }
    }
}

/// A chat that is searched.
struct Walk {
    chat: ChatId,
    key: Key,
    last: i64,
    /// The first number that may be found.
    floor: i64,
    /// Only numbers below this one are still to be looked at.
    below: i64,
    /// Those of them that were found, the next one last.
    found: Vec<i64>,
    /// Hits are passed over until one lies behind this place.
    until: Option<SearchPlace>,
    looks: usize,
}

/// What a walk comes to next.
enum Step {
    Hit(Box<Message>),
    /// It has looked at as much as it may; this number is the next.
    Stopped(i64),
    Done,
}

/// What nodes have.
enum Explored {
    /// These numbers, the greatest last; those from here on were looked at.
    Found(Vec<i64>, i64),
    Nothing,
    /// It was not looked at from this number down.
    Stopped(i64),
}

struct Finder<'a> {
    conn: &'a Connection,
    search: &'a MessageSearch,
    wanted: Vec<Wanted>,
    max_looks: usize,
}

impl<'a> Finder<'a> {
    fn new(conn: &'a Connection, search: &'a MessageSearch) -> Self {
        let sender = search.sender.map(|sender| Term {
            text: sender_word(sender),
            is_prefix: false,
        });
        // Those that few messages have come first.
        let terms = search.query.terms().iter().cloned().chain(sender);
        Self {
            conn,
            search,
            wanted: terms.map(Wanted::new).collect(),
            max_looks: (MAX_LOOKS / search.parts.len().max(1)).max(MIN_LOOKS),
        }
    }

    fn page(&self) -> Result<SearchPage, Fault> {
        let mut chats = self.chats()?.into_iter().peekable();
        let mut walks: Vec<Walk> = Vec::new();
        // What each walk has come to: its place, its number, and the message where it is a hit.
        let mut heads = BinaryHeap::<(SearchPlace, usize)>::new();
        let mut messages = HashMap::<usize, Message>::new();
        let mut hits: Vec<Message> = Vec::new();
        loop {
            while let Some((newest, ..)) = chats.peek()
                && heads.peek().is_none_or(|(head, _)| head < newest)
                && let Some((_, walk)) = chats.next()
            {
                walks.push(walk);
                let number = walks.len() - 1;
                self.step(&mut walks, number, &mut heads, &mut messages)?;
            }
            let Some((place, number)) = heads.pop() else {
                return Ok(SearchPage { hits, next: None });
            };
            let last = hits.last().map(SearchPlace::of);
            let Some(message) = messages.remove(&number) else {
                let next = Some(last.map_or(place, |last| last.min(place)));
                return Ok(SearchPage { hits, next });
            };
            if hits.len() == self.search.limit {
                return Ok(SearchPage { hits, next: last });
            }
            hits.push(message);
            self.step(&mut walks, number, &mut heads, &mut messages)?;
        }
    }

    /// Walks on, and keeps what the walk comes to.
    fn step(
        &self,
        walks: &mut [Walk],
        number: usize,
        heads: &mut BinaryHeap<(SearchPlace, usize)>,
        messages: &mut HashMap<usize, Message>,
    ) -> Result<(), Fault> {
        let Some(walk) = walks.get_mut(number) else {
            return Ok(());
        };
        match self.advance(walk)? {
            Step::Hit(message) => {
                heads.push((SearchPlace::of(&message), number));
                messages.insert(number, *message);
            }
            Step::Stopped(seq) => {
                // What lies at the number itself is still to be looked at.
                let at = self.sent_at(walk.key, seq)?;
                let seq = Seq::try_from(seq + 1).unwrap_or(seq::MAX);
                let chat_id = walk.chat;
                heads.push((SearchPlace { at, chat_id, seq }, number));
            }
            Step::Done => {}
        }
        Ok(())
    }

    /// The chats, each with the place ahead of its newest message, the most recently active first.
    fn chats(&self) -> Result<Vec<(SearchPlace, Walk)>, Fault> {
        let floors: HashMap<Key, i64> = self
            .search
            .parts
            .iter()
            .map(|(chat, from)| (id::bytes(*chat), i64::from(*from).max(1)))
            .collect();
        let keys: Vec<Key> = floors.keys().copied().collect();
        let read = |row: &rusqlite::Row<'_>| {
            let key: Key = row.get(0)?;
            Ok((key, row.get::<_, u32>(1)?, row.get::<_, i64>(2)?))
        };
        let chats = all(self.conn, CHATS, [rows::list(&keys)], read)?;
        let mut walks = Vec::with_capacity(chats.len());
        for (key, last, active_at) in chats {
            let newest = SearchPlace {
                at: Timestamp::from_millis(active_at),
                chat_id: id::from_bytes(key),
                seq: last.saturating_add(1),
            };
            let floor = floors.get(&key).copied().unwrap_or(i64::MAX);
            let walk = self.walk(newest, i64::from(last), floor)?;
            walks.push((newest, walk));
        }
        walks.sort_by_key(|(newest, _)| Reverse(*newest));
        Ok(walks)
    }

    fn walk(&self, newest: SearchPlace, last: i64, floor: i64) -> Result<Walk, Fault> {
        let (chat, key) = (newest.chat_id, id::bytes(newest.chat_id));
        let (below, until) = match self.search.after {
            Some(after) if after.chat_id == chat => (i64::from(after.seq).min(last + 1), None),
            Some(after) if newest >= after => {
                let behind = self.first_behind(key, (floor, last), after)?;
                (behind.saturating_add(DISORDER).min(last) + 1, Some(after))
            }
            _ => (last + 1, None),
        };
        Ok(Walk {
            chat,
            key,
            last,
            floor,
            below,
            found: Vec::new(),
            until,
            looks: 0,
        })
    }

    /// The greatest number whose message was sent ahead of the place, where times are in order.
    fn first_behind(
        &self,
        chat: Key,
        (floor, last): (i64, i64),
        after: SearchPlace,
    ) -> Result<i64, Fault> {
        let (mut known, mut beyond) = (floor - 1, last + 1);
        while beyond - known > 1 {
            let middle = known + (beyond - known) / 2;
            let at = self.sent_at(chat, middle)?;
            let place = SearchPlace {
                at,
                chat_id: id::from_bytes(chat),
                seq: Seq::try_from(middle).unwrap_or(seq::MAX),
            };
            if place < after {
                known = middle;
            } else {
                beyond = middle;
            }
        }
        Ok(known)
    }

    fn sent_at(&self, chat: Key, seq: i64) -> Result<Timestamp, Fault> {
        let at = one(self.conn, SENT_AT, (chat, seq), |row| Ok(row.get(0)?))?;
        Ok(Timestamp::from_millis(at.unwrap_or(i64::MIN)))
    }

    fn advance(&self, walk: &mut Walk) -> Result<Step, Fault> {
        loop {
            while let Some(seq) = walk.found.pop() {
                let Some(message) = one(self.conn, HIT, (walk.key, seq), rows::message)? else {
                    continue;
                };
                let sender = self.search.sender;
                if sender.is_some_and(|sender| message.sender_id != Some(sender)) {
                    continue;
                }
                if walk
                    .until
                    .is_some_and(|until| SearchPlace::of(&message) >= until)
                {
                    continue;
                }
                walk.until = None;
                return Ok(Step::Hit(Box::new(message)));
            }
            if walk.below <= walk.floor {
                return Ok(Step::Done);
            }
            if walk.looks >= self.max_looks {
                return Ok(Step::Stopped(walk.below - 1));
            }
            self.look_on(walk)?;
        }
    }

    /// Looks at the largest part of the chat that ends where the walk is.
    fn look_on(&self, walk: &mut Walk) -> Result<(), Fault> {
        let top = walk.below - 1;
        let full = walk.last / FAN * FAN;
        if top > full {
            walk.looks += 1;
            let from = walk.floor.max(full + 1);
            walk.found = self.newest(walk.key, from, top)?;
            walk.below = from;
            return Ok(());
        }
        let mut levels = (1..=LEVELS).rev();
        let level = levels.find(|&level| is_full(level, node_of(level, top), walk.last));
        let level = level.unwrap_or(1);
        // Those ahead of it in the same node, which is not full, come with it.
        let node = node_of(level, top);
        let first = (node - node % FAN).max(node_of(level, walk.floor));
        let nodes: Vec<i64> = (first..=node).rev().collect();
        match self.explore(walk, level, &nodes, top)? {
            Explored::Found(found, from) => {
                walk.found = found;
                walk.below = from;
            }
            Explored::Nothing => walk.below = first * span(level) + 1,
            Explored::Stopped(seq) => walk.below = seq + 1,
        }
        Ok(())
    }

    /// Which of these messages, which no full node has, have the words; the greatest number last.
    fn newest(&self, chat: Key, from: i64, to: i64) -> Result<Vec<i64>, Fault> {
        let mut statement = self.conn.prepare_cached(NEWEST)?;
        let mut rows = statement.query((chat, from, to))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let words = row.get_ref(1)?.as_str().unwrap_or_default();
            if self.wanted.iter().all(|one| words.contains(&one.spaced)) {
                found.push(row.get(0)?);
            }
        }
        found.reverse();
        Ok(found)
    }

    /// The newest hits of these nodes, the greatest first, up to number `top`: those of one node of the
    /// first level.
    fn explore(
        &self,
        walk: &mut Walk,
        level: i64,
        mut nodes: &[i64],
        top: i64,
    ) -> Result<Explored, Fault> {
        while let Some((&node, behind)) = nodes.split_first() {
            let (first, end) = (node * span(level) + 1, (node + 1) * span(level));
            if walk.looks >= self.max_looks {
                return Ok(Explored::Stopped(top.min(end)));
            }
            // The bits up to that of `top`, and from that of the first number that may be found.
            let lowest = bit_of(level, first.max(walk.floor));
            let highest = bit_of(level, end.min(top));
            let mask = (highest | (highest - 1)) & !(lowest - 1);
            let children = self.children(walk, level, node, mask)?;
            if children == 0 {
                nodes = self.next_nodes(walk, level, behind)?;
                continue;
            }
            nodes = behind;
            let of_child = (0..FAN).rev().filter(|child| children & (1 << child) != 0);
            if level == 1 {
                let found = of_child.rev().map(|child| first + child).collect();
                return Ok(Explored::Found(found, first));
            }
            let of_child: Vec<i64> = of_child.map(|child| node * FAN + child).collect();
            match self.explore(walk, level - 1, &of_child, top)? {
                Explored::Nothing => {}
                explored => return Ok(explored),
            }
        }
        Ok(Explored::Nothing)
    }

    /// These nodes from the first one on that has the word that is likely the rarest. One statement asks
    /// them all: so it costs little to learn that a word is in none.
    fn next_nodes<'n>(
        &self,
        walk: &mut Walk,
        level: i64,
        nodes: &'n [i64],
    ) -> Result<&'n [i64], Fault> {
        let left = self.max_looks.saturating_sub(walk.looks);
        let asked = &nodes[..nodes.len().min(left)];
        let Some(rarest) = self.wanted.first().filter(|_| asked.len() > 1) else {
            return Ok(nodes);
        };
        let list: Vec<_> = asked.iter().copied().map(Value::Integer).collect();
        let (word, end) = (&rarest.term.text, &rarest.end);
        let values = (walk.key, level, Rc::new(list), word, end);
        let next = one(
            self.conn,
            NEXT_NODE,
            values,
            |row| Ok(row.get::<_, i64>(0)?),
        )?;
        let is_ahead = |node: &&i64| next != Some(**node);
        let passed = asked.iter().take_while(is_ahead).count();
        walk.looks += passed;
        Ok(&nodes[passed..])
    }

    /// Which of these children of a node have all words.
    fn children(&self, walk: &mut Walk, level: i64, node: i64, mask: i64) -> Result<i64, Fault> {
        walk.looks += 1;
        let mut children = mask;
        for wanted in &self.wanted {
            if children == 0 {
                break;
            }
            children &= self.children_with(walk, (level, node), wanted, children)?;
        }
        Ok(children)
    }

    /// The same of one word, or of all words with a prefix. Once all children are found that are asked for, no more of
    /// the words are looked at, nor beyond [`WORDS_A_PART`]: above the first level it may then name children
    /// that have none.
    fn children_with(
        &self,
        walk: &mut Walk,
        (level, node): (i64, i64),
        wanted: &Wanted,
        mask: i64,
    ) -> Result<i64, Fault> {
        let mut statement = self.conn.prepare_cached(CHILDREN)?;
        let values = (walk.key, level, node, &wanted.term.text, &wanted.end);
        let mut rows = statement.query(values)?;
        let (mut children, mut count) = (0, 0);
        let most = WORDS_A_PART * (0..FAN).filter(|part| mask & (1 << part) != 0).count();
        while mask & !children != 0
            && let Some(row) = rows.next()?
        {
            if level > 1 && count == most {
                children = mask;
                break;
            }
            children |= row.get::<_, i64>(0)?;
            count += 1;
        }
        walk.looks += count / WORDS_A_LOOK;
        Ok(children)
    }
}
