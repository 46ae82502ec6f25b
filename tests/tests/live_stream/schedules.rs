//! Random schedules of a group, over a bus that loses, doubles, holds back and is interrupted: people
//! write, edit, delete, come, are removed and come back, and clients are cut off. Each client follows
//! both lines and applies what comes by its change's number. Whenever it has caught up, its replica is
//! what its user may see in the store; and nobody gets what happened behind their removal.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use talksy_domain::feeds::FeedPolicy;
use talksy_domain::messages::{HistoryFrom, Message};
use talksy_domain::viewer::Viewer;
use talksy_tests::chaos::{ChaosBus, Faults};

use super::property::{cases, check, runtime};
use super::replica::Client;
use super::world::{Backend, World, quick_heartbeat};

/// The people beside Ann, who owns the group: each has a client, and may be a member or not.
const OTHERS: usize = 2;

/// How the bus behaves, and what happens.
#[derive(Clone, Debug)]
struct Case {
    faults: Faults,
    seed: u64,
    mailbox: usize,
    steps: Vec<Step>,
}

/// What happens next. Who is meant and which message is found by the remainder.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A member sends a message.
    Send(usize),
    /// A message's sender edits it, where they are a member.
    Edit(usize),
    /// A message's sender or Ann deletes it.
    Delete(usize, bool),
    /// The group gets another title.
    Rename,
    /// Somebody who is a member is removed, and somebody who is not is added.
    ComeOrGo(usize, HistoryFrom),
    /// A member leaves by themself.
    Leave(usize),
    /// A client is cut off, and comes back to another instance at once.
    Reconnect(usize),
    /// A client is cut off for a while: until its next reconnection, or the next look.
    Vanish(usize),
    /// The clients get the chance to do something.
    Work(u8),
    /// Each client catches up, and its replica is looked at.
    Look,
}

fn step() -> impl Strategy<Value = Step> {
    let which = || 0..64_usize;
    let history = || prop_oneof![Just(HistoryFrom::All), Just(HistoryFrom::Join)];
    prop_oneof![
        8 => which().prop_map(Step::Send),
        6 => which().prop_map(Step::Edit),
        2 => (which(), any::<bool>()).prop_map(|(which, own)| Step::Delete(which, own)),
        1 => Just(Step::Rename),
        3 => (which(), history()).prop_map(|(who, history)| Step::ComeOrGo(who, history)),
        1 => which().prop_map(Step::Leave),
        2 => which().prop_map(Step::Reconnect),
        1 => which().prop_map(Step::Vanish),
        4 => (1..40_u8).prop_map(Step::Work),
        1 => Just(Step::Look),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let percent = || prop_oneof![1 => Just(0), 3 => 0..=70_u8];
    let faults = (percent(), percent(), percent(), 0..=20_u8);
    let mailbox = prop_oneof![3 => 1..=4_usize, 1 => Just(256)];
    (faults, any::<u64>(), mailbox, vec(step(), 5..60)).prop_map(
        |((lose, double, hold, interrupt), seed, mailbox, steps)| Case {
            faults: Faults {
                lose,
                double,
                hold,
                interrupt,
            },
            seed,
            mailbox,
            steps,
        },
    )
}

/// A case as it runs.
struct Run {
    world: World,
    /// Ann's first, then those of the others.
    clients: Vec<Client>,
    /// What was sent, as it was sent, and by whom.
    sent: Vec<(Message, Viewer)>,
    texts: u32,
}

impl Run {
    async fn begin(case: &Case, backend: Arc<Backend>, live: FeedPolicy) -> Self {
        let bus = Arc::new(ChaosBus::new(case.faults, case.seed, case.mailbox));
        let world = World::new(backend, bus, live).await.in_a_group().await;
        let mut people = vec![world.ann, world.ben];
        while people.len() < 1 + OTHERS {
            people.push(world.person("cleo").await);
        }
        let mut clients = Vec::new();
        for viewer in people {
            clients.push(Client::start(&world, viewer).await);
        }
        Self {
            world,
            clients,
            sent: Vec::new(),
            texts: 0,
        }
    }

    fn text(&mut self) -> String {
        self.texts += 1;
        format!("text {}", self.texts)
    }

    async fn is_member(&self, viewer: &Viewer) -> bool {
        self.world.membership(viewer).await.is_some()
    }

    async fn step(&mut self, step: Step) {
        let other = |which: usize| 1 + which % OTHERS;
        match step {
            Step::Send(which) => {
                let sender = self.clients[which % self.clients.len()].viewer;
                if self.is_member(&sender).await {
                    let text = self.text();
                    let message = self.world.send(&sender, &text).await;
                    self.sent.push((message, sender));
                }
            }
            Step::Edit(which) => self.edit(which).await,
            Step::Delete(which, own) => self.delete(which, own).await,
            Step::Rename => {
                let title = self.text();
                self.world.rename(&title).await;
            }
            Step::ComeOrGo(which, history) => {
                let viewer = self.clients[other(which)].viewer;
                if self.is_member(&viewer).await {
                    let ended = self.world.membership(&viewer).await;
                    self.world.remove(&viewer).await;
                    self.has_gone(other(which), ended.unwrap().joined_seq).await;
                } else {
                    self.world.add(&viewer, history).await;
                }
            }
            Step::Leave(which) => {
                let viewer = self.clients[other(which)].viewer;
                if let Some(ended) = self.world.membership(&viewer).await {
                    let groups = &self.world.services.groups;
                    groups.leave(&viewer, self.world.chat).await.unwrap();
                    self.has_gone(other(which), ended.joined_seq).await;
                }
            }
            Step::Reconnect(which) => {
                let which = which % self.clients.len();
                self.clients[which].reconnect(&self.world).await;
            }
            Step::Vanish(which) => {
                let which = which % self.clients.len();
                self.clients[which].vanish().await;
            }
            Step::Work(times) => {
                for _ in 0..times {
                    tokio::task::yield_now().await;
                }
            }
            Step::Look => self.look().await,
        }
    }

    async fn edit(&mut self, which: usize) {
        if self.sent.is_empty() {
            return;
        }
        let (message, sender) = self.sent[which % self.sent.len()].clone();
        let text = talksy_domain::messages::MessageText::parse(self.text()).unwrap();
        let messages = &self.world.services.messages;
        // Who is no member may not, nor is there anything to edit in what was deleted.
        let _ = messages.edit(&sender, message.id, text, None).await;
    }

    async fn delete(&mut self, which: usize, own: bool) {
        if self.sent.is_empty() {
            return;
        }
        let (message, sender) = self.sent[which % self.sent.len()].clone();
        let who = if own { sender } else { self.world.ann };
        let messages = &self.world.services.messages;
        let _ = messages.delete(&who, message.id).await;
    }

    /// Notes what the client may have got at most of the membership that has ended.
    async fn has_gone(&mut self, which: usize, joined_seq: u32) {
        let head = self.world.head().await;
        self.clients[which].has_gone(joined_seq, head);
    }

    async fn look(&mut self) {
        for client in &mut self.clients {
            client.catch_up(&self.world).await;
        }
    }
}

async fn run(case: Case, backend: Arc<Backend>, live: FeedPolicy) {
    let mut run = Run::begin(&case, backend, live).await;
    for step in case.steps {
        run.step(step).await;
    }
    run.look().await;
}

#[test]
fn a_replica_is_what_its_user_may_see_whatever_happens() {
    // Most of a case is spent waiting for a heartbeat: several run at the same time.
    const LANES: u32 = 8;
    let runtime = runtime();
    let backend = runtime.block_on(Backend::open());
    let each = cases("TALKSY_TEST_SCHEDULES", 160).div_ceil(LANES);
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                check(each, &case(), |case| {
                    runtime.block_on(run(case, Arc::clone(&backend), quick_heartbeat()));
                });
            });
        }
    });
}
