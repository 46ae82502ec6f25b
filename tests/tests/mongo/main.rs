//! MongoDB's own dangers: instances that contend, servers that die or stand still, crashes between
//! two writes, damaged documents, databases of other releases.

#![expect(clippy::unwrap_used, reason = "a step that fails ends the test")]

mod announcing;
mod blocks;
mod bounded;
mod bounded_reactions;
mod bounded_search;
mod changes;
mod contention;
mod crashes;
mod damage;
mod dying;
mod fairness;
mod groups;
mod half_done;
mod interruptions;
mod jobs;
mod migrating;
mod moderation;
mod outages;
mod preparing;
mod reactions;
mod sessions;

use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::{Document, Uuid};
use talksy_domain::chats::{
    Chat, ChatKind, ChatStore as _, ChatTitle, Member, MemberFilter, MemberPage,
};
use talksy_domain::clock::{Clock, SystemClock, SystemEntropy, Timestamp};
use talksy_domain::cursor::MemberCursor;
use talksy_domain::error::PortError;
use talksy_domain::groups::{GroupAction, GroupChange, GroupOutcome, GroupStore as _, NewGroup};
use talksy_domain::id::{self, ChatId, IdGenerator, UserId};
use talksy_domain::jobs::{JobPolicy, JobRunner, JobService};
use talksy_domain::mail::EmailAddress;
use talksy_domain::messages::{
    Append, Appended, ClientMessageId, Message, MessageStore, MessageText,
};
use talksy_domain::page::Window;
use talksy_domain::seq::Seq;
use talksy_domain::users::UserStore as _;
use talksy_domain::users::{DisplayName, User};
use talksy_mongo::MongoStore;
use talksy_tests::servers::mongo::Mongo;

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

fn ids() -> IdGenerator {
    IdGenerator::new(Arc::new(SystemClock), Arc::new(SystemEntropy))
}

/// For stores whose events nobody follows.
fn nobody() -> Arc<()> {
    Arc::default()
}

/// A store with two users and their chat.
struct Fixture {
    store: MongoStore,
    database: String,
    users: [UserId; 2],
    chat: ChatId,
}

impl Fixture {
    async fn new(mongo: &Mongo) -> Self {
        let database = mongo.new_database();
        let store = mongo.store_on(&database).await;
        let users = [user(&store, "Ada").await.id, user(&store, "Bob").await.id];
        let (chat, made) = store.open_direct(&candidate(), users).await.unwrap();
        assert!(made);
        Self {
            store,
            database,
            users,
            chat: chat.id,
        }
    }

    fn draft(&self) -> Message {
        draft(self.chat, self.users[0])
    }

    async fn send(&self) -> Message {
        done(self.store.append(&self.draft()).await.unwrap()).message
    }

    /// All numbers of the chat, in order.
    async fn seqs(&self) -> Vec<Seq> {
        let messages = all_messages(&self.store, self.chat).await;
        messages.iter().map(|message| message.seq).collect()
    }

    /// The database as another program sees it.
    async fn outside(&self, mongo: &Mongo) -> mongodb::Database {
        outside(mongo, &self.database).await
    }
}

async fn outside(mongo: &Mongo, database: &str) -> mongodb::Database {
    let url = format!("mongodb://127.0.0.1:{}", mongo.port);
    let client = mongodb::Client::with_uri_str(url).await.unwrap();
    client.database(database)
}

async fn user(store: &MongoStore, name: &str) -> User {
    let id = ids().next();
    let user = User {
        id,
        email: EmailAddress::parse(&format!("{id}@example.org")).unwrap(),
        name: DisplayName::parse(name).unwrap(),
        about: None,
        metadata: None,
        avatar_id: None,
        created_at: NOW,
        last_seen_at: None,
        block_version: 0,
        deleted_at: None,
    };
    assert!(store.find_or_create_user(&user).await.unwrap().1);
    user
}

fn candidate() -> Chat {
    Chat {
        id: ids().next(),
        kind: ChatKind::Direct,
        created_at: NOW,
        active_at: NOW,
        last_seq: 0,
        member_count: 2,
        title: None,
        last_change_seq: 0,
        applied_seq: 0,
        metadata_seq: 0,
        is_closed: false,
        avatar_id: None,
    }
}

fn draft(chat: ChatId, sender: UserId) -> Message {
    let text = MessageText::parse("hello").unwrap();
    Message::draft(ids().next(), chat, sender, text, NOW)
}

fn with_own_id(draft: Message, own_id: &str) -> Message {
    Message {
        client_message_id: Some(ClientMessageId::parse(own_id).unwrap()),
        ..draft
    }
}

fn done(append: Append) -> Appended {
    match append {
        Append::Done(appended) => *appended,
        other => panic!("not appended: {other:?}"),
    }
}

fn new_group(creator: UserId, members: &[UserId]) -> NewGroup {
    NewGroup {
        chat_id: ids().next(),
        message_id: ids().next(),
        creator_id: creator,
        member_ids: members.to_vec(),
        title: ChatTitle::parse("Engines").unwrap(),
        metadata: None,
        client_chat_id: None,
        avatar_id: None,
        at: NOW,
    }
}

/// Makes a group of the first, who owns it, and the others.
async fn group(store: &MongoStore, creator: UserId, members: &[UserId]) -> ChatId {
    let made = store.create_group(&new_group(creator, members)).await;
    match made.unwrap() {
        GroupOutcome::Done { chat, .. } => chat.id,
        other @ GroupOutcome::Refused(_) => panic!("not made: {other:?}"),
    }
}

fn group_change(chat: ChatId, actor: UserId, action: GroupAction) -> GroupChange {
    GroupChange {
        message_id: ids().next(),
        chat_id: chat,
        actor_id: actor,
        at: NOW,
        max_members: 1_000,
        action,
    }
}

/// Asks for a change of a group.
async fn ask(store: &MongoStore, chat: ChatId, actor: UserId, action: GroupAction) -> GroupOutcome {
    let change = group_change(chat, actor, action);
    store.change_group(&change).await.unwrap()
}

/// The system message of a change that was made.
fn made(outcome: GroupOutcome) -> Message {
    match outcome {
        GroupOutcome::Done {
            message: Some(message),
            ..
        } => *message,
        other => panic!("not made: {other:?}"),
    }
}

/// The members of a chat.
async fn members(store: &MongoStore, chat: ChatId) -> Vec<Member> {
    let page = member_page(chat, MemberFilter::default(), forward(None, 1_000));
    let mut pages = store.member_pages(&[page]).await.unwrap();
    pages.remove(0).items
}

fn member_page(chat: ChatId, filter: MemberFilter, window: Window<MemberCursor>) -> MemberPage {
    MemberPage {
        chat,
        filter,
        window,
    }
}

const JOB_POLICY: JobPolicy = JobPolicy {
    poll: Duration::from_millis(20),
    lease: Duration::from_secs(30),
    attempts: 15,
    concurrency: 4,
    first_wait: Duration::from_secs(2),
    longest_wait: Duration::from_hours(1),
};

/// Runs the store's jobs, at a time that the clock tells.
fn runner(store: &MongoStore, clock: Arc<dyn Clock>) -> JobRunner {
    let store = Arc::new(store.clone());
    let work = JobService {
        sessions: Arc::clone(&store) as _,
        users: Arc::clone(&store) as _,
        chats: Arc::clone(&store) as _,
        groups: Arc::clone(&store) as _,
        messages: Arc::clone(&store) as _,
        attachments: Arc::new(()),
        blocks: Arc::clone(&store) as _,
        moderation: Arc::clone(&store) as _,
        accounts: Arc::new(()),
        clock: Arc::clone(&clock),
    };
    JobRunner::new(store, Arc::new(work), clock, JOB_POLICY)
}

struct Fixed(Timestamp);

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// Runs the jobs that are due at `now`, and says how many were done with.
async fn repaired(store: &MongoStore, now: Timestamp) -> usize {
    runner(store, Arc::new(Fixed(now))).run_due().await.unwrap()
}

async fn all_messages(store: &MongoStore, chat: ChatId) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    loop {
        let window = forward(messages.last().map(|message| message.seq), 1_000);
        let page = store.page(chat, &window).await.unwrap();
        messages.extend(page.items);
        if !page.has_next {
            return messages;
        }
    }
}

fn forward<C>(after: Option<C>, limit: usize) -> Window<C> {
    Window {
        after,
        before: None,
        limit,
        from_end: false,
    }
}

fn key(bytes: [u8; 16]) -> Uuid {
    Uuid::from_bytes(bytes)
}

fn by_id(chat: ChatId) -> Document {
    mongodb::bson::doc! { "_id": key(id::bytes(chat)) }
}

fn is_unavailable<T>(outcome: &Result<T, PortError>) -> bool {
    matches!(outcome, Err(PortError::Unavailable { .. }))
}
