//! Batches what sibling fields of one request ask for: each kind of key costs one store call a
//! level of the query, however many objects there are.
//!
//! One [`Loaders`] a request. It remembers what it loaded for queries alone: after a mutation, or
//! at the next event of a subscription, things have changed.
//!
//! A batch runs on the task that executes the request, and begins when every resolver that can go
//! on has done so: it then holds all keys of its level. A timer beside the request would be a
//! race between it and the resolvers, which a slow machine or a large page loses.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use async_graphql::dataloader::{DataLoader, HashMapCache, Loader};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, FuturesUnordered};
use futures_util::task::AtomicWaker;
use futures_util::{Stream, StreamExt as _};
use parking_lot::Mutex;

use crate::accounts::User;
use crate::chats::{Chat, Member};
use crate::context::Viewer;
use crate::error::PortError;
use crate::id::{ChatId, UserId};
use crate::messages::Message;
use crate::presence::Presence;
use crate::services::Services;

/// The loaders of one request.
pub type Loaders = DataLoader<Batch, HashMapCache>;

/// Loads batches of keys for one viewer.
pub struct Batch {
    services: Services,
    viewer: Option<Viewer>,
}

/// The loaders of a request, and what runs their batches: nothing is loaded but under it.
/// `remember` where nothing changes during the request.
pub fn loaders(services: Services, viewer: Option<Viewer>, remember: bool) -> (Loaders, Batches) {
    let batch = Batch { services, viewer };
    let started = Arc::<Mutex<Vec<_>>>::default();
    let batches = Batches {
        started: Arc::clone(&started),
        running: FuturesUnordered::new(),
        resolvers: Arc::default(),
    };
    let start = move |batch| started.lock().push(batch);
    let loaders = DataLoader::with_cache(batch, start, HashMapCache::default());
    loaders.enable_all_cache(remember);
    (loaders.delay(Duration::ZERO), batches)
}

/// Runs a request and the batches that its resolvers wait for.
pub struct Batches {
    /// Begun by a resolver, and not polled yet.
    started: Arc<Mutex<Vec<BoxFuture<'static, ()>>>>,
    running: FuturesUnordered<BoxFuture<'static, ()>>,
    resolvers: Arc<Wakeful>,
}

/// Wakes the request's task, and remembers that it did.
#[derive(Default)]
struct Wakeful {
    woken: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Wakeful {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl Batches {
    /// Runs a request to its end.
    pub async fn run<T>(mut self, request: impl Future<Output = T>) -> T {
        let mut request = pin!(request);
        std::future::poll_fn(|cx| self.poll(cx, |cx| request.as_mut().poll(cx))).await
    }

    /// Runs a subscription.
    pub fn run_stream<S: Stream>(mut self, events: S) -> impl Stream<Item = S::Item> {
        let mut events = Box::pin(events);
        stream::poll_fn(move |cx| self.poll(cx, |cx| events.as_mut().poll_next(cx)))
    }

    /// Goes on with the resolvers, then with the batches. A batch that ends wakes the resolvers
    /// that wait for it.
    fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        resolve: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.resolvers.task.register(cx.waker());
        self.resolvers.woken.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(&self.resolvers));
        let outcome = resolve(&mut Context::from_waker(&waker));
        if outcome.is_pending() {
            // Resolvers that are many yield in between: then they come first once more.
            if !self.resolvers.woken.load(Ordering::Acquire) {
                self.running
                    .extend(std::mem::take(&mut *self.started.lock()));
            }
            while let Poll::Ready(Some(())) = self.running.poll_next_unpin(cx) {}
        }
        outcome
    }
}

/// The newest message of a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LastMessageOf(pub ChatId);

/// The viewer's membership of a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ViewerMemberOf(pub ChatId);

/// The viewer's unread count of a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UnreadOf(pub ChatId);

/// The first members of a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FirstMembersOf {
    /// The chat.
    pub chat: ChatId,
    /// How many.
    pub limit: usize,
}

/// The two members of a chat who have read least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlowestReadersOf(pub ChatId);

/// The presence of a user, where the viewer may see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PresenceOf(pub UserId);

impl Batch {
    fn viewer(&self) -> Option<UserId> {
        self.viewer.map(|viewer| viewer.user_id)
    }
}

fn by_key<K: Eq + Hash, V>(items: Vec<V>, key: impl Fn(&V) -> K) -> HashMap<K, V> {
    items.into_iter().map(|item| (key(&item), item)).collect()
}

fn grouped<K: Eq + Hash>(
    members: Vec<Member>,
    key: impl Fn(ChatId) -> K,
) -> HashMap<K, Vec<Member>> {
    let mut groups = HashMap::<K, Vec<Member>>::new();
    for member in members {
        groups.entry(key(member.chat_id)).or_default().push(member);
    }
    groups
}

impl Loader<UserId> for Batch {
    type Value = User;
    type Error = PortError;

    async fn load(&self, keys: &[UserId]) -> Result<HashMap<UserId, User>, PortError> {
        Ok(by_key(
            self.services.accounts.store.users(keys).await?,
            |user| user.id,
        ))
    }
}

impl Loader<ChatId> for Batch {
    type Value = Chat;
    type Error = PortError;

    async fn load(&self, keys: &[ChatId]) -> Result<HashMap<ChatId, Chat>, PortError> {
        Ok(by_key(
            self.services.chats.store.chats(keys).await?,
            |chat| chat.id,
        ))
    }
}

impl Loader<LastMessageOf> for Batch {
    type Value = Message;
    type Error = PortError;

    async fn load(
        &self,
        keys: &[LastMessageOf],
    ) -> Result<HashMap<LastMessageOf, Message>, PortError> {
        let chats: Vec<_> = keys.iter().map(|key| key.0).collect();
        let messages = self.services.messages.store.last_messages(&chats).await?;
        Ok(by_key(messages, |message| LastMessageOf(message.chat_id)))
    }
}

impl Loader<ViewerMemberOf> for Batch {
    type Value = Member;
    type Error = PortError;

    async fn load(
        &self,
        keys: &[ViewerMemberOf],
    ) -> Result<HashMap<ViewerMemberOf, Member>, PortError> {
        let Some(viewer) = self.viewer() else {
            return Ok(HashMap::new());
        };
        let chats: Vec<_> = keys.iter().map(|key| key.0).collect();
        let members = self
            .services
            .chats
            .store
            .memberships(viewer, &chats)
            .await?;
        Ok(by_key(members, |member| ViewerMemberOf(member.chat_id)))
    }
}

impl Loader<UnreadOf> for Batch {
    type Value = u32;
    type Error = PortError;

    async fn load(&self, keys: &[UnreadOf]) -> Result<HashMap<UnreadOf, u32>, PortError> {
        let Some(viewer) = self.viewer() else {
            return Ok(HashMap::new());
        };
        let chats: Vec<_> = keys.iter().map(|key| key.0).collect();
        let counts = self
            .services
            .chats
            .store
            .unread_counts(viewer, &chats)
            .await?;
        Ok(counts
            .into_iter()
            .map(|(chat, count)| (UnreadOf(chat), count))
            .collect())
    }
}

impl Loader<FirstMembersOf> for Batch {
    type Value = Vec<Member>;
    type Error = PortError;

    async fn load(
        &self,
        keys: &[FirstMembersOf],
    ) -> Result<HashMap<FirstMembersOf, Vec<Member>>, PortError> {
        let mut found = HashMap::new();
        // One call for each page size that the query names.
        let limits: HashSet<_> = keys.iter().map(|key| key.limit).collect();
        for limit in limits {
            let chats: Vec<_> = keys
                .iter()
                .filter(|key| key.limit == limit)
                .map(|key| key.chat)
                .collect();
            let members = self
                .services
                .chats
                .store
                .first_members(&chats, limit)
                .await?;
            found.extend(grouped(members, |chat| FirstMembersOf { chat, limit }));
        }
        Ok(found)
    }
}

impl Loader<SlowestReadersOf> for Batch {
    type Value = Vec<Member>;
    type Error = PortError;

    async fn load(
        &self,
        keys: &[SlowestReadersOf],
    ) -> Result<HashMap<SlowestReadersOf, Vec<Member>>, PortError> {
        let chats: Vec<_> = keys.iter().map(|key| key.0).collect();
        let members = self.services.chats.store.slowest_readers(&chats).await?;
        Ok(grouped(members, SlowestReadersOf))
    }
}

impl Loader<PresenceOf> for Batch {
    type Value = Presence;
    type Error = PortError;

    async fn load(&self, keys: &[PresenceOf]) -> Result<HashMap<PresenceOf, Presence>, PortError> {
        let Some(viewer) = self.viewer() else {
            return Ok(HashMap::new());
        };
        let asked: Vec<_> = keys.iter().map(|key| key.0).collect();
        let shown =
            crate::chats::visible_users(&*self.services.chats.store, viewer, &asked).await?;
        let states = self.services.presence.states(&shown).await?;
        Ok(by_key(states, |presence| PresenceOf(presence.user_id)))
    }
}
