//! Runs one schedule.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::RngExt as _;

use super::case::{Case, ClientPlan, Resume, Step};
use super::clients::Client;
use super::deployment::Deployment;
use super::instances::{INSTANCES, Instances};
use super::people::{People, sign_up};
use super::runner::Figures;
use super::truth::Truth;

/// After so long without a write every client has all there is: the longest absence of one (30 ms), its
/// longest pause (40 ms), and two heartbeats, with pauses before and behind each call of the store.
const QUIET: Duration = Duration::from_millis(300);

/// After so long every client is back that was away or read nothing.
const BACK: Duration = Duration::from_millis(80);

/// A client that comes back with all it has, and follows everything.
const WHOLE: Resume = Resume {
    with_since: true,
    detail: None,
};

struct Run<'a> {
    truth: Arc<Truth>,
    people: People,
    instances: Instances<'a>,
    clients: Vec<Client>,
}

/// Runs a schedule on a deployment, and returns what it did.
pub async fn run(case: &Case, deployment: &mut Deployment) -> Figures {
    let mut run = Run::begin(case, deployment);
    for step in &case.steps {
        run.step(*step).await;
    }
    run.settle().await;
    run.resume_all().await;
    run.people.check_sent(&run.truth);
    Figures {
        schedules: 1,
        comparisons: run.truth.comparisons.load(Ordering::SeqCst),
        writes: run.truth.writes(),
        deaths: run.instances.deaths,
        asked: u64::try_from(run.instances.number).unwrap(),
    }
}

impl<'a> Run<'a> {
    fn begin(case: &Case, deployment: &'a mut Deployment) -> Self {
        let truth = Truth::of(deployment);
        let people = sign_up(deployment);
        deployment.forget_events();
        let plans = case.clients.iter();
        let clients = plans.map(|plan| {
            let (ClientPlan::Lines { who, .. }
            | ClientPlan::Account { who }
            | ClientPlan::Chats { who }
            | ClientPlan::Receipts { who, .. }) = *plan;
            Client::new(*plan, people.follower(who), &people.chats)
        });
        let mut run = Self {
            instances: Instances::start(case, deployment, &truth, &people),
            clients: clients.collect(),
            people,
            truth,
        };
        for client in 0..run.clients.len() {
            run.connect(client, 0, 0, WHOLE);
        }
        run
    }

    fn connect(&mut self, client: usize, to: usize, after: u8, how: Resume) {
        let services = self.instances.services(to);
        self.clients[client].connect(&self.truth, services, to, after, how);
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Ask(on, operation) => self.instances.ask(on, operation),
            Step::Wait(millis) => pass(millis.into()).await,
            Step::Reconnect {
                client,
                to,
                after,
                how,
            } => {
                let client = client % self.clients.len();
                self.connect(client, to, after, how);
            }
            Step::Stall { client, millis } => {
                let client = client % self.clients.len();
                self.clients[client].stall(millis);
            }
            Step::Crash {
                instance,
                writes,
                is_written,
            } => self.instances.crash(instance, writes, is_written),
            Step::Kill => self.instances.kill(),
            Step::Settle => self.settle().await,
        }
        self.replace_dead();
        let millis = self.instances.random().random_range(0..4);
        pass(millis).await;
        self.replace_dead();
        self.check();
    }

    /// The clients of an instance that has died come back, to any.
    fn replace_dead(&mut self) {
        for dead in self.instances.replace_dead() {
            for client in 0..self.clients.len() {
                if self.clients[client].on == dead {
                    let random = self.instances.random();
                    let to = random.random_range(0..INSTANCES);
                    let after = random.random_range(0..20);
                    self.connect(client, to, after, WHOLE);
                }
            }
        }
    }

    /// Makes sure that nothing has failed so far.
    fn check(&mut self) {
        for client in &mut self.clients {
            client.check();
        }
        self.instances.check();
    }

    /// Waits until everything is answered, and then until every client has all, or has to.
    async fn settle(&mut self) {
        let mut quiet = Duration::ZERO;
        let mut rounds = 0;
        while quiet < QUIET {
            const ROUND: Duration = Duration::from_millis(10);
            tokio::time::sleep(ROUND).await;
            let deaths = self.instances.deaths;
            self.replace_dead();
            self.check();
            if self.instances.is_idle() && deaths == self.instances.deaths {
                quiet += ROUND;
            } else {
                quiet = Duration::ZERO;
            }
            if quiet >= BACK && quiet.as_millis().is_multiple_of(40) && self.is_complete() {
                break;
            }
            rounds += 1;
            assert!(rounds < 10_000, "there is no end of it");
        }
        self.instances.sweep();
        for client in &mut self.clients {
            client.compare(&self.truth);
        }
    }

    fn is_complete(&self) -> bool {
        let mut clients = self.clients.iter();
        clients.all(|client| client.is_complete(&self.truth))
    }

    /// All clients come back once more, to the other instance.
    async fn resume_all(&mut self) {
        for client in 0..self.clients.len() {
            let to = (self.clients[client].on + 1) % INSTANCES;
            let with_since = self.instances.random().random();
            let how = Resume {
                with_since,
                detail: None,
            };
            self.connect(client, to, 0, how);
        }
        self.settle().await;
    }
}

async fn pass(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
