//! The stream's tunables.

use std::time::Duration;

use crate::chats::model::LargeGroups;

/// How the live stream behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedPolicy {
    /// The most messages replayed to one subscriber at a time; one that missed more is told
    /// `RESYNC_REQUIRED`.
    pub replay_limit: u32,
    /// How often a silent chat's end is compared with the store.
    pub heartbeat: Duration,
    /// How often the sessions of open connections are looked up, all together: how late it is noticed
    /// that one has ended, where the bus has lost the word of it.
    pub session_check: Duration,
    /// How long a message that came too early waits for those before it, until they are read
    /// from the store. Concurrent senders overtake each other by microseconds.
    pub reorder_grace: Duration,
    /// How long a place beyond a line's end is waited for, until it is told as `RESYNC_REQUIRED`: a
    /// store that was restored, or has failed over, is behind what it had told.
    pub ahead_grace: Duration,
    /// After how much silence a member is taken to have stopped typing.
    pub typing_timeout: Duration,
    /// For how long an absence is doubted that no event has told, but a look after an interruption
    /// or on the heartbeat has found: a backend that was away may have lost leases that are renewed.
    pub absence_grace: Duration,
    /// In which groups receipts and typing are not told to the other members.
    pub large_groups: LargeGroups,
    /// The most messages and changes that `accountEvents` replays at a resume; the chats of which
    /// most was missed are reset beyond.
    pub account_replay_limit: u32,
    /// After how many events `accountEvents` tells a checkpoint.
    pub checkpoint_events: u32,
    /// After how long it tells one, where anything was told.
    pub checkpoint_after: Duration,
}
