//! The networks that connections are counted by: who has one address has all those nearby.

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
}
