//! What a server says of itself.

use std::collections::HashMap;

use redis::{Value, from_redis_value};

use super::fault::Fault;

/// The answer to `HELLO`, which is for everybody, unlike those to `ROLE` and `INFO`. Texts are empty where
/// the server says nothing: a Sentinel has no role.
pub(super) struct Hello {
    pub(super) version: String,
    pub(super) mode: String,
    role: String,
}

impl Hello {
    pub(super) fn read(answer: Value) -> Result<Self, Fault> {
        let facts: HashMap<String, Value> =
            from_redis_value(answer).map_err(|_| Fault::Answer("HELLO with something else"))?;
        let text = |name: &str| match facts.get(name) {
            Some(Value::BulkString(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            Some(Value::SimpleString(text)) => text.clone(),
            _ => String::new(),
        };
        Ok(Self {
            version: text("version"),
            mode: text("mode"),
            role: text("role"),
        })
    }

    /// Whether it follows another server.
    pub(super) fn is_replica(&self) -> bool {
        !matches!(self.role.as_str(), "master" | "")
    }
}
