//! Users and sessions.

use async_trait::async_trait;
use rusqlite::Connection;
use rusqlite::types::Value;
use talksy_domain::auth::{Rotation, Session, SessionStore, TokenHash};
use talksy_domain::clock::Timestamp;
use talksy_domain::cursor::UserCursor;
use talksy_domain::error::PortError;
use talksy_domain::id::{self, SessionId, UserId};
use talksy_domain::page::{Page, Window};
use talksy_domain::users::{About, DisplayName, ProfileChange, User, UserStore};

use super::SqliteStore;
use super::fault::Fault;
use super::rows::{self, Key, all, change, filled, one, session_columns, statements, user_columns};

/// How many sessions one write of the purge deletes at most, so that sends wait for it briefly.
const PURGE_STEP: usize = 500;

statements! {
    USERS = concat!("SELECT ", user_columns!(), " FROM rarray(?1) AS wanted
        CROSS JOIN users ON id = wanted.value");
    USER_OF_EMAIL = concat!("SELECT ", user_columns!(), " FROM users WHERE email = ?1");
    INSERT_USER = "INSERT INTO users (id, email, name, name_key, about, created_at, last_seen_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    UPDATE_PROFILE = concat!("UPDATE users SET name = coalesce(?2, name),
        name_key = coalesce(?3, name_key), about = iif(?4, ?5, about)
        WHERE id = ?1 RETURNING ", user_columns!());
    USERS_BY_NAME = concat!("SELECT ", user_columns!(), " FROM users
        WHERE (name_key, id) > (?1, ?2) AND name_key < ?3 AND id <> ?4
        ORDER BY name_key, id LIMIT ?5");
    SET_LAST_SEEN = "UPDATE users SET last_seen_at = ?2
        WHERE id IN (SELECT value FROM rarray(?1)) AND coalesce(last_seen_at < ?2, TRUE)";
    INSERT_SESSION = concat!("INSERT INTO sessions (", session_columns!(), ", token_hash)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");
    SESSION = concat!("SELECT ", session_columns!(), " FROM sessions WHERE id = ?1");
    SESSIONS_OF = concat!("SELECT ", session_columns!(), " FROM sessions
        WHERE user_id = ?1 AND expires_at > ?2 ORDER BY last_used_at DESC, id DESC");
    /// The session, whether the hash is its current one, and whether it was once.
    SESSION_AND_TOKEN = concat!("SELECT ", session_columns!(), ", token_hash = ?2,
        EXISTS (SELECT 1 FROM retired_tokens AS r
            WHERE r.session_id = sessions.id AND r.token_hash = ?2)
        FROM sessions WHERE id = ?1");
    RETIRE_TOKEN = "INSERT INTO retired_tokens (session_id, token_hash) VALUES (?1, ?2)";
    REPLACE_TOKEN = concat!("UPDATE sessions SET token_hash = ?2, last_used_at = ?3, expires_at = ?4
        WHERE id = ?1 RETURNING ", session_columns!());
    DELETE_SESSION = "DELETE FROM sessions WHERE id = ?1 AND user_id = ?2";
    PURGE_SESSIONS = "DELETE FROM sessions WHERE id IN
        (SELECT id FROM sessions WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)";
}

impl SqliteStore {
    /// Deletes the sessions that have expired by `now`, with their tokens, and says how many.
    pub async fn purge_expired(&self, now: Timestamp) -> Result<usize, PortError> {
        let mut purged = 0;
        loop {
            let step = self
                .write(move |conn| {
                    change(
                        conn,
                        PURGE_SESSIONS,
                        (now.as_millis(), rows::limit(PURGE_STEP)),
                    )
                })
                .await?;
            purged += step;
            if step < PURGE_STEP {
                return Ok(purged);
            }
        }
    }
}

#[async_trait]
impl UserStore for SqliteStore {
    async fn users(&self, ids: &[UserId]) -> Result<Vec<User>, PortError> {
        let keys = rows::keys(ids, id::bytes);
        self.read(move |conn| all(conn, USERS, [rows::list(&keys)], rows::user))
            .await
    }

    async fn find_or_create_user(&self, candidate: &User) -> Result<(User, bool), PortError> {
        let user = candidate.clone();
        self.write(move |conn| {
            if let Some(found) = one(conn, USER_OF_EMAIL, [user.email.as_str()], rows::user)? {
                return Ok((found, false));
            }
            let values = (
                id::bytes(user.id),
                user.email.as_str(),
                user.name.as_str(),
                user.name.sort_key(),
                user.about.as_ref().map(About::as_str),
                user.created_at.as_millis(),
                user.last_seen_at.map(Timestamp::as_millis),
            );
            change(conn, INSERT_USER, values)?;
            Ok((user.clone(), true))
        })
        .await
    }

    async fn update_profile(
        &self,
        id: UserId,
        change: &ProfileChange,
    ) -> Result<Option<User>, PortError> {
        let change = change.clone();
        self.write(move |conn| {
            let about = change.about.as_ref();
            let values = (
                id::bytes(id),
                change.name.as_ref().map(DisplayName::as_str),
                change.name.as_ref().map(DisplayName::sort_key),
                about.is_some(),
                about.and_then(|about| about.as_ref()).map(About::as_str),
            );
            one(conn, UPDATE_PROFILE, values, rows::user)
        })
        .await
    }

    async fn users_by_name(
        &self,
        prefix: &str,
        except: UserId,
        window: &Window<UserCursor>,
    ) -> Result<Page<User>, PortError> {
        let prefix = prefix.to_lowercase();
        let end = prefix_end(&prefix);
        // Sorts ahead of every user whose name starts with the prefix.
        let start = (prefix, Vec::new());
        let (name, key) = match &window.after {
            Some(after) => start.max((after.name_key.clone(), id::bytes(after.user_id).to_vec())),
            None => start,
        };
        let wanted = rows::overread(window);
        let users = self
            .read(move |conn| {
                let except = id::bytes(except);
                let values = |limit| (&name, &key, &end, except, limit);
                filled(conn, USERS_BY_NAME, wanted, values, rows::user)
            })
            .await?;
        Ok(Page::from_overread(users, window))
    }

    async fn set_last_seen(&self, users: &[UserId], at: Timestamp) -> Result<(), PortError> {
        let keys = rows::keys(users, id::bytes);
        self.write(move |conn| {
            change(conn, SET_LAST_SEEN, (rows::list(&keys), at.as_millis()))?;
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl SessionStore for SqliteStore {
    async fn create_session(&self, session: &Session, token: TokenHash) -> Result<(), PortError> {
        let session = session.clone();
        self.write(move |conn| {
            let values = (
                id::bytes(session.id),
                id::bytes(session.user_id),
                session.created_at.as_millis(),
                session.last_used_at.as_millis(),
                session.expires_at.as_millis(),
                session.user_agent.as_deref(),
                session.ip_address.map(|address| address.to_string()),
                token.0,
            );
            change(conn, INSERT_SESSION, values)?;
            Ok(())
        })
        .await
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>, PortError> {
        self.read(move |conn| one(conn, SESSION, [id::bytes(id)], rows::session))
            .await
    }

    async fn sessions_of(&self, user: UserId, now: Timestamp) -> Result<Vec<Session>, PortError> {
        let values = (id::bytes(user), now.as_millis());
        self.read(move |conn| all(conn, SESSIONS_OF, values, rows::session))
            .await
    }

    async fn rotate_session(
        &self,
        id: SessionId,
        presented: TokenHash,
        replacement: TokenHash,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Rotation, PortError> {
        let key = id::bytes(id);
        self.write(move |conn| rotate(conn, key, presented, replacement, now, expires_at))
            .await
    }

    async fn delete_session(&self, id: SessionId, user: UserId) -> Result<bool, PortError> {
        let values = (id::bytes(id), id::bytes(user));
        self.write(move |conn| Ok(change(conn, DELETE_SESSION, values)? > 0))
            .await
    }
}

fn rotate(
    conn: &Connection,
    key: Key,
    presented: TokenHash,
    replacement: TokenHash,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<Rotation, Fault> {
    let found = one(conn, SESSION_AND_TOKEN, (key, presented.0), |row| {
        Ok((rows::session(row)?, row.get(7)?, row.get(8)?))
    })?;
    match found {
        Some((session, false, true)) => Ok(Rotation::Reused(session)),
        Some((session, true, _)) if session.expires_at <= now => Ok(Rotation::Expired),
        Some((_, true, _)) => {
            change(conn, RETIRE_TOKEN, (key, presented.0))?;
            let values = (key, replacement.0, now.as_millis(), expires_at.as_millis());
            let session = one(conn, REPLACE_TOKEN, values, rows::session)?;
            Ok(session.map_or(Rotation::Unknown, Rotation::Rotated))
        }
        _ => Ok(Rotation::Unknown),
    }
}

/// The least value that sorts behind every text with the prefix. UTF-8 sorts as its scalar values
/// do, so it is the prefix with its last character raised; where none can be, it is a blob, which
/// SQLite sorts behind all text.
fn prefix_end(prefix: &str) -> Value {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // The range steps over the surrogates, which are no characters.
        if let Some(next) = (last..=char::MAX).nth(1) {
            end.push(next);
            return Value::Text(end);
        }
    }
    Value::Blob(Vec::new())
}
