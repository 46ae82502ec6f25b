//! Clients by the documented rules. Each follows for one user, keeps a replica, and checks the order of
//! what it is told.

mod account;
mod chats;
mod lines;
mod receipts;

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use talksy_domain::services::Services;
use talksy_domain::viewer::Viewer;
use tokio::task::JoinHandle;

use super::case::{ClientPlan, Resume};
use super::truth::Truth;
use account::AccountReplica;
use chats::ChatsReplica;
use lines::LinesReplica;
use receipts::ReceiptsReplica;

/// What a client needs of the world while it is connected.
#[derive(Clone)]
struct Connection {
    services: Services,
    viewer: Viewer,
    truth: Arc<Truth>,
    /// For how long the client reads nothing, from its next item on.
    stall: Arc<AtomicU64>,
}

impl Connection {
    /// Passes the time for which the client reads nothing.
    async fn stall(&self) {
        let millis = self.stall.swap(0, Ordering::SeqCst);
        if millis > 0 {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
    }
}

/// What a client keeps, which outlives its connections.
enum Replica {
    Lines(Arc<Mutex<LinesReplica>>),
    Account(Arc<Mutex<AccountReplica>>),
    Chats(Arc<Mutex<ChatsReplica>>),
    Receipts(Arc<Mutex<ReceiptsReplica>>),
}

/// A client.
pub struct Client {
    viewer: Viewer,
    /// The instance that it comes to.
    pub on: usize,
    replica: Replica,
    stall: Arc<AtomicU64>,
    task: Option<JoinHandle<()>>,
}

impl Client {
    /// A client that is not connected yet. `chats` are those that are there from the start.
    pub fn new(plan: ClientPlan, viewer: Viewer, chats: &[talksy_domain::id::ChatId]) -> Self {
        let replica = match plan {
            ClientPlan::Lines {
                chat, reads_first, ..
            } => {
                let replica = LinesReplica::new(chats[chat], reads_first);
                Replica::Lines(Arc::new(Mutex::new(replica)))
            }
            ClientPlan::Account { .. } => {
                Replica::Account(Arc::new(Mutex::new(AccountReplica::new(chats.to_vec()))))
            }
            ClientPlan::Chats { .. } => Replica::Chats(Arc::default()),
            ClientPlan::Receipts { chat, .. } => {
                let replica = ReceiptsReplica::new(chats[chat]);
                Replica::Receipts(Arc::new(Mutex::new(replica)))
            }
        };
        Self {
            viewer,
            on: 0,
            replica,
            stall: Arc::default(),
            task: None,
        }
    }

    /// Lets the client read nothing for so many milliseconds.
    pub fn stall(&self, millis: u8) {
        self.stall.store(millis.into(), Ordering::SeqCst);
    }

    /// Cuts the client off, and lets it come to an instance after so many milliseconds.
    pub fn connect(
        &mut self,
        truth: &Arc<Truth>,
        services: &Services,
        on: usize,
        after: u8,
        how: Resume,
    ) {
        self.check();
        if let Some(task) = self.task.take() {
            task.abort();
        }
        self.on = on;
        let connection = Connection {
            services: services.clone(),
            viewer: self.viewer,
            truth: Arc::clone(truth),
            stall: Arc::clone(&self.stall),
        };
        let after = Duration::from_millis(after.into());
        self.task = Some(match &self.replica {
            Replica::Lines(replica) => {
                let replica = Arc::clone(replica);
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    lines::follow(&connection, &replica).await;
                })
            }
            Replica::Account(replica) => {
                let replica = Arc::clone(replica);
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    account::follow(&connection, &replica, how).await;
                })
            }
            Replica::Chats(replica) => {
                let replica = Arc::clone(replica);
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    chats::follow(&connection, &replica).await;
                })
            }
            Replica::Receipts(replica) => {
                let replica = Arc::clone(replica);
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    receipts::follow(&connection, &replica).await;
                })
            }
        });
    }

    /// Makes sure that the client has found nothing wrong so far.
    pub fn check(&mut self) {
        let Some(task) = self.task.take_if(|task| task.is_finished()) else {
            return;
        };
        match tokio::task::unconstrained(task).now_or_never() {
            Some(Err(failure)) if failure.is_panic() => resume_unwind(failure.into_panic()),
            _ => panic!("a client does not end by itself"),
        }
    }

    /// Whether the client has all that its user may see.
    pub fn is_complete(&self, truth: &Truth) -> bool {
        match &self.replica {
            Replica::Lines(replica) => replica.lock().is_complete(truth, &self.viewer),
            Replica::Account(replica) => replica.lock().is_complete(truth, &self.viewer),
            Replica::Chats(replica) => replica.lock().is_complete(truth, &self.viewer),
            Replica::Receipts(replica) => replica.lock().is_complete(truth, &self.viewer),
        }
    }

    /// Nothing was written for so long that the client has to have all: compares its replica with what
    /// its user may see.
    pub fn compare(&mut self, truth: &Truth) {
        self.check();
        match &self.replica {
            Replica::Lines(replica) => replica.lock().compare(truth, &self.viewer),
            Replica::Account(replica) => replica.lock().compare(truth, &self.viewer),
            Replica::Chats(replica) => replica.lock().compare(truth, &self.viewer),
            Replica::Receipts(replica) => replica.lock().compare(truth, &self.viewer),
        }
        truth.compared();
    }
}
