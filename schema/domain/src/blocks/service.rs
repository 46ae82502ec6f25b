//! Blocking users, and the viewer's list of whom they have blocked.

use std::sync::Arc;
use std::time::Duration;

use super::model::{BlockNumber, Blocked, MAX_BLOCKS};
use super::store::{BlockOutcome, BlockStore};
use crate::access::Denied;
use crate::error::{ApiError, ErrorCode, Invalid, PortError, service_error};
use crate::id::UserId;
use crate::limits::{Decision, RateLimiter, Rule};
use crate::page::{Page, Window};
use crate::users::model::User;
use crate::users::store::UserStore;
use crate::viewer::Viewer;

/// Why a block was refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BlockError {
    /// An argument breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// There is no such user.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The viewer has blocked as many as they may.
    #[error("You have blocked {MAX_BLOCKS} users, and no more can be. Unblock another one first.")]
    TooMany,
    /// Too many changes.
    #[error("You block and unblock too quickly. Wait a little.")]
    TooFast(Duration),
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl BlockError {
    fn api_error(&self) -> ApiError {
        match self {
            Self::Invalid(invalid) => invalid.into(),
            Self::Denied(denied) => (*denied).into(),
            Self::TooMany => ApiError::new(ErrorCode::Conflict, self.to_string()).field("userId"),
            Self::TooFast(wait) => {
                ApiError::new(ErrorCode::RateLimited, self.to_string()).retry_after(*wait)
            }
            Self::Port(error) => error.into(),
        }
    }
}

service_error!(BlockError);

/// Rules of blocks.
pub struct BlockService {
    /// The blocks.
    pub(crate) store: Arc<dyn BlockStore>,
    /// The users.
    pub(crate) users: Arc<dyn UserStore>,
    /// Holds back who changes blocks too quickly.
    pub(crate) limiter: Arc<dyn RateLimiter>,
    /// How quickly one may block and unblock.
    pub(crate) rule: Rule,
}

impl BlockService {
    /// Has the viewer block a user, or no longer, and tells their other devices. Where it is so
    /// already, nothing is changed. The user.
    ///
    /// # Errors
    /// Where the user is the viewer or does not exist, is to be blocked and deleted, the viewer has blocked [`MAX_BLOCKS`] others,
    /// or is too quick.
    pub async fn set(
        &self,
        viewer: &Viewer,
        user: UserId,
        is_blocked: bool,
    ) -> Result<User, BlockError> {
        let blocker = viewer.user_id;
        if user == blocker {
            return Err(Invalid::new("userId", "must be another user than yourself").into());
        }
        let key = blocker.to_string();
        if let Decision::Denied(wait) = self.limiter.check(self.rule, &key).await? {
            return Err(BlockError::TooFast(wait));
        }
        let found = self.users.users(&[user]).await?.pop();
        // Who has deleted their account is kept from nothing any more.
        let found = found.filter(|user| !is_blocked || !user.is_deleted());
        let found = found.ok_or(Denied::NoUser)?;
        match self.store.set_blocked(blocker, user, is_blocked).await? {
            BlockOutcome::Done { .. } => Ok(found),
            BlockOutcome::TooMany => Err(BlockError::TooMany),
        }
    }

    /// Whom the viewer has blocked, newest block first. Nobody else is shown it.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn list(
        &self,
        viewer: &Viewer,
        window: &Window<BlockNumber>,
    ) -> Result<Page<Blocked>, PortError> {
        self.store.blocked_by(viewer.user_id, window).await
    }

    /// Those of these users whom the viewer has blocked.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn among(&self, viewer: &Viewer, users: &[UserId]) -> Result<Vec<UserId>, PortError> {
        let pairs: Vec<_> = users.iter().map(|user| (viewer.user_id, *user)).collect();
        let found = self.store.blocks_among(&pairs).await?;
        Ok(found.into_iter().map(|(_, blocked)| blocked).collect())
    }
}
