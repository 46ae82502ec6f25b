//! Which messages have which words.
//!
//! A chat's line is a tree: its messages, nodes of [`FAN`] messages, nodes of [`FAN`] such nodes, and so
//! on for [`LEVELS`] levels. A full node has a row for each word of its messages, whose bits say in which
//! of its children the word is. A search walks down from the newest node and enters only children that
//! have all of its words. So where a word stands among a million messages takes a few look-ups, and so
//! does that it is nowhere; what is newest is found first, without a sort. The messages behind the last
//! full node, fewer than [`FAN`], are looked through.
//!
//! An index of one row for each word of each message would tell the same, but each send would write to
//! as many pages as it has words. Here a send writes its words into the message's own row, and every
//! 32nd message those of 32 messages side by side, where a word that several have is one row.
//!
//! An edit or a deletion changes the rows of its words at each level, in its own transaction: what
//! nobody has any more is gone.

mod finding;

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use talksy_domain::id::{self, MessageId};
use talksy_domain::messages::{Message, MessageText};
use talksy_domain::search::{sender_word, words};
use talksy_domain::seq::Seq;

use super::fault::Fault;
use super::rows::{self, Key, all, change, message_columns, one, statements};
#[cfg(test)]
pub(super) use finding::STATEMENTS as FINDING;
pub(super) use finding::find;

/// How many children a node has. Kept in the database, and so never to change.
const FAN: i64 = 32;

/// How many levels of nodes there are. Those of the last have 32,768 messages.
const LEVELS: i64 = 3;

statements! {
    WORDS_OF_MESSAGES = "SELECT seq, words FROM messages
        WHERE chat_id = ?1 AND seq > ?2 AND seq <= ?3 AND words IS NOT NULL";
    WORDS_OF_NODES = "SELECT node, word FROM search_nodes
        WHERE chat_id = ?1 AND level = ?2 AND node >= ?3 AND node < ?4";
    INSERT_NODE = "INSERT INTO search_nodes (chat_id, level, node, word, children)
        VALUES (?1, ?2, ?3, ?4, ?5)";
    ADD_CHILD = "INSERT INTO search_nodes (chat_id, level, node, word, children)
        VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT DO UPDATE SET children = children | excluded.children";
    REMOVE_CHILD = "UPDATE search_nodes SET children = children & ~?5
        WHERE chat_id = ?1 AND level = ?2 AND node = ?3 AND word = ?4 RETURNING children";
    DELETE_NODE = "DELETE FROM search_nodes
        WHERE chat_id = ?1 AND level = ?2 AND node = ?3 AND word = ?4";
    WORDS_OF_MESSAGE = "SELECT words FROM messages WHERE chat_id = ?1 AND seq = ?2";
    SET_WORDS = "UPDATE messages SET words = ?3 WHERE chat_id = ?1 AND seq = ?2";
    NEXT_MESSAGES = "SELECT id, chat_id, seq, words IS NULL AND text IS NOT NULL FROM messages
        WHERE id > ?1 ORDER BY id LIMIT ?2";
    UNINDEXED = concat!("SELECT ", message_columns!(), " FROM messages
        WHERE chat_id = ?1 AND seq = ?2 AND words IS NULL AND text IS NOT NULL");
    LAST_SEQ = "SELECT last_seq FROM chats WHERE id = ?1";
}

/// What [`words`] makes of the message, as the store keeps it; `None` where it has no text.
pub(super) fn words_of(message: &Message) -> Option<String> {
    let text = message.text.as_ref().map(MessageText::as_str)?;
    let mut kept = String::from(" ");
    for word in message
        .sender_id
        .map(sender_word)
        .into_iter()
        .chain(words(text))
    {
        kept.push_str(&word);
        kept.push(' ');
    }
    Some(kept)
}

/// How many messages a node of the level has; of level 0, which are the messages, one.
const fn span(level: i64) -> i64 {
    let (mut span, mut rest) = (1, level);
    while rest > 0 {
        span *= FAN;
        rest -= 1;
    }
    span
}

/// The node of the level that has the message.
fn node_of(level: i64, seq: i64) -> i64 {
    (seq - 1) / span(level)
}

/// The bit of the message's part among the children of its node.
fn bit_of(level: i64, seq: i64) -> i64 {
    1 << (node_of(level - 1, seq) % FAN)
}

/// Whether the chat's messages fill the node.
fn is_full(level: i64, node: i64, last: i64) -> bool {
    (node + 1) * span(level) <= last
}

/// Makes the nodes that the message of this number fills. Every message that is inserted passes here, in
/// the same transaction.
pub(super) fn message_inserted(conn: &Connection, chat: Key, seq: Seq) -> Result<(), Fault> {
    let seq = i64::from(seq);
    for level in 1..=LEVELS {
        if seq % span(level) != 0 {
            break;
        }
        fill(conn, chat, level, node_of(level, seq))?;
    }
    Ok(())
}

fn fill(conn: &Connection, chat: Key, level: i64, node: i64) -> Result<(), Fault> {
    let mut found = BTreeMap::<String, i64>::new();
    if level == 1 {
        let (from, to) = (node * FAN, (node + 1) * FAN);
        let mut statement = conn.prepare_cached(WORDS_OF_MESSAGES)?;
        let mut rows = statement.query((chat, from, to))?;
        while let Some(row) = rows.next()? {
            let bit = bit_of(1, row.get(0)?);
            let words = row.get_ref(1)?.as_str().unwrap_or_default();
            words
                .split_ascii_whitespace()
                .for_each(|word| note(&mut found, word, bit));
        }
    } else {
        let (from, to) = (node * FAN, (node + 1) * FAN);
        let mut statement = conn.prepare_cached(WORDS_OF_NODES)?;
        let mut rows = statement.query((chat, level - 1, from, to))?;
        while let Some(row) = rows.next()? {
            let child: i64 = row.get(0)?;
            let word = row.get_ref(1)?.as_str().unwrap_or_default();
            note(&mut found, word, 1 << (child % FAN));
        }
    }
    let mut insert = conn.prepare_cached(INSERT_NODE)?;
    for (word, children) in &found {
        insert.execute((chat, level, node, word, children))?;
    }
    Ok(())
}

fn note(found: &mut BTreeMap<String, i64>, word: &str, bit: i64) {
    match found.get_mut(word) {
        Some(children) => *children |= bit,
        None => {
            found.insert(word.to_owned(), bit);
        }
    }
}

/// The message has another text, or none any more, or its text is indexed for the first time. `last` is
/// the chat's newest number.
pub(super) fn text_changed(conn: &Connection, message: &Message, last: Seq) -> Result<(), Fault> {
    let (chat, seq) = (id::bytes(message.chat_id), message.seq);
    let read = |row: &rusqlite::Row<'_>| Ok(row.get::<_, Option<String>>(0)?);
    let before = one(conn, WORDS_OF_MESSAGE, (chat, seq), read)?.flatten();
    let after = words_of(message);
    change(conn, SET_WORDS, (chat, seq, &after))?;
    let (before, after) = (set_of(before.as_ref()), set_of(after.as_ref()));
    let (seq, last) = (i64::from(seq), i64::from(last));
    for word in before.difference(&after) {
        remove(conn, chat, (seq, last), word)?;
    }
    for word in after.difference(&before) {
        add(conn, chat, (seq, last), word)?;
    }
    Ok(())
}

fn set_of(words: Option<&String>) -> BTreeSet<&str> {
    let words = words.map(|words| words.split_ascii_whitespace());
    words.into_iter().flatten().collect()
}

fn add(conn: &Connection, chat: Key, (seq, last): (i64, i64), word: &str) -> Result<(), Fault> {
    for level in 1..=LEVELS {
        let node = node_of(level, seq);
        if !is_full(level, node, last) {
            break;
        }
        let values = (chat, level, node, word, bit_of(level, seq));
        change(conn, ADD_CHILD, values)?;
    }
    Ok(())
}

/// The message has the word no longer; nor has a node of which no other part has it.
fn remove(conn: &Connection, chat: Key, (seq, last): (i64, i64), word: &str) -> Result<(), Fault> {
    for level in 1..=LEVELS {
        let node = node_of(level, seq);
        if !is_full(level, node, last) {
            break;
        }
        let values = (chat, level, node, word, bit_of(level, seq));
        let left = one(conn, REMOVE_CHILD, values, |row| Ok(row.get::<_, i64>(0)?))?;
        if left != Some(0) {
            break;
        }
        change(conn, DELETE_NODE, (chat, level, node, word))?;
    }
    Ok(())
}

/// The last message that was looked at, and the places of those that are to be indexed.
type Unindexed = (Option<MessageId>, Vec<(Key, Seq)>);

/// Looks through the next messages by id for those that are to be indexed.
pub(super) fn next_unindexed(
    conn: &Connection,
    after: Option<MessageId>,
    most: usize,
) -> Result<Unindexed, Fault> {
    let after = after.map_or_else(Vec::new, |after| id::bytes(after).to_vec());
    let values = (after, rows::limit(most));
    let found = all(conn, NEXT_MESSAGES, values, |row| {
        let place: (Key, Key, Seq) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok((place, row.get::<_, bool>(3)?))
    })?;
    let last = found.last().map(|((last, ..), _)| id::from_bytes(*last));
    let lacking = found.into_iter().filter(|(_, is_lacking)| *is_lacking);
    let lacking = lacking.map(|((_, chat, seq), _)| (chat, seq));
    Ok((last, lacking.collect()))
}

/// Indexes these messages, those that still need it.
pub(super) fn index(conn: &Connection, messages: &[(Key, Seq)]) -> Result<(), Fault> {
    for &(chat, seq) in messages {
        let Some(message) = one(conn, UNINDEXED, (chat, seq), rows::message)? else {
            continue;
        };
        let last = one(conn, LAST_SEQ, [chat], |row| Ok(row.get(0)?))?;
        // A text that does not parse is read as none, and is indexed as none.
        if message.text.is_some() {
            text_changed(conn, &message, last.unwrap_or(0))?;
        } else {
            change(conn, SET_WORDS, (chat, seq, " "))?;
        }
    }
    Ok(())
}
