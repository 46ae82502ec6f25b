//! The port through which blocks are kept.

use super::model::{BlockNumber, Blocked};
use crate::error::PortError;
use crate::events::announcement::Announcement;
use crate::id::UserId;
use crate::page::{Page, Window};
use crate::port::port;

/// What came of blocking somebody, or of ending that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockOutcome {
    /// It is so, durably, and was so already where `is_new` is false.
    Done {
        /// Whether anything was changed.
        is_new: bool,
    },
    /// The user has blocked as many as they may ([`MAX_BLOCKS`](super::MAX_BLOCKS)). Nothing was
    /// changed.
    TooMany,
}

impl BlockOutcome {
    /// What both are told of it: also where it was so already, since what was told then may be lost.
    pub fn announcements(self, blocker: UserId, other: UserId) -> Vec<Announcement> {
        match self {
            Self::Done { .. } => Announcement::block_changed(blocker, other),
            Self::TooMany => Vec::new(),
        }
    }
}

port! {
    /// Keeps who has blocked whom. Each method is atomic on its own.
    ///
    /// A block shows in what the store keeps beside it, once the call that sets it is answered: in the
    /// memberships of the two in their direct chat ([`Member::is_blocked`]), also where that chat is
    /// made later, and in the blocker's own [`User::block_version`].
    ///
    /// [`Member::is_blocked`]: crate::chats::Member::is_blocked
    /// [`User::block_version`]: crate::users::User::block_version
    pub trait BlockStore as "blocks" with BlockStoreLayer {
        /// Has one user block another, or no longer. A new block gets a number above all that the
        /// blocker's blocks have had.
        async fn set_blocked(
            &self,
            blocker: UserId,
            other: UserId,
            is_blocked: bool,
        ) -> Result<BlockOutcome, PortError>;

        /// Those of these pairs of which the first has blocked the second, each once, in any order.
        async fn blocks_among(
            &self,
            pairs: &[(UserId, UserId)],
        ) -> Result<Vec<(UserId, UserId)>, PortError>;

        /// Whom the user has blocked, newest block first. The window is of the blocks' numbers, of
        /// which the greatest comes first; forward windows only.
        async fn blocked_by(
            &self,
            blocker: UserId,
            window: &Window<BlockNumber>,
        ) -> Result<Page<Blocked>, PortError>;

        /// Completes what follows from the last change of this block, where the instance that made it
        /// has died in the middle. A store that makes it in one transaction has nothing to complete.
        async fn complete_block(&self, blocker: UserId, other: UserId) -> Result<(), PortError>;

        /// Ends up to `most` of the blocks that the user has set and that others have set against
        /// them, and says how many: fewer than `most` where none is left. For an account that is
        /// deleted.
        async fn erase_blocks_of(&self, user: UserId, most: usize) -> Result<usize, PortError>;
    }
}
