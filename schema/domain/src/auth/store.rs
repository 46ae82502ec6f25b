//! The port through which sessions are kept.

use super::model::{Session, TokenHash};
use crate::clock::Timestamp;
use crate::cursor::SessionCursor;
use crate::error::PortError;
use crate::id::{SessionId, UserId};
use crate::page::{Page, Window};
use crate::port::port;

/// What came of presenting a refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It was the session's current token; the replacement is current now.
    Rotated(Session),
    /// It was current once: somebody holds a copy. Nothing was changed.
    Reused(Session),
    /// There is no such session, or the token never belonged to it.
    Unknown,
    /// The session has expired.
    Expired,
}

port! {
    /// Keeps sessions and the hashes of their refresh tokens. Each method is atomic on its own.
    pub trait SessionStore as "sessions" with SessionStoreLayer {
        /// Keeps a new session with the hash of its first refresh token.
        async fn create_session(&self, session: &Session, token: TokenHash) -> Result<(), PortError>;

        /// A session, also an expired one; `None` once it was deleted.
        async fn session(&self, id: SessionId) -> Result<Option<Session>, PortError>;

        /// Those of these sessions that there are, also expired ones, in any order.
        async fn sessions(&self, ids: &[SessionId]) -> Result<Vec<Session>, PortError>;

        /// Which of these sessions there are, also expired ones and such as cannot be read, in any
        /// order. Reads no more than the keys.
        async fn existing_sessions(&self, ids: &[SessionId]) -> Result<Vec<SessionId>, PortError>;

        /// The user's sessions that expire after `now`, last used first, ties by id from the greatest
        /// down. The window is a forward one.
        async fn sessions_of(
            &self,
            user: UserId,
            now: Timestamp,
            window: &Window<SessionCursor>,
        ) -> Result<Page<Session>, PortError>;

        /// Replaces the session's refresh token if `presented` is the current one, and sets
        /// `last_used_at` to `now` and `expires_at`. Of concurrent calls with one token, one rotates
        /// and the others find it reused.
        async fn rotate_session(
            &self,
            id: SessionId,
            presented: TokenHash,
            replacement: TokenHash,
            now: Timestamp,
            expires_at: Timestamp,
        ) -> Result<Rotation, PortError>;

        /// Deletes a session of this user with all its tokens. False where there was none.
        async fn delete_session(&self, id: SessionId, user: UserId) -> Result<bool, PortError>;

        /// Deletes up to `limit` sessions that have expired by `now`, with all their tokens, and
        /// says how many. Fewer than `limit` are all.
        async fn purge_expired(&self, now: Timestamp, limit: usize) -> Result<usize, PortError>;
    }
}
