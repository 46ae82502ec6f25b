//! Rows as the domain's values: the columns of each table in their one order, and the codes of
//! enums. A row that does not parse is reported by its id and harms no other: fields that people
//! wrote get a stand-in, and messages and members keep their place whatever is wrong with them.

use std::rc::Rc;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Params, Row, Rows, params};
use talksy_domain::auth::{ReplacedToken, Session, SessionTokens, TokenHash, TokenSalt};
use talksy_domain::chats::{Chat, ChatKind, ChatTitle, Member, MemberRole};
use talksy_domain::clock::Timestamp;
use talksy_domain::damage::{self, or_stand_in};
use talksy_domain::id::{self, AttachmentId, ChatId, MessageId, SessionId, UserId};
use talksy_domain::mail::EmailAddress;
use talksy_domain::messages::{
    ClientMessageId, Fingerprint, Message, MessageKind, MessageText, Reactions,
};
use talksy_domain::metadata::Metadata;
use talksy_domain::page::Window;
use talksy_domain::seq::Seq;
use talksy_domain::users::{About, DisplayName, User};

use super::fault::{Fault, Why};
use super::{mentions, search, unread};

/// An id's bytes.
pub(super) type Key = [u8; 16];

/// Sorts behind every id.
pub(super) const LAST_KEY: [u8; 17] = [0xFF; 17];

/// Names statements, and lists them so that a test can examine each one's query plan.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* const $name: &str = $sql;)*
        #[cfg(test)]
        pub(crate) const STATEMENTS: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}
pub(super) use statements;

/// What [`user`] reads.
macro_rules! user_columns {
    () => {
        "id, email, name, about, created_at, last_seen_at, name_key, metadata, avatar_id, block_version, deleted_at"
    };
}
pub(super) use user_columns;

/// What [`session`] reads.
macro_rules! session_columns {
    () => {
        "id, user_id, created_at, last_used_at, expires_at, user_agent, ip_address"
    };
}
pub(super) use session_columns;

/// What [`chat`] reads.
macro_rules! chat_columns {
    () => {
        "id, kind, created_at, active_at, last_seq, member_count, title, last_change_seq, applied_seq, metadata_seq, avatar_id, is_closed"
    };
}
pub(super) use chat_columns;

/// What [`member`] reads.
macro_rules! member_columns {
    () => {
        "chat_id, user_id, role, joined_at, last_read_seq, last_read_at, joined_seq, visible_from_seq, is_muted, version, unread_from_seq, is_blocked"
    };
}
pub(super) use member_columns;

/// Above which number messages count as unread for a member, `m`: as `Member::unread_base` has it.
macro_rules! unread_base {
    () => {
        "iif(m.unread_from_seq IS NULL, max(m.last_read_seq, m.joined_seq),
            max(m.unread_from_seq, m.visible_from_seq, 1) - 1)"
    };
}
pub(super) use unread_base;

/// What a message is inserted with.
macro_rules! sent_columns {
    () => {
        "chat_id, seq, id, kind, sender_id, created_at, edited_at, deleted_at, client_message_id, text, mseq, change_seq, content_seq, notice, fingerprint, metadata, reply_to, mentions, attachment_ids"
    };
}
pub(super) use sent_columns;

/// What [`message`] reads: what a message was inserted with, and what it has of changes alone.
macro_rules! message_columns {
    () => {
        concat!($crate::rows::sent_columns!(), ", reactions, pinned_seq")
    };
}
pub(super) use message_columns;

/// The bytes of ids, each once, in order: neighbours in the table are read one after the other.
pub(super) fn keys<I: Copy>(ids: &[I], bytes: impl Fn(I) -> Key) -> Vec<Key> {
    let mut keys: Vec<Key> = ids.iter().map(|&id| bytes(id)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Keys as the argument of `rarray(…)`, so that a statement's text does not depend on how many
/// there are.
pub(super) fn list(keys: &[Key]) -> Rc<Vec<Value>> {
    Rc::new(keys.iter().map(|key| Value::Blob(key.to_vec())).collect())
}

/// A size as the argument of `LIMIT`.
pub(super) fn limit(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// How many rows tell whether there are more than the window wants.
pub(super) fn overread<C>(window: &Window<C>) -> usize {
    window.limit.saturating_add(1)
}

/// All rows. One that does not parse is left out.
pub(super) fn all<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    parse: impl Fn(&Row<'_>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    Ok(readable(conn, sql, params, parse)?.0)
}

/// The rows that parse, and how many there are in all.
fn readable<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    parse: impl Fn(&Row<'_>) -> Result<T, Fault>,
) -> Result<(Vec<T>, usize), Fault> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut items = Vec::new();
    let count = collect(statement.query(params)?, parse, &mut items)?;
    Ok((items, count))
}

/// Adds the rows that parse to `items`. Tells how many there are in all.
fn collect<T>(
    mut rows: Rows<'_>,
    parse: impl Fn(&Row<'_>) -> Result<T, Fault>,
    items: &mut Vec<T>,
) -> Result<usize, Fault> {
    let mut count = 0;
    while let Some(row) = rows.next()? {
        count += 1;
        match parse(row) {
            Ok(item) => items.push(item),
            Err(Fault::Row { what, .. }) => damage::left_out(what),
            // The row was read, so that this is a column of another type or range.
            Err(_) => damage::left_out("a row without a readable id"),
        }
    }
    Ok(count)
}

/// The first `wanted` rows that parse. `params` makes the statement's parameters for a limit: rows
/// that do not parse are read past, so that a page is short only where the list ends.
pub(super) fn filled<T, P: Params>(
    conn: &Connection,
    sql: &str,
    wanted: usize,
    params: impl Fn(i64) -> P,
    parse: impl Fn(&Row<'_>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut most = wanted;
    loop {
        let (mut items, count) = readable(conn, sql, params(limit(most)), &parse)?;
        if items.len() >= wanted || count < most {
            items.truncate(wanted);
            return Ok(items);
        }
        // Grows each time, since more rows were left out than were read beyond the wanted ones.
        most = wanted + 2 * (count - items.len());
    }
}

/// What a statement finds for each of these keys, in the keys' order, all as of one moment. A row
/// that does not parse is left out.
///
/// The statement is run for one key at a time. That is for what has an order and a limit of its own
/// for each key: joined to the keys it would be a list within a list, for which SQLite makes a
/// temporary table a key. What is only looked up is joined (`rarray`), which costs no more.
pub(super) fn each<T, P: Params>(
    conn: &Connection,
    sql: &str,
    keys: &[Key],
    params: impl Fn(Key) -> P,
    parse: impl Fn(&Row<'_>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    snapshot(conn, || {
        let mut statement = conn.prepare_cached(sql)?;
        let mut items = Vec::with_capacity(keys.len());
        for key in keys {
            collect(statement.query(params(*key))?, &parse, &mut items)?;
        }
        Ok(items)
    })
}

/// Runs statements that all see the database as of one moment.
pub(super) fn snapshot<T>(
    conn: &Connection,
    read: impl FnOnce() -> Result<T, Fault>,
) -> Result<T, Fault> {
    if !conn.is_autocommit() {
        return read();
    }
    conn.prepare_cached("BEGIN")?.execute([])?;
    // Where this fails, whoever runs the job ends the transaction.
    let outcome = read()?;
    conn.prepare_cached("COMMIT")?.execute([])?;
    Ok(outcome)
}

/// The first row, where there is one.
pub(super) fn one<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    parse: impl Fn(&Row<'_>) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    let mut statement = conn.prepare_cached(sql)?;
    let row = statement
        .query_row(params, |row| Ok(parse(row)))
        .optional()?;
    row.transpose()
}

/// Changes rows and says how many.
pub(super) fn change(conn: &Connection, sql: &str, params: impl Params) -> Result<usize, Fault> {
    Ok(conn.prepare_cached(sql)?.execute(params)?)
}

/// A user.
pub(super) fn user(row: &Row<'_>) -> Result<User, Fault> {
    let user_id: UserId = id::from_bytes(row.get(0)?);
    let parse = || -> Result<User, Why> {
        let record = || format!("user {user_id}");
        let name = text(row, 2)?.unwrap_or_default();
        let key = text(row, 6)?.unwrap_or_default();
        let about = text(row, 3)?.map(About::try_from).transpose();
        let metadata = text(row, 7)?.map(Metadata::parse).transpose();
        Ok(User {
            id: user_id,
            email: EmailAddress::stored(text(row, 1)?.unwrap_or_default()),
            name: or_stand_in(DisplayName::parse(&name), record, "name", || {
                DisplayName::stand_in(&name, &key)
            }),
            about: or_stand_in(about, record, "about", || None),
            metadata: or_stand_in(metadata, record, "metadata", || None),
            avatar_id: or_stand_in(row.get::<_, Option<Key>>(8), record, "avatar_id", || None)
                .map(id::from_bytes),
            created_at: time(row, 4)?,
            last_seen_at: some_time(row, 5)?,
            block_version: or_stand_in(row.get(9), record, "block_version", || 0),
            deleted_at: some_time(row, 10)?,
        })
    };
    parse().map_err(|why| Fault::row(format_args!("user {user_id}"), why))
}

/// A session.
pub(super) fn session(row: &Row<'_>) -> Result<Session, Fault> {
    let session_id: SessionId = id::from_bytes(row.get(0)?);
    let parse = || -> Result<Session, Why> {
        let record = || format!("session {session_id}");
        let ip_address = text(row, 6)?.map(|text| text.parse()).transpose();
        Ok(Session {
            id: session_id,
            user_id: id::from_bytes(row.get(1)?),
            created_at: time(row, 2)?,
            last_used_at: time(row, 3)?,
            expires_at: time(row, 4)?,
            user_agent: text(row, 5)?,
            ip_address: or_stand_in(ip_address, record, "ip_address", || None),
        })
    };
    parse().map_err(|why| Fault::row(format_args!("session {session_id}"), why))
}

/// A session's tokens, in the columns behind those of [`session`].
pub(super) fn session_tokens(row: &Row<'_>) -> Result<SessionTokens, Fault> {
    let session_id: SessionId = id::from_bytes(row.get(0)?);
    let parse = || -> Result<SessionTokens, Why> {
        let replaced: Option<[u8; 32]> = row.get(9)?;
        let replaced = replaced.map(|hash| -> Result<ReplacedToken, Why> {
            Ok(ReplacedToken {
                hash: TokenHash(hash),
                salt: TokenSalt(row.get(10)?),
                at: time(row, 11)?,
            })
        });
        Ok(SessionTokens {
            current: TokenHash(row.get(7)?),
            generation: row.get(8)?,
            replaced: replaced.transpose()?,
        })
    };
    parse().map_err(|why| Fault::row(format_args!("session {session_id}"), why))
}

/// A chat.
pub(super) fn chat(row: &Row<'_>) -> Result<Chat, Fault> {
    let chat_id: ChatId = id::from_bytes(row.get(0)?);
    let parse = || -> Result<Chat, Why> {
        Ok(Chat {
            id: chat_id,
            kind: match row.get(1)? {
                0 => ChatKind::Direct,
                1 => ChatKind::Group,
                code => return Err(unknown("kind of chat", code)),
            },
            created_at: time(row, 2)?,
            active_at: time(row, 3)?,
            last_seq: row.get(4)?,
            member_count: row.get(5)?,
            title: or_stand_in(
                text(row, 6)?.map(ChatTitle::try_from).transpose(),
                || format!("chat {chat_id}"),
                "title",
                || None,
            ),
            last_change_seq: row.get(7)?,
            applied_seq: row.get(8)?,
            metadata_seq: row.get(9)?,
            avatar_id: or_stand_in(
                row.get::<_, Option<Key>>(10),
                || format!("chat {chat_id}"),
                "avatar_id",
                || None,
            )
            .map(id::from_bytes),
            is_closed: row.get(11)?,
        })
    };
    parse().map_err(|why| Fault::row(format_args!("chat {chat_id}"), why))
}

/// The code under which [`chat`] finds the kind.
pub(super) fn chat_kind(kind: ChatKind) -> i64 {
    match kind {
        ChatKind::Direct => 0,
        ChatKind::Group => 1,
    }
}

/// A member.
pub(super) fn member(row: &Row<'_>) -> Result<Member, Fault> {
    let chat_id: ChatId = id::from_bytes(row.get(0)?);
    let user_id: UserId = id::from_bytes(row.get(1)?);
    let parse = || -> Result<Member, Why> {
        let record = || format!("member {user_id} of {chat_id}");
        let role = match row.get(2)? {
            0 => Ok(MemberRole::Owner),
            1 => Ok(MemberRole::Admin),
            2 => Ok(MemberRole::Member),
            code => Err(unknown("role", code)),
        };
        Ok(Member {
            chat_id,
            user_id,
            // The role with the fewest rights.
            role: or_stand_in(role, record, "role", || MemberRole::Member),
            joined_at: time(row, 3)?,
            last_read_seq: or_stand_in(row.get(4), record, "last_read_seq", || 0),
            last_read_at: some_time(row, 5)?,
            joined_seq: or_stand_in(row.get(6), record, "joined_seq", || 0),
            // Nothing rather than too much.
            visible_from_seq: or_stand_in(row.get(7), record, "visible_from_seq", || Seq::MAX),
            is_muted: or_stand_in(row.get(8), record, "is_muted", || false),
            version: or_stand_in(row.get(9), record, "version", || 1),
            unread_from_seq: or_stand_in(row.get(10), record, "unread_from_seq", || None),
            is_blocked: or_stand_in(row.get(11), record, "is_blocked", || false),
        })
    };
    parse().map_err(|why| Fault::row(format_args!("member {user_id} of {chat_id}"), why))
}

/// The code under which [`member`] finds the role.
pub(super) fn member_role(role: MemberRole) -> i64 {
    match role {
        MemberRole::Owner => 0,
        MemberRole::Admin => 1,
        MemberRole::Member => 2,
    }
}

/// Keeps a numbered message, with its words for searches ([`search::words_of`]).
pub(super) fn insert_message(
    conn: &Connection,
    message: &Message,
    words: Option<&str>,
) -> Result<(), Fault> {
    const INSERT: &str = concat!(
        "INSERT INTO messages (",
        sent_columns!(),
        ", words) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)"
    );
    let notice = message.notice.as_ref().map(serde_json::to_string);
    let values = params![
        id::bytes(message.chat_id),
        message.seq,
        id::bytes(message.id),
        message_kind(message.kind),
        message.sender_id.map(id::bytes),
        message.created_at.as_millis(),
        message.edited_at.map(Timestamp::as_millis),
        message.deleted_at.map(Timestamp::as_millis),
        message
            .client_message_id
            .as_ref()
            .map(ClientMessageId::as_str),
        message.text.as_ref().map(MessageText::as_str),
        message.mseq,
        message.change_seq,
        message.content_seq,
        notice.transpose().map_err(Fault::json)?,
        message.fingerprint.map(|print| print.0),
        message.metadata.as_ref().map(Metadata::as_str),
        message.reply_to,
        mentions::column(&message.mention_ids),
        attachment_keys(message),
        words,
    ];
    change(conn, INSERT, values)?;
    mentions::changed(conn, &[], message)?;
    let chat = id::bytes(message.chat_id);
    unread::message_inserted(conn, chat, message.seq)?;
    search::message_inserted(conn, chat, message.seq)
}

/// A message. Its place in the chat is all that it needs: a hole in the numbers would hold up
/// every feed of the chat.
pub(super) fn message(row: &Row<'_>) -> Result<Message, Fault> {
    let bytes = row.get_ref(2)?.as_bytes().unwrap_or_default();
    let mut key = Key::default();
    key.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    let message_id: MessageId = id::from_bytes(key);
    let record = || format!("message {message_id}");
    let parse = || -> Result<Message, Why> {
        let kind = match row.get(3)? {
            0 => Ok(MessageKind::Text),
            1 => Ok(MessageKind::Image),
            2 => Ok(MessageKind::File),
            3 => Ok(MessageKind::System),
            code => Err(unknown("kind of message", code)),
        };
        let sender = row.get::<_, Option<Key>>(4);
        let client_message_id = text(row, 8)?.map(ClientMessageId::try_from).transpose();
        let notice = text(row, 13)?.map(|json| serde_json::from_str(&json));
        let text = text(row, 9)?.map(MessageText::try_from).transpose();
        let fingerprint = row.get::<_, Option<[u8; 8]>>(14);
        let metadata = self::text(row, 15)?.map(Metadata::parse).transpose();
        let reactions = self::text(row, 19)?.map(|json| serde_json::from_str(&json));
        Ok(Message {
            chat_id: id::from_bytes(row.get(0)?),
            seq: row.get(1)?,
            id: message_id,
            kind: or_stand_in(kind, record, "kind", || MessageKind::Text),
            sender_id: or_stand_in(sender, record, "sender_id", || None).map(id::from_bytes),
            created_at: time(row, 5)?,
            edited_at: some_time(row, 6)?,
            deleted_at: some_time(row, 7)?,
            client_message_id: or_stand_in(client_message_id, record, "client_message_id", || None),
            text: or_stand_in(text, record, "text", || None),
            mseq: or_stand_in(row.get(10), record, "mseq", || 0),
            change_seq: or_stand_in(row.get(11), record, "change_seq", || 0),
            content_seq: or_stand_in(row.get(12), record, "content_seq", || 0),
            notice: or_stand_in(notice.transpose(), record, "notice", || None),
            fingerprint: or_stand_in(fingerprint, record, "fingerprint", || None).map(Fingerprint),
            metadata: or_stand_in(metadata, record, "metadata", || None),
            reply_to: or_stand_in(row.get(16), record, "reply_to", || None),
            mention_ids: mentions::list(row.get_ref(17)?.as_blob_or_null().unwrap_or_default()),
            attachments: or_stand_in(row.get(18), record, "attachment_ids", || None)
                .map_or_else(Vec::new, |keys: Vec<u8>| attachment_ids(&keys)),
            reactions: or_stand_in(reactions.transpose(), record, "reactions", || None)
                .unwrap_or_default(),
            pinned_seq: or_stand_in(row.get(20), record, "pinned_seq", || 0),
        })
    };
    parse().map_err(|why| Fault::row(record(), why))
}

/// What [`message`] finds reactions in; nothing where there are none.
pub(super) fn reactions(reactions: &Reactions) -> Result<Option<String>, Fault> {
    let some = (!reactions.is_empty()).then(|| serde_json::to_string(reactions));
    some.transpose().map_err(Fault::json)
}

/// The ids of a message's attachments, one behind the other; `None` where it has none.
pub(super) fn attachment_keys(message: &Message) -> Option<Vec<u8>> {
    let keys = message.attachments.iter().map(|&one| id::bytes(one));
    let keys: Vec<u8> = keys.flatten().collect();
    (!keys.is_empty()).then_some(keys)
}

fn attachment_ids(keys: &[u8]) -> Vec<AttachmentId> {
    let (keys, _) = keys.as_chunks::<16>();
    keys.iter().map(|key| id::from_bytes(*key)).collect()
}

/// The code under which [`message`] finds the kind.
pub(super) fn message_kind(kind: MessageKind) -> i64 {
    match kind {
        MessageKind::Text => 0,
        MessageKind::Image => 1,
        MessageKind::File => 2,
        MessageKind::System => 3,
    }
}

fn unknown(what: &str, code: i64) -> Why {
    format!("{code} is no {what}").into()
}

/// A text, with U+FFFD in the place of bytes that are no UTF-8.
pub(super) fn text(row: &Row<'_>, column: usize) -> Result<Option<String>, Why> {
    let bytes = row.get_ref(column)?.as_bytes_or_null()?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_millis)
}

fn some_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row
        .get::<_, Option<i64>>(column)?
        .map(Timestamp::from_millis))
}
