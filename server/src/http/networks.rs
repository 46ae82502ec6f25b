//! The networks that connections are counted by, since who has one address has all those nearby;
//! and those that give way to newcomers, by age.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

/// How many times the share of one address the /56 of an IPv6 address has: several people may
/// live in one.
const WIDER: usize = 4;

/// A network as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Network {
    /// One address of IPv4.
    V4(u32),
    /// A /64 of IPv6, the least that a customer has.
    V6(u64),
    /// A /56 of IPv6, which many customers have.
    WideV6(u64),
}

impl Network {
    /// How many it may have, where one address may have `share`.
    pub(super) const fn most(self, share: usize) -> usize {
        match self {
            Self::V4(_) | Self::V6(_) => share,
            Self::WideV6(_) => share.saturating_mul(WIDER),
        }
    }
}

/// The networks that one connection counts in; none where its address says nothing of its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Networks([Option<Network>; 2]);

impl Networks {
    /// Those of an address.
    pub(super) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self([Some(Network::V4(ip.to_bits())), None]),
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                let prefix = [a, b, c, d]
                    .into_iter()
                    .fold(0, |bits, segment| bits << 16 | u64::from(segment));
                Self([
                    Some(Network::V6(prefix)),
                    Some(Network::WideV6(prefix >> 8)),
                ])
            }
        }
    }

    /// Each of them.
    pub(super) fn iter(self) -> impl Iterator<Item = Network> {
        self.0.into_iter().flatten()
    }
}

/// How many there are, in all and in each network.
#[derive(Debug, Default)]
pub(super) struct Counts {
    all: usize,
    networks: HashMap<Network, usize>,
}

impl Counts {
    pub(super) const fn all(&self) -> usize {
        self.all
    }

    pub(super) fn of(&self, network: Network) -> usize {
        self.networks.get(&network).copied().unwrap_or(0)
    }

    pub(super) fn add(&mut self, networks: Networks) {
        self.all += 1;
        for network in networks.iter() {
            *self.networks.entry(network).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, networks: Networks) {
        self.all = self.all.saturating_sub(1);
        for network in networks.iter() {
            let count = self.of(network);
            if count > 1 {
                self.networks.insert(network, count - 1);
            } else {
                // A network that counts nothing is forgotten.
                self.networks.remove(&network);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.all == 0 && self.networks.is_empty()
    }
}

/// Those that give way where places are used up: the oldest first, of all or of a network.
#[derive(Debug)]
pub(super) struct ByAge<T> {
    items: BTreeMap<u64, (T, Networks)>,
    of_network: BTreeSet<(Network, u64)>,
    last: u64,
}

impl<T> Default for ByAge<T> {
    fn default() -> Self {
        Self {
            items: BTreeMap::new(),
            of_network: BTreeSet::new(),
            last: 0,
        }
    }
}

impl<T> ByAge<T> {
    /// Adds the youngest, and gives its number, which is not 0.
    pub(super) fn add(&mut self, item: T, networks: Networks) -> u64 {
        self.last += 1;
        self.put_back(self.last, item, networks);
        self.last
    }

    /// Puts one back that was taken out, where it was.
    pub(super) fn put_back(&mut self, number: u64, item: T, networks: Networks) {
        self.items.insert(number, (item, networks));
        for network in networks.iter() {
            self.of_network.insert((network, number));
        }
    }

    /// Takes one out by its number.
    pub(super) fn remove(&mut self, number: u64) -> Option<T> {
        let (item, networks) = self.items.remove(&number)?;
        for network in networks.iter() {
            self.of_network.remove(&(network, number));
        }
        Some(item)
    }

    /// Takes out the oldest.
    pub(super) fn take_oldest(&mut self) -> Option<T> {
        let (&number, _) = self.items.first_key_value()?;
        self.remove(number)
    }

    /// Takes out the oldest of a network.
    pub(super) fn take_oldest_of(&mut self, network: Network) -> Option<T> {
        let mut of_network = self.of_network.range((network, 0)..=(network, u64::MAX));
        let &(_, number) = of_network.next()?;
        self.remove(number)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.of_network.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(one: &str, other: &str) -> usize {
        let of = |text: &str| Networks::of(text.parse().unwrap());
        let other: Vec<_> = of(other).iter().collect();
        of(one)
            .iter()
            .filter(|network| other.contains(network))
            .count()
    }

    #[test]
    fn an_ipv4_address_stands_alone_and_an_ipv6_one_in_its_64_and_its_56() {
        assert_eq!(shared("203.0.113.9", "203.0.113.9"), 1);
        assert_eq!(shared("203.0.113.9", "::ffff:203.0.113.9"), 1);
        assert_eq!(shared("203.0.113.9", "203.0.113.8"), 0);
        assert_eq!(shared("2001:db8:0:1200::1", "2001:db8:0:1200:ffff::2"), 2);
        assert_eq!(shared("2001:db8:0:1200::1", "2001:db8:0:12ff::1"), 1);
        assert_eq!(shared("2001:db8:0:1200::1", "2001:db8:0:1300::1"), 0);
        // A number of the one kind is none of the other.
        assert_eq!(shared("0.0.0.1", "0:0:0:1::"), 0);
    }

    #[test]
    fn the_oldest_is_taken_of_all_or_of_a_network() {
        let of = |text: &str| Networks::of(text.parse().unwrap());
        let mut line = ByAge::default();
        let first = line.add("first", of("192.0.2.1"));
        line.add("second", of("2001:db8::1"));
        line.add("third", of("192.0.2.2"));
        line.add("fourth", of("2001:db8:0:1::1"));
        let [narrow, wide] = of("2001:db8:0:1::9").0.map(Option::unwrap);
        assert_eq!(line.take_oldest_of(narrow), Some("fourth"));
        assert_eq!(line.take_oldest_of(narrow), None);
        assert_eq!(line.take_oldest_of(wide), Some("second"));
        assert_eq!(line.remove(first), Some("first"));
        assert_eq!(line.remove(first), None);
        assert_eq!(line.take_oldest(), Some("third"));
        assert!(line.is_empty());
    }
}
