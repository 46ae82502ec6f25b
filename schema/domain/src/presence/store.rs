//! The port of presence leases.

use std::time::Duration;

use super::model::{ConnectionId, Departure};
use crate::clock::Timestamp;
use crate::error::PortError;
use crate::id::UserId;
use crate::port::port;

/// For how long after the end of their last lease a user counts as online where nobody takes them
/// out, as every instance does within seconds: whatever fails, nobody is online for ever.
pub const HOLD: Duration = Duration::from_mins(10);

port! {
    /// Keeps one lease a connection. A user is online from the first lease until [`Self::expire`]
    /// takes them out, as any instance does once all their leases have ended: so a crashed one leaves
    /// nobody online for ever, and nobody is offline for whom it was not told.
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

        /// The users whose last lease has ended at `now`, for the caller to look at again and
        /// [`Self::expire`]. They are the caller's until `now + claim`, or until one of their leases
        /// is renewed: meanwhile nobody else is told of them.
        async fn ended(
            &self,
            now: Timestamp,
            claim: Duration,
        ) -> Result<Vec<Departure>, PortError>;

        /// Takes out those of these users whose last lease is still the one that had ended, and
        /// returns them: they are offline by it. Of concurrent callers, one is told.
        async fn expire(&self, departures: &[Departure]) -> Result<Vec<Departure>, PortError>;

        /// Those of `users` who have a lease and were not taken out, nor should have been [`HOLD`]
        /// ago, at `now`.
        async fn online(&self, users: &[UserId], now: Timestamp) -> Result<Vec<UserId>, PortError>;

        /// Resolves when the backend was away or has lost leases, so that whoever holds some renews
        /// them at once and not only when it is time to.
        async fn lost(&self) {
            std::future::pending::<()>().await;
        }
    }
}
