//! Which server serves which slot of the keys.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use redis::Value;

use super::address::Address;
use super::fault::Fault;
use super::node::Node;

/// How many slots a Cluster's keys are spread over.
const SLOTS: u16 = 16_384;

/// Who serves what: from each first slot on up to the last of its range.
#[derive(Clone, Default)]
pub(super) struct Map {
    ranges: BTreeMap<u16, (u16, Arc<Node>)>,
}

impl Map {
    /// One server for everything.
    pub(super) fn of(node: Arc<Node>) -> Self {
        Self {
            ranges: BTreeMap::from([(0, (SLOTS - 1, node))]),
        }
    }

    /// The server of the slot.
    pub(super) fn owner(&self, slot: u16) -> Result<&Arc<Node>, Fault> {
        match self.ranges.range(..=slot).next_back() {
            Some((_, (last, node))) if slot <= *last => Ok(node),
            _ => Err(Fault::NoNode(slot)),
        }
    }

    /// Each server once.
    pub(super) fn nodes(&self) -> Vec<Arc<Node>> {
        let mut nodes: HashMap<&Address, &Arc<Node>> = HashMap::new();
        for (_, node) in self.ranges.values() {
            nodes.insert(&node.address, node);
        }
        nodes.into_values().cloned().collect()
    }

    /// The first slot that nobody serves.
    pub(super) fn gap(&self) -> Option<u16> {
        let mut next = 0;
        for (first, (last, _)) in &self.ranges {
            if *first != next {
                return Some(next);
            }
            next = last + 1;
        }
        (next < SLOTS).then_some(next)
    }

    /// The answer of the node that was asked to `CLUSTER SLOTS`: ranges, each with its nodes, of
    /// which the first is the primary. `node` makes the server of an address.
    pub(super) fn read(
        answer: Value,
        asked: &Address,
        node: impl Fn(Address) -> Result<Arc<Node>, Fault>,
    ) -> Result<Self, Fault> {
        const STRANGE: Fault = Fault::Answer("CLUSTER SLOTS with something else");
        let Value::Array(ranges) = answer else {
            return Err(STRANGE);
        };
        let mut map = Self::default();
        for range in ranges {
            let Value::Array(mut parts) = range else {
                return Err(STRANGE);
            };
            if parts.len() < 3 {
                return Err(STRANGE);
            }
            let Value::Array(mut primary) = parts.swap_remove(2) else {
                return Err(STRANGE);
            };
            primary.truncate(2);
            let number = |value: &Value| match value {
                Value::Int(number) => u16::try_from(*number).map_err(|_| STRANGE),
                _ => Err(STRANGE),
            };
            let (first, last) = (number(&parts[0])?, number(&parts[1])?);
            let host = match primary.first() {
                Some(Value::BulkString(host)) if !host.is_empty() && host != b"?" => {
                    String::from_utf8(host.clone()).map_err(|_| STRANGE)?
                }
                // A node that does not know its own name.
                Some(_) => asked.host.clone(),
                None => return Err(STRANGE),
            };
            let port = number(primary.get(1).ok_or(STRANGE)?)?;
            map.ranges
                .insert(first, (last, node(Address { host, port })?));
        }
        Ok(map)
    }
}

/// The slot of a key: that of what stands in its first braces, where something does (the Redis
/// Cluster specification, "Hash tags").
pub(super) fn slot_of(key: &str) -> u16 {
    let hashed = match key.split_once('{') {
        Some((_, rest)) => match rest.split_once('}') {
            Some((tag, _)) if !tag.is_empty() => tag,
            _ => key,
        },
        None => key,
    };
    crc16(hashed.as_bytes()) % SLOTS
}

/// CRC-16/XMODEM, as the Redis Cluster specification has it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use redis::IntoConnectionInfo as _;

    use super::*;
    use crate::node::Role;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot_of("foo"), 12_182);
        assert_eq!(slot_of("{user1000}.following"), slot_of("user1000"));
        assert_eq!(slot_of("foo{{bar}}zap"), slot_of("{bar"));
        assert_eq!(slot_of("foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
    }

    #[test]
    fn a_map_knows_its_owners_and_gaps() {
        let asked = Address {
            host: "seed".to_owned(),
            port: 7000,
        };
        let node = |address: Address| {
            let info = (address.host.clone(), address.port).into_connection_info()?;
            let limit = Duration::from_secs(1);
            Ok(Node::new(
                address,
                (info, Role::Any),
                limit,
                Arc::default(),
                Arc::default(),
            ))
        };
        let range = |first, last, host: &str, port| {
            let node = vec![
                Value::BulkString(host.into()),
                Value::Int(port),
                Value::BulkString(b"id".to_vec()),
            ];
            Value::Array(vec![
                Value::Int(first),
                Value::Int(last),
                Value::Array(node),
            ])
        };
        let answer = Value::Array(vec![range(0, 99, "", 7000), range(200, 16_383, "b", 7001)]);
        let map = Map::read(answer, &asked, node).unwrap();
        assert_eq!(map.owner(99).unwrap().address.to_string(), "seed:7000");
        assert_eq!(map.owner(16_383).unwrap().address.to_string(), "b:7001");
        assert!(matches!(map.owner(100), Err(Fault::NoNode(100))));
        assert_eq!(map.gap(), Some(100));
        assert_eq!(map.nodes().len(), 2);
        assert!(Map::read(Value::Okay, &asked, node).is_err());
    }
}
