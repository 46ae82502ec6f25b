//! Presence leases in Redis.
//!
//! Each user has a sorted set of leases by their end. The end of each user's last lease is in a
//! sorted set of all users: who is above the present there is online, and a sweep takes from its
//! lower end. So nothing is scanned, and an instance that was killed leaves nothing behind.
//!
//! A script may touch one slot of a Cluster: there the users are spread over [`BUCKETS`], each
//! with its own set of ends and a hash tag of its own.
//!
//! Times are the callers'. Clocks of instances may differ by less than two thirds of a lease, or
//! a sweep takes users out whose instance is about to renew them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use redis::{Value, from_redis_value};
use talksy_domain::clock::Timestamp;
use talksy_domain::error::{PortError, chain};
use talksy_domain::id::{self, UserId};
use talksy_domain::presence::{ConnectionId, PresenceStore};
use tokio::sync::Notify;

use super::fault::Fault;
use super::script::Script;
use super::servers::Servers;

/// The name under which failures are reported.
const BACKEND: &str = "presence";
/// Into how many parts a Cluster's users are split. Another number makes everybody come anew.
const BUCKETS: usize = 16;
/// How many leases one script renews: a millisecond's work for Redis.
const RENEW_AT_ONCE: usize = 256;
/// How many users one script takes out.
const EXPIRE_AT_ONCE: usize = 1_000;
/// How long the set of ends is kept where nobody renews: who left meanwhile is still told of.
const KEEP: Duration = Duration::from_hours(24);

/// [`PresenceStore`] for all instances that share a Redis.
pub(super) struct RedisPresenceStore {
    servers: Arc<Servers>,
    prefix: String,
    buckets: usize,
    renew: Script,
    release: Script,
    expire: Script,
    /// Told when Redis was away.
    away: Arc<Notify>,
}

/// The connections of each user.
type Connections = BTreeMap<UserId, Vec<ConnectionId>>;

impl RedisPresenceStore {
    pub(super) fn new(servers: Arc<Servers>, prefix: &str, away: Arc<Notify>) -> Self {
        Self {
            buckets: if servers.is_cluster() { BUCKETS } else { 1 },
            servers,
            prefix: format!("{prefix}presence:"),
            renew: Script::new(include_str!("scripts/presence_renew.lua")),
            release: Script::new(include_str!("scripts/presence_release.lua")),
            expire: Script::new(include_str!("scripts/presence_expire.lua")),
            away,
        }
    }

    /// By the last byte of an id, which is random.
    fn bucket(&self, user: UserId) -> usize {
        usize::from(id::bytes(user)[15]) % self.buckets
    }

    fn ends_key(&self, bucket: usize) -> String {
        format!("{}{{{bucket}}}:ends", self.prefix)
    }

    fn leases_key(&self, bucket: usize, user: &str) -> String {
        format!("{}{{{bucket}}}:{user}", self.prefix)
    }

    /// Runs a script that answers with users.
    async fn users(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[&[u8]],
    ) -> Result<Vec<UserId>, Fault> {
        let answer = self.servers.script(script, keys, arguments).await?;
        let users: Vec<String> = from_redis_value(answer).map_err(|_| STRANGE)?;
        users
            .iter()
            .map(|user| user.parse().map_err(|_| STRANGE))
            .collect()
    }

    async fn renew_some(
        &self,
        bucket: usize,
        users: &Connections,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Vec<UserId>, Fault> {
        let mut keys = vec![self.ends_key(bucket)];
        let mut arguments = vec![
            now.as_millis().to_string(),
            (now + lease).as_millis().to_string(),
            (KEEP + lease).as_millis().to_string(),
        ];
        for (user, connections) in users {
            let user = user.to_string();
            keys.push(self.leases_key(bucket, &user));
            arguments.push(user);
            arguments.push(connections.len().to_string());
            arguments.extend(connections.iter().map(name));
        }
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let arguments: Vec<&[u8]> = arguments.iter().map(String::as_bytes).collect();
        self.users(&self.renew, &keys, &arguments).await
    }

    async fn expire_some(
        &self,
        bucket: usize,
        now: &str,
        most: &str,
    ) -> Result<Vec<UserId>, Fault> {
        let key = self.ends_key(bucket);
        let arguments = [now.as_bytes(), most.as_bytes()];
        self.users(&self.expire, &[&key], &arguments).await
    }
}

/// A failure to read what another script of ours has written.
const STRANGE: Fault = Fault::Answer("presence with something else");

/// A connection as Redis keeps it.
fn name(connection: &ConnectionId) -> String {
    format!("{:032x}", connection.0)
}

/// What was done before something failed must be told: it is told once. The rest is tried again
/// by itself, at the next renewal or sweep.
fn whatever_was_done(parts: Vec<Result<Vec<UserId>, Fault>>) -> Result<Vec<UserId>, PortError> {
    let mut users = Vec::new();
    let mut failure = None;
    for part in parts {
        match part {
            Ok(part) => users.extend(part),
            Err(fault) => failure = Some(fault.port(BACKEND)),
        }
    }
    match failure {
        Some(error) if users.is_empty() => Err(error),
        Some(error) => {
            tracing::warn!(error = %chain(&error), "presence was handled in part");
            Ok(users)
        }
        None => Ok(users),
    }
}

#[async_trait]
impl PresenceStore for RedisPresenceStore {
    async fn renew(
        &self,
        connections: &[(UserId, ConnectionId)],
        now: Timestamp,
        lease: Duration,
    ) -> Result<Vec<UserId>, PortError> {
        let mut parts = Vec::new();
        for some in connections.chunks(RENEW_AT_ONCE * self.buckets) {
            let mut buckets = vec![Connections::new(); self.buckets];
            for (user, connection) in some {
                let bucket = &mut buckets[self.bucket(*user)];
                bucket.entry(*user).or_default().push(*connection);
            }
            let buckets = buckets.iter().enumerate();
            let renewals = buckets
                .filter(|(_, users)| !users.is_empty())
                .map(|(bucket, users)| self.renew_some(bucket, users, now, lease));
            let answers = join_all(renewals).await;
            let failed = answers.iter().all(Result::is_err);
            parts.extend(answers);
            if failed {
                // Nothing is there: the rest would wait for it in vain.
                break;
            }
        }
        whatever_was_done(parts)
    }

    async fn release(
        &self,
        user: UserId,
        connection: ConnectionId,
        now: Timestamp,
        grace: Duration,
    ) -> Result<(), PortError> {
        let bucket = self.bucket(user);
        let user = user.to_string();
        let keys = [self.ends_key(bucket), self.leases_key(bucket, &user)];
        let end = (now + grace).as_millis().to_string();
        let connection = name(&connection);
        let arguments = [&user, &connection, &end].map(String::as_bytes);
        let keys = keys.each_ref().map(String::as_str);
        let released = self.servers.script(&self.release, &keys, &arguments).await;
        released.map(|_| ()).map_err(|fault| fault.port(BACKEND))
    }

    async fn expire(&self, now: Timestamp) -> Result<Vec<UserId>, PortError> {
        let now = now.as_millis().to_string();
        let most = EXPIRE_AT_ONCE.to_string();
        let mut parts = Vec::new();
        let mut buckets: Vec<usize> = (0..self.buckets).collect();
        while !buckets.is_empty() {
            let sweeps = buckets
                .iter()
                .map(|bucket| self.expire_some(*bucket, &now, &most));
            let answers = join_all(sweeps).await;
            let full = |answer: &Result<Vec<_>, _>| {
                answer
                    .as_ref()
                    .is_ok_and(|users| users.len() >= EXPIRE_AT_ONCE)
            };
            buckets = buckets
                .into_iter()
                .zip(&answers)
                .filter_map(|(bucket, answer)| full(answer).then_some(bucket))
                .collect();
            parts.extend(answers);
        }
        whatever_was_done(parts)
    }

    async fn online(&self, users: &[UserId], now: Timestamp) -> Result<Vec<UserId>, PortError> {
        let mut buckets = vec![Vec::new(); self.buckets];
        for user in users {
            buckets[self.bucket(*user)].push(*user);
        }
        let buckets = buckets.into_iter().enumerate();
        let questions =
            buckets
                .filter(|(_, users)| !users.is_empty())
                .map(|(bucket, users)| async move {
                    let key = self.ends_key(bucket);
                    let mut question = redis::cmd("ZMSCORE");
                    question.arg(&key);
                    for user in &users {
                        question.arg(user.to_string());
                    }
                    let ends = match self.servers.query(&key, &question).await? {
                        Value::Array(ends) if ends.len() == users.len() => ends,
                        _ => return Err(STRANGE),
                    };
                    let mut online = Vec::new();
                    for (user, end) in users.into_iter().zip(ends) {
                        let end: Option<f64> = from_redis_value(end).map_err(|_| STRANGE)?;
                        if end.is_some_and(|end| runs(end, now)) {
                            online.push(user);
                        }
                    }
                    Ok(online)
                });
        let online = futures_util::future::try_join_all(questions).await;
        let online = online.map_err(|fault: Fault| fault.port(BACKEND))?.concat();
        // In the order of the question.
        Ok(users
            .iter()
            .filter(|user| online.contains(user))
            .copied()
            .collect())
    }

    async fn lost(&self) {
        self.away.notified().await;
    }
}

/// Whether a lease with this end runs. Sorted sets count in doubles, which hold milliseconds
/// exactly for longer than we need.
#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds since 1970 are far below 2^53"
)]
fn runs(end: f64, now: Timestamp) -> bool {
    end > now.as_millis() as f64
}
