//! Live feeds, and who is online.

use std::time::Duration;

use crate::config::duration::{MINUTE, SECOND};
use crate::config::section::section;

section! {
    /// Live feeds.
    pub struct LiveConfig {
        /// How many missed messages a resumed feed replays at most; beyond, it ends with
        /// `RESYNC_REQUIRED`.
        replay_limit: u32 = 1_000, in 1..=100_000;
        /// How often the head of each followed chat is compared with the store.
        heartbeat: Duration = 30 * SECOND, in SECOND..=10 * MINUTE;
        /// How often the sessions of all open connections are looked up, 1,000 in one store call. Where
        /// the bus has lost the word that a session was revoked, its connections end within this time.
        session_check: Duration = SECOND, in SECOND / 10..=MINUTE;
        /// How long a message that came too early waits for those before it, until they are read
        /// from the store.
        reorder_grace: Duration = Duration::from_millis(25), in Duration::ZERO..=SECOND;
        /// After how much silence a member is taken to have stopped typing.
        typing_timeout: Duration = 6 * SECOND, in SECOND..=MINUTE;
        /// How many undelivered events a subscription holds; one that falls further behind reads
        /// what it missed from the store.
        mailbox: usize = 256, in 16..=65_536;
    }
}

section! {
    /// Chats.
    pub struct ChatsConfig {
        /// The most members that a group may have.
        max_members: u32 = 1_000, in 2..=100_000;
        /// Groups with more members than this are large: read receipts and typing are not told to
        /// their other members, as each one's would go to all. Own devices are told of own receipts,
        /// and who has read a message can still be asked. The same on all instances.
        large_group_members: u32 = 100, in 2..=100_000;
    }
}

section! {
    /// Who is online.
    pub struct PresenceConfig {
        /// For how long a connection counts as present without a renewal: how late the end of a
        /// crashed instance's users is seen. It is renewed every third of it.
        lease: Duration = 45 * SECOND, in 5 * SECOND..=10 * MINUTE;
        /// How long after its last connection a user still shows as online, so that a page reload
        /// does not flicker.
        grace: Duration = 3 * SECOND, in Duration::ZERO..=MINUTE,
            must "be shorter than `presence.lease`" => |presence| presence.grace < presence.lease;
        /// How often ended leases are looked for. Who has renewed none two looks later, and 2 seconds
        /// at least, is told offline: a Redis that was away for a moment makes nobody flicker.
        sweep: Duration = SECOND, in SECOND / 10..=30 * SECOND;
        /// How often the store is told that those who are online are: how far `lastSeenAt` may be
        /// wrong where a server dies together with its leases.
        last_seen_interval: Duration = MINUTE, in SECOND..=60 * MINUTE;
    }
}
