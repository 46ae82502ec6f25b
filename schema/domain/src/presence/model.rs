//! Presence of a user.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::UserId;

/// Identifies one socket of a user among all instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ConnectionId(pub u128);

/// Whether a user is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PresenceStatus {
    /// Has at least one open socket.
    Online,
    /// Has none.
    Offline,
}

/// A user whose last lease has ended. They are still online: it may be renewed a moment later, where
/// the backend was away or their instance was paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Departure {
    /// Who.
    pub user_id: UserId,
    /// When the lease ended.
    pub ended_at: Timestamp,
}

/// A user's presence: the absolute state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Whose.
    pub user_id: UserId,
    /// Whether they are there.
    pub status: PresenceStatus,
    /// When the user's last connection ended; `None` while online or before the first one did.
    pub last_seen_at: Option<Timestamp>,
}

impl Presence {
    /// What is told of somebody who was seen and is hidden by a block: they are not there, and nobody
    /// says since when.
    pub(crate) const fn hidden(user_id: UserId) -> Self {
        Self {
            user_id,
            status: PresenceStatus::Offline,
            last_seen_at: None,
        }
    }
}
