//! Clients that keep what they are told, over many connections, servers and outages, by the rules
//! of `docs/CLIENTS.md`: one by `accountEvents` alone, one by `messageAdded` and `messageUpdated` of
//! a chat. What they have in the end is what the server answers.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::DEADLINE;
use crate::answer::{self, Account, CHAT, MESSAGE, Message, Messages, Ref, told};
use crate::client::{Client, User};
use crate::cluster::{Addresses, PAUSE, client_at};
use crate::websocket::{Received, Socket};

/// Something that a client keeps by feeds.
#[async_trait]
pub trait Keeper: Default + Send + 'static {
    /// What is kept, and what the server answers when it is asked for the same.
    type Kept: Clone + PartialEq + Debug + Send;

    /// Lives on a connection until it ends.
    async fn live(state: &Mutex<Self>, client: &Client, socket: Socket, of: &Of);

    /// What is kept now.
    fn kept(&self) -> Self::Kept;

    /// The server's own answer; none where it is away.
    async fn answer(client: &Client, of: &Of) -> Option<Self::Kept>;
}

/// Who keeps, and of which chat.
#[derive(Clone, Debug)]
pub struct Of {
    user: String,
    chat: Option<String>,
}

/// A client in a task of its own, which comes back whenever its connection ends.
pub struct Replica<T> {
    state: Arc<Mutex<T>>,
    connections: Arc<Mutex<usize>>,
    of: Of,
    task: JoinHandle<()>,
}

impl<T> Drop for Replica<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<T: Keeper> Replica<T> {
    fn of(user: &User, at: &Addresses, chat: Option<&str>) -> Self {
        let of = Of {
            user: user.id.clone(),
            chat: chat.map(str::to_owned),
        };
        let (state, connections) = (Arc::<Mutex<T>>::default(), Arc::default());
        let (user, at) = (user.clone(), at.clone());
        let (kept, count) = (Arc::clone(&state), Arc::clone(&connections));
        let about = of.clone();
        let task = tokio::spawn(async move {
            for turn in 0.. {
                let client = client_at(&user, at.pick(turn));
                if let Some(socket) = client.try_socket().await {
                    *Mutex::lock(&count) += 1;
                    T::live(&kept, &client, socket, &about).await;
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
        Self {
            state,
            connections,
            of,
            task,
        }
    }

    /// How often it has connected.
    pub fn connections(&self) -> usize {
        *self.connections.lock()
    }

    /// Waits until it has what this server answers.
    ///
    /// # Panics
    /// Where it does not come to that.
    pub async fn agrees_with(&self, client: &Client) {
        let started = Instant::now();
        loop {
            assert!(!self.task.is_finished(), "a replica has failed");
            let answer = T::answer(client, &self.of).await;
            let kept = self.state.lock().kept();
            if answer.as_ref() == Some(&kept) {
                return;
            }
            assert!(
                started.elapsed() < DEADLINE,
                "after {} connections a replica of {:?} has\n{kept:#?}\nwhere the server answers\n\
                 {answer:#?}",
                self.connections(),
                self.of,
            );
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The next event of an operation, or why there is none.
enum Next {
    Event(Value),
    Refused(String),
    Ended,
}

async fn next(socket: &mut Socket) -> Next {
    loop {
        let Received::Message(message) = socket.next_or_end().await else {
            return Next::Ended;
        };
        match message["type"].as_str() {
            Some("next") if message["payload"].get("errors").is_none() => {
                return Next::Event(message["payload"]["data"].clone());
            }
            Some("next") => return Next::Refused(code(&message["payload"]["errors"][0])),
            Some("error") => return Next::Refused(code(&message["payload"][0])),
            Some("complete") => return Next::Ended,
            _ => {}
        }
    }
}

fn code(error: &Value) -> String {
    error["extensions"]["code"]
        .as_str()
        .unwrap_or("")
        .to_owned()
}

/// Keeps a message, unless what is there is newer.
fn keep(messages: &mut Messages, message: Message) {
    let known = messages.get(&message.seq);
    if known.is_none_or(|known| known.change_seq <= message.change_seq) {
        messages.insert(message.seq, message);
    }
}

/// A whole account, kept by `accountEvents`.
#[derive(Default)]
pub struct ByAccount {
    chats: Account,
    checkpoint: Option<String>,
    /// The newest cursor of each chat since the checkpoint.
    since: BTreeMap<String, String>,
}

/// A replica of an account.
pub type AccountReplica = Replica<ByAccount>;

impl AccountReplica {
    /// Follows the user's account at these servers, from now on.
    pub fn start(user: &User, at: &Addresses) -> Self {
        Self::of(user, at, None)
    }
}

fn account_events() -> String {
    let message = format!("message {{ {MESSAGE} chat {{ id }} }}");
    format!(
        "subscription($after: AccountPosition) {{ accountEvents(after: $after) {{
            __typename cursor
            ... on MessageAdded {{ {message} }}
            ... on MessageChange {{ {message} }}
            ... on ChatChanged {{ chat {{ {CHAT} }} }}
            ... on ChatRemoved {{ chatId }}
            ... on ChatReset {{ chatId }}
            ... on ReceiptChanged {{ receipt {{ chat {{ id }} }} }}
            ... on AccountCheckpoint {{ isCaughtUp }} }} }}"
    )
}

#[async_trait]
impl Keeper for ByAccount {
    type Kept = Account;

    async fn live(state: &Mutex<Self>, client: &Client, mut socket: Socket, _: &Of) {
        let variables = json!({ "after": state.lock().after() });
        socket.subscribe("1", &account_events(), variables).await;
        loop {
            match next(&mut socket).await {
                Next::Event(data) => {
                    if Self::apply(state, client, &data["accountEvents"])
                        .await
                        .is_none()
                    {
                        return;
                    }
                }
                Next::Ended => return,
                Next::Refused(code) => match code.as_str() {
                    "RESYNC_REQUIRED" => {
                        *state.lock() = Self::default();
                        return;
                    }
                    "UNAVAILABLE" | "SLOW_CONSUMER" => return,
                    _ => panic!("accountEvents ended with {code}"),
                },
            }
        }
    }

    fn kept(&self) -> Account {
        self.chats.clone()
    }

    async fn answer(client: &Client, _: &Of) -> Option<Account> {
        answer::try_account(client).await
    }
}

impl ByAccount {
    fn after(&self) -> Value {
        match &self.checkpoint {
            Some(checkpoint) => {
                let since: Vec<_> = self.since.values().collect();
                json!({ "checkpoint": checkpoint, "since": since })
            }
            None => Value::Null,
        }
    }

    /// Applies an event; none where the server went away before it could be.
    async fn apply(state: &Mutex<Self>, client: &Client, event: &Value) -> Option<()> {
        if state.lock().checkpoint.is_none() {
            // The first event of a stream without a position: all from here on follows.
            let chats = answer::try_account(client).await?;
            state.lock().chats = chats;
        }
        let cursor: String = told(&event["cursor"]);
        let of = |value: &Value| told::<Ref>(value).id;
        let kind: String = told(&event["__typename"]);
        let chat = match kind.as_str() {
            "MessageAdded" | "MessageChange" => {
                let chat = of(&event["message"]["chat"]);
                let message: Message = told(&event["message"]);
                let mut state = state.lock();
                let (_, messages) = state.chats.entry(chat.clone()).or_default();
                // The change of a message that is not kept lies ahead of what was loaded.
                if kind == "MessageAdded" || messages.contains_key(&message.seq) {
                    keep(messages, message);
                }
                chat
            }
            "ChatChanged" => {
                let chat = of(&event["chat"]);
                let mut state = state.lock();
                state.chats.entry(chat.clone()).or_default().0 = told(&event["chat"]);
                chat
            }
            "ChatReset" => {
                let chat: String = told(&event["chatId"]);
                // Who has left the chat meanwhile is told so behind it.
                let messages = answer::try_messages(client, &chat).await?;
                let mut state = state.lock();
                state.chats.entry(chat.clone()).or_default().1 = messages.unwrap_or_default();
                chat
            }
            "ChatRemoved" => {
                let chat: String = told(&event["chatId"]);
                state.lock().chats.remove(&chat);
                chat
            }
            "ReceiptChanged" => of(&event["receipt"]["chat"]),
            "AccountCheckpoint" => {
                let mut state = state.lock();
                state.checkpoint = Some(cursor);
                state.since.clear();
                return Some(());
            }
            _ => return Some(()),
        };
        state.lock().since.insert(chat, cursor);
        Some(())
    }
}

/// A chat, kept by `messageAdded` and `messageUpdated`.
#[derive(Default)]
pub struct ByChat {
    /// None where it has to be loaded, or there is nothing to load: the user is no member.
    messages: Option<Messages>,
    added: Value,
    /// The number behind `added`.
    last: i64,
    changed: Value,
}

/// A replica of a chat.
pub type ChatReplica = Replica<ByChat>;

impl ChatReplica {
    /// Follows the chat at these servers, from now on.
    pub fn start(user: &User, at: &Addresses, chat: &str) -> Self {
        Self::of(user, at, Some(chat))
    }
}

#[async_trait]
impl Keeper for ByChat {
    type Kept = Option<Messages>;

    async fn live(state: &Mutex<Self>, client: &Client, mut socket: Socket, of: &Of) {
        let chat = of.chat.as_deref().unwrap_or_default();
        let is_loaded = state.lock().messages.is_some();
        if !is_loaded && Self::load(state, client, chat).await.is_none() {
            tokio::time::sleep(PAUSE * 8).await;
            return;
        }
        let (added, changed) = {
            let state = state.lock();
            (state.added.clone(), state.changed.clone())
        };
        for (field, selection, after) in [
            ("messageAdded", "cursor node", added),
            ("messageUpdated", "cursor changeSeq message", changed),
        ] {
            let query = format!(
                "subscription($chatId: ID!, $after: String) {{
                    {field}(chatId: $chatId, after: $after) {{ {selection} {{ {MESSAGE} }} }} }}"
            );
            let variables = json!({ "chatId": chat, "after": after });
            socket.subscribe(field, &query, variables).await;
        }
        let mut last_changed = 0;
        loop {
            let is_kept = match next(&mut socket).await {
                Next::Event(data) if data["messageAdded"].is_object() => {
                    state.lock().add(&data["messageAdded"], of)
                }
                Next::Event(data) => {
                    state
                        .lock()
                        .change(&data["messageUpdated"], &mut last_changed);
                    true
                }
                Next::Ended => return,
                Next::Refused(code) => match code.as_str() {
                    // Removed, perhaps to join again.
                    "FORBIDDEN" | "NOT_FOUND" | "RESYNC_REQUIRED" => false,
                    "UNAVAILABLE" | "SLOW_CONSUMER" => return,
                    _ => panic!("a feed of a chat ended with {code}"),
                },
            };
            if !is_kept {
                *state.lock() = Self::default();
                // Who is no member asks seldom whether they are one again.
                tokio::time::sleep(PAUSE * 8).await;
                return;
            }
        }
    }

    fn kept(&self) -> Option<Messages> {
        self.messages.clone()
    }

    async fn answer(client: &Client, of: &Of) -> Option<Option<Messages>> {
        answer::try_messages(client, of.chat.as_deref().unwrap_or_default()).await
    }
}

impl ByChat {
    /// Loads the chat, and notes from where on the feeds have to follow.
    async fn load(state: &Mutex<Self>, client: &Client, chat: &str) -> Option<()> {
        const HEAD: &str = "query($id: ID!) { chat(id: $id) { headCursor lastSeq } }";
        let data = answer::try_data(client, HEAD, json!({ "id": chat })).await?;
        if data["chat"].is_null() {
            return None;
        }
        let head = &data["chat"]["headCursor"];
        let messages = answer::try_messages(client, chat).await??;
        *state.lock() = Self {
            messages: Some(messages),
            added: head.clone(),
            last: told(&data["chat"]["lastSeq"]),
            changed: head.clone(),
        };
        Some(())
    }

    /// Keeps what was added: each message once and in order, also over many connections. False
    /// where it says that the user has joined again: another part of the chat is theirs to read.
    fn add(&mut self, edge: &Value, of: &Of) -> bool {
        let message: Message = told(&edge["node"]);
        let joining = (message.system.iter()).filter(|notice| notice.kind == "MEMBER_ADDED");
        if joining
            .flat_map(|notice| &notice.subjects)
            .any(|subject| subject.id == of.user)
        {
            return false;
        }
        assert_eq!(message.seq, self.last + 1, "not the next");
        self.last = message.seq;
        self.added = edge["cursor"].clone();
        keep(self.messages.get_or_insert_default(), message);
        true
    }

    /// Keeps what was changed, which may be told ahead of the message's addition.
    fn change(&mut self, change: &Value, last: &mut i64) {
        let number: i64 = told(&change["changeSeq"]);
        assert!(number > *last, "change {number} came behind {last}");
        *last = number;
        self.changed = change["cursor"].clone();
        keep(
            self.messages.get_or_insert_default(),
            told(&change["message"]),
        );
    }
}
