//! All ports with faults that a test injects, method by method: delays, held calls, outages,
//! panics. It counts calls, and changes no data.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use talksy_domain::attachments::{
    AttachmentStore, AttachmentStoreLayer, ImageCodec, ImageCodecLayer, ObjectStore,
    ObjectStoreLayer,
};
use talksy_domain::auth::{CodeStore, CodeStoreLayer, SessionStore, SessionStoreLayer};
use talksy_domain::blocks::{BlockStore, BlockStoreLayer};
use talksy_domain::chats::{ChatStore, ChatStoreLayer};
use talksy_domain::error::PortError;
use talksy_domain::events::{Bus, BusLayer};
use talksy_domain::groups::{GroupStore, GroupStoreLayer};
use talksy_domain::jobs::{JobStore, JobStoreLayer};
use talksy_domain::limits::{RateLimiter, RateLimiterLayer};
use talksy_domain::mail::{MailQueue, MailQueueLayer};
use talksy_domain::messages::{MessageStore, MessageStoreLayer};
use talksy_domain::moderation::{ModerationStore, ModerationStoreLayer};
use talksy_domain::port::{Call, Layer, Layered};
use talksy_domain::presence::{PresenceStore, PresenceStoreLayer};
use talksy_domain::services::Ports;
use talksy_domain::users::{UserStore, UserStoreLayer};
use tokio::sync::{Semaphore, watch};

use crate::soon;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// It reaches the port behind.
    #[default]
    None,
    /// It reaches the port behind after the test has released it.
    Held,
    /// It fails as unavailable, with this detail. Methods that cannot fail are not affected.
    Unavailable(&'static str),
    /// It panics, with this detail.
    Panic(&'static str),
}

/// Puts faults in front of ports. A clone shares its faults and counts.
///
/// Methods are named as in metrics: `messages.append` is one, `messages` all of that port.
#[derive(Clone)]
pub struct FaultyStore(Arc<Shared>);

struct Shared {
    methods: HashMap<Call, Method>,
    /// How many calls failed as unavailable since the last outage began.
    refusals: watch::Sender<usize>,
}

struct Method {
    fault: Mutex<Fault>,
    delay: Mutex<Duration>,
    arrived: Semaphore,
    released: Semaphore,
    calls: AtomicUsize,
}

impl FaultyStore {
    /// Without faults as yet.
    pub fn new() -> Self {
        let methods = Self::all_calls().into_iter().map(|call| {
            let method = Method {
                fault: Mutex::default(),
                delay: Mutex::default(),
                arrived: Semaphore::new(0),
                released: Semaphore::new(0),
                calls: AtomicUsize::new(0),
            };
            (call, method)
        });
        Self(Arc::new(Shared {
            methods: methods.collect(),
            refusals: watch::Sender::new(0),
        }))
    }

    /// All methods of all ports that can have faults.
    pub fn all_calls() -> Vec<Call> {
        [
            <Faulty<dyn UserStore> as UserStoreLayer>::CALLS,
            <Faulty<dyn SessionStore> as SessionStoreLayer>::CALLS,
            <Faulty<dyn ChatStore> as ChatStoreLayer>::CALLS,
            <Faulty<dyn MessageStore> as MessageStoreLayer>::CALLS,
            <Faulty<dyn GroupStore> as GroupStoreLayer>::CALLS,
            <Faulty<dyn AttachmentStore> as AttachmentStoreLayer>::CALLS,
            <Faulty<dyn BlockStore> as BlockStoreLayer>::CALLS,
            <Faulty<dyn ObjectStore> as ObjectStoreLayer>::CALLS,
            <Faulty<dyn ImageCodec> as ImageCodecLayer>::CALLS,
            <Faulty<dyn JobStore> as JobStoreLayer>::CALLS,
            <Faulty<dyn ModerationStore> as ModerationStoreLayer>::CALLS,
            <Faulty<dyn CodeStore> as CodeStoreLayer>::CALLS,
            <Faulty<dyn RateLimiter> as RateLimiterLayer>::CALLS,
            <Faulty<dyn PresenceStore> as PresenceStoreLayer>::CALLS,
            <Faulty<dyn Bus> as BusLayer>::CALLS,
            <Faulty<dyn MailQueue> as MailQueueLayer>::CALLS,
        ]
        .concat()
    }

    /// Puts the faults in front of these ports.
    pub fn in_front_of(&self, ports: Ports) -> Ports {
        Ports {
            users: Arc::new(self.layer(ports.users)),
            sessions: Arc::new(self.layer(ports.sessions)),
            chats: Arc::new(self.layer(ports.chats)),
            messages: Arc::new(self.layer(ports.messages)),
            groups: Arc::new(self.layer(ports.groups)),
            attachments: Arc::new(self.layer(ports.attachments)),
            blocks: Arc::new(self.layer(ports.blocks)),
            objects: Arc::new(self.layer(ports.objects)),
            images: Arc::new(self.layer(ports.images)),
            jobs: Arc::new(self.layer(ports.jobs)),
            moderation: Arc::new(self.layer(ports.moderation)),
            codes: Arc::new(self.layer(ports.codes)),
            limiter: Arc::new(self.layer(ports.limiter)),
            presence: Arc::new(self.layer(ports.presence)),
            bus: Arc::new(self.layer(ports.bus)),
            mail: Arc::new(self.layer(ports.mail)),
            ..ports
        }
    }

    /// [`FaultyStore::in_front_of`], to be called later.
    pub fn install(&self) -> impl FnOnce(Ports) -> Ports + 'static {
        let this = self.clone();
        move |ports| this.in_front_of(ports)
    }

    /// Decides on calls from now on. An outage starts the count of [`FaultyStore::refused`] anew.
    ///
    /// # Panics
    /// Where no port has such a method, as all methods here that take a name.
    pub fn set(&self, name: &str, fault: Fault) {
        if let Fault::Unavailable(_) = fault {
            self.0.refusals.send_replace(0);
        }
        for method in self.named(name) {
            *method.fault.lock() = fault;
        }
    }

    /// Delays each call from now on, before whatever else becomes of it.
    pub fn delay(&self, name: &str, delay: Duration) {
        for method in self.named(name) {
            *method.delay.lock() = delay;
        }
    }

    /// Waits for a call that is held. The next call of this waits for another.
    pub async fn arrived(&self, method: &str) {
        let arrived = &self.one(method).arrived;
        match soon("a call that is held", arrived.acquire()).await {
            Ok(permit) => permit.forget(),
            Err(closed) => panic!("{closed}"),
        }
    }

    /// Lets this many calls go on that are held, or will be.
    pub fn release(&self, method: &str, count: usize) {
        self.one(method).released.add_permits(count);
    }

    /// How many calls came so far, whatever became of them.
    pub fn calls(&self, name: &str) -> usize {
        let methods = self.named(name);
        let counts = methods.map(|method| method.calls.load(Ordering::SeqCst));
        counts.sum()
    }

    /// Waits until this many calls have failed as unavailable since the last outage began.
    pub async fn refused(&self, times: usize) {
        let mut refusals = self.0.refusals.subscribe();
        if let Err(closed) = refusals.wait_for(|count| *count >= times).await {
            panic!("{closed}");
        }
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Method> {
        let (port, method) = match name.split_once('.') {
            Some((port, method)) => (port, Some(method)),
            None => (name, None),
        };
        let found: Vec<_> = self
            .0
            .methods
            .iter()
            .filter(|(call, _)| call.port == port && method.is_none_or(|it| it == call.method))
            .map(|(_, method)| method)
            .collect();
        assert!(!found.is_empty(), "no port has `{name}`");
        found.into_iter()
    }

    fn one(&self, name: &str) -> &Method {
        assert!(name.contains('.'), "`{name}` is no method");
        match self.named(name).next() {
            Some(method) => method,
            None => unreachable!("`named` finds at least one"),
        }
    }

    fn layer<P: ?Sized>(&self, inner: Arc<P>) -> Layered<Faulty<P>> {
        Layered(Faulty {
            inner,
            faults: self.clone(),
        })
    }
}

impl Default for FaultyStore {
    fn default() -> Self {
        Self::new()
    }
}

/// One port with its faults.
struct Faulty<P: ?Sized> {
    inner: Arc<P>,
    faults: FaultyStore,
}

impl<P: ?Sized> Faulty<P> {
    /// Counts the call and applies what the test has set. Returns the detail where the call is to fail.
    async fn hinder(&self, call: Call) -> Option<&'static str> {
        let method = &self.faults.0.methods[&call];
        method.calls.fetch_add(1, Ordering::SeqCst);
        let delay = *method.delay.lock();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let fault = *method.fault.lock();
        match fault {
            Fault::None => {}
            Fault::Held => {
                method.arrived.add_permits(1);
                if let Ok(permit) = method.released.acquire().await {
                    permit.forget();
                }
            }
            Fault::Unavailable(detail) => return Some(detail),
            Fault::Panic(detail) => panic!("{detail}"),
        }
        None
    }
}

impl<P: Send + Sync + ?Sized> Layer<P> for Faulty<P> {
    fn inner(&self) -> &Arc<P> {
        &self.inner
    }

    async fn around<T: Send>(
        &self,
        call: Call,
        answer: impl Future<Output = Result<T, PortError>> + Send,
    ) -> Result<T, PortError> {
        if let Some(detail) = self.hinder(call).await {
            self.faults.0.refusals.send_modify(|count| *count += 1);
            return Err(PortError::unavailable(call.port, detail));
        }
        answer.await
    }

    async fn around_infallible<T: Send>(
        &self,
        call: Call,
        answer: impl Future<Output = T> + Send,
    ) -> T {
        self.hinder(call).await;
        answer.await
    }
}

impl UserStoreLayer for Faulty<dyn UserStore> {}
impl SessionStoreLayer for Faulty<dyn SessionStore> {}
impl ChatStoreLayer for Faulty<dyn ChatStore> {}
impl MessageStoreLayer for Faulty<dyn MessageStore> {}
impl GroupStoreLayer for Faulty<dyn GroupStore> {}
impl AttachmentStoreLayer for Faulty<dyn AttachmentStore> {}
impl BlockStoreLayer for Faulty<dyn BlockStore> {}
impl ObjectStoreLayer for Faulty<dyn ObjectStore> {}
impl ImageCodecLayer for Faulty<dyn ImageCodec> {}
impl JobStoreLayer for Faulty<dyn JobStore> {}
impl ModerationStoreLayer for Faulty<dyn ModerationStore> {}
impl CodeStoreLayer for Faulty<dyn CodeStore> {}
impl RateLimiterLayer for Faulty<dyn RateLimiter> {}
impl PresenceStoreLayer for Faulty<dyn PresenceStore> {}
impl BusLayer for Faulty<dyn Bus> {}
impl MailQueueLayer for Faulty<dyn MailQueue> {}
