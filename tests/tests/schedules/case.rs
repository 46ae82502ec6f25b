//! What a random schedule consists of, and how it is made.

use proptest::collection::vec;
use proptest::prelude::*;
use talksy_tests::chaos::Faults;

/// A schedule: the bus, the clients, and what happens.
#[derive(Clone, Debug)]
pub struct Case {
    pub faults: Faults,
    /// Of the pauses, and of which events meet which fault.
    pub seed: u64,
    /// How many events wait for a feed at most.
    pub mailbox: usize,
    /// Whether a resume of `accountEvents` replays little before it resets a chat.
    pub replays_little: bool,
    pub clients: Vec<ClientPlan>,
    pub steps: Vec<Step>,
}

/// What a client follows, and for whom: 0 is Ben, 1 is Cleo.
#[derive(Clone, Copy, Debug)]
pub enum ClientPlan {
    /// `messageAdded` and `messageUpdated` of one chat: from its start on, or from now on, and what there
    /// is is read.
    Lines {
        who: usize,
        chat: usize,
        reads_first: bool,
    },
    /// `accountEvents`.
    Account { who: usize },
    /// `chatUpdated` and `chatRemoved`.
    Chats { who: usize },
    /// `readReceiptUpdated` of one chat.
    Receipts { who: usize, chat: usize },
}

/// What somebody asks of an instance. Numbers choose among what there is, by remainder.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
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
    React {
        chat: usize,
        nth: usize,
        by: usize,
        /// Of two.
        emoji: usize,
        is_added: bool,
    },
    Pin {
        chat: usize,
        nth: usize,
        is_pinned: bool,
    },
    Add {
        chat: usize,
        who: usize,
        all: bool,
    },
    Remove {
        chat: usize,
        who: usize,
    },
    Leave {
        chat: usize,
        who: usize,
    },
    Rename {
        chat: usize,
    },
    SetRole {
        chat: usize,
        who: usize,
        admin: bool,
    },
    MarkRead {
        chat: usize,
        by: usize,
    },
    Mute {
        chat: usize,
        who: usize,
        muted: bool,
    },
    /// Somebody new writes to Ben.
    StartChat,
}

/// What happens next. What is asked for runs beside what comes behind it.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Somebody asks an instance for something.
    Ask(usize, Operation),
    /// Time passes.
    Wait(u8),
    /// A client is cut off, and comes back later.
    Reconnect {
        client: usize,
        to: usize,
        after: u8,
        how: Resume,
    },
    /// A client reads nothing for a while.
    Stall { client: usize, millis: u8 },
    /// An instance dies at one of its next writes, before it or behind it, and another one starts.
    Crash {
        instance: usize,
        writes: u8,
        is_written: bool,
    },
    /// All instances die at once, and the store is what a killed process leaves.
    Kill,
    /// Nothing is asked for until all clients have all there is.
    Settle,
}

/// How a client of `accountEvents` comes back.
#[derive(Clone, Copy, Debug)]
pub struct Resume {
    /// With the cursors of what came behind its checkpoint.
    pub with_since: bool,
    /// The chats that it follows in detail, by bits; all where there is none.
    pub detail: Option<u8>,
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation as Op;
    let chat = || 0..3_usize;
    let who = || 0..2_usize;
    prop_oneof![
        10 => (chat(), 0..3_usize).prop_map(|(chat, by)| Op::Send { chat, by }),
        6 => (chat(), 0..4_usize).prop_map(|(chat, nth)| Op::Edit { chat, nth }),
        3 => (chat(), 0..4_usize).prop_map(|(chat, nth)| Op::Delete { chat, nth }),
        6 => (chat(), 0..4_usize, 0..3_usize, 0..2_usize, prop::bool::weighted(0.7)).prop_map(
            |(chat, nth, by, emoji, is_added)| Op::React { chat, nth, by, emoji, is_added }
        ),
        2 => (chat(), 0..4_usize, prop::bool::weighted(0.7))
            .prop_map(|(chat, nth, is_pinned)| Op::Pin { chat, nth, is_pinned }),
        4 => (chat(), who(), any::<bool>()).prop_map(|(chat, who, all)| Op::Add { chat, who, all }),
        4 => (chat(), who()).prop_map(|(chat, who)| Op::Remove { chat, who }),
        1 => (chat(), who()).prop_map(|(chat, who)| Op::Leave { chat, who }),
        1 => chat().prop_map(|chat| Op::Rename { chat }),
        1 => (chat(), who(), any::<bool>())
            .prop_map(|(chat, who, admin)| Op::SetRole { chat, who, admin }),
        2 => (chat(), 0..3_usize).prop_map(|(chat, by)| Op::MarkRead { chat, by }),
        1 => (chat(), who(), any::<bool>()).prop_map(|(chat, who, muted)| Op::Mute { chat, who, muted }),
        1 => Just(Op::StartChat),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let which = || 0..2_usize;
    let resume = (any::<bool>(), prop::option::of(0..8_u8))
        .prop_map(|(with_since, detail)| Resume { with_since, detail });
    prop_oneof![
        24 => (which(), operation()).prop_map(|(instance, asked)| Step::Ask(instance, asked)),
        5 => (1..30_u8).prop_map(Step::Wait),
        4 => (0..3_usize, which(), 0..30_u8, resume)
            .prop_map(|(client, to, after, how)| Step::Reconnect { client, to, after, how }),
        2 => (0..3_usize, 1..40_u8).prop_map(|(client, millis)| Step::Stall { client, millis }),
        2 => (which(), 0..4_u8, any::<bool>()).prop_map(|(instance, writes, is_written)| Step::Crash {
            instance,
            writes,
            is_written,
        }),
        1 => prop_oneof![1 => Just(Step::Kill), 7 => Just(Step::Settle)],
    ]
}

fn client() -> impl Strategy<Value = ClientPlan> {
    let who = || prop_oneof![2 => Just(0_usize), 1 => Just(1_usize)];
    prop_oneof![
        3 => (who(), 0..3_usize, any::<bool>())
            .prop_map(|(who, chat, reads_first)| ClientPlan::Lines { who, chat, reads_first }),
        3 => who().prop_map(|who| ClientPlan::Account { who }),
        1 => who().prop_map(|who| ClientPlan::Chats { who }),
        1 => (who(), 0..3_usize).prop_map(|(who, chat)| ClientPlan::Receipts { who, chat }),
    ]
}

/// A random schedule of up to so many steps. Most are short: what goes wrong does so in a few steps,
/// and then those few are easy to read.
pub fn case(steps: usize) -> impl Strategy<Value = Case> {
    let percent = || prop_oneof![2 => Just(0), 3 => 0..=60_u8];
    let faults =
        (percent(), percent(), percent(), 0..=15_u8).prop_map(|(lose, double, hold, interrupt)| {
            Faults {
                lose,
                double,
                hold,
                interrupt,
            }
        });
    let mailbox = prop_oneof![1 => 1..=4_usize, 2 => Just(256)];
    let steps = prop_oneof![3 => vec(step(), 2..steps / 3), 1 => vec(step(), steps / 3..steps)];
    (
        faults,
        any::<u64>(),
        mailbox,
        prop::bool::weighted(0.15),
        vec(client(), 1..=2),
        steps,
    )
        .prop_map(
            |(faults, seed, mailbox, replays_little, clients, steps)| Case {
                faults,
                seed,
                mailbox,
                replays_little,
                clients,
                steps,
            },
        )
}
