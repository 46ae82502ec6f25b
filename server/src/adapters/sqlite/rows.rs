//! Rows as the domain's values: the columns of each table in their one order, and the codes of
//! enums. A row that does not parse is reported by its id.

use std::rc::Rc;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Params, Row};
use talksy_domain::auth::Session;
use talksy_domain::chats::{Chat, ChatKind, Member, MemberRole};
use talksy_domain::clock::Timestamp;
use talksy_domain::id::{self, ChatId, MessageId, SessionId, UserId};
use talksy_domain::mail::EmailAddress;
use talksy_domain::messages::{ClientMessageId, Message, MessageKind, MessageText};
use talksy_domain::page::Window;
use talksy_domain::users::{About, DisplayName, User};

use super::fault::{Fault, Why};

/// An id's bytes.
pub(super) type Key = [u8; 16];

/// Names statements, and lists them so that a test can examine each one's query plan.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* const $name: &str = $sql;)*
        #[cfg(test)]
        pub(super) const STATEMENTS: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}
pub(super) use statements;

/// What [`user`] reads.
macro_rules! user_columns {
    () => {
        "id, email, name, about, created_at, last_seen_at"
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
        "id, kind, created_at, active_at, last_seq, member_count, membership_epoch"
    };
}
pub(super) use chat_columns;

/// What [`member`] reads.
macro_rules! member_columns {
    () => {
        "chat_id, user_id, role, joined_at, last_read_seq, last_read_at"
    };
}
pub(super) use member_columns;

/// What [`message`] reads.
macro_rules! message_columns {
    () => {
        "chat_id, seq, id, kind, sender_id, created_at, edited_at, deleted_at, client_message_id, text"
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
pub(super) fn overread<C>(window: &Window<C>) -> i64 {
    limit(window.limit).saturating_add(1)
}

/// All rows.
pub(super) fn all<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    parse: impl Fn(&Row<'_>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(parse(row)?);
    }
    Ok(items)
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
        let email: String = row.get(1)?;
        let name: String = row.get(2)?;
        let about: Option<String> = row.get(3)?;
        Ok(User {
            id: user_id,
            email: EmailAddress::try_from(email)?,
            name: DisplayName::try_from(name)?,
            about: about.map(About::try_from).transpose()?,
            created_at: time(row, 4)?,
            last_seen_at: some_time(row, 5)?,
        })
    };
    parse().map_err(|why| Fault::row(format_args!("user {user_id}"), why))
}

/// A session.
pub(super) fn session(row: &Row<'_>) -> Result<Session, Fault> {
    let session_id: SessionId = id::from_bytes(row.get(0)?);
    let parse = || -> Result<Session, Why> {
        let ip_address: Option<String> = row.get(6)?;
        Ok(Session {
            id: session_id,
            user_id: id::from_bytes(row.get(1)?),
            created_at: time(row, 2)?,
            last_used_at: time(row, 3)?,
            expires_at: time(row, 4)?,
            user_agent: row.get(5)?,
            ip_address: ip_address.map(|text| text.parse()).transpose()?,
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
            membership_epoch: row.get(6)?,
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
        Ok(Member {
            chat_id,
            user_id,
            role: match row.get(2)? {
                0 => MemberRole::Owner,
                1 => MemberRole::Admin,
                2 => MemberRole::Member,
                code => return Err(unknown("role", code)),
            },
            joined_at: time(row, 3)?,
            last_read_seq: row.get(4)?,
            last_read_at: some_time(row, 5)?,
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

/// A message.
pub(super) fn message(row: &Row<'_>) -> Result<Message, Fault> {
    let message_id: MessageId = id::from_bytes(row.get(2)?);
    let parse = || -> Result<Message, Why> {
        let client_message_id: Option<String> = row.get(8)?;
        let text: Option<String> = row.get(9)?;
        Ok(Message {
            chat_id: id::from_bytes(row.get(0)?),
            seq: row.get(1)?,
            id: message_id,
            kind: match row.get(3)? {
                0 => MessageKind::Text,
                1 => MessageKind::Image,
                2 => MessageKind::File,
                3 => MessageKind::System,
                code => return Err(unknown("kind of message", code)),
            },
            sender_id: row.get::<_, Option<Key>>(4)?.map(id::from_bytes),
            created_at: time(row, 5)?,
            edited_at: some_time(row, 6)?,
            deleted_at: some_time(row, 7)?,
            client_message_id: client_message_id
                .map(ClientMessageId::try_from)
                .transpose()?,
            text: text.map(MessageText::try_from).transpose()?,
        })
    };
    parse().map_err(|why| Fault::row(format_args!("message {message_id}"), why))
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

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_millis)
}

fn some_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row
        .get::<_, Option<i64>>(column)?
        .map(Timestamp::from_millis))
}
