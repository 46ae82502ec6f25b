//! Random schedules: at every `isCaughtUp` behind which nothing was written, the client's replica is
//! what the viewer may see in the store.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use talksy_domain::chats::{ChatTitle, MemberRole};
use talksy_domain::id::ChatId;
use talksy_domain::messages::{HistoryFrom, Message, MessageKind, MessageText};
use talksy_domain::services::Services;
use talksy_domain::viewer::Viewer;
use talksy_tests::chaos::{ChaosBus, Faults};
use talksy_tests::{DEADLINE, soon};
use tokio::time::Instant;

use super::properties::{cases, check, runtime};
use super::replica::{Replica, Stream};
use super::world::{Backend, World, quick};

/// What happens next. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Send {
        chat: usize,
        by: usize,
    },
    Edit {
        chat: usize,
        nth: usize,
    },
    Delete {
        chat: usize,
        nth: usize,
    },
    Add {
        chat: usize,
        all: bool,
    },
    Remove {
        chat: usize,
    },
    Leave {
        chat: usize,
    },
    Rename {
        chat: usize,
    },
    SetRole {
        chat: usize,
        admin: bool,
    },
    MarkRead {
        chat: usize,
        by_ben: bool,
    },
    Mute {
        chat: usize,
        muted: bool,
    },
    StartChat,
    /// The client takes so many of the events that wait.
    Take(usize),
    /// The connection breaks; the client comes back to another instance, or to this one.
    Reconnect {
        with_since: bool,
        detail: Option<u8>,
        other: bool,
    },
    /// Nothing is written until the client has all.
    Settle,
}

#[derive(Clone, Debug)]
struct Case {
    faults: Faults,
    seed: u64,
    mailbox: usize,
    steps: Vec<Step>,
}

fn step() -> impl Strategy<Value = Step> {
    let chat = || 0..4_usize;
    prop_oneof![
        12 => (chat(), 0..3_usize).prop_map(|(chat, by)| Step::Send { chat, by }),
        6 => (chat(), 0..8_usize).prop_map(|(chat, nth)| Step::Edit { chat, nth }),
        3 => (chat(), 0..8_usize).prop_map(|(chat, nth)| Step::Delete { chat, nth }),
        4 => (chat(), any::<bool>()).prop_map(|(chat, all)| Step::Add { chat, all }),
        3 => chat().prop_map(|chat| Step::Remove { chat }),
        1 => chat().prop_map(|chat| Step::Leave { chat }),
        1 => chat().prop_map(|chat| Step::Rename { chat }),
        1 => (chat(), any::<bool>()).prop_map(|(chat, admin)| Step::SetRole { chat, admin }),
        2 => (chat(), any::<bool>()).prop_map(|(chat, by_ben)| Step::MarkRead { chat, by_ben }),
        1 => (chat(), any::<bool>()).prop_map(|(chat, muted)| Step::Mute { chat, muted }),
        1 => Just(Step::StartChat),
        4 => (0..12_usize).prop_map(Step::Take),
        3 => (any::<bool>(), prop::option::of(0..16_u8), any::<bool>()).prop_map(
            |(with_since, detail, other)| Step::Reconnect { with_since, detail, other }),
        1 => Just(Step::Settle),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let percent = || prop_oneof![1 => Just(0), 3 => 0..=70_u8];
    let faults =
        (percent(), percent(), percent(), 0..=15_u8).prop_map(|(lose, double, hold, interrupt)| {
            Faults {
                lose,
                double,
                hold,
                interrupt,
            }
        });
    let mailbox = prop_oneof![2 => 1..=4_usize, 1 => Just(256)];
    (faults, any::<u64>(), mailbox, vec(step(), 5..70)).prop_map(
        |(faults, seed, mailbox, steps)| Case {
            faults,
            seed,
            mailbox,
            steps,
        },
    )
}

/// A schedule as it runs.
struct Run {
    world: World,
    /// Two instances: each has a bus that hears of the other's events where it is lucky.
    instances: [Services; 2],
    chats: Vec<ChatId>,
    replica: Replica,
    stream: Stream,
    on: usize,
    detail: Option<HashSet<ChatId>>,
    number: usize,
}

impl Run {
    async fn new(case: &Case, backend: Arc<Backend>) -> Self {
        let bus = Arc::new(ChaosBus::new(case.faults, case.seed, case.mailbox));
        let world = World::new(backend, Arc::clone(&bus) as _, quick()).await;
        let other = world.instance(bus);
        let chats = vec![
            world.direct(&world.ann, &world.ben).await,
            world.group("first", &[&world.ben]).await,
            world.group("second", &[]).await,
            world.group("third", &[&world.ben]).await,
        ];
        let instances = [world.services.clone(), other];
        let mut replica = Replica::default();
        let mut stream = replica.connect(&instances[0], &world.ben, true, None).await;
        replica.catch_up(&world, &world.ben, &mut stream).await;
        replica.fetch_all(&world, &world.ben).await;
        Self {
            world,
            instances,
            chats,
            replica,
            stream,
            on: 0,
            detail: None,
            number: 0,
        }
    }

    fn viewer(&self, by: usize) -> Viewer {
        [self.world.ann, self.world.cleo, self.world.ben][by % 3]
    }

    /// A message that somebody can change, and who that is.
    async fn message(&self, chat: ChatId, nth: usize) -> Option<(Message, Viewer)> {
        let ann = self.world.member(&self.world.ann, chat).await?;
        let messages = self.world.visible(&ann).await;
        let own: Vec<_> = messages
            .into_iter()
            .filter(|message| message.kind != MessageKind::System)
            .collect();
        let message = own.get(own.len().checked_sub(1 + nth % own.len().max(1))?)?;
        let sender = message.sender_id?;
        let viewers = [self.world.ann, self.world.cleo, self.world.ben];
        let sender = viewers
            .into_iter()
            .find(|viewer| viewer.user_id == sender)?;
        Some((message.clone(), sender))
    }

    /// Does what the step says, as far as it may be done. What is refused is part of the schedule.
    async fn step(&mut self, step: &Step) {
        self.number += 1;
        let text = MessageText::parse(format!("number {}", self.number)).unwrap();
        let (ann, ben) = (self.world.ann, self.world.ben);
        let services = self.instances[self.number % 2].clone();
        match *step {
            Step::Send { chat, by } => {
                let by = self.viewer(by);
                let _ = services
                    .messages
                    .send(&by, self.chats[chat], text, None)
                    .await;
            }
            Step::Edit { chat, nth } => {
                if let Some((message, by)) = self.message(self.chats[chat], nth).await {
                    let _ = services.messages.edit(&by, message.id, text, None).await;
                }
            }
            Step::Delete { chat, nth } => {
                if let Some((message, by)) = self.message(self.chats[chat], nth).await {
                    let _ = services.messages.delete(&by, message.id).await;
                }
            }
            Step::Add { chat, all } => {
                let history = if all {
                    HistoryFrom::All
                } else {
                    HistoryFrom::Join
                };
                let users = vec![ben.user_id];
                let _ = services
                    .groups
                    .add(&ann, self.chats[chat], users, history)
                    .await;
            }
            Step::Remove { chat } => {
                let _ = services
                    .groups
                    .remove(&ann, self.chats[chat], ben.user_id)
                    .await;
            }
            Step::Leave { chat } => {
                let _ = services.groups.leave(&ben, self.chats[chat]).await;
            }
            Step::Rename { chat } => {
                let title = ChatTitle::parse(&format!("title {}", self.number)).unwrap();
                let _ = services.groups.rename(&ann, self.chats[chat], title).await;
            }
            Step::SetRole { chat, admin } => {
                let role = if admin {
                    MemberRole::Admin
                } else {
                    MemberRole::Member
                };
                let chat = self.chats[chat];
                let _ = services
                    .groups
                    .set_role(&ann, chat, ben.user_id, role)
                    .await;
            }
            Step::MarkRead { chat, by_ben } => {
                let by = if by_ben { ben } else { ann };
                let seq = u32::try_from(self.number).unwrap() / 4 + 1;
                let _ = services.chats.mark_read(&by, self.chats[chat], seq).await;
            }
            Step::Mute { chat, muted } => {
                let _ = services.chats.mute(&ben, self.chats[chat], muted).await;
            }
            Step::StartChat => {
                let other = self.world.person("dora").await;
                let started = services.chats.start_direct(&other, ben.user_id).await;
                let chat = started.unwrap().0.id;
                let _ = services.messages.send(&other, chat, text, None).await;
            }
            Step::Take(count) => self.take(count).await,
            Step::Reconnect {
                with_since,
                detail,
                other,
            } => self.reconnect(with_since, detail, other).await,
            Step::Settle => self.settle().await,
        }
    }

    async fn take(&mut self, count: usize) {
        for _ in 0..count {
            let Some(event) = self.stream.waiting() else {
                return;
            };
            self.replica
                .apply(&self.world, &self.world.ben, event)
                .await;
        }
    }

    /// The first `isCaughtUp` of a connection behind which nothing was written finds the replica
    /// complete.
    async fn reconnect(&mut self, with_since: bool, detail: Option<u8>, other: bool) {
        let chosen = |bits: u8| {
            let chats = self.chats.iter().enumerate();
            let chats = chats.filter(|(n, _)| bits & (1 << n) != 0);
            chats.map(|(_, chat)| *chat).collect()
        };
        self.detail = detail.map(chosen);
        self.on = (self.on + usize::from(other)) % 2;
        let ben = self.world.ben;
        let services = &self.instances[self.on];
        self.stream = self
            .replica
            .connect(services, &ben, with_since, self.detail.clone())
            .await;
        self.replica
            .catch_up(&self.world, &ben, &mut self.stream)
            .await;
        let wanted = self.replica.wanted(&self.world, &ben).await;
        assert_eq!(self.replica.chats, wanted, "at step {}", self.number);
    }

    /// What is missing on an open connection comes by itself.
    async fn settle(&mut self) {
        let ben = self.world.ben;
        let until = Instant::now() + DEADLINE;
        loop {
            let wanted = self.replica.wanted(&self.world, &ben).await;
            if self.replica.chats == wanted {
                return;
            }
            let is_late = Instant::now() > until;
            assert!(!is_late, "{:?}\n\n{wanted:?}", self.replica.chats);
            let next = tokio::time::timeout(Duration::from_secs(1), self.stream.next());
            if let Ok(event) = next.await {
                self.replica.apply(&self.world, &ben, event).await;
            }
        }
    }
}

async fn run(case: Case, backend: Arc<Backend>) {
    let mut run = Run::new(&case, backend).await;
    for step in &case.steps {
        soon("a step", run.step(step)).await;
    }
    run.settle().await;
    run.reconnect(true, None, true).await;
    run.reconnect(false, None, false).await;
}

#[test]
fn a_replica_is_what_the_viewer_may_see() {
    let runtime = runtime();
    let backend = runtime.block_on(Backend::open());
    // A soak sets more.
    check(cases("TALKSY_ACCOUNT_CASES", 60), &case(), |case| {
        runtime.block_on(run(case, Arc::clone(&backend)));
    });
}
