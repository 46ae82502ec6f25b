//! How many operations a user has on all sockets and event streams together, and how many who share
//! an address and have not signed in. Each socket and stream has its own bound besides.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use talksy_domain::id::UserId;

use super::networks::{Counts, Networks};
use super::shares::Bound;
use crate::config::ShareLimits;

/// See the module.
#[derive(Debug)]
pub(super) struct Operations {
    of_user: usize,
    anonymous_of_address: usize,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    users: HashMap<UserId, usize>,
    anonymous: Counts,
}

impl Operations {
    pub(super) fn new(limits: &ShareLimits) -> Arc<Self> {
        Arc::new(Self {
            of_user: limits.operations_per_user,
            anonymous_of_address: limits.anonymous_operations_per_address,
            running: Mutex::default(),
        })
    }

    /// Counts one more operation of a user, or of an address where nobody is signed in; of no address
    /// where it is not the client's own.
    ///
    /// # Errors
    /// The bound that is reached.
    pub(super) fn begin(
        self: &Arc<Self>,
        ip: Option<IpAddr>,
        user: Option<UserId>,
    ) -> Result<Counted, Bound> {
        let mut running = self.running.lock();
        let of = if let Some(user) = user {
            let count = running.users.entry(user).or_default();
            if *count >= self.of_user {
                drop(running);
                return Err(Bound::OperationsOfUser.counted());
            }
            *count += 1;
            Of::User(user)
        } else {
            let networks = ip.map(Networks::of).unwrap_or_default();
            let most = self.anonymous_of_address;
            let is_full = |network| running.anonymous.of(network) >= network.most(most);
            if networks.iter().any(is_full) {
                drop(running);
                return Err(Bound::AnonymousOperationsOfAddress.counted());
            }
            running.anonymous.add(networks);
            Of::Address(networks)
        };
        drop(running);
        Ok(Counted {
            operations: Arc::clone(self),
            of,
        })
    }
}

#[derive(Debug)]
enum Of {
    User(UserId),
    Address(Networks),
}

/// An operation counts until this is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    operations: Arc<Operations>,
    of: Of,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut running = self.operations.running.lock();
        match self.of {
            Of::Address(networks) => running.anonymous.remove(networks),
            Of::User(user) => match running.users.get_mut(&user) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(running.users.remove(&user)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use talksy_domain::id::from_bytes;

    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn user(number: u128) -> UserId {
        from_bytes(number.to_be_bytes())
    }

    #[test]
    fn a_user_has_as_many_wherever_they_are_and_an_address_as_many_without_a_user() {
        let operations = Operations::new(&ShareLimits {
            operations_per_user: 2,
            anonymous_operations_per_address: 1,
            ..ShareLimits::default()
        });
        let begin = |ip, user| operations.begin(ip, user);
        let here = || Some(at("192.0.2.1"));
        let first = begin(here(), Some(user(1))).unwrap();
        let second = begin(Some(at("192.0.2.2")), Some(user(1))).unwrap();
        let third = begin(None, Some(user(1))).err();
        assert_eq!(third, Some(Bound::OperationsOfUser));
        let another = begin(here(), Some(user(2))).unwrap();
        let anonymous = begin(here(), None).unwrap();
        let more = begin(here(), None).err();
        assert_eq!(more, Some(Bound::AnonymousOperationsOfAddress));
        // Of whom nothing is known counts with nobody.
        let unknown = [(); 3].map(|()| begin(None, None).unwrap());
        drop(first);
        let again = begin(here(), Some(user(1))).unwrap();
        assert!(begin(here(), Some(user(1))).is_err());
        drop((second, another, anonymous, again, unknown));
        let running = operations.running.lock();
        assert!(running.users.is_empty() && running.anonymous.is_empty());
    }

    #[test]
    fn who_is_refused_leaves_nothing_behind() {
        let operations = Operations::new(&ShareLimits {
            operations_per_user: 1,
            ..ShareLimits::default()
        });
        let only = operations.begin(None, Some(user(1))).unwrap();
        for _ in 0..3 {
            assert!(operations.begin(None, Some(user(1))).is_err());
        }
        drop(only);
        assert!(operations.running.lock().users.is_empty());
    }
}
