//! A client of `chatUpdated` and `chatRemoved`: a sidebar. It shows what it was told, and reads nothing
//! behind it.

use std::collections::{BTreeMap, HashMap};

use parking_lot::Mutex;
use talksy_domain::chats::{Chat, Member, MemberRole};
use talksy_domain::feeds::{ChatFeed, ChatItem, ChatRemovedFeed, Counted, Feed as _, Removal};
use talksy_domain::id::ChatId;
use talksy_domain::messages::Message;
use talksy_domain::seq::Seq;
use talksy_domain::viewer::Viewer;

use super::super::truth::{Delivered, Truth};
use super::Connection;

/// The sidebar.
#[derive(Default)]
pub struct ChatsReplica {
    chats: BTreeMap<ChatId, Shown>,
    /// The places of chats that this connection has told.
    told: HashMap<ChatId, Place>,
    /// The ends of memberships that this connection has told: the other feed may tell of what was
    /// before them later.
    left: HashMap<ChatId, Seq>,
    delivered: Vec<Delivered>,
}

/// What it shows of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    title: Option<String>,
    member_count: u32,
    last_seq: Seq,
    last_change_seq: Seq,
    last_message: Option<Message>,
    role: MemberRole,
    is_muted: bool,
    last_read_seq: Seq,
    unread_from_seq: Option<Seq>,
    unread: Unread,
}

/// How much is unread, and how much of that mentions the viewer.
type Unread = [Option<u32>; 2];

/// A chat at a place, none part of which goes back within a membership.
#[derive(Clone, Copy, Debug)]
struct Place {
    joined_seq: Seq,
    parts: [Seq; 3],
}

impl Shown {
    fn new(chat: &Chat, last: Option<Message>, member: &Member, unread: Unread) -> Self {
        let title = chat.title.as_ref();
        Self {
            title: title.map(|title| title.as_str().to_owned()),
            member_count: chat.member_count,
            last_seq: chat.last_seq,
            last_change_seq: chat.last_change_seq,
            last_message: last,
            role: member.role,
            is_muted: member.is_muted,
            last_read_seq: member.last_read_seq,
            unread_from_seq: member.unread_from_seq,
            unread,
        }
    }

    /// As the store has it.
    fn now(truth: &Truth, viewer: &Viewer, chat: ChatId) -> Option<Self> {
        let member = truth.membership(viewer.user_id, chat)?;
        let unread = unread(truth, viewer, chat);
        let last = truth.line(chat).last().cloned();
        Some(Self::new(&truth.chat(chat), last, &member, unread))
    }
}

fn unread(truth: &Truth, viewer: &Viewer, chat: ChatId) -> Unread {
    let user = viewer.user_id;
    [truth.unread(user, chat), truth.mentions(user, chat)]
}

fn all(truth: &Truth, viewer: &Viewer) -> BTreeMap<ChatId, Shown> {
    let chats = truth.chats_of(viewer.user_id).into_iter();
    let shown = |chat| Some((chat, Shown::now(truth, viewer, chat)?));
    chats.filter_map(shown).collect()
}

impl ChatsReplica {
    pub fn is_complete(&self, truth: &Truth, viewer: &Viewer) -> bool {
        self.chats == all(truth, viewer)
    }

    pub fn compare(&mut self, truth: &Truth, viewer: &Viewer) {
        truth.check_deliveries(viewer.user_id, &std::mem::take(&mut self.delivered));
        assert_eq!(self.chats, all(truth, viewer), "the sidebar");
    }

    /// Begins with these chats, which were read once both feeds were open.
    fn begin(&mut self, chats: BTreeMap<ChatId, Shown>) {
        self.chats = chats;
        self.told.clear();
        self.left.clear();
    }

    fn show(&mut self, item: &ChatItem, unread: Unread) {
        let (chat, member) = (&item.state.chat, &item.member);
        self.delivered.push(Delivered {
            chat: chat.id,
            seq: chat.last_seq,
            change_seq: Some(chat.last_change_seq),
        });
        let place = Place {
            joined_seq: member.joined_seq,
            parts: [chat.last_seq, chat.last_change_seq, member.version],
        };
        if let Some(told) = self.told.insert(chat.id, place)
            && told.joined_seq == place.joined_seq
        {
            let mut parts = told.parts.iter().zip(&place.parts);
            let goes_on = parts.all(|(told, now)| told <= now);
            assert!(goes_on, "the sidebar goes back: {place:?} behind {told:?}");
        }
        // What lies before the end of a membership is past.
        if self
            .left
            .get(&chat.id)
            .is_none_or(|left| *left < chat.last_seq)
        {
            let last = item.state.last_message.clone();
            let shown = Shown::new(chat, last, member, unread);
            self.chats.insert(chat.id, shown);
        }
    }

    fn remove(&mut self, removal: &Removal) {
        let Removal {
            chat_id, left_seq, ..
        } = *removal;
        if let Some(before) = self.left.insert(chat_id, left_seq) {
            assert!(before < left_seq, "a removal was told twice");
        }
        // Whoever is back already has not lost the chat.
        let shown = self.chats.get(&chat_id);
        if shown.is_some_and(|shown| shown.last_seq <= left_seq) {
            self.chats.remove(&chat_id);
        }
    }
}

/// Follows both, and reads all chats once they are open.
pub async fn follow(connection: &Connection, replica: &Mutex<ChatsReplica>) {
    let (feeds, viewer) = (&connection.services.feeds, &connection.viewer);
    let removals = feeds.removals(viewer).await.unwrap();
    let changes = feeds.chats(viewer).await.unwrap();
    connection.stall().await;
    replica.lock().begin(all(&connection.truth, viewer));
    tokio::join!(
        follow_changes(connection, replica, changes),
        follow_removals(connection, replica, removals),
    );
}

async fn follow_changes(
    connection: &Connection,
    replica: &Mutex<ChatsReplica>,
    mut feed: ChatFeed,
) {
    loop {
        let item = feed.next().await.unwrap();
        let messages = feed.unread(&item, Counted::Messages).await.unwrap();
        let mentions = feed.unread(&item, Counted::Mentions).await.unwrap();
        // What the feed does not know, a client is told of the store.
        let (truth, user) = (&connection.truth, connection.viewer.user_id);
        let chat = item.state.chat.id;
        let unread = [
            messages.or_else(|| truth.unread(user, chat)),
            mentions.or_else(|| truth.mentions(user, chat)),
        ];
        replica.lock().show(&item, unread);
        connection.stall().await;
    }
}

async fn follow_removals(
    connection: &Connection,
    replica: &Mutex<ChatsReplica>,
    mut feed: ChatRemovedFeed,
) {
    loop {
        let removal = feed.next().await.unwrap();
        replica.lock().remove(&removal);
        connection.stall().await;
    }
}
