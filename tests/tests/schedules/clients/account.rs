//! A client of `accountEvents`: it applies messages by (chat, seq) and changeSeq, drops and refetches
//! at a reset, drops at a removal, and keeps its last checkpoint and the cursors since.

use std::collections::{BTreeMap, HashMap, HashSet};

use parking_lot::Mutex;
use talksy_domain::chats::MemberRole;
use talksy_domain::feeds::{AccountEvent, AccountItem, AccountPosition, Feed as _};
use talksy_domain::id::{ChatId, UserId};
use talksy_domain::messages::Message;
use talksy_domain::seq::Seq;
use talksy_domain::viewer::Viewer;

use super::super::case::Resume;
use super::super::truth::{Delivered, Truth};
use super::Connection;

/// What `ChatChanged` shows of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    title: Option<String>,
    member_count: u32,
    is_muted: bool,
    last_read_seq: Seq,
    role: MemberRole,
    /// Only of chats that are not followed in detail.
    ends: Option<(Seq, Seq)>,
}

/// What the client has of a chat.
#[derive(Clone, Debug, Default, PartialEq)]
struct Kept {
    shown: Option<Shown>,
    /// `None` where it is not followed in detail.
    messages: Option<BTreeMap<Seq, Message>>,
    /// How far all others had read when the client looked last.
    read_by_all: Seq,
}

/// Where the connection stands in a chat: what may come next.
#[derive(Debug, Default)]
struct Order {
    /// The first message that was told; 0 for none.
    first: Seq,
    seq: Seq,
    change_seq: Seq,
    /// The newest change of each message that was told.
    told: HashMap<Seq, Seq>,
    /// The read marks that were told.
    marks: HashMap<UserId, Seq>,
}

/// What the client keeps.
#[derive(Default)]
pub struct AccountReplica {
    chats: HashMap<ChatId, Kept>,
    checkpoint: Option<String>,
    /// What the client had at the checkpoint.
    then: HashMap<ChatId, Kept>,
    since: HashMap<ChatId, Vec<String>>,
    /// The order on this connection.
    orders: HashMap<ChatId, Order>,
    detail: Option<HashSet<ChatId>>,
    /// The chats among which [`Resume::detail`] chooses.
    choices: Vec<ChatId>,
    delivered: Vec<Delivered>,
}

impl AccountReplica {
    pub fn new(choices: Vec<ChatId>) -> Self {
        Self {
            choices,
            ..Self::default()
        }
    }

    /// Where a connection begins: behind what the client has, or without `since` as one that keeps all
    /// at checkpoints alone, and goes back to what it had then.
    fn resume(&mut self, how: Resume, viewer: &Viewer) -> Option<AccountPosition> {
        let since: Vec<_> = self.since.values().flatten().cloned().collect();
        let since = if how.with_since { since } else { Vec::new() };
        if !how.with_since {
            self.chats.clone_from(&self.then);
            self.since.clear();
        }
        let chosen = |bits: u8| {
            let chats = self.choices.iter().enumerate();
            let chats = chats.filter(|(n, _)| bits & (1 << n) != 0);
            chats.map(|(_, chat)| *chat).collect()
        };
        self.detail = how.detail.map(chosen);
        self.orders.clear();
        let after = self.checkpoint.as_ref();
        let parse = |text: &String| AccountPosition::parse(viewer.user_id, text, &since);
        after.map(parse).transpose().unwrap()
    }

    fn is_detailed(&self, chat: ChatId) -> bool {
        is_detailed(self.detail.as_ref(), chat)
    }

    /// Everything anew, as after the first checkpoint of a stream without a position.
    fn fetch_all(&mut self, truth: &Truth, viewer: &Viewer) {
        self.chats.clear();
        for chat in truth.chats_of(viewer.user_id) {
            self.fetch(truth, viewer, chat);
            self.show(truth, viewer, chat);
        }
    }

    /// The messages of a chat anew.
    fn fetch(&mut self, truth: &Truth, viewer: &Viewer, chat: ChatId) {
        let is_detailed = self.is_detailed(chat);
        let kept = self.chats.entry(chat).or_default();
        kept.messages = None;
        if is_detailed && let Some(member) = truth.membership(viewer.user_id, chat) {
            kept.messages = Some(truth.visible(&member));
        }
    }

    /// What the chat looks like now, where the viewer is a member.
    fn show(&mut self, truth: &Truth, viewer: &Viewer, chat: ChatId) {
        if let Some(shown) = shown(truth, viewer, chat, self.is_detailed(chat)) {
            let kept = self.chats.entry(chat).or_default();
            kept.shown = Some(shown);
            kept.read_by_all = truth.read_by_all(viewer.user_id, chat);
        }
    }

    /// Applies an event; whether it says that all was told.
    fn apply(&mut self, truth: &Truth, viewer: &Viewer, event: AccountEvent) -> bool {
        let cursor = event.cursor.encode();
        match event.item {
            AccountItem::MessageAdded(published) => {
                let message = published.message().unwrap().clone();
                self.note(message.chat_id, cursor);
                self.add(message);
            }
            AccountItem::MessageChanged(published) => {
                let message = published.message().unwrap().clone();
                self.note(message.chat_id, cursor);
                self.change(message);
            }
            AccountItem::ChatChanged(chat) => {
                // The server reads the state when it tells the event.
                self.note(chat, cursor);
                self.show(truth, viewer, chat);
            }
            AccountItem::ChatRemoved(chat) => {
                self.note(chat, cursor);
                self.chats.remove(&chat);
                self.orders.remove(&chat);
            }
            AccountItem::ReceiptChanged(receipt, _) => {
                let chat = receipt.chat_id;
                self.note(chat, cursor);
                let order = self.orders.entry(chat).or_default();
                let told = order.marks.insert(receipt.user_id, receipt.last_read_seq);
                let goes_on = told.is_none_or(|told| told <= receipt.last_read_seq);
                assert!(goes_on, "{receipt:?} behind {told:?}");
                if let Some(kept) = self.chats.get_mut(&chat) {
                    kept.read_by_all = truth.read_by_all(viewer.user_id, chat);
                }
            }
            AccountItem::ViewerChanged => {}
            AccountItem::ChatReset(chat) => {
                self.note(chat, cursor);
                self.orders.remove(&chat);
                self.fetch(truth, viewer, chat);
            }
            AccountItem::Checkpoint { is_caught_up } => {
                if self.checkpoint.is_none() {
                    self.fetch_all(truth, viewer);
                }
                let detail = self.detail.as_ref();
                for (chat, kept) in &mut self.chats {
                    if !is_detailed(detail, *chat) {
                        kept.messages = None;
                    }
                }
                self.checkpoint = Some(cursor);
                self.since.clear();
                self.then.clone_from(&self.chats);
                return is_caught_up;
            }
        }
        false
    }

    /// Keeps the cursor. All of them: the server merges. One of a chat without detail says that its
    /// messages are not kept up any more: they go, and are fetched anew once it is followed again.
    fn note(&mut self, chat: ChatId, cursor: String) {
        if !self.is_detailed(chat)
            && let Some(kept) = self.chats.get_mut(&chat)
        {
            kept.messages = None;
        }
        self.since.entry(chat).or_default().push(cursor);
    }

    fn deliver(&mut self, message: &Message, change_seq: Option<Seq>) {
        let chat = message.chat_id;
        assert!(self.is_detailed(chat), "a message of a chat without detail");
        self.delivered.push(Delivered {
            chat,
            seq: message.seq,
            change_seq,
        });
    }

    fn add(&mut self, message: Message) {
        self.deliver(&message, None);
        let order = self.orders.entry(message.chat_id).or_default();
        let is_next = order.seq == 0 || message.seq == order.seq + 1;
        assert!(is_next, "message {} behind {}", message.seq, order.seq);
        order.seq = message.seq;
        order.told.insert(message.seq, message.change_seq);
        if order.first == 0 {
            order.first = message.seq;
        }
        let kept = self.chats.entry(message.chat_id).or_default();
        let messages = kept.messages.get_or_insert_default();
        let known = messages.get(&message.seq);
        if known.is_none_or(|known| known.change_seq <= message.change_seq) {
            messages.insert(message.seq, message);
        }
    }

    fn change(&mut self, message: Message) {
        let number = message.change_seq;
        self.deliver(&message, Some(number));
        let order = self.orders.entry(message.chat_id).or_default();
        let is_later = order.change_seq < number;
        assert!(is_later, "change {number} behind {}", order.change_seq);
        order.change_seq = number;
        let told = order.told.insert(message.seq, number);
        let is_news = told.is_none_or(|told| told < number);
        assert!(is_news, "change {number} of {} was told", message.seq);
        let kept = self.chats.entry(message.chat_id).or_default();
        let messages = kept.messages.get_or_insert_default();
        match messages.get(&message.seq) {
            Some(known) if known.change_seq < number => {
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
    fn wanted(&self, truth: &Truth, viewer: &Viewer) -> HashMap<ChatId, Kept> {
        let mut wanted = HashMap::new();
        for chat in truth.chats_of(viewer.user_id) {
            let is_detailed = self.is_detailed(chat);
            let mut kept = Kept {
                shown: shown(truth, viewer, chat, is_detailed),
                messages: None,
                read_by_all: self.chats.get(&chat).map_or(0, |known| known.read_by_all),
            };
            if is_detailed && let Some(member) = truth.membership(viewer.user_id, chat) {
                kept.messages = Some(truth.visible(&member));
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

    pub fn is_complete(&self, truth: &Truth, viewer: &Viewer) -> bool {
        self.chats == self.wanted(truth, viewer)
    }

    /// Others' receipts are on no line. What was missed of them is told where a stream is resumed.
    fn compare_marks(&self, truth: &Truth, viewer: &Viewer) {
        for (chat, kept) in &self.chats {
            let now = truth.read_by_all(viewer.user_id, *chat);
            assert_eq!(kept.read_by_all, now, "read by all of {chat}");
        }
    }

    pub fn compare(&mut self, truth: &Truth, viewer: &Viewer) {
        truth.check_deliveries(viewer.user_id, &std::mem::take(&mut self.delivered));
        let wanted = self.wanted(truth, viewer);
        assert_eq!(self.chats, wanted, "the account");
    }
}

fn is_detailed(detail: Option<&HashSet<ChatId>>, chat: ChatId) -> bool {
    detail.is_none_or(|chats| chats.contains(&chat))
}

fn shown(truth: &Truth, viewer: &Viewer, chat: ChatId, is_detailed: bool) -> Option<Shown> {
    let member = truth.membership(viewer.user_id, chat)?;
    let chat = truth.chat(chat);
    Some(Shown {
        title: chat.title.map(|title| title.as_str().to_owned()),
        member_count: chat.member_count,
        is_muted: member.is_muted,
        last_read_seq: member.last_read_seq,
        role: member.role,
        ends: (!is_detailed).then_some((chat.last_seq, chat.last_change_seq)),
    })
}

/// Follows the account. The server asks the store before it says `isCaughtUp`, and not before it said so
/// the last time: where nothing was written since then, the replica has to be complete.
pub async fn follow(connection: &Connection, replica: &Mutex<AccountReplica>, how: Resume) {
    let (truth, viewer) = (&connection.truth, &connection.viewer);
    let (after, detail) = {
        let mut replica = replica.lock();
        let after = replica.resume(how, viewer);
        (after, replica.detail.clone())
    };
    let feeds = &connection.services.feeds;
    let mut writes = truth.writes();
    let mut feed = feeds.account(viewer, after, detail).await.unwrap();
    let mut is_first = true;
    loop {
        let event = feed.next().await.unwrap();
        {
            let mut replica = replica.lock();
            if replica.apply(truth, viewer, event) {
                let now = truth.writes();
                if std::mem::replace(&mut writes, now) == now {
                    replica.compare(truth, viewer);
                    truth.compared();
                    if is_first {
                        replica.compare_marks(truth, viewer);
                    }
                }
                is_first = false;
            }
        }
        connection.stall().await;
    }
}
