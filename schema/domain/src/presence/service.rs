//! Keeps the leases of this process's sockets alive, and tells who comes and goes; also who types.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;

use super::model::{ConnectionId, Departure, Presence, PresenceStatus};
use super::store::PresenceStore;
use crate::access::{Access, AccessError, Acquainted, Denied};
use crate::chats::model::LargeGroups;
use crate::clock::{Clock, Entropy, Timestamp};
use crate::error::service_error;
use crate::error::{ApiError, ErrorCode, PortError, chain};
use crate::events::bus::Bus;
use crate::events::event::{Event, Topic};
use crate::events::publish::announce;
use crate::id::{ChatId, UserId};
use crate::limits::{Decision, RateLimiter, Rule};
use crate::users::store::UserStore;
use crate::viewer::Viewer;

/// Why typing was refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PresenceError {
    /// The viewer may not.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Too many changes.
    #[error("You change your typing state too quickly. Send it every few seconds.")]
    TooFast(Duration),
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl PresenceError {
    fn api_error(&self) -> ApiError {
        match self {
            Self::Access(error) => error.clone().into(),
            Self::TooFast(wait) => {
                ApiError::new(ErrorCode::RateLimited, self.to_string()).retry_after(*wait)
            }
            Self::Port(error) => error.into(),
        }
    }
}

service_error!(PresenceError);

/// How presence behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresencePolicy {
    /// How long a connection counts without being renewed. It is renewed every third of it.
    pub lease: Duration,
    /// How long a user stays online after the last socket closed, so that a reload shows no gap.
    pub grace: Duration,
    /// How often ended leases are looked for.
    pub sweep: Duration,
    /// For how long, and at least two looks, an ended lease is doubted: the user is told
    /// offline where it is not renewed meanwhile.
    pub doubt: Duration,
    /// How often it is kept in the store that users are here.
    pub last_seen_interval: Duration,
}

/// For how many looks a user whose leases have ended is not told offline yet. An instance that could
/// not renew tries again at each of its own looks.
const DOUBTING_LOOKS: usize = 2;
/// For how many doubts and looks a user belongs to the instance that has seen their leases end. Where it
/// dies over it, another one goes on.
const CLAIM: u32 = 3;
/// Of how many users one write keeps when they were last seen.
const KEPT_AT_ONCE: usize = 500;

/// What one look has found, and when.
type Doubted = (Instant, Vec<Departure>);

/// Rules of presence and typing.
pub struct PresenceService {
    pub(crate) store: Arc<dyn PresenceStore>,
    pub(crate) users: Arc<dyn UserStore>,
    pub(crate) access: Arc<Access>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) limiter: Arc<dyn RateLimiter>,
    pub(crate) typing_rule: Rule,
    pub(crate) large_groups: LargeGroups,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) policy: PresencePolicy,
    /// The sockets of this process.
    pub(crate) connections: Mutex<HashSet<(UserId, ConnectionId)>>,
    /// Some of their leases could not be renewed: all are at the next look.
    pub(crate) is_unrenewed: AtomicBool,
}

/// Keeps a user online until it is dropped.
pub struct PresenceGuard {
    service: Arc<PresenceService>,
    user: UserId,
    connection: ConnectionId,
}

impl PresenceService {
    /// Counts a socket of the viewer. Must be called on a Tokio runtime.
    pub fn connect(self: &Arc<Self>, viewer: &Viewer) -> PresenceGuard {
        let mut id = [0; 16];
        self.entropy.fill(&mut id);
        let connection = ConnectionId(u128::from_le_bytes(id));
        let user = viewer.user_id;
        self.connections.lock().insert((user, connection));
        let service = Arc::clone(self);
        tokio::spawn(async move { service.renew(&[(user, connection)]).await });
        PresenceGuard {
            service: Arc::clone(self),
            user,
            connection,
        }
    }

    /// Renews, looks for ended leases and keeps when users were last seen, until `stop`. Run one such
    /// task a process.
    pub async fn run(&self, stop: CancellationToken) {
        // After a pause of the process one look is due, not all that it has missed.
        let every = |period| {
            let mut interval = interval_at(Instant::now() + period, period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        let (mut looks, mut keeps) = (
            every(self.policy.sweep),
            every(self.policy.last_seen_interval),
        );
        let mut doubted = VecDeque::new();
        let mut renew_at = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep_until(renew_at) => renew_at = self.renew_all().await,
                () = self.store.lost() => renew_at = self.renew_all().await,
                _ = keeps.tick() => self.keep_last_seen().await,
                _ = looks.tick() => {
                    // The own leases may have ended meanwhile, and nobody is to be told so.
                    if renew_at <= Instant::now() || self.is_unrenewed.load(Ordering::Acquire) {
                        renew_at = self.renew_all().await;
                    }
                    self.look(&mut doubted).await;
                }
            }
        }
        // Leases in the memory of this process end with it, and nobody looks at them any more.
        for (_, departures) in &doubted {
            self.keep_departures(departures).await;
        }
        self.keep_last_seen().await;
    }

    /// The presence of these users now.
    ///
    /// # Errors
    /// Where a store fails.
    pub async fn states(&self, users: &Acquainted) -> Result<Vec<Presence>, PortError> {
        self.states_of(users.users()).await
    }

    /// The same for many viewers together, each of whom is told of those alone whom they may see.
    pub(crate) async fn states_of(&self, users: &[UserId]) -> Result<Vec<Presence>, PortError> {
        let there = self.store.online(users, self.clock.now()).await?;
        let known = self.users.users(users).await?;
        let state = |user: &crate::users::model::User| {
            if there.contains(&user.id) {
                online(user.id)
            } else {
                offline(user.id, user.last_seen_at)
            }
        };
        Ok(known.iter().map(state).collect())
    }

    /// Tells the chat's other members that the viewer types, or stopped. In a large group, and where
    /// one of two has blocked the other, nobody is told: the viewer's own devices are not told of it
    /// anywhere.
    ///
    /// # Errors
    /// Where the viewer is no member or changes too quickly.
    pub async fn set_typing(
        &self,
        viewer: &Viewer,
        chat: ChatId,
        is_typing: bool,
    ) -> Result<(), PresenceError> {
        let user_id = viewer.user_id;
        let key = user_id.to_string();
        if let Decision::Denied(wait) = self.limiter.check(self.typing_rule, &key).await? {
            return Err(PresenceError::TooFast(wait));
        }
        let membership = self.access.membership(viewer, chat).await?;
        let Some(found) = self.access.chat(&membership).await? else {
            return Err(AccessError::from(Denied::NoChat).into());
        };
        if self.large_groups.contains(found.member_count) || membership.member().is_blocked {
            return Ok(());
        }
        let event = Event::Typing {
            chat_id: chat,
            user_id,
            is_typing,
            mseq: found.applied_seq,
        };
        Ok(self.bus.publish(Topic::Chat(chat), event).await?)
    }

    /// Renews all leases; returns when that is due again.
    async fn renew_all(&self) -> Instant {
        self.is_unrenewed.store(false, Ordering::Release);
        let all: Vec<_> = self.connections.lock().iter().copied().collect();
        self.renew(&all).await;
        Instant::now() + self.policy.lease / 3
    }

    async fn renew(&self, connections: &[(UserId, ConnectionId)]) {
        if connections.is_empty() {
            return;
        }
        let (now, lease) = (self.clock.now(), self.policy.lease);
        match self.store.renew(connections, now, lease).await {
            Ok(came) => {
                for user in came {
                    self.tell(online(user)).await;
                }
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "presence was not renewed");
                self.is_unrenewed.store(true, Ordering::Release);
            }
        }
        // A socket that closed meanwhile may have been released before it was renewed.
        let closed: Vec<_> = {
            let open = self.connections.lock();
            connections
                .iter()
                .filter(|connection| !open.contains(connection))
                .copied()
                .collect()
        };
        for (user, connection) in closed {
            self.release(user, connection).await;
        }
    }

    async fn release(&self, user: UserId, connection: ConnectionId) {
        let (now, grace) = (self.clock.now(), self.policy.grace);
        if let Err(error) = self.store.release(user, connection, now, grace).await {
            tracing::warn!(error = %chain(&error), "a presence lease was not released");
        }
    }

    /// Looks for users whose leases have ended. Whom an earlier look had found, and who have renewed
    /// none since, are told offline: not at the first sight of it, as their instance may have been kept
    /// from renewing, and does so now.
    async fn look(&self, doubted: &mut VecDeque<Doubted>) {
        let PresencePolicy { sweep, doubt, .. } = self.policy;
        while doubted.len() >= DOUBTING_LOOKS
            && let Some((_, due)) = doubted.pop_front_if(|(since, _)| since.elapsed() >= doubt)
        {
            self.part(&due).await;
        }
        let claim = (sweep + doubt) * CLAIM;
        match self.store.ended(self.clock.now(), claim).await {
            Ok(found) => doubted.push_back((Instant::now(), found)),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "presence was not swept");
                // Others could not renew either. Whoever looks when the claim is over finds them.
                doubted.clear();
            }
        }
    }

    /// Tells that users are offline whose leases were not renewed. When they were last seen is kept
    /// first: whoever dies over the rest leaves it to be done by another.
    async fn part(&self, due: &[Departure]) {
        if due.is_empty() {
            return;
        }
        if !self.keep_departures(due).await {
            return;
        }
        let left = match self.store.expire(due).await {
            Ok(left) if left.is_empty() => return,
            Ok(left) => left,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "users were not taken out of presence");
                return;
            }
        };
        for departure in &left {
            let state = offline(departure.user_id, Some(last_seen(departure)));
            self.tell(state).await;
        }
        let left: Vec<_> = left.iter().map(|departure| departure.user_id).collect();
        // Who came back meanwhile may have been told of before; that must be the last word.
        match self.store.online(&left, self.clock.now()).await {
            Ok(back) => {
                for user in back {
                    self.tell(online(user)).await;
                }
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "who came back was not looked up");
            }
        }
    }

    /// Keeps that the users of this process are here now: so much is known of them where their leases
    /// are lost together with the process.
    async fn keep_last_seen(&self) {
        let users: BTreeSet<_> = {
            let connections = self.connections.lock();
            connections.iter().map(|(user, _)| *user).collect()
        };
        let (users, now) = (Vec::from_iter(users), self.clock.now());
        for some in users.chunks(KEPT_AT_ONCE) {
            if !self.set_last_seen(some, now).await {
                return;
            }
        }
    }

    /// Keeps when these users were last seen. False where the store failed.
    async fn keep_departures(&self, departures: &[Departure]) -> bool {
        let mut seen = BTreeMap::<_, Vec<_>>::new();
        for departure in departures {
            let second = last_seen(departure);
            seen.entry(second).or_default().push(departure.user_id);
        }
        for (at, users) in seen {
            for some in users.chunks(KEPT_AT_ONCE) {
                if !self.set_last_seen(some, at).await {
                    return false;
                }
            }
        }
        true
    }

    /// False where the store failed.
    async fn set_last_seen(&self, users: &[UserId], at: Timestamp) -> bool {
        let kept = self.users.set_last_seen(users, at).await;
        if let Err(error) = &kept {
            tracing::warn!(error = %chain(error), "the time users were last seen was not kept");
        }
        kept.is_ok()
    }

    async fn tell(&self, state: Presence) {
        let event = Event::PresenceChanged(state);
        announce(&*self.bus, Topic::Presence(state.user_id), event).await;
    }
}

/// When a user was last seen, in whole seconds: those who leave at about the same time are kept
/// together.
const fn last_seen(departure: &Departure) -> Timestamp {
    let millis = departure.ended_at.as_millis();
    Timestamp::from_millis(millis - millis.rem_euclid(1_000))
}

const fn online(user_id: UserId) -> Presence {
    Presence {
        user_id,
        status: PresenceStatus::Online,
        last_seen_at: None,
    }
}

const fn offline(user_id: UserId, last_seen_at: Option<Timestamp>) -> Presence {
    Presence {
        user_id,
        status: PresenceStatus::Offline,
        last_seen_at,
    }
}

impl Drop for PresenceGuard {
    fn drop(&mut self) {
        let (user, connection) = (self.user, self.connection);
        self.service.connections.lock().remove(&(user, connection));
        let service = Arc::clone(&self.service);
        // Without a runtime the process ends, and the lease with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { service.release(user, connection).await });
        }
    }
}
