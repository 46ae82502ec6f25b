//! A client of `chatUpdated` and `chatRemoved`: a sidebar.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use talksy_domain::chats::MemberRole;
use talksy_domain::feeds::{ChatFeed, ChatRemovedFeed, Feed as _};
use talksy_domain::id::ChatId;
use talksy_domain::seq::Seq;
use talksy_domain::viewer::Viewer;

use super::super::truth::Truth;
use super::Connection;

/// The sidebar.
#[derive(Default)]
pub struct ChatsReplica {
    chats: BTreeMap<ChatId, Shown>,
}

/// What it shows of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    title: Option<String>,
    member_count: u32,
    last_seq: Seq,
    last_change_seq: Seq,
    role: MemberRole,
    is_muted: bool,
    last_read_seq: Seq,
    unread: Option<u32>,
}

fn shown(truth: &Truth, viewer: &Viewer, chat: ChatId) -> Option<Shown> {
    let member = truth.membership(viewer.user_id, chat)?;
    let unread = truth.unread(viewer.user_id, chat);
    let chat = truth.chat(chat);
    Some(Shown {
        title: chat.title.map(|title| title.as_str().to_owned()),
        member_count: chat.member_count,
        last_seq: chat.last_seq,
        last_change_seq: chat.last_change_seq,
        role: member.role,
        is_muted: member.is_muted,
        last_read_seq: member.last_read_seq,
        unread,
    })
}

fn all(truth: &Truth, viewer: &Viewer) -> BTreeMap<ChatId, Shown> {
    let chats = truth.chats_of(viewer.user_id).into_iter();
    let shown = |chat| Some((chat, shown(truth, viewer, chat)?));
    chats.filter_map(shown).collect()
}

impl ChatsReplica {
    pub fn is_complete(&self, truth: &Truth, viewer: &Viewer) -> bool {
        self.chats == all(truth, viewer)
    }

    pub fn compare(&self, truth: &Truth, viewer: &Viewer) {
        assert_eq!(self.chats, all(truth, viewer), "the sidebar");
    }

    /// The client reads the chat anew.
    fn read(&mut self, connection: &Connection, chat: ChatId) {
        match shown(&connection.truth, &connection.viewer, chat) {
            Some(shown) => self.chats.insert(chat, shown),
            None => self.chats.remove(&chat),
        };
    }
}

/// Follows both, and reads all chats once they are open.
pub async fn follow(connection: &Connection, replica: &Mutex<ChatsReplica>) {
    let (feeds, viewer) = (&connection.services.feeds, &connection.viewer);
    let removals = feeds.removals(viewer).await.unwrap();
    let changes = feeds.chats(viewer).await.unwrap();
    connection.stall().await;
    replica.lock().chats = all(&connection.truth, viewer);
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
        let chat = feed.next().await.unwrap().state.chat.id;
        replica.lock().read(connection, chat);
        connection.stall().await;
    }
}

async fn follow_removals(
    connection: &Connection,
    replica: &Mutex<ChatsReplica>,
    mut feed: ChatRemovedFeed,
) {
    loop {
        let chat = feed.next().await.unwrap().chat_id;
        // Whoever is back already has not lost the chat.
        replica.lock().read(connection, chat);
        connection.stall().await;
    }
}
