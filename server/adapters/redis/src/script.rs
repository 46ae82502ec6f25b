//! Lua scripts, which Redis runs one at a time: what makes our steps atomic.

use redis::Cmd;

/// A script and its name on servers that know it already.
pub(super) struct Script {
    hash: String,
    body: &'static str,
}

impl Script {
    pub(super) fn new(body: &'static str) -> Self {
        Self {
            hash: redis::Script::new(body).get_hash().to_owned(),
            body,
        }
    }

    /// Runs it where the server knows it.
    pub(super) fn by_hash(&self, keys: &[&str], arguments: &[&[u8]]) -> Cmd {
        Self::command("EVALSHA", &self.hash, keys, arguments)
    }

    /// Runs it and teaches it to the server.
    pub(super) fn in_full(&self, keys: &[&str], arguments: &[&[u8]]) -> Cmd {
        Self::command("EVAL", self.body, keys, arguments)
    }

    fn command(name: &str, script: &str, keys: &[&str], arguments: &[&[u8]]) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(keys.len()).arg(keys);
        for argument in arguments {
            command.arg(*argument);
        }
        command
    }
}
