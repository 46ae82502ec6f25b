//! A client by the documented rules: it applies messages by (chat, seq) and changeSeq, drops and
//! refetches at a reset, drops at a removal, and keeps its last checkpoint and the cursors since.

use std::collections::{BTreeMap, HashMap, HashSet};

use talksy_domain::chats::MemberRole;
use talksy_domain::feeds::{AccountEvent, AccountItem, AccountPosition, Feed as _};
use talksy_domain::id::ChatId;
use talksy_domain::messages::Message;
use talksy_domain::seq::Seq;
use talksy_domain::services::Services;
use talksy_domain::viewer::Viewer;
use talksy_tests::soon;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::world::World;

/// What `ChatChanged` shows of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub title: Option<String>,
    pub member_count: u32,
    pub is_muted: bool,
    pub last_read_seq: Seq,
    pub role: MemberRole,
    /// Only of chats that are not followed in detail.
    pub ends: Option<(Seq, Seq)>,
}

/// What the client has of a chat.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    pub shown: Option<Shown>,
    /// `None` where it is not followed in detail.
    pub messages: Option<BTreeMap<Seq, Message>>,
}

/// Where the connection stands in a chat: what may come next.
#[derive(Clone, Copy, Debug, Default)]
struct Order {
    /// The first message that was told; 0 for none.
    first: Seq,
    seq: Seq,
    change_seq: Seq,
}

/// The client.
#[derive(Default)]
pub struct Replica {
    pub chats: HashMap<ChatId, Kept>,
    pub checkpoint: Option<String>,
    /// What the client had at the checkpoint.
    then: HashMap<ChatId, Kept>,
    since: HashMap<ChatId, Vec<String>>,
    /// The order on this connection.
    orders: HashMap<ChatId, Order>,
    detail: Option<HashSet<ChatId>>,
    /// How many events of each kind came.
    pub counts: BTreeMap<&'static str, usize>,
}

/// An open stream, driven as a server drives it.
pub struct Stream {
    events: mpsc::UnboundedReceiver<AccountEvent>,
    task: JoinHandle<()>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stream {
    pub async fn open(
        services: &Services,
        viewer: &Viewer,
        after: Option<AccountPosition>,
        detail: Option<HashSet<ChatId>>,
    ) -> Self {
        let mut feed = services.feeds.account(viewer, after, detail).await.unwrap();
        let (sender, events) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            loop {
                let event = feed.next().await.unwrap();
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Self { events, task }
    }

    pub async fn next(&mut self) -> AccountEvent {
        let event = soon("the account's next event", self.events.recv()).await;
        event.unwrap()
    }

    pub fn waiting(&mut self) -> Option<AccountEvent> {
        self.events.try_recv().ok()
    }
}

impl Replica {
    /// Connects behind what the client has; without `since` as one that keeps all at checkpoints
    /// alone, and goes back to what it had then.
    pub async fn connect(
        &mut self,
        services: &Services,
        viewer: &Viewer,
        with_since: bool,
        detail: Option<HashSet<ChatId>>,
    ) -> Stream {
        let since: Vec<_> = self.since.values().flatten().cloned().collect();
        let since = if with_since { since } else { Vec::new() };
        if !with_since {
            self.chats.clone_from(&self.then);
        }
        let after = self.checkpoint.as_ref();
        let parse = |text: &String| AccountPosition::parse(viewer.user_id, text, &since);
        let after = after.map(parse).transpose().unwrap();
        let is_detailed = |chat: &ChatId| detail.as_ref().is_none_or(|chats| chats.contains(chat));
        for (chat, kept) in &mut self.chats {
            if !is_detailed(chat) {
                // It is not kept up any more. Its ends are told when they change.
                kept.messages = None;
            }
        }
        self.orders.clear();
        self.detail.clone_from(&detail);
        Stream::open(services, viewer, after, detail).await
    }

    fn is_detailed(&self, chat: ChatId) -> bool {
        self.detail
            .as_ref()
            .is_none_or(|chats| chats.contains(&chat))
    }

    /// Everything anew, as after the first checkpoint of a stream without a position.
    pub async fn fetch_all(&mut self, world: &World, viewer: &Viewer) {
        self.chats.clear();
        for chat in world.chats_of(viewer).await {
            self.fetch(world, viewer, chat).await;
            self.show(world, viewer, chat).await;
        }
        self.then.clone_from(&self.chats);
    }

    /// The messages of a chat anew.
    async fn fetch(&mut self, world: &World, viewer: &Viewer, chat: ChatId) {
        let detailed = self.is_detailed(chat);
        let kept = self.chats.entry(chat).or_default();
        kept.messages = None;
        if let Some(member) = world.member(viewer, chat).await
            && detailed
        {
            let messages = world.visible(&member).await;
            let by_seq = messages.into_iter().map(|message| (message.seq, message));
            kept.messages = Some(by_seq.collect());
        }
    }

    /// What the chat looks like now, where the viewer is a member.
    async fn show(&mut self, world: &World, viewer: &Viewer, chat: ChatId) {
        if let Some(shown) = shown(world, viewer, chat, self.is_detailed(chat)).await {
            self.chats.entry(chat).or_default().shown = Some(shown);
        }
    }

    /// Applies an event; whether it says that all was told.
    pub async fn apply(&mut self, world: &World, viewer: &Viewer, event: AccountEvent) -> bool {
        let text = event.cursor.encode();
        match event.item {
            AccountItem::MessageAdded(published) => {
                let message = published.message().unwrap().clone();
                self.note("MessageAdded", Some(message.chat_id), &text);
                self.add(message);
            }
            AccountItem::MessageChanged(change) => {
                let message = change.message().unwrap().clone();
                self.note("MessageChange", Some(message.chat_id), &text);
                self.change(message);
            }
            AccountItem::ChatChanged(chat) => {
                // The server reads the state when it tells the event.
                self.note("ChatChanged", Some(chat), &text);
                self.show(world, viewer, chat).await;
            }
            AccountItem::ChatRemoved(chat) => {
                self.note("ChatRemoved", Some(chat), &text);
                self.chats.remove(&chat);
                self.orders.remove(&chat);
            }
            AccountItem::ReceiptChanged(receipt, _) => {
                self.note("ReceiptChanged", Some(receipt.chat_id), &text);
            }
            AccountItem::ViewerChanged => self.note("ViewerChanged", None, &text),
            AccountItem::ChatReset(chat) => {
                self.note("ChatReset", Some(chat), &text);
                self.orders.remove(&chat);
                self.fetch(world, viewer, chat).await;
            }
            AccountItem::Checkpoint { is_caught_up } => {
                self.note("Checkpoint", None, &text);
                self.checkpoint = Some(text);
                self.since.clear();
                self.then.clone_from(&self.chats);
                return is_caught_up;
            }
        }
        false
    }

    fn note(&mut self, kind: &'static str, chat: Option<ChatId>, cursor: &str) {
        *self.counts.entry(kind).or_default() += 1;
        if let Some(chat) = chat {
            // All of them: the server merges.
            self.since.entry(chat).or_default().push(cursor.to_owned());
        }
    }

    fn add(&mut self, message: Message) {
        let chat = message.chat_id;
        assert!(self.is_detailed(chat), "a message of a chat without detail");
        let order = self.orders.entry(chat).or_default();
        assert!(
            order.seq == 0 || message.seq == order.seq + 1,
            "message {} came behind {}",
            message.seq,
            order.seq
        );
        order.seq = message.seq;
        if order.first == 0 {
            order.first = message.seq;
        }
        let kept = self.chats.entry(chat).or_default();
        let messages = kept.messages.get_or_insert_default();
        let known = messages.get(&message.seq);
        if known.is_none_or(|known| known.change_seq <= message.change_seq) {
            messages.insert(message.seq, message);
        }
    }

    fn change(&mut self, message: Message) {
        let chat = message.chat_id;
        assert!(self.is_detailed(chat), "a change of a chat without detail");
        let order = self.orders.entry(chat).or_default();
        assert!(
            order.change_seq < message.change_seq,
            "change {} came behind {}",
            message.change_seq,
            order.change_seq
        );
        order.change_seq = message.change_seq;
        let kept = self.chats.entry(chat).or_default();
        let messages = kept.messages.get_or_insert_default();
        match messages.get(&message.seq) {
            Some(known) if known.change_seq < message.change_seq => {
                messages.insert(message.seq, message);
            }
            Some(_) => {}
            // One that is not held lies ahead of what was fetched, or where that found no member any
            // more. What was told on this connection is held: a change comes behind its message.
            None => assert!(
                !(order.first..=order.seq).contains(&message.seq),
                "the change of {} was told without it",
                message.seq
            ),
        }
    }

    /// What the store says that the viewer may see, in the client's form.
    pub async fn wanted(&self, world: &World, viewer: &Viewer) -> HashMap<ChatId, Kept> {
        let mut wanted = HashMap::new();
        for chat in world.chats_of(viewer).await {
            let detailed = self.is_detailed(chat);
            let mut kept = Kept {
                shown: shown(world, viewer, chat, detailed).await,
                messages: None,
            };
            if let Some(member) = world.member(viewer, chat).await
                && detailed
            {
                let messages = world.visible(&member).await;
                kept.messages = Some(
                    messages
                        .into_iter()
                        .map(|message| (message.seq, message))
                        .collect(),
                );
            }
            let known = self.chats.get(&chat).and_then(|known| known.shown.as_ref());
            if let (Some(known), Some(shown)) = (known, &mut kept.shown)
                && known.ends.is_none()
            {
                shown.ends = None;
            }
            wanted.insert(chat, kept);
        }
        wanted
    }

    /// Applies what comes until all was told.
    pub async fn catch_up(&mut self, world: &World, viewer: &Viewer, stream: &mut Stream) {
        loop {
            let event = stream.next().await;
            if self.apply(world, viewer, event).await {
                return;
            }
        }
    }
}

async fn shown(world: &World, viewer: &Viewer, chat: ChatId, detailed: bool) -> Option<Shown> {
    let member = world.member(viewer, chat).await?;
    let chat = world.chat(chat).await;
    Some(Shown {
        title: chat.title.map(|title| title.as_str().to_owned()),
        member_count: chat.member_count,
        is_muted: member.is_muted,
        last_read_seq: member.last_read_seq,
        role: member.role,
        ends: (!detailed).then_some((chat.last_seq, chat.last_change_seq)),
    })
}
