//! The shares of sockets and event streams: how many there may be in all, of one address, of one
//! user, and of those who have not signed in. Whoever takes more than their share is refused, and
//! nobody else.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use axum::response::Response;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use metrics::{counter, gauge};
use parking_lot::Mutex;
use talksy_domain::error::ErrorCode;
use talksy_domain::id::UserId;

use super::media::Media;
use super::networks::{Network, Networks};
use super::reply::Malformed;
use crate::config::HttpConfig;
use crate::metrics::{CONNECTIONS_REFUSED, Held, SOCKETS_ANONYMOUS};

/// When to try again, in seconds: a place is free as soon as somebody goes.
pub(super) const RETRY_SECONDS: u64 = 5;

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
}

impl Bound {
    /// Each of them.
    pub(crate) const ALL: [Self; 7] = [
        Self::Connections,
        Self::ConnectionsOfAddress,
        Self::Sockets,
        Self::SocketsOfAddress,
        Self::SocketsOfUser,
        Self::Anonymous,
        Self::AnonymousOfAddress,
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
            | Self::AnonymousOfAddress => StatusCode::TOO_MANY_REQUESTS,
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

    /// The refusal as an HTTP response.
    pub(super) fn reply(self, media: Media) -> Response {
        let message = format!("{}. Try again shortly.", self.reason());
        let mut response = Malformed::new(self.status(), self.code(), message).reply(Some(media));
        let headers = response.headers_mut();
        headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
        response
    }

    /// Counts a refusal.
    pub(super) fn counted(self) -> Self {
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

/// How many are taken.
#[derive(Debug, Default)]
struct Taken {
    signed_in: Counts,
    anonymous: Counts,
    users: HashMap<UserId, usize>,
}

/// How many there are, in all and in each network.
#[derive(Debug, Default)]
struct Counts {
    all: usize,
    networks: HashMap<Network, usize>,
}

impl Counts {
    fn add(&mut self, networks: Networks) {
        self.all += 1;
        for network in networks.iter() {
            *self.networks.entry(network).or_default() += 1;
        }
    }

    fn remove(&mut self, networks: Networks) {
        self.all = self.all.saturating_sub(1);
        for network in networks.iter() {
            decrement(&mut self.networks, network);
        }
    }
}

/// Counts one less under the key, and forgets a key that counts nothing.
pub(super) fn decrement<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() = count.get().saturating_sub(1);
        if *count.get() == 0 {
            count.remove();
        }
    }
}

impl Taken {
    /// Whether a network of these has so many already.
    fn is_full(&self, networks: Networks, share: usize, with_signed_in: bool) -> bool {
        networks.iter().any(|network| {
            let in_network = |counts: &Counts| counts.networks.get(&network).copied();
            let anonymous = in_network(&self.anonymous).unwrap_or(0);
            let signed_in = in_network(&self.signed_in).filter(|_| with_signed_in);
            anonymous + signed_in.unwrap_or(0) >= network.most(share)
        })
    }

    fn of_user(&self, user: UserId) -> usize {
        self.users.get(&user).copied().unwrap_or(0)
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
    ///
    /// # Errors
    /// The bound that is reached.
    pub(super) fn take(
        self: &Arc<Self>,
        ip: Option<IpAddr>,
        user: Option<UserId>,
    ) -> Result<Share, Bound> {
        let networks = ip.map(Networks::of).unwrap_or_default();
        let mut taken = self.taken.lock();
        if let Some(bound) = self.reached(&taken, networks, user) {
            drop(taken);
            return Err(bound.counted());
        }
        match user {
            Some(user) => {
                taken.signed_in.add(networks);
                *taken.users.entry(user).or_default() += 1;
            }
            None => taken.anonymous.add(networks),
        }
        drop(taken);
        Ok(Share {
            shares: Arc::clone(self),
            networks,
            user,
            anonymous: user.is_none().then(counted_anonymous),
        })
    }

    fn reached(&self, taken: &Taken, networks: Networks, user: Option<UserId>) -> Option<Bound> {
        if taken.signed_in.all + taken.anonymous.all >= self.all {
            return Some(Bound::Sockets);
        }
        if taken.is_full(networks, self.of_address, true) {
            return Some(Bound::SocketsOfAddress);
        }
        match user {
            Some(user) => (taken.of_user(user) >= self.of_user).then_some(Bound::SocketsOfUser),
            None if taken.anonymous.all >= self.anonymous => Some(Bound::Anonymous),
            None if taken.is_full(networks, self.anonymous_of_address, false) => {
                Some(Bound::AnonymousOfAddress)
            }
            None => None,
        }
    }
}

fn counted_anonymous() -> Held {
    Held::new(gauge!(SOCKETS_ANONYMOUS))
}

/// A place that is taken, until it is dropped.
pub(super) struct Share {
    shares: Arc<Shares>,
    networks: Networks,
    user: Option<UserId>,
    anonymous: Option<Held>,
}

impl Share {
    /// The client has signed in: the place counts for the user from now on.
    ///
    /// # Errors
    /// Where the user has as many as one may have. The place stays what it was.
    pub(super) fn sign_in(&mut self, user: UserId) -> Result<(), Bound> {
        if self.user.is_some() {
            return Ok(());
        }
        let mut taken = self.shares.taken.lock();
        if taken.of_user(user) >= self.shares.of_user {
            drop(taken);
            return Err(Bound::SocketsOfUser.counted());
        }
        taken.anonymous.remove(self.networks);
        taken.signed_in.add(self.networks);
        *taken.users.entry(user).or_default() += 1;
        drop(taken);
        self.user = Some(user);
        self.anonymous = None;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.taken.lock();
        match self.user {
            Some(user) => {
                taken.signed_in.remove(self.networks);
                decrement(&mut taken.users, user);
            }
            None => taken.anonymous.remove(self.networks),
        }
    }
}

#[cfg(test)]
mod tests {
    use talksy_domain::id::from_bytes;

    use super::*;

    fn shares(change: impl FnOnce(&mut HttpConfig)) -> Arc<Shares> {
        let mut config = HttpConfig::default();
        change(&mut config);
        Shares::new(&config)
    }

    fn at(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn user(number: u128) -> Option<UserId> {
        Some(from_bytes(number.to_be_bytes()))
    }

    #[test]
    fn an_address_has_its_share_and_a_56_four_times_as_much() {
        let shares = shares(|http| http.shares.sockets_per_address = 2);
        let one = "203.0.113.9";
        let kept = [1, 2].map(|n| shares.take(at(one), user(n)).unwrap());
        assert_eq!(
            shares.take(at(one), user(3)).err(),
            Some(Bound::SocketsOfAddress)
        );
        let other = shares.take(at("203.0.113.10"), user(3)).unwrap();
        let unknown = (0..9).map(|n| shares.take(None, user(100 + n)).unwrap());
        let unknown: Vec<_> = unknown.collect();
        drop(kept);
        let again = shares.take(at(one), user(3)).unwrap();
        drop((other, unknown, again));

        let of_56 = |n: usize| at(&format!("2001:db8:0:12{n:02x}::1"));
        let mut kept = Vec::new();
        for n in 0..4 {
            for _ in 0..2 {
                kept.push(shares.take(of_56(n), user(1)).unwrap());
            }
            assert_eq!(
                shares.take(of_56(n), user(1)).err(),
                Some(Bound::SocketsOfAddress)
            );
        }
        assert_eq!(
            shares.take(of_56(200), user(1)).err(),
            Some(Bound::SocketsOfAddress)
        );
        drop(kept);
        assert!(shares.taken.lock().signed_in.networks.is_empty());
        assert!(shares.taken.lock().users.is_empty());
    }

    #[test]
    fn who_has_not_signed_in_has_a_share_of_all_and_makes_room_by_signing_in() {
        let shares = shares(|http| {
            http.websocket.max_sockets = 20;
            http.shares.anonymous_percent = 10;
            http.shares.anonymous_per_address = 1;
            http.shares.sockets_per_user = 1;
        });
        let mut first = shares.take(at("203.0.113.1"), None).unwrap();
        assert_eq!(
            shares.take(at("203.0.113.1"), None).err(),
            Some(Bound::AnonymousOfAddress)
        );
        let mut second = shares.take(at("203.0.113.2"), None).unwrap();
        assert_eq!(
            shares.take(at("203.0.113.3"), None).err(),
            Some(Bound::Anonymous)
        );
        first.sign_in(user(1).unwrap()).unwrap();
        let third = shares.take(at("203.0.113.1"), None).unwrap();
        assert_eq!(second.sign_in(user(1).unwrap()), Err(Bound::SocketsOfUser));
        assert_eq!(
            shares.take(at("203.0.113.3"), None).err(),
            Some(Bound::Anonymous)
        );
        drop(first);
        second.sign_in(user(1).unwrap()).unwrap();
        drop((second, third));
        let taken = shares.taken.lock();
        assert_eq!((taken.anonymous.all, taken.signed_in.all), (0, 0));
        assert!(taken.anonymous.networks.is_empty());
    }

    #[test]
    fn all_together_have_as_many_as_the_server_may_have() {
        let shares = shares(|http| http.websocket.max_sockets = 2);
        let kept = [1, 2].map(|n| shares.take(None, user(n)).unwrap());
        assert_eq!(shares.take(None, user(3)).err(), Some(Bound::Sockets));
        drop(kept);
        assert!(shares.take(None, user(3)).is_ok());
    }
}
