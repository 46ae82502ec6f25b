//! How the map of servers is found: asked of Sentinels or of a Cluster's nodes.

use std::sync::Arc;

use futures_util::future::select_ok;
use redis::{Value, from_redis_value};

use super::address::Address;
use super::fault::Fault;
use super::location::Layout;
use super::map::Map;
use super::node::Node;
use super::servers::Servers;

impl Servers {
    /// Asks who serves what.
    pub(super) async fn discover(&self) -> Result<Map, Fault> {
        match &self.location.layout {
            Layout::Standalone => self.first_node().map(Map::of),
            Layout::Sentinel(name) => self.ask_sentinels(name).await,
            Layout::Cluster => self.ask_cluster().await,
        }
    }

    fn first_node(&self) -> Result<Arc<Node>, Fault> {
        let address = self.location.addresses.first().ok_or(Fault::NoPrimary)?;
        self.node(address.clone())
    }

    /// All Sentinels at the same time: those that are down delay nobody.
    async fn ask_sentinels(&self, name: &str) -> Result<Map, Fault> {
        let questions = self
            .location
            .addresses
            .iter()
            .map(|address| Box::pin(self.ask_sentinel(address, name)));
        let (node, _others) = select_ok(questions).await?;
        Ok(Map::of(node))
    }

    async fn ask_sentinel(&self, sentinel: &Address, name: &str) -> Result<Arc<Node>, Fault> {
        let sentinel = self.sentinel(sentinel)?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        let (host, port) = match sentinel.query(&question).await? {
            Value::Nil => return Err(Fault::NoPrimary),
            answer => from_redis_value(answer)
                .map_err(|_| Fault::Answer("a question for the primary with something else"))?,
        };
        let node = self.node(Address { host, port })?;
        // During a failover a Sentinel may still name the old primary.
        match node.query(&redis::cmd("ROLE")).await? {
            Value::Array(role) if is_text(role.first(), b"master") => Ok(node),
            _ => Err(Fault::NoPrimary),
        }
    }

    /// All nodes that are known at the same time.
    async fn ask_cluster(&self) -> Result<Map, Fault> {
        let mut addresses = self.known();
        addresses.extend(self.location.addresses.iter().cloned());
        let questions = addresses
            .iter()
            .map(|address| Box::pin(self.ask_node(address)));
        let (map, _others) = select_ok(questions).await?;
        Ok(map)
    }

    async fn ask_node(&self, address: &Address) -> Result<Map, Fault> {
        let node = self.node(address.clone())?;
        let answer = node.query(redis::cmd("CLUSTER").arg("SLOTS")).await?;
        let map = Map::read(answer, address, |address| self.node(address))?;
        // A node that was taken out of the Cluster knows of no slots.
        map.owner(0)?;
        Ok(map)
    }
}

fn is_text(value: Option<&Value>, text: &[u8]) -> bool {
    match value {
        Some(Value::BulkString(bytes)) => bytes == text,
        Some(Value::SimpleString(string)) => string.as_bytes() == text,
        _ => false,
    }
}
