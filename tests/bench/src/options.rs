//! What the tool can be asked, and how long it then measures what.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use talksy_server::cli::SettingsArgs;

/// Measures a Talksy server on this machine, beside the machine's own limits.
#[derive(Debug, Parser)]
#[command(name = "talksy-bench", version)]
pub(super) struct Options {
    /// Fewer and shorter rounds
    #[arg(long)]
    pub(super) quick: bool,
    /// Measure only this; repeatable
    #[arg(long, value_name = "PART")]
    only: Vec<Part>,
    /// Of the deliveries, measure only those to so many sockets: 1, 100 or 1000; repeatable
    #[arg(long, value_name = "COUNT")]
    sockets: Vec<usize>,
    /// How many clients come back at once
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub(super) clients: usize,
    /// Write the figures of every round to a file, too
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// The server [default: the `talksy` beside this program]
    #[arg(long, value_name = "FILE")]
    pub(super) server: Option<PathBuf>,
    /// Another role of this program.
    #[command(subcommand)]
    pub(super) role: Option<Role>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Part {
    /// `sendMessage`, a bare handler and bare inserts
    Sends,
    /// `messageAdded`, and a bare broadcast
    Deliveries,
    /// Lists of chats, by the fields that are asked for
    Inbox,
    /// The unread count of a chat with 10 and of one with 1,000,000 unread messages
    Unread,
    /// History, changes and search of a chat with 100 and of one with 1,000,000 messages
    Search,
    /// `sendMessage` of texts with words, and of texts without
    Indexing,
    /// Memory during uploads of 25 MiB, and of 50 images at once
    Uploads,
    /// 10,000 users who react to one message
    Reactions,
    /// `chatUpdated` and `accountEvents`, to the members of one group
    Personal,
    /// `sendMessage` into a group of 10,000 members of whom nobody is online, beside direct chats
    Groups,
    /// Memory of idle sockets and subscriptions, stage by stage
    Memory,
    /// What these hold on the heap, by the size of the blocks (only where it is named, and built
    /// with the feature `heap`)
    Heap,
    /// 1,000 clients that have missed much and come back at once
    Reconnects,
    /// Time to readiness, and the binary's size
    Startup,
    /// What Redis, `RabbitMQ` and a second server cost
    Backends,
    /// The same schema through async-graphql-axum's own handlers (built with the feature `stock`)
    Stock,
}

/// What the hostile suite can be asked.
#[derive(Clone, Debug, Args)]
pub(super) struct HostileArguments {
    /// Shorter attacks
    #[arg(long)]
    pub(super) quick: bool,
    /// Attack in this way alone; repeatable
    #[arg(long, value_name = "RANGE")]
    only: Vec<Range>,
    /// Write the table into this page, between its marks
    #[arg(long, value_name = "FILE")]
    pub(super) write: Option<PathBuf>,
    /// The server [default: the `talksy` beside this program]
    #[arg(long, value_name = "FILE")]
    pub(super) server: Option<PathBuf>,
}

/// Attacks of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Range {
    /// Single documents: bombs, 32 KB of every shape, random ones
    Documents,
    /// Answers that are long, and answers, results and streams that nobody reads
    Answers,
    /// A thousand hostile connections, beside neighbours
    Sockets,
    /// Sign-in, tokens, sessions, profiles, origins
    Accounts,
}

impl HostileArguments {
    /// Whether attacks of this kind are asked for.
    pub(super) fn wants(&self, range: Range) -> bool {
        self.only.is_empty() || self.only.contains(&range)
    }
}

/// Roles that the tool gives to processes of itself.
#[derive(Debug, Subcommand)]
pub(super) enum Role {
    /// Serve what the server is compared with.
    #[command(hide = true, name = "bare-server")]
    Bare(BareArguments),
    /// Serve the schema through async-graphql-axum's own handlers.
    #[command(hide = true, name = "stock-server")]
    Stock(SettingsArgs),
    /// Serve as the server does, and count what is allocated.
    #[command(hide = true, name = "heap-server")]
    Heap(SettingsArgs),
    /// Attack the server, and tell what each attack has cost beside its bound
    #[command(name = "hostile")]
    Hostile(HostileArguments),
}

/// What the bare server answers.
#[derive(Debug, Args)]
pub(super) struct BareArguments {
    /// The body of each answer.
    #[arg(long)]
    pub(super) response: String,
    /// A frame as the server would send it.
    #[arg(long)]
    pub(super) frame: String,
}

/// Numbers of users of one chat whose sockets are measured, and how many messages are then on
/// their way at a time: enough that the server never waits, few enough that it does not drown.
const FANOUTS: [Fanout; 3] = [
    Fanout {
        subscribers: 1,
        window: 64,
    },
    Fanout {
        subscribers: 100,
        window: 32,
    },
    MOST,
];

/// As many subscribers as are measured.
pub(super) const MOST: Fanout = Fanout {
    subscribers: 1000,
    window: 16,
};

/// One chat's subscribers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fanout {
    /// Open sockets, each with one subscription.
    pub(super) subscribers: usize,
    /// Most messages that are sent and not yet received by all, on average.
    pub(super) window: usize,
}

/// How long and how often things are measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) rounds: usize,
    /// Load before each measurement.
    pub(super) warm_up: Duration,
    /// One measurement of the server.
    pub(super) real: Duration,
    /// One measurement of a limit.
    pub(super) bare: Duration,
    /// One measurement of latency, with one message at a time.
    pub(super) calm: Duration,
    pub(super) idle_sockets: usize,
    pub(super) idle_rounds: usize,
    /// Unread messages of the chat that has many, and messages of the one that is searched.
    pub(super) unread: u64,
    /// Users who react to one message.
    pub(super) reactions: usize,
    /// Members of the large group.
    pub(super) members: usize,
    pub(super) reconnect_rounds: usize,
    pub(super) starts: usize,
}

impl Options {
    /// Whether this part is to be measured.
    pub(super) fn wants(&self, part: Part) -> bool {
        if self.only.is_empty() {
            return match part {
                Part::Heap => false,
                Part::Stock => cfg!(feature = "stock"),
                _ => true,
            };
        }
        self.only.contains(&part)
    }

    /// A feature of this program that is not built in, and that what is asked for needs.
    pub(super) fn missing_feature(&self) -> Option<&'static str> {
        let features = [
            (Part::Heap, "heap", cfg!(feature = "heap")),
            (Part::Stock, "stock", cfg!(feature = "stock")),
        ];
        let missing = features
            .into_iter()
            .find(|(part, _, is_built)| self.wants(*part) && !is_built);
        missing.map(|(_, name, _)| name)
    }

    /// The numbers of subscribers to measure.
    pub(super) fn fanouts(&self) -> impl Iterator<Item = Fanout> {
        let wanted =
            |of: &Fanout| self.sockets.is_empty() || self.sockets.contains(&of.subscribers);
        FANOUTS.into_iter().filter(wanted)
    }

    pub(super) fn plan(&self) -> Plan {
        let ms = Duration::from_millis;
        if self.quick {
            Plan {
                rounds: 3,
                warm_up: ms(150),
                real: ms(700),
                bare: ms(400),
                calm: ms(200),
                idle_sockets: 5000,
                idle_rounds: 1,
                unread: 100_000,
                reactions: 1_000,
                members: 10_000,
                reconnect_rounds: 1,
                starts: 3,
            }
        } else {
            Plan {
                rounds: 5,
                warm_up: ms(500),
                real: ms(2500),
                bare: ms(1500),
                calm: ms(700),
                idle_sockets: 5000,
                idle_rounds: 3,
                unread: 1_000_000,
                reactions: 10_000,
                members: 10_000,
                reconnect_rounds: 3,
                starts: 9,
            }
        }
    }
}
