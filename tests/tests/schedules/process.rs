//! An instance as the schedules run it: random pauses stand before and behind each call of a port, and
//! it can die at any write.
//!
//! Time is Tokio's paused one, so that a schedule waits for nothing, and all tasks of a schedule share
//! one thread. A call of a store takes no time: the thread waits until it is answered. So what happens
//! when is decided by the pauses alone, which a seed makes repeatable.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use talksy_domain::auth::{SessionStore, SessionStoreLayer};
use talksy_domain::chats::{ChatStore, ChatStoreLayer};
use talksy_domain::error::PortError;
use talksy_domain::events::{Bus, BusLayer, Event, Topic};
use talksy_domain::groups::{GroupStore, GroupStoreLayer};
use talksy_domain::messages::{MessageStore, MessageStoreLayer};
use talksy_domain::port::{Call, Layer, Layered};
use talksy_domain::services::Ports;
use talksy_domain::users::{UserStore, UserStoreLayer};
use talksy_tests::event_sinks::Recorder;
use talksy_tests::slow_way::SlowWay;
use tokio::runtime::Handle;

/// The methods that write. An instance dies at one of these, or as it publishes what follows from it.
const WRITES: [&str; 8] = [
    "append",
    "change",
    "change_group",
    "create_group",
    "mark_read",
    "mark_unread",
    "open_direct",
    "set_muted",
];

/// Wakes the thread that waits for a call.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a call to its end on this thread, with what it needs of Tokio from another runtime, whose time
/// is the real one. `None` where it ends before the answer.
pub fn wait<T>(real: &Handle, call: impl Future<Output = T>, ends: impl Fn() -> bool) -> Option<T> {
    let _real = real.enter();
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    // The budget of the task around it would run out without ever being filled again.
    let mut call = pin!(tokio::task::unconstrained(call));
    loop {
        if let Poll::Ready(answer) = call.as_mut().poll(&mut context) {
            return Some(answer);
        }
        if ends() {
            return None;
        }
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// Told of each write once it is done, with the method's name.
pub type Written = Arc<dyn Fn(&'static str) + Send + Sync>;

/// When an instance dies.
#[derive(Clone, Copy, Debug)]
struct Death {
    writes: u8,
    is_written: bool,
}

/// The life of an instance.
pub struct Life {
    real: Handle,
    random: Mutex<SmallRng>,
    death: Mutex<Option<Death>>,
    is_dead: AtomicBool,
    /// How many writes were done, of all instances together.
    writes: Arc<AtomicU64>,
    written: Written,
    /// What the store hands over, to be published here.
    events: Recorder,
    bus: Arc<dyn Bus>,
    /// Between this instance and its store, where a call of the store is many writes.
    way: Option<SlowWay>,
}

impl Life {
    /// An instance that publishes on this bus.
    pub fn new(
        real: Handle,
        seed: u64,
        writes: Arc<AtomicU64>,
        written: Written,
        (events, way): (Recorder, Option<SlowWay>),
        bus: Arc<dyn Bus>,
    ) -> Arc<Self> {
        Arc::new(Self {
            real,
            random: Mutex::new(SmallRng::seed_from_u64(seed)),
            death: Mutex::new(None),
            is_dead: AtomicBool::new(false),
            writes,
            written,
            events,
            bus,
            way,
        })
    }

    /// Lets the instance die at the write behind so many more, before it or behind it.
    pub fn end_after(&self, writes: u8, is_written: bool) {
        match &self.way {
            Some(way) => way.end_after(writes.into()),
            None => *self.death.lock() = Some(Death { writes, is_written }),
        }
    }

    /// Ends it now.
    pub fn end(&self) {
        self.is_dead.store(true, Ordering::SeqCst);
    }

    pub fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::SeqCst)
    }

    /// Puts the instance in front of its ports.
    pub fn in_front_of(self: &Arc<Self>, ports: Ports) -> Ports {
        Ports {
            users: self.layer(ports.users),
            sessions: self.layer(ports.sessions),
            chats: self.layer(ports.chats),
            messages: self.layer(ports.messages),
            groups: self.layer(ports.groups),
            bus: self.layer(ports.bus),
            ..ports
        }
    }

    fn layer<P: ?Sized>(self: &Arc<Self>, inner: Arc<P>) -> Arc<Layered<Living<P>>> {
        let life = Arc::clone(self);
        Arc::new(Layered(Living { inner, life }))
    }

    /// Whether this is the write at which the instance dies, and then whether it is still done.
    fn dies(&self) -> Option<bool> {
        let mut death = self.death.lock();
        match &mut *death {
            Some(Death {
                writes: 0,
                is_written,
            }) => Some(*is_written),
            Some(death) => {
                death.writes -= 1;
                None
            }
            None => None,
        }
    }

    async fn pause(&self) {
        let millis = {
            let mut random = self.random.lock();
            if random.random_range(0..3) == 0 {
                random.random_range(1..4)
            } else {
                0
            }
        };
        if millis > 0 {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
        if self.is_dead() {
            pending::<()>().await;
        }
    }

    async fn call<T: Send>(
        self: &Arc<Self>,
        call: Call,
        answer: impl Future<Output = T> + Send,
    ) -> T {
        self.pause().await;
        let writes = WRITES.contains(&call.method);
        let dies = if writes { self.dies() } else { None };
        if dies == Some(false) {
            self.end();
            return pending().await;
        }
        let is_over = || self.way.as_ref().is_some_and(SlowWay::is_over);
        let answer = wait(&self.real, answer, is_over);
        if writes {
            self.writes.fetch_add(1, Ordering::SeqCst);
            (self.written)(call.method);
        }
        let announced = self.events.take();
        let Some(answer) = answer.filter(|_| dies.is_none() && !is_over()) else {
            self.end();
            return pending().await;
        };
        if !announced.is_empty() {
            tokio::spawn(Arc::clone(self).publish(announced));
        }
        self.pause().await;
        answer
    }

    /// Publishes what follows from a commit, beside the call that has made it.
    async fn publish(self: Arc<Self>, announced: Vec<(Topic, Event)>) {
        for (topic, event) in announced {
            self.pause().await;
            let dies = self.dies();
            if dies != Some(false) {
                self.bus.publish(topic, event).await.unwrap();
            }
            if dies.is_some() {
                self.end();
                return;
            }
        }
    }
}

/// A port of an instance.
struct Living<P: ?Sized> {
    inner: Arc<P>,
    life: Arc<Life>,
}

impl<P: Send + Sync + ?Sized> Layer<P> for Living<P> {
    fn inner(&self) -> &Arc<P> {
        &self.inner
    }

    async fn around<T: Send>(
        &self,
        call: Call,
        answer: impl Future<Output = Result<T, PortError>> + Send,
    ) -> Result<T, PortError> {
        self.life.call(call, answer).await
    }
}

impl UserStoreLayer for Living<dyn UserStore> {}
impl SessionStoreLayer for Living<dyn SessionStore> {}
impl ChatStoreLayer for Living<dyn ChatStore> {}
impl MessageStoreLayer for Living<dyn MessageStore> {}
impl GroupStoreLayer for Living<dyn GroupStore> {}
impl BusLayer for Living<dyn Bus> {}
