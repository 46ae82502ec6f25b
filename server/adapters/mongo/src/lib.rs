//! The store of many instances: one MongoDB database (5.0 or newer) that all of them share.
//!
//! What must hold is held by single-document writes and unique indexes, so that a standalone
//! server, a replica set and a sharded cluster do alike; there is no multi-document transaction.
//! Every write is acknowledged by the majority and journaled, and every read is of what the
//! majority has: nothing that was seen is ever rolled back. These settings, and reading from the
//! primary, are the adapter's own; a connection string cannot weaken them.
//!
//! **Messages.** The insert under the unique index on (chat, seq) is the commit; see `commit`. The
//! chat's own `lastSeq` and `activeAt` are advanced after it and may lag when an instance dies in
//! between, so reads add what lies above them in the messages' index, and repair them; see `heads`.
//!
//! Instances that meet at a busy chat take turns (see `turns`), and an insert of which no answer
//! came is settled before anybody is told that it failed (see `settle`).
//!
//! **Groups.** What happens to a group is a system message on the same line. Its members, title and
//! member count follow from the system messages; see `notices` for how, `senders` for how a sender is
//! known to be a member at the message's number, `groups` for how a change is judged.
//!
//! **Changes.** A message keeps the number of its latest change, which is claimed in the chat's
//! document first; see `changes`.
//!
//! **Reactions.** The message counts them, as one of its changes; who has reacted is in documents of
//! their own, which follow. See `reactions`; for pinned messages, `pins`.
//!
//! **Blocks.** Whom a user has blocked is one document; what follows from it in direct chats and their
//! members are marks that carry its version; see `blocks`.
//!
//! **Chats.** A direct chat is made by the insert of its document, which is unique for its pair.
//! It is marked ready once both members are in, and nobody is shown a chat that is not; whoever
//! opens it next finishes what a crash has left.
//!
//! **Events.** What follows from a commit is handed over where the driver says that the write is
//! durable, in a task that goes on also where nobody waits for it any more (`Call::run_then`): of a
//! message behind its insert, of a change behind its write, of a group and of a new direct chat
//! behind the write that shows them, whoever makes it. So of what a crash has left half done, those
//! tell who complete it.
//!
//! **Failing.** Each call has a deadline. A driver's future is never dropped halfway, which the
//! driver does not bear: it runs as a task, and the call stops waiting for it. How many run at
//! once is bounded. A document that does not parse harms itself alone, and names itself in the log.
//!
//! # Round trips
//!
//! Each method of a port says its commands where it stands: those in brackets happen at the same
//! time, and the number is how many go one after the other.
//!
//! Messages that wait for one chat share an insert, and those that were sent share the update of
//! the chat's head. None of these numbers grows with the size of a page, and no more documents are
//! returned than a page has; of a user's chats the ids come in one. See `lookups` for how many chats
//! are read at once, and `chat_list` for what a user's list costs.
//!
//! In a sharded cluster `messages` and `members` can be sharded by `chatId`, whose unique indexes begin
//! with it, from MongoDB 5.1 on (see `lookups`). How all of it would be keyed is on paper in `docs/adr/0013-keys-of-a-divided-store.md`.
//!
//! # What the tests' server cannot do
//!
//! Where no `mongod` is installed the tests run on mongo-java-server, so the adapter stays within
//! what both do: no partial or TTL index (expiry is purged, an absent client id has a stand-in),
//! no `$unionWith`, `$setWindowFields`, `$text`, collation, pipeline update, `bulkWrite` or transaction, and
//! of `findAndModify` the document as it was before. It compares strings by UTF-16 unit instead of
//! by character, which differs only beyond the basic plane, and where that would show, in the
//! search by name, a pattern says the range again. It ignores indexes that are not
//! unique, so it says nothing of speed.

mod attachments;
mod blocks;
mod call;
mod change_writes;
mod changes;
mod chat_list;
mod chat_queue;
mod chats;
mod commands;
mod commit;
mod connect;
mod documents;
mod fault;
mod finding;
mod groups;
mod heads;
mod incarnation;
mod indexes;
mod jobs;
mod left_chats;
mod lookups;
mod members;
mod mentions;
mod messages;
mod migrations;
mod moderation;
mod names;
mod notices;
mod pages;
mod pair;
mod pins;
mod plan;
mod preparing;
mod reactions;
mod repair;
mod replies;
mod search;
mod send;
mod senders;
mod sessions;
mod settle;
mod sharing;
mod turns;
mod unread;
mod users;
mod waiting;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mongodb::Client;
use mongodb::bson::doc;
use secrecy::SecretString;
use talksy_domain::error::PortError;
use talksy_domain::events::EventSink;
use talksy_domain::turns::Turns;
use tokio::sync::{OnceCell, Semaphore};

use call::Call;
use chat_queue::ChatQueues;
use connect::Location;
pub use connect::MongoOpenError;
pub use indexes::{IndexSpec, index_specs};
pub use migrations::PrepareError;
use preparing::Preparing;
use turns::TurnKeeper;

/// How the store is run.
#[derive(Clone, Debug)]
pub struct MongoOptions {
    /// How long a call waits for its answer.
    pub timeout: Duration,
    /// How long a call waits for a server that can take it, and for a connection to it. Less than
    /// `timeout`, so that the answer says what is wrong.
    pub reach_timeout: Duration,
    /// How long [`MongoStore::prepare`] waits for the database to be brought up to date before it
    /// answers that this goes on. Indexes of many messages take minutes to hours to build.
    pub prepare_timeout: Duration,
    /// The most connections to each server.
    pub connections: u32,
    /// How many commands may be on their way before further ones are refused.
    pub in_flight: NonZeroUsize,
    /// How many sends to one chat may wait for each other before further ones are refused.
    pub chat_queue: NonZeroUsize,
}

impl Default for MongoOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_millis(2_500),
            reach_timeout: Duration::from_secs(2),
            prepare_timeout: Duration::from_secs(2),
            connections: 64,
            in_flight: const { NonZeroUsize::new(4_096).unwrap() },
            chat_queue: const { NonZeroUsize::new(1_024).unwrap() },
        }
    }
}

/// Keeps accounts, chats and messages in a MongoDB database. Cloning it is cheap; the clones share
/// its connections.
#[derive(Clone)]
pub struct MongoStore {
    inner: Arc<Inner>,
}

struct Inner {
    location: Location,
    options: MongoOptions,
    client: OnceCell<Client>,
    permits: Arc<Semaphore>,
    queues: ChatQueues,
    change_queues: ChatQueues,
    turns: TurnKeeper,
    preparing: Preparing,
    /// Takes what follows from commits.
    events: Arc<dyn EventSink>,
    calls: AtomicU64,
    commands: AtomicU64,
    documents: AtomicU64,
    closed: AtomicBool,
}

impl fmt::Debug for MongoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoStore")
            .field("database", &self.inner.location.database())
            .finish_non_exhaustive()
    }
}

impl MongoStore {
    /// A store at the URL, whose path names the database (`talksy` where it names none). What
    /// follows from commits is handed over to `events`. Nothing is connected yet.
    ///
    /// # Errors
    /// [`MongoOpenError`] where the URL is no connection string of MongoDB.
    pub fn open(
        url: &SecretString,
        options: &MongoOptions,
        events: Arc<dyn EventSink>,
    ) -> Result<Self, MongoOpenError> {
        Self::open_with(url, options, events, None)
    }

    /// A store like that of [`Self::open`], whose instances take turns at a busy chat by `turns`,
    /// where there is something that tells them.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(
        url: &SecretString,
        options: &MongoOptions,
        events: Arc<dyn EventSink>,
        turns: Option<Arc<dyn Turns>>,
    ) -> Result<Self, MongoOpenError> {
        let inner = Inner {
            location: Location::parse(url, options)?,
            options: options.clone(),
            client: OnceCell::new(),
            permits: Arc::new(Semaphore::new(options.in_flight.get())),
            queues: ChatQueues::new(options.chat_queue.get()),
            change_queues: ChatQueues::new(options.chat_queue.get()),
            turns: TurnKeeper::new(turns),
            preparing: Preparing::default(),
            events,
            calls: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            documents: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Checks the server and brings the database up to date: its schema version and its indexes.
    /// Call it until it succeeds before anything else; again, and from several instances at once,
    /// is harmless.
    ///
    /// What has been begun goes on behind the answer that it does, however long it takes, and the
    /// next call waits for the same.
    ///
    /// # Errors
    /// [`PrepareError`], which says whether trying again may help, and whether work goes on.
    pub async fn prepare(&self) -> Result<(), PrepareError> {
        preparing::prepare(&self.inner).await
    }

    /// How many calls the ports have taken so far.
    pub fn calls(&self) -> u64 {
        self.inner.calls.load(Ordering::Relaxed)
    }

    /// How many commands it has sent to the database so far, without the driver's own.
    pub fn commands(&self) -> u64 {
        self.inner.commands.load(Ordering::Relaxed)
    }

    /// How many documents the database has returned so far.
    pub fn documents(&self) -> u64 {
        self.inner.documents.load(Ordering::Relaxed)
    }

    /// Whether the store's primary answers at present.
    pub async fn ping(&self) -> Result<(), PortError> {
        let call = Call::new(&self.inner, self.inner.options.timeout);
        call.command(doc! { "ping": 1 }).await?;
        Ok(())
    }

    /// Takes no more calls and closes the connections. Closing again does nothing.
    pub async fn close(&self) {
        self.inner.closed.store(true, Ordering::SeqCst);
        if let Some(client) = self.inner.client.get() {
            // Waits for cursors that are being closed. A server that does not answer is not
            // waited for.
            let closing = tokio::spawn(client.clone().shutdown().into_future());
            let _ = tokio::time::timeout(self.inner.options.timeout, closing).await;
        }
    }

    /// A port call.
    fn call(&self) -> Call {
        self.inner.calls.fetch_add(1, Ordering::Relaxed);
        Call::new(&self.inner, self.inner.options.timeout)
    }
}
