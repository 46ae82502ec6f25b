//! The shares of sockets and event streams: how many there may be in all, of one address, of one
//! user, and of those who have not signed in. Whoever takes more than their share is refused, and
//! nobody else; where it may be that a newcomer is about to sign in, the one that has not for
//! longest gives way.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::response::Response;
use http::StatusCode;
use metrics::{counter, gauge};
use parking_lot::Mutex;
use talksy_domain::error::{ApiError, ErrorCode};
use talksy_domain::id::UserId;
use tokio_util::sync::CancellationToken;

use super::media::Media;
use super::networks::{ByAge, Counts, Network, Networks};
use super::reply::Malformed;
use crate::config::HttpConfig;
use crate::metrics::{CONNECTIONS_REFUSED, Held, SOCKETS_ANONYMOUS};

/// When to try again, in seconds: a place is free as soon as somebody goes.
pub(super) const RETRY_SECONDS: u64 = 5;

/// The refusal of what there is too much of just now.
pub(super) fn in_a_while(code: ErrorCode, message: impl Into<String>) -> ApiError {
    ApiError {
        retry_after: Some(RETRY_SECONDS),
        ..ApiError::new(code, message)
    }
}

/// What is used up where a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// TCP connections.
    Connections,
    /// TCP connections of one address.
    ConnectionsOfAddress,
    /// Sockets and event streams.
    Sockets,
    /// Sockets and event streams of one address.
    SocketsOfAddress,
    /// Sockets and event streams of one user.
    SocketsOfUser,
    /// Sockets and event streams on which nobody is signed in.
    Anonymous,
    /// Those of one address.
    AnonymousOfAddress,
    /// Operations of one user, on all sockets and event streams.
    OperationsOfUser,
    /// Operations of one address without a user.
    AnonymousOperationsOfAddress,
}

impl Bound {
    /// Each of them.
    pub(crate) const ALL: [Self; 9] = [
        Self::Connections,
        Self::ConnectionsOfAddress,
        Self::Sockets,
        Self::SocketsOfAddress,
        Self::SocketsOfUser,
        Self::Anonymous,
        Self::AnonymousOfAddress,
        Self::OperationsOfUser,
        Self::AnonymousOperationsOfAddress,
    ];

    /// Its name as the label of a metric.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsOfAddress => "connections_of_address",
            Self::Sockets => "sockets",
            Self::SocketsOfAddress => "sockets_of_address",
            Self::SocketsOfUser => "sockets_of_user",
            Self::Anonymous => "anonymous",
            Self::AnonymousOfAddress => "anonymous_of_address",
            Self::OperationsOfUser => "operations_of_user",
            Self::AnonymousOperationsOfAddress => "anonymous_operations_of_address",
        }
    }

    /// What a client is told; it fits into a WebSocket's close frame.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Connections | Self::Sockets => "Too many connections",
            Self::ConnectionsOfAddress | Self::SocketsOfAddress => {
                "Too many connections from this address"
            }
            Self::SocketsOfUser => "Too many connections of this user",
            Self::Anonymous => "Too many connections that have not signed in",
            Self::AnonymousOfAddress => {
                "Too many connections from this address that have not signed in"
            }
            Self::OperationsOfUser => "Too many operations of this user at a time",
            Self::AnonymousOperationsOfAddress => {
                "Too many operations from this address that have not signed in"
            }
        }
    }

    /// 429 where the client, or who shares its address, has taken too many; 503 where all together
    /// have.
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Connections | Self::Sockets | Self::Anonymous => StatusCode::SERVICE_UNAVAILABLE,
            Self::ConnectionsOfAddress
            | Self::SocketsOfAddress
            | Self::SocketsOfUser
            | Self::AnonymousOfAddress
            | Self::OperationsOfUser
            | Self::AnonymousOperationsOfAddress => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// The code of the error.
    pub(super) fn code(self) -> ErrorCode {
        if self.status() == StatusCode::TOO_MANY_REQUESTS {
            ErrorCode::RateLimited
        } else {
            ErrorCode::Unavailable
        }
    }

    /// The refusal as an error.
    pub(super) fn error(self) -> ApiError {
        in_a_while(
            self.code(),
            format!("{}. Try again shortly.", self.reason()),
        )
    }

    /// The refusal as an HTTP response.
    pub(super) fn reply(self, media: Media) -> Response {
        Malformed::of(self.status(), self.error()).reply(Some(media))
    }

    /// Counts a refusal.
    pub(super) fn counted(self) -> Self {
        tracing::debug!(bound = self.name(), "a bound is reached");
        counter!(CONNECTIONS_REFUSED, "bound" => self.name()).increment(1);
        self
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Shares {
    all: usize,
    of_address: usize,
    of_user: usize,
    anonymous: usize,
    anonymous_of_address: usize,
    taken: Mutex<Taken>,
}

/// What is taken.
#[derive(Debug, Default)]
struct Taken {
    signed_in: Counts,
    anonymous: Counts,
    users: HashMap<UserId, usize>,
    /// Those who have not signed in, by when they came.
    give_way: ByAge<Arc<Anonymous>>,
}

/// A place on which nobody has signed in.
#[derive(Debug)]
struct Anonymous {
    networks: Networks,
    number: AtomicU64,
    /// It is no longer counted. Written under the lock.
    gave_way: CancellationToken,
}

impl Taken {
    fn all(&self) -> usize {
        self.signed_in.all() + self.anonymous.all()
    }

    /// Of the networks, one that has its share of places already.
    fn full(&self, networks: Networks, share: usize) -> Option<Network> {
        let count = |network| self.signed_in.of(network) + self.anonymous.of(network);
        networks
            .iter()
            .find(|network| count(*network) >= network.most(share))
    }

    /// Of the networks, one that has its share of those who have not signed in.
    fn full_of_anonymous(&self, networks: Networks, share: usize) -> Option<Network> {
        networks
            .iter()
            .find(|network| self.anonymous.of(*network) >= network.most(share))
    }

    fn of_user(&self, user: UserId) -> usize {
        self.users.get(&user).copied().unwrap_or(0)
    }

    /// Takes the place of one who has not signed in, which another needs because of this bound.
    fn free(
        &mut self,
        anonymous: Option<Arc<Anonymous>>,
        bound: Bound,
    ) -> Result<(Arc<Anonymous>, Bound), Bound> {
        let anonymous = anonymous.ok_or(bound)?;
        self.anonymous.remove(anonymous.networks);
        Ok((anonymous, bound))
    }

    /// Gives it back.
    fn give_back(&mut self, anonymous: Arc<Anonymous>) {
        let number = anonymous.number.load(Ordering::Relaxed);
        let networks = anonymous.networks;
        self.anonymous.add(networks);
        self.give_way.put_back(number, anonymous, networks);
    }

    fn add_user(&mut self, user: UserId, networks: Networks) {
        self.signed_in.add(networks);
        *self.users.entry(user).or_default() += 1;
    }

    fn remove_user(&mut self, user: UserId, networks: Networks) {
        self.signed_in.remove(networks);
        match self.of_user(user) {
            0 | 1 => self.users.remove(&user),
            count => self.users.insert(user, count - 1),
        };
    }

    fn remove_anonymous(&mut self, anonymous: &Anonymous) {
        let number = anonymous.number.load(Ordering::Relaxed);
        if self.give_way.remove(number).is_some() {
            self.anonymous.remove(anonymous.networks);
        }
    }
}

impl Shares {
    pub(super) fn new(config: &HttpConfig) -> Arc<Self> {
        let (all, shares) = (config.websocket.max_sockets, &config.shares);
        let percent = usize::from(shares.anonymous_percent);
        Arc::new(Self {
            all,
            of_address: shares.sockets_per_address,
            of_user: shares.sockets_per_user,
            anonymous: (all.saturating_mul(percent) / 100).max(1),
            anonymous_of_address: shares.anonymous_per_address,
            taken: Mutex::default(),
        })
    }

    /// Takes a place for a client at this address; none where the address is not the client's own.
    /// One who has not signed in may have to give way.
    ///
    /// # Errors
    /// The bound that is reached, where nobody gives way.
    pub(super) fn take(
        self: &Arc<Self>,
        ip: Option<IpAddr>,
        user: Option<UserId>,
    ) -> Result<Share, Bound> {
        let networks = ip.map(Networks::of).unwrap_or_default();
        let mut taken = self.taken.lock();
        if let Err(bound) = self.make_room(&mut taken, networks, user) {
            drop(taken);
            return Err(bound.counted());
        }
        let held_by = if let Some(user) = user {
            taken.add_user(user, networks);
            HeldBy::User(user)
        } else {
            let anonymous = Arc::new(Anonymous {
                networks,
                number: AtomicU64::new(0),
                gave_way: CancellationToken::new(),
            });
            taken.anonymous.add(networks);
            let number = taken.give_way.add(Arc::clone(&anonymous), networks);
            anonymous.number.store(number, Ordering::Relaxed);
            HeldBy::Nobody {
                anonymous,
                _counted: Held::new(gauge!(SOCKETS_ANONYMOUS)),
            }
        };
        drop(taken);
        Ok(Share {
            shares: Arc::clone(self),
            networks,
            held_by,
        })
    }

    /// Makes room for one more. Nobody ends where there is none all the same.
    fn make_room(
        &self,
        taken: &mut Taken,
        networks: Networks,
        user: Option<UserId>,
    ) -> Result<(), Bound> {
        let mut freed = Vec::new();
        let made = self.free_places(taken, networks, user, &mut freed);
        for (anonymous, bound) in freed {
            if made.is_ok() {
                anonymous.gave_way.cancel();
                bound.counted();
            } else {
                taken.give_back(anonymous);
            }
        }
        made
    }

    fn free_places(
        &self,
        taken: &mut Taken,
        networks: Networks,
        user: Option<UserId>,
        freed: &mut Vec<(Arc<Anonymous>, Bound)>,
    ) -> Result<(), Bound> {
        if user.is_some_and(|user| taken.of_user(user) >= self.of_user) {
            return Err(Bound::SocketsOfUser);
        }
        if user.is_none() {
            if let Some(network) = taken.full_of_anonymous(networks, self.anonymous_of_address) {
                let oldest = taken.give_way.take_oldest_of(network);
                freed.push(taken.free(oldest, Bound::AnonymousOfAddress)?);
            }
            if taken.anonymous.all() >= self.anonymous {
                let oldest = taken.give_way.take_oldest();
                freed.push(taken.free(oldest, Bound::Anonymous)?);
            }
        }
        while let Some(network) = taken.full(networks, self.of_address) {
            let oldest = taken.give_way.take_oldest_of(network);
            freed.push(taken.free(oldest, Bound::SocketsOfAddress)?);
        }
        if taken.all() >= self.all {
            let oldest = taken.give_way.take_oldest();
            freed.push(taken.free(oldest, Bound::Sockets)?);
        }
        Ok(())
    }
}

/// A place that is taken, until it is dropped.
pub(super) struct Share {
    shares: Arc<Shares>,
    networks: Networks,
    held_by: HeldBy,
}

enum HeldBy {
    User(UserId),
    Nobody {
        anonymous: Arc<Anonymous>,
        _counted: Held,
    },
}

impl Share {
    /// Cancelled when the place is another's, because nobody has signed in on it. Never cancelled
    /// where somebody has.
    pub(super) fn gave_way(&self) -> CancellationToken {
        match &self.held_by {
            HeldBy::User(_) => CancellationToken::new(),
            HeldBy::Nobody { anonymous, .. } => anonymous.gave_way.clone(),
        }
    }

    /// The client has signed in: the place counts for the user from now on, and is the client's.
    ///
    /// # Errors
    /// Where the user has as many as one may have, or the place has been given away.
    pub(super) fn sign_in(&mut self, user: UserId) -> Result<(), Bound> {
        let HeldBy::Nobody { anonymous, .. } = &self.held_by else {
            return Ok(());
        };
        let mut taken = self.shares.taken.lock();
        if anonymous.gave_way.is_cancelled() {
            return Err(Bound::Anonymous);
        }
        if taken.of_user(user) >= self.shares.of_user {
            drop(taken);
            return Err(Bound::SocketsOfUser.counted());
        }
        taken.remove_anonymous(anonymous);
        taken.add_user(user, self.networks);
        drop(taken);
        self.held_by = HeldBy::User(user);
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.taken.lock();
        match &self.held_by {
            HeldBy::User(user) => taken.remove_user(*user, self.networks),
            HeldBy::Nobody { anonymous, .. } => taken.remove_anonymous(anonymous),
        }
    }
}

#[cfg(test)]
mod tests;
