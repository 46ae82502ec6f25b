//! Presence leases in Redis.
//!
//! Each user has a sorted set of leases by their end. The end of each user's last lease is in a
//! sorted set of all users: who is there is online, and whoever looks at its lower end claims those
//! whose last lease has ended, and takes them out at a later look. So nothing is scanned, and an
//! instance that was killed leaves nothing behind.
//!
//! A Redis that has lost its data has another epoch, which every renewal and every look reads: whoever
//! has known the one before renews its leases at once.
//!
//! A script may touch one slot of a Cluster: there the users are spread over [`BUCKETS`], each
//! with its own set of ends and a hash tag of its own.
//!
//! Times are the callers'. Clocks of instances may differ by less than two thirds of a lease, or
//! users are taken out whose instance is about to renew them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use parking_lot::Mutex;
use redis::{Value, from_redis_value};
use talksy_domain::clock::Timestamp;
use talksy_domain::error::{PortError, chain};
use talksy_domain::id::{self, UserId};
use talksy_domain::presence::{ConnectionId, Departure, HOLD, PresenceStore};
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
/// At how many users whose leases have ended one script looks, and how many one takes out.
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
    ended: Script,
    expire: Script,
    /// The epoch of each bucket as it was last read.
    epochs: Mutex<Vec<Option<String>>>,
    /// Told when Redis was away, or has lost its data.
    away: Arc<Notify>,
}

/// The connections of each user.
type Connections = BTreeMap<UserId, Vec<ConnectionId>>;

impl RedisPresenceStore {
    pub(super) fn new(servers: Arc<Servers>, prefix: &str, away: Arc<Notify>) -> Self {
        let buckets = if servers.is_cluster() { BUCKETS } else { 1 };
        Self {
            buckets,
            servers,
            prefix: format!("{prefix}presence:"),
            renew: Script::new(include_str!("scripts/presence_renew.lua")),
            release: Script::new(include_str!("scripts/presence_release.lua")),
            ended: Script::new(include_str!("scripts/presence_ended.lua")),
            expire: Script::new(include_str!("scripts/presence_expire.lua")),
            epochs: Mutex::new(vec![None; buckets]),
            away,
        }
    }

    /// By the last byte of an id, which is random.
    fn bucket(&self, user: UserId) -> usize {
        usize::from(id::bytes(user)[15]) % self.buckets
    }

    /// A key of a bucket: of its `ends`, `claims` or `epoch`, or of a user's leases.
    fn key(&self, bucket: usize, name: &str) -> String {
        format!("{}{{{bucket}}}:{name}", self.prefix)
    }

    /// Runs a script that answers with words.
    async fn words(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &[String],
    ) -> Result<Vec<String>, Fault> {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let arguments: Vec<&[u8]> = arguments.iter().map(String::as_bytes).collect();
        let answer = self.servers.script(script, &keys, &arguments).await?;
        from_redis_value(answer).map_err(|_| STRANGE)
    }

    /// Notes the epoch of a bucket. Another one than before says that all leases in it are lost.
    fn note_epoch(&self, bucket: usize, epoch: String) {
        let before = self.epochs.lock()[bucket].replace(epoch.clone());
        if before.is_some_and(|before| before != epoch) {
            tracing::warn!("redis has lost its data; presence is renewed");
            self.away.notify_one();
        }
    }

    async fn renew_some(
        &self,
        bucket: usize,
        users: &Connections,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Vec<UserId>, Fault> {
        let mut keys = ["ends", "claims", "epoch"]
            .map(|name| self.key(bucket, name))
            .to_vec();
        let mut arguments = vec![
            now.as_millis().to_string(),
            (now + lease).as_millis().to_string(),
            (now - HOLD).as_millis().to_string(),
            (KEEP + lease).as_millis().to_string(),
        ];
        for (user, connections) in users {
            let user = user.to_string();
            keys.push(self.key(bucket, &user));
            arguments.push(user);
            arguments.push(connections.len().to_string());
            arguments.extend(connections.iter().map(name));
        }
        let mut words = self
            .words(&self.renew, &keys, &arguments)
            .await?
            .into_iter();
        self.note_epoch(bucket, words.next().ok_or(STRANGE)?);
        words
            .map(|user| user.parse().map_err(|_| STRANGE))
            .collect()
    }

    /// Looks at all users of a bucket whose leases have ended, some at a time.
    async fn ended_in(
        &self,
        bucket: usize,
        now: Timestamp,
        claim: Duration,
    ) -> Result<Vec<Departure>, Fault> {
        let keys = ["ends", "claims", "epoch"].map(|name| self.key(bucket, name));
        let mut departures = Vec::new();
        let mut passed = 0;
        loop {
            let arguments = [
                now.as_millis().to_string(),
                (now + claim).as_millis().to_string(),
                passed.to_string(),
                EXPIRE_AT_ONCE.to_string(),
                KEEP.as_millis().to_string(),
            ];
            let words = self.words(&self.ended, &keys, &arguments).await?;
            let [epoch, looked_at, rest @ ..] = words.as_slice() else {
                return Err(STRANGE);
            };
            self.note_epoch(bucket, epoch.clone());
            for pair in rest.chunks(2) {
                let [user, end] = pair else {
                    return Err(STRANGE);
                };
                departures.push(Departure {
                    user_id: user.parse().map_err(|_| STRANGE)?,
                    ended_at: Timestamp::from_millis(end.parse().map_err(|_| STRANGE)?),
                });
            }
            let looked_at: usize = looked_at.parse().map_err(|_| STRANGE)?;
            if looked_at < EXPIRE_AT_ONCE {
                return Ok(departures);
            }
            passed += looked_at;
        }
    }

    async fn expire_some(
        &self,
        bucket: usize,
        departures: &[Departure],
    ) -> Result<Vec<Departure>, Fault> {
        let keys = ["ends", "claims"].map(|name| self.key(bucket, name));
        let mut arguments = Vec::with_capacity(2 * departures.len());
        let mut by_name = HashMap::with_capacity(departures.len());
        for departure in departures {
            let user = departure.user_id.to_string();
            arguments.push(user.clone());
            arguments.push(departure.ended_at.as_millis().to_string());
            by_name.insert(user, *departure);
        }
        let left = self.words(&self.expire, &keys, &arguments).await?;
        let departure = |user| by_name.remove(&user).ok_or(STRANGE);
        left.into_iter().map(departure).collect()
    }
}

/// A failure to read what another script of ours has written.
const STRANGE: Fault = Fault::Answer("presence with something else");

/// A connection as Redis keeps it.
fn name(connection: &ConnectionId) -> String {
    format!("{:032x}", connection.0)
}

/// What was done before something failed must be told: it is told once. The rest is tried again
/// by itself, at the next renewal or look.
fn whatever_was_done<T>(parts: Vec<Result<Vec<T>, Fault>>) -> Result<Vec<T>, PortError> {
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
        let keys = [self.key(bucket, "ends"), self.key(bucket, &user)];
        let end = (now + grace).as_millis().to_string();
        let connection = name(&connection);
        let arguments = [&user, &connection, &end].map(String::as_bytes);
        let keys = keys.each_ref().map(String::as_str);
        let released = self.servers.script(&self.release, &keys, &arguments).await;
        released.map(|_| ()).map_err(|fault| fault.port(BACKEND))
    }

    async fn ended(&self, now: Timestamp, claim: Duration) -> Result<Vec<Departure>, PortError> {
        let looks = (0..self.buckets).map(|bucket| self.ended_in(bucket, now, claim));
        whatever_was_done(join_all(looks).await)
    }

    async fn expire(&self, departures: &[Departure]) -> Result<Vec<Departure>, PortError> {
        let mut buckets = vec![Vec::new(); self.buckets];
        for departure in departures {
            buckets[self.bucket(departure.user_id)].push(*departure);
        }
        let parts = buckets.iter().enumerate().flat_map(|(bucket, departures)| {
            let parts = departures.chunks(EXPIRE_AT_ONCE);
            parts.map(move |some| self.expire_some(bucket, some))
        });
        whatever_was_done(join_all(parts).await)
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
                    let key = self.key(bucket, "ends");
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
                        if end.is_some_and(|end| is_held(end, now)) {
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

/// Whether a user whose last lease ends then is online, where nobody took them out. Sorted sets count
/// in doubles, which hold milliseconds exactly for longer than we need.
#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds since 1970 are far below 2^53"
)]
fn is_held(end: f64, now: Timestamp) -> bool {
    end > (now - HOLD).as_millis() as f64
}
