//! Sign-in codes in Redis, one key an open challenge, and how much was guessed.
//!
//! Knows hashes alone. Whether a code is valid is decided by the times that callers give; Redis'
//! own clock only forgets it, a minute after nobody needs it any more.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::Value;
use talksy_domain::auth::{
    AddressKey, Attempt, ChallengeKey, CodeDigest, CodeStore, Guesses, IssuedCode,
};
use talksy_domain::clock::Timestamp;
use talksy_domain::error::PortError;

use super::fault::Fault;
use super::script::Script;
use super::servers::Servers;

/// The name under which failures are reported.
const BACKEND: &str = "sign-in codes";
/// For how long a code outlives its use: longer than clocks differ.
const MARGIN: Duration = Duration::from_mins(1);
/// For how long an address's tries are remembered behind the last code.
const REMEMBERED: Duration = Duration::from_hours(24);
/// The span by which all wrong codes are counted.
const SPAN: Duration = Duration::from_hours(1);

/// [`CodeStore`] for all instances that share a Redis.
pub(super) struct RedisCodeStore {
    servers: Arc<Servers>,
    prefix: String,
    issue: Script,
    attempt: Script,
    forget: Script,
    count: Script,
    counted: Script,
}

impl RedisCodeStore {
    pub(super) fn new(servers: Arc<Servers>, prefix: &str) -> Self {
        Self {
            servers,
            prefix: prefix.to_owned(),
            issue: Script::new(include_str!("scripts/code_issue.lua")),
            attempt: Script::new(include_str!("scripts/code_attempt.lua")),
            forget: Script::new(include_str!("scripts/forget.lua")),
            count: Script::new(include_str!("scripts/count.lua")),
            counted: Script::new(include_str!("scripts/counted.lua")),
        }
    }

    fn of_challenge(&self, challenge: ChallengeKey) -> String {
        format!("{}code:{}", self.prefix, hex::encode(challenge.0))
    }

    fn of_address(&self, address: AddressKey) -> String {
        format!("{}tries:{}", self.prefix, hex::encode(address.0))
    }

    /// Where all wrong codes of a span are counted, and of the one before.
    fn of_spans(&self, now: Timestamp) -> [String; 2] {
        let span = i64::try_from(SPAN.as_millis()).unwrap_or(i64::MAX);
        let number = now.as_millis() / span;
        [number, number - 1].map(|number| format!("{}wrong-in:{number}", self.prefix))
    }

    /// Runs a script that answers with a number.
    async fn run(&self, script: &Script, key: &str, arguments: &[&[u8]]) -> Result<i64, PortError> {
        match self.servers.script(script, &[key], arguments).await {
            Ok(Value::Int(answer)) => Ok(answer),
            Ok(_) => Err(Fault::Answer("a sign-in code with something else").port(BACKEND)),
            Err(fault) => Err(fault.port(BACKEND)),
        }
    }

    /// Counts so many more, to be remembered for so long. Returns how many there are now.
    async fn count(&self, key: &str, more: u8, remembered: Duration) -> Result<u32, PortError> {
        let numbers = [more.to_string(), remembered.as_millis().to_string()];
        let arguments: Vec<_> = numbers.iter().map(String::as_bytes).collect();
        let count = self.run(&self.count, key, &arguments).await?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    async fn counted(&self, key: &str) -> Result<u32, PortError> {
        let count = self.run(&self.counted, key, &[]).await?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }
}

#[async_trait]
impl CodeStore for RedisCodeStore {
    async fn issue(&self, challenge: ChallengeKey, code: &IssuedCode) -> Result<(), PortError> {
        let expiry = code.expires_at.since(code.issued_at) + MARGIN;
        let numbers = [
            code.expires_at.as_millis().to_string(),
            code.tries.to_string(),
            expiry.as_millis().to_string(),
        ];
        let mut arguments: Vec<&[u8]> = vec![&code.digest.0];
        arguments.extend(numbers.iter().map(String::as_bytes));
        let key = self.of_challenge(challenge);
        self.run(&self.issue, &key, &arguments).await?;
        Ok(())
    }

    async fn withdraw(&self, challenge: ChallengeKey) -> Result<(), PortError> {
        let key = self.of_challenge(challenge);
        self.run(&self.forget, &key, &[]).await?;
        Ok(())
    }

    async fn attempt(
        &self,
        challenge: ChallengeKey,
        presented: CodeDigest,
        now: Timestamp,
    ) -> Result<Attempt, PortError> {
        let now = now.as_millis().to_string();
        let arguments: [&[u8]; 2] = [&presented.0, now.as_bytes()];
        let key = self.of_challenge(challenge);
        match self.run(&self.attempt, &key, &arguments).await? {
            -1 => Ok(Attempt::Void),
            -2 => Ok(Attempt::Accepted),
            left => u8::try_from(left)
                .map(Attempt::Wrong)
                .map_err(|_| Fault::Answer("a number of tries out of bounds").port(BACKEND)),
        }
    }

    async fn count_tries(
        &self,
        address: AddressKey,
        tries: u8,
        now: Timestamp,
    ) -> Result<Guesses, PortError> {
        let (address, [this, before]) = (self.of_address(address), self.of_spans(now));
        let (of_address, this, before) = tokio::try_join!(
            self.count(&address, tries, REMEMBERED),
            self.counted(&this),
            self.counted(&before),
        )?;
        Ok(Guesses {
            of_address: of_address.saturating_sub(u32::from(tries)),
            of_all: this.saturating_add(before),
        })
    }

    async fn note_wrong(&self, now: Timestamp) -> Result<(), PortError> {
        let [this, _] = self.of_spans(now);
        self.count(&this, 1, 2 * SPAN + MARGIN).await.map(drop)
    }

    async fn note_right(&self, address: AddressKey) -> Result<(), PortError> {
        let address = self.of_address(address);
        self.run(&self.forget, &address, &[]).await.map(drop)
    }
}
