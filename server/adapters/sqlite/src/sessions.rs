//! Sessions, each with its refresh token and the one before.

use async_trait::async_trait;
use rusqlite::Connection;
use talksy_domain::auth::{Exchange, Rotation, Session, SessionStore, TokenHash, judge, rotated};
use talksy_domain::clock::Timestamp;
use talksy_domain::cursor::SessionCursor;
use talksy_domain::error::PortError;
use talksy_domain::events::Announcement;
use talksy_domain::id::{self, SessionId, UserId};
use talksy_domain::page::{Page, Window};

use super::SqliteStore;
use super::fault::Fault;
use super::rows::{self, LAST_KEY, all, change, filled, one, session_columns, statements};

statements! {
    INSERT_SESSION = concat!("INSERT INTO sessions (", session_columns!(), ", token_hash)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");
    SESSION = concat!("SELECT ", session_columns!(), " FROM sessions WHERE id = ?1");
    SESSIONS = concat!("SELECT ", session_columns!(), " FROM rarray(?1) AS wanted
        CROSS JOIN sessions ON id = wanted.value");
    EXISTING_SESSIONS = "SELECT id FROM rarray(?1) AS wanted CROSS JOIN sessions ON id = wanted.value";
    SESSIONS_OF = concat!("SELECT ", session_columns!(), " FROM sessions
        WHERE user_id = ?1 AND expires_at > ?2 AND (last_used_at, id) < (?3, ?4)
        ORDER BY last_used_at DESC, id DESC LIMIT ?5");
    SESSION_AND_TOKENS = concat!("SELECT ", session_columns!(),
        ", token_hash, generation, replaced_hash, successor_salt, replaced_at
        FROM sessions WHERE id = ?1");
    REPLACE_TOKEN = "UPDATE sessions SET last_used_at = ?2, expires_at = ?3, token_hash = ?4,
        generation = ?5, replaced_hash = ?6, successor_salt = ?7, replaced_at = ?8 WHERE id = ?1";
    DELETE_SESSION = "DELETE FROM sessions WHERE id = ?1 AND user_id = ?2";
    END_SESSIONS_OF = "DELETE FROM sessions WHERE id IN
        (SELECT id FROM sessions WHERE user_id = ?1 LIMIT ?2) RETURNING id";
    PURGE_SESSIONS = "DELETE FROM sessions WHERE id IN
        (SELECT id FROM sessions WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)";
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

    async fn sessions(&self, ids: &[SessionId]) -> Result<Vec<Session>, PortError> {
        let keys = rows::keys(ids, id::bytes);
        self.read(move |conn| all(conn, SESSIONS, [rows::list(&keys)], rows::session))
            .await
    }

    async fn existing_sessions(&self, ids: &[SessionId]) -> Result<Vec<SessionId>, PortError> {
        let keys = rows::keys(ids, id::bytes);
        self.read(move |conn| {
            all(conn, EXISTING_SESSIONS, [rows::list(&keys)], |row| {
                Ok(id::from_bytes(row.get(0)?))
            })
        })
        .await
    }

    async fn sessions_of(
        &self,
        user: UserId,
        now: Timestamp,
        window: &Window<SessionCursor>,
    ) -> Result<Page<Session>, PortError> {
        let (last_used_at, key) = match &window.after {
            Some(after) => (
                after.last_used_at.as_millis(),
                id::bytes(after.session_id).to_vec(),
            ),
            None => (i64::MAX, LAST_KEY.to_vec()),
        };
        let (user, wanted) = (id::bytes(user), rows::overread(window));
        let sessions = self
            .read(move |conn| {
                let values = |limit| (user, now.as_millis(), last_used_at, &key, limit);
                filled(conn, SESSIONS_OF, wanted, values, rows::session)
            })
            .await?;
        Ok(Page::from_overread(sessions, window))
    }

    async fn rotate_session(&self, exchange: &Exchange) -> Result<Rotation, PortError> {
        let exchange = *exchange;
        self.write(move |conn| rotate(conn, &exchange)).await
    }

    async fn delete_session(&self, id: SessionId, user: UserId) -> Result<bool, PortError> {
        let values = (id::bytes(id), id::bytes(user));
        let work = move |conn: &Connection| Ok(change(conn, DELETE_SESSION, values)? > 0);
        self.write_announced(work, move |ended| {
            if *ended {
                vec![Announcement::session_revoked(user, id)]
            } else {
                Vec::new()
            }
        })
        .await
    }

    async fn end_sessions_of(&self, user: UserId, limit: usize) -> Result<usize, PortError> {
        let work = move |conn: &Connection| end_all_of(conn, user, limit);
        let ended = self.write_announced(work, move |ended| {
            let told = ended.iter().copied();
            told.map(|session| Announcement::session_revoked(user, session))
                .collect()
        });
        Ok(ended.await?.len())
    }

    async fn purge_expired(&self, now: Timestamp, limit: usize) -> Result<usize, PortError> {
        let values = (now.as_millis(), rows::limit(limit));
        self.upkeep(move |conn| change(conn, PURGE_SESSIONS, values))
            .await
    }
}

/// Deletes up to `limit` of the user's sessions, and returns them.
pub(super) fn end_all_of(
    conn: &Connection,
    user: UserId,
    limit: usize,
) -> Result<Vec<SessionId>, Fault> {
    let values = (id::bytes(user), rows::limit(limit));
    all(conn, END_SESSIONS_OF, values, |row| {
        Ok(id::from_bytes(row.get(0)?))
    })
}

fn rotate(conn: &Connection, exchange: &Exchange) -> Result<Rotation, Fault> {
    let key = id::bytes(exchange.session_id);
    let found = one(conn, SESSION_AND_TOKENS, [key], |row| {
        Ok((rows::session(row)?, rows::session_tokens(row)?))
    })?;
    let Some((session, tokens)) = found else {
        return Ok(Rotation::Unknown);
    };
    let rotation = judge(&session, &tokens, exchange);
    if let Rotation::Rotated(session) = &rotation {
        let tokens = rotated(&tokens, exchange);
        let values = (
            key,
            session.last_used_at.as_millis(),
            session.expires_at.as_millis(),
            tokens.current.0,
            tokens.generation,
            tokens.replaced.map(|replaced| replaced.hash.0),
            tokens.replaced.map(|replaced| replaced.salt.0),
            tokens.replaced.map(|replaced| replaced.at.as_millis()),
        );
        change(conn, REPLACE_TOKEN, values)?;
    }
    Ok(rotation)
}
