//! Runs one schedule.

use std::ops::AddAssign;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use talksy_domain::chats::{Chat, ChatKind};
use talksy_domain::clock::{SystemClock, SystemEntropy};
use talksy_domain::feeds::FeedPolicy;
use talksy_domain::groups::{GroupOutcome, NewGroup};
use talksy_domain::id::IdGenerator;
use talksy_domain::services::{Ports, Services};
use talksy_domain::users::User;
use talksy_domain::viewer::Viewer;
use talksy_tests::backend::{instance, no_heartbeat};
use talksy_tests::clock;
use tokio::task::JoinHandle;

use super::case::{Case, ClientPlan, Operation, Resume, Step};
use super::clients::Client;
use super::deployment::Deployment;
use super::network::Network;
use super::people::People;
use super::process::{Life, Written, wait};
use super::truth::Truth;

/// How many instances there are.
const INSTANCES: usize = 2;

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

/// What schedules did, together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub schedules: u64,
    pub comparisons: u64,
    pub writes: u64,
    pub deaths: u64,
    pub asked: u64,
}

impl AddAssign for Figures {
    fn add_assign(&mut self, more: Self) {
        self.schedules += more.schedules;
        self.comparisons += more.comparisons;
        self.writes += more.writes;
        self.deaths += more.deaths;
        self.asked += more.asked;
    }
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

struct Run<'a> {
    deployment: &'a mut Deployment,
    truth: Arc<Truth>,
    network: Arc<Network>,
    policy: FeedPolicy,
    random: SmallRng,
    written: Written,
    people: People,
    instances: Vec<Instance>,
    clients: Vec<Client>,
    asked: Vec<Asked>,
    number: usize,
    deaths: u64,
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
        deaths: run.deaths,
        asked: u64::try_from(run.number).unwrap(),
    }
}

impl<'a> Run<'a> {
    fn begin(case: &Case, deployment: &'a mut Deployment) -> Self {
        let truth = Truth::new(deployment.real().clone(), deployment.ports());
        let people = people(deployment);
        deployment.forget_events();
        let (groups, told) = (people.chats.clone(), Arc::clone(&truth));
        let written: Written = Arc::new(move |method| {
            if method == "change_group" {
                told.note_ends(&groups);
            }
        });
        let plans = case.clients.iter();
        let clients = plans.map(|plan| {
            let (ClientPlan::Lines { who, .. }
            | ClientPlan::Account { who }
            | ClientPlan::Chats { who }) = *plan;
            Client::new(*plan, people.follower(who), &people.chats)
        });
        let mut run = Self {
            truth,
            network: Network::new(case.faults, case.seed, case.mailbox, INSTANCES),
            policy: policy(case),
            random: SmallRng::seed_from_u64(!case.seed),
            written,
            clients: clients.collect(),
            people,
            instances: Vec::new(),
            asked: Vec::new(),
            number: 0,
            deaths: 0,
            deployment,
        };
        for index in 0..INSTANCES {
            let instance = run.start(index);
            run.instances.push(instance);
        }
        for client in 0..run.clients.len() {
            run.connect(client, 0, 0, WHOLE);
        }
        run
    }

    fn start(&mut self, index: usize) -> Instance {
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

    fn connect(&mut self, client: usize, to: usize, after: u8, how: Resume) {
        let services = &self.instances[to].services;
        self.clients[client].connect(&self.truth, services, to, after, how);
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Ask(on, operation) => {
                self.number += 1;
                self.ask(on, operation, self.number);
            }
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
            } => self.instances[instance].life.end_after(writes, is_written),
            Step::Kill => {
                self.deployment.kill();
                self.truth.moves_to(self.deployment.ports());
                for instance in &self.instances {
                    instance.life.end();
                }
            }
            Step::Settle => self.settle().await,
        }
        self.replace_dead();
        let millis = self.random.random_range(0..4);
        pass(millis).await;
        self.replace_dead();
        self.check();
    }

    fn ask(&mut self, on: usize, operation: Operation, number: usize) {
        let services = self.instances[on].services.clone();
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

    /// Starts another instance in the place of each that has died. Its clients come back, and who has no
    /// answer from it asks another one.
    fn replace_dead(&mut self) {
        for index in 0..INSTANCES {
            if !self.instances[index].life.is_dead() {
                continue;
            }
            self.deaths += 1;
            self.instances[index] = self.start(index);
            let (lost, others) = std::mem::take(&mut self.asked)
                .into_iter()
                .partition(|asked| asked.on == index && !asked.task.is_finished());
            self.asked = others;
            let lost: Vec<Asked> = lost;
            for asked in lost {
                asked.task.abort();
                if matches!(
                    asked.operation,
                    Operation::Send { .. } | Operation::StartChat
                ) {
                    let on = self.random.random_range(0..INSTANCES);
                    self.ask(on, asked.operation, asked.number);
                }
            }
            for client in 0..self.clients.len() {
                if self.clients[client].on == index {
                    let to = self.random.random_range(0..INSTANCES);
                    let after = self.random.random_range(0..20);
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
        for asked in self.asked.extract_if(.., |asked| asked.task.is_finished()) {
            if let Some(Err(failure)) = tokio::task::unconstrained(asked.task).now_or_never() {
                resume_unwind(failure.into_panic());
            }
        }
    }

    /// Waits until everything is answered, and then until every client has all, or has to.
    async fn settle(&mut self) {
        let mut quiet = Duration::ZERO;
        let mut rounds = 0;
        while quiet < QUIET {
            const ROUND: Duration = Duration::from_millis(10);
            tokio::time::sleep(ROUND).await;
            let deaths = self.deaths;
            self.replace_dead();
            self.check();
            if self.asked.is_empty() && deaths == self.deaths {
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
        self.deployment.sweep();
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
            let with_since = self.random.random();
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

/// Signs the people up, and makes their chats.
fn people(deployment: &Deployment) -> People {
    let ports = deployment.ports();
    let ids = IdGenerator::new(Arc::new(SystemClock), Arc::new(SystemEntropy));
    let candidates = ["ann", "ben", "cleo", "dora"].map(|name| deployment.candidate(name));
    let made = async {
        let mut viewers = Vec::new();
        for candidate in &candidates {
            let users = &ports.users;
            let (user, _) = users.find_or_create_user(candidate).await.unwrap();
            viewers.push(viewer(&user, &ids));
        }
        let user = |who: usize| candidates[who].id;
        let direct = Chat {
            id: ids.next(),
            kind: ChatKind::Direct,
            created_at: clock::START,
            active_at: clock::START,
            last_seq: 0,
            member_count: 2,
            title: None,
            last_change_seq: 0,
            applied_seq: 0,
        };
        let opened = ports.chats.open_direct(&direct, [user(0), user(1)]).await;
        let mut chats = vec![opened.unwrap().0.id];
        for members in [vec![user(1), user(2)], vec![user(2)]] {
            let group = NewGroup {
                chat_id: ids.next(),
                message_id: ids.next(),
                creator_id: user(0),
                member_ids: members,
                title: talksy_domain::chats::ChatTitle::parse("A group").unwrap(),
                client_chat_id: None,
                at: clock::START,
            };
            match ports.groups.create_group(&group).await.unwrap() {
                GroupOutcome::Done { chat, .. } => chats.push(chat.id),
                GroupOutcome::Refused(refusal) => panic!("{refusal:?}"),
            }
        }
        (viewers, chats)
    };
    let (viewers, chats) = wait(deployment.real(), made, || false).unwrap();
    People {
        ann: viewers[0],
        ben: viewers[1],
        cleo: viewers[2],
        dora: viewers[3],
        chats,
        sent: Arc::default(),
    }
}

fn viewer(user: &User, ids: &IdGenerator) -> Viewer {
    Viewer {
        user_id: user.id,
        session_id: ids.next(),
        expires_at: clock::START + Duration::from_hours(24),
    }
}
