//! The port through which accounts and sessions are kept.

use async_trait::async_trait;

use super::model::{ProfileChange, Session, TokenHash, User};
use crate::clock::Timestamp;
use crate::cursor::UserCursor;
use crate::error::PortError;
use crate::id::{SessionId, UserId};
use crate::page::{Page, Window};

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

/// Keeps users and sessions. Each method is atomic on its own.
#[async_trait]
pub trait AccountStore: Send + Sync {
    /// The users that exist among these, in any order.
    async fn users(&self, ids: &[UserId]) -> Result<Vec<User>, PortError>;

    /// The user of `candidate.email`, made from `candidate` where there is none. True when made.
    /// Concurrent calls for one address make one user.
    async fn find_or_create_user(&self, candidate: &User) -> Result<(User, bool), PortError>;

    /// Changes a profile; `None` where there is no such user.
    async fn update_profile(
        &self,
        id: UserId,
        change: &ProfileChange,
    ) -> Result<Option<User>, PortError>;

    /// Users other than `except` whose name, lower-cased, starts with the lower-cased `prefix`,
    /// ordered by name, then id. Forward windows only.
    async fn users_by_name(
        &self,
        prefix: &str,
        except: UserId,
        window: &Window<UserCursor>,
    ) -> Result<Page<User>, PortError>;

    /// Records when users were last seen. It never goes back.
    async fn set_last_seen(&self, users: &[UserId], at: Timestamp) -> Result<(), PortError>;

    /// Keeps a new session with the hash of its first refresh token.
    async fn create_session(&self, session: &Session, token: TokenHash) -> Result<(), PortError>;

    /// A session, also an expired one; `None` once it was deleted.
    async fn session(&self, id: SessionId) -> Result<Option<Session>, PortError>;

    /// The user's sessions that expire after `now`, last used first.
    async fn sessions_of(&self, user: UserId, now: Timestamp) -> Result<Vec<Session>, PortError>;

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
}
