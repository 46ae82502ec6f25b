//! The instances of a schedule, what was asked of them, and who takes the place of one that has died.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use talksy_domain::feeds::FeedPolicy;
use talksy_domain::services::{Ports, Services};
use talksy_tests::backend::{instance, no_heartbeat};
use talksy_tests::chaos::Network;
use tokio::task::JoinHandle;

use super::case::{Case, Operation};
use super::deployment::Deployment;
use super::people::People;
use super::process::{Life, Written};
use super::truth::Truth;

/// How many instances there are.
pub const INSTANCES: usize = 2;

struct Instance {
    services: Services,
    life: Arc<Life>,
}

/// Something that was asked for and is not answered yet.
struct Asked {
    on: usize,
    operation: Operation,
    number: usize,
    task: JoinHandle<()>,
}

/// The instances of a schedule.
pub struct Instances<'a> {
    deployment: &'a mut Deployment,
    network: Arc<Network>,
    policy: FeedPolicy,
    random: SmallRng,
    truth: Arc<Truth>,
    written: Written,
    people: People,
    all: Vec<Instance>,
    asked: Vec<Asked>,
    /// How often something was asked for.
    pub number: usize,
    /// How many have died.
    pub deaths: u64,
}

fn policy(case: &Case) -> FeedPolicy {
    let policy = FeedPolicy {
        heartbeat: Duration::from_millis(40),
        checkpoint_events: 7,
        checkpoint_after: Duration::from_millis(30),
        ..no_heartbeat()
    };
    if case.replays_little {
        FeedPolicy {
            account_replay_limit: 3,
            ..policy
        }
    } else {
        policy
    }
}

impl<'a> Instances<'a> {
    /// Starts them.
    pub fn start(
        case: &Case,
        deployment: &'a mut Deployment,
        truth: &Arc<Truth>,
        people: &People,
    ) -> Self {
        let (groups, told) = (people.chats.clone(), Arc::clone(truth));
        let written: Written = Arc::new(move |method| {
            if method == "change_group" {
                told.note_ends(&groups);
            }
        });
        let mut instances = Self {
            deployment,
            network: Network::new(case.faults, case.seed, case.mailbox, INSTANCES),
            policy: policy(case),
            random: SmallRng::seed_from_u64(!case.seed),
            truth: Arc::clone(truth),
            written,
            people: people.clone(),
            all: Vec::new(),
            asked: Vec::new(),
            number: 0,
            deaths: 0,
        };
        for index in 0..INSTANCES {
            let instance = instances.start_one(index);
            instances.all.push(instance);
        }
        instances
    }

    fn start_one(&mut self, index: usize) -> Instance {
        let (ports, events, way) = self.deployment.instance();
        let bus = self.network.join(index);
        let life = Life::new(
            self.deployment.real().clone(),
            self.random.random(),
            Arc::clone(&self.truth.writes),
            Arc::clone(&self.written),
            (events, way),
            Arc::clone(&bus),
        );
        let ports = Ports { bus, ..ports };
        let services = instance(life.in_front_of(ports), self.policy);
        Instance { services, life }
    }

    /// What a client of this one uses.
    pub fn services(&self, index: usize) -> &Services {
        &self.all[index].services
    }

    /// Whatever else the schedule draws.
    pub const fn random(&mut self) -> &mut SmallRng {
        &mut self.random
    }

    /// Asks one for something more.
    pub fn ask(&mut self, on: usize, operation: Operation) {
        self.number += 1;
        self.ask_as(on, operation, self.number);
    }

    fn ask_as(&mut self, on: usize, operation: Operation, number: usize) {
        let services = self.all[on].services.clone();
        let (people, truth) = (self.people.clone(), Arc::clone(&self.truth));
        let task = tokio::spawn(async move {
            people.ask(&services, &truth, operation, number).await;
        });
        self.asked.push(Asked {
            on,
            operation,
            number,
            task,
        });
    }

    /// Lets one die at the write behind so many more, before it or behind it.
    pub fn crash(&self, index: usize, writes: u8, is_written: bool) {
        self.all[index].life.end_after(writes, is_written);
    }

    /// All die at once, and the store goes on with what a killed process leaves.
    pub fn kill(&mut self) {
        self.deployment.kill();
        self.truth.moves_to(self.deployment.ports());
        for instance in &self.all {
            instance.life.end();
        }
    }

    /// Completes what those that died have left.
    pub fn sweep(&self) {
        self.deployment.sweep();
    }

    /// Starts another one in the place of each that has died, and says which. Who has no answer from
    /// it asks another one.
    pub fn replace_dead(&mut self) -> Vec<usize> {
        let dead = |index: &usize| self.all[*index].life.is_dead();
        let dead: Vec<_> = (0..INSTANCES).filter(dead).collect();
        for index in dead.iter().copied() {
            self.deaths += 1;
            self.all[index] = self.start_one(index);
            let is_lost = |asked: &mut Asked| asked.on == index && !asked.task.is_finished();
            let lost: Vec<_> = self.asked.extract_if(.., is_lost).collect();
            for asked in lost {
                asked.task.abort();
                if matches!(
                    asked.operation,
                    Operation::Send { .. } | Operation::StartChat
                ) {
                    let on = self.random.random_range(0..INSTANCES);
                    self.ask_as(on, asked.operation, asked.number);
                }
            }
        }
        dead
    }

    /// Makes sure that nothing that was asked for has failed in a way that nobody expects.
    pub fn check(&mut self) {
        for asked in self.asked.extract_if(.., |asked| asked.task.is_finished()) {
            if let Some(Err(failure)) = tokio::task::unconstrained(asked.task).now_or_never() {
                resume_unwind(failure.into_panic());
            }
        }
    }

    /// Whether all that was asked for is answered.
    pub fn is_idle(&self) -> bool {
        self.asked.is_empty()
    }
}
