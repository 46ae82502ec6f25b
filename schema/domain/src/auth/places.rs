//! Where a client is, as limits count it: its network, or the device that has signed in before.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::limits::{Quota, Rule};

/// A network that a limit counts, and how many times the quota of a single place it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The network, or the device.
    pub name: String,
    /// How many times the rule's burst it has.
    pub share: u32,
}

impl Place {
    /// A device that has signed in before.
    pub(crate) fn device(device: &str) -> Self {
        Self {
            name: format!("device {device}"),
            share: 1,
        }
    }

    /// The rule for it.
    #[must_use]
    pub fn rule(&self, rule: Rule) -> Rule {
        let quota = Quota {
            burst: rule.quota.burst.saturating_mul(self.share),
            ..rule.quota
        };
        Rule { quota, ..rule }
    }
}

/// An IPv6 customer has a /64 at least, often a /56 and up to a /48: each of them is counted, the
/// wider ones with a larger quota, since several people may share them.
const IPV6_PREFIXES: [(u8, u32); 3] = [(64, 1), (56, 4), (48, 16)];

/// The address itself where it is of IPv4, and the networks of an IPv6 address.
pub fn addresses(ip: IpAddr) -> Vec<Place> {
    match ip.to_canonical() {
        IpAddr::V4(ip) => vec![v4(ip, 32, 1)],
        IpAddr::V6(ip) => v6(ip),
    }
}

/// The networks of an address: who has one address of IPv4 often has more nearby.
pub(crate) fn networks(ip: IpAddr) -> Vec<Place> {
    match ip.to_canonical() {
        IpAddr::V4(ip) => vec![v4(ip, 24, 1)],
        IpAddr::V6(ip) => v6(ip),
    }
}

fn v4(ip: Ipv4Addr, prefix: u8, share: u32) -> Place {
    let network = ip.to_bits() & (u32::MAX << (32 - prefix));
    Place {
        name: format!("{}/{prefix}", Ipv4Addr::from_bits(network)),
        share,
    }
}

fn v6(ip: Ipv6Addr) -> Vec<Place> {
    let of = |(prefix, share): (u8, u32)| {
        let network = ip.to_bits() & (u128::MAX << (128 - prefix));
        Place {
            name: format!("{}/{prefix}", Ipv6Addr::from_bits(network)),
            share,
        }
    };
    IPV6_PREFIXES.map(of).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(places: &[Place]) -> Vec<&str> {
        places.iter().map(|place| &*place.name).collect()
    }

    #[test]
    fn a_client_is_counted_by_its_networks() {
        let v4 = "198.51.100.77".parse().unwrap();
        assert_eq!(names(&addresses(v4)), ["198.51.100.77/32"]);
        assert_eq!(names(&networks(v4)), ["198.51.100.0/24"]);
        let mapped = "::ffff:198.51.100.77".parse().unwrap();
        assert_eq!(addresses(mapped), addresses(v4));
        let v6 = "2001:db8:1:2345::7".parse().unwrap();
        let wanted = [
            "2001:db8:1:2345::/64",
            "2001:db8:1:2300::/56",
            "2001:db8:1::/48",
        ];
        assert_eq!(names(&networks(v6)), wanted);
        assert_eq!(networks(v6), addresses(v6));
    }
}
