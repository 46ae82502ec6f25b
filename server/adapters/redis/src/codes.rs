//! Sign-in codes in Redis, at most one an address, each step a script.
//!
//! Knows hashes alone. Whether a code is valid is decided by the times that callers give; Redis'
//! own clock only forgets it, a minute after nobody needs it any more.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::Value;
use talksy_domain::auth::{Attempt, CodeDigest, CodeKey, CodeStore, Issue, IssuedCode};
use talksy_domain::clock::Timestamp;
use talksy_domain::error::PortError;

use super::fault::Fault;
use super::script::Script;
use super::servers::Servers;

/// The name under which failures are reported.
const BACKEND: &str = "sign-in codes";
/// For how long a code outlives its use: longer than clocks differ.
const MARGIN: Duration = Duration::from_mins(1);

/// [`CodeStore`] for all instances that share a Redis.
pub(super) struct RedisCodeStore {
    servers: Arc<Servers>,
    prefix: String,
    issue: Script,
    withdraw: Script,
    attempt: Script,
}

impl RedisCodeStore {
    pub(super) fn new(servers: Arc<Servers>, prefix: &str) -> Self {
        Self {
            servers,
            prefix: format!("{prefix}code:"),
            issue: Script::new(include_str!("scripts/code_issue.lua")),
            withdraw: Script::new(include_str!("scripts/code_withdraw.lua")),
            attempt: Script::new(include_str!("scripts/code_attempt.lua")),
        }
    }

    /// The keys of the address's present code and of the one before, in one slot.
    fn keys(&self, key: CodeKey) -> [String; 2] {
        let present = format!("{}{{{}}}", self.prefix, hex::encode(key.0));
        let before = format!("{present}:before");
        [present, before]
    }

    /// Runs a script that answers with a number.
    async fn run(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[&[u8]],
    ) -> Result<i64, PortError> {
        match self.servers.script(script, keys, arguments).await {
            Ok(Value::Int(answer)) => Ok(answer),
            Ok(_) => Err(Fault::Answer("a sign-in code with something else").port(BACKEND)),
            Err(fault) => Err(fault.port(BACKEND)),
        }
    }
}

#[async_trait]
impl CodeStore for RedisCodeStore {
    async fn issue(
        &self,
        key: CodeKey,
        code: &IssuedCode,
        resend_after: Duration,
    ) -> Result<Issue, PortError> {
        let validity = code.expires_at.since(code.issued_at);
        let forget_at = (code.expires_at + validity).max(code.issued_at + resend_after);
        let expiry = forget_at.since(code.issued_at) + MARGIN;
        let numbers = [
            code.issued_at.as_millis().to_string(),
            code.expires_at.as_millis().to_string(),
            code.tries.to_string(),
            forget_at.as_millis().to_string(),
            resend_after.as_millis().to_string(),
            expiry.as_millis().to_string(),
        ];
        let mut arguments: Vec<&[u8]> = vec![&code.id, &code.digest.0];
        arguments.extend(numbers.iter().map(String::as_bytes));
        let [present, before] = self.keys(key);
        let wait = self
            .run(&self.issue, &[&present, &before], &arguments)
            .await?;
        Ok(match u64::try_from(wait) {
            Ok(0) | Err(_) => Issue::Issued,
            Ok(wait) => Issue::TooSoon(Duration::from_millis(wait)),
        })
    }

    async fn withdraw(&self, key: CodeKey, id: [u8; 16]) -> Result<(), PortError> {
        let [present, before] = self.keys(key);
        self.run(&self.withdraw, &[&present, &before], &[&id])
            .await
            .map(|_| ())
    }

    async fn attempt(
        &self,
        key: CodeKey,
        presented: CodeDigest,
        now: Timestamp,
    ) -> Result<Attempt, PortError> {
        let [present, _] = self.keys(key);
        let now = now.as_millis().to_string();
        let arguments: [&[u8]; 2] = [&presented.0, now.as_bytes()];
        let answer = self.run(&self.attempt, &[&present], &arguments).await?;
        match answer {
            -1 => Ok(Attempt::NoCode),
            -2 => Ok(Attempt::Expired),
            -3 => Ok(Attempt::Accepted),
            left => u8::try_from(left)
                .map(Attempt::Wrong)
                .map_err(|_| Fault::Answer("a number of tries out of bounds").port(BACKEND)),
        }
    }
}
