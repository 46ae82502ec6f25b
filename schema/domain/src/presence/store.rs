//! The port of presence leases.

use std::time::Duration;

use super::model::ConnectionId;
use crate::clock::Timestamp;
use crate::error::PortError;
use crate::id::UserId;
use crate::port::port;

port! {
    /// Keeps one lease a connection. A user is online while any lease runs. Nothing but time is
    /// needed to end one, so that a crashed instance leaves nobody online for ever.
    pub trait PresenceStore as "presence" with PresenceStoreLayer {
        /// Makes or renews leases until `now + lease`. Returns the users who were offline before;
        /// of concurrent callers, one is told.
        async fn renew(
            &self,
            connections: &[(UserId, ConnectionId)],
            now: Timestamp,
            lease: Duration,
        ) -> Result<Vec<UserId>, PortError>;

        /// Lets a connection's lease end at `now + grace` (never later than it would have), so that
        /// a quick reconnection shows no gap.
        async fn release(
            &self,
            user: UserId,
            connection: ConnectionId,
            now: Timestamp,
            grace: Duration,
        ) -> Result<(), PortError>;

        /// Drops the leases that have ended at `now` and returns the users who went offline by it;
        /// of concurrent callers, one is told.
        async fn expire(&self, now: Timestamp) -> Result<Vec<UserId>, PortError>;

        /// Those of `users` with a lease that runs at `now`.
        async fn online(&self, users: &[UserId], now: Timestamp) -> Result<Vec<UserId>, PortError>;

        /// Resolves when the backend was away and may have lost leases, so that whoever holds some
        /// renews them at once and not only when it is time to.
        async fn lost(&self) {
            std::future::pending::<()>().await;
        }
    }
}
