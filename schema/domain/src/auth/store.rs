//! The port through which sessions are kept.

use super::model::{Session, SessionLife, TokenHash, TokenSalt};
use crate::clock::Timestamp;
use crate::cursor::SessionCursor;
use crate::error::PortError;
use crate::id::{SessionId, UserId};
use crate::page::{Page, Window};
use crate::port::port;

/// A refresh token that is presented for its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The session that the token names.
    pub session_id: SessionId,
    /// The token.
    pub presented: TokenHash,
    /// The generation that the token names.
    pub generation: u32,
    /// Whether the server's seal says that the session had a token of that generation.
    pub is_sealed: bool,
    /// Its successor.
    pub replacement: TokenHash,
    /// What the successor was made of.
    pub salt: TokenSalt,
    /// The present time.
    pub now: Timestamp,
    /// How long sessions last.
    pub life: SessionLife,
}

/// What came of presenting a refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It was the session's current token; the replacement is current now.
    Rotated(Session),
    /// It was replaced a moment ago, and its successor has not been used: it is made of this salt.
    /// Nothing was changed.
    Repeated(Session, TokenSalt),
    /// It was current once: somebody holds a copy. Nothing was changed.
    Reused(Session),
    /// There is no such session, or the token never belonged to it.
    Unknown,
    /// The session has expired, as it was not refreshed.
    Expired,
    /// The session has reached its longest life.
    Outlived,
}

port! {
    /// Keeps sessions and what there is of their refresh tokens ([`SessionTokens`](super::model::SessionTokens)).
    /// Each method is atomic on its own.
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

        /// Replaces the session's refresh token if the presented one is current, and sets
        /// `last_used_at` to `now` and `expires_at` by [`SessionLife::expiry`]. What comes of it is
        /// judged by [`judge`](super::rules::judge) from one state of the session, which no other
        /// call changes meanwhile: of concurrent calls with one token one rotates, and the others
        /// find that it has.
        async fn rotate_session(&self, exchange: &Exchange) -> Result<Rotation, PortError>;

        /// Deletes a session of this user with its tokens. False where there was none.
        async fn delete_session(&self, id: SessionId, user: UserId) -> Result<bool, PortError>;

        /// Deletes up to `limit` of the user's sessions with their tokens, tells of each that it was
        /// ended, and says how many. Fewer than `limit` are all.
        async fn end_sessions_of(&self, user: UserId, limit: usize) -> Result<usize, PortError>;

        /// Deletes up to `limit` sessions that have expired by `now`, with their tokens, and
        /// says how many. Fewer than `limit` are all.
        async fn purge_expired(&self, now: Timestamp, limit: usize) -> Result<usize, PortError>;
    }
}
