//! A client that keeps the messages of a chat by following both of its lines.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use talksy_domain::access::{AccessError, Denied};
use talksy_domain::chats::Member;
use talksy_domain::cursor::{Cursor as _, MessageCursor};
use talksy_domain::feeds::{ChangeFeed, Feed as _, FeedError, MessageFeed};
use talksy_domain::id::ChatId;
use talksy_domain::incarnation::Incarnation;
use talksy_domain::messages::Message;
use talksy_domain::seq::Seq;
use talksy_domain::viewer::Viewer;

use super::super::truth::{Delivered, Truth};
use super::Connection;

/// How long a client waits that is no member, before it asks again.
pub(super) const RETRY: Duration = Duration::from_millis(20);

/// What the client has of a membership.
pub struct LinesReplica {
    chat: ChatId,
    /// The membership, by the message that it began with; `None` where the client has nothing.
    joined_seq: Option<Seq>,
    messages: BTreeMap<Seq, Message>,
    /// The number of the last message that the feed of messages brought.
    seq: Seq,
    /// The number of the last change that the feed of changes brought.
    place: Seq,
    /// The cursor of that change.
    cursor: Option<MessageCursor>,
    /// Whether the client first follows from now on, and then reads what there is.
    reads_first: bool,
    /// Where it did so, how far what it read goes: the feed of messages begins no later.
    begins_by: Option<Seq>,
    /// Whether both feeds have ended while they were open.
    has_ended: bool,
    delivered: Vec<Delivered>,
}

impl LinesReplica {
    pub fn new(chat: ChatId, reads_first: bool) -> Self {
        Self {
            chat,
            joined_seq: None,
            messages: BTreeMap::new(),
            seq: 0,
            place: 0,
            cursor: None,
            reads_first,
            begins_by: None,
            has_ended: false,
            delivered: Vec::new(),
        }
    }

    /// Of two states of a message the one with the higher change is the newer, wherever each came from.
    fn apply(&mut self, message: Message) {
        let known = self.messages.get(&message.seq);
        if known.is_none_or(|known| known.change_seq <= message.change_seq) {
            self.messages.insert(message.seq, message);
        }
    }

    /// The feed of messages brings each once and in order, from the first that is visible.
    fn add(&mut self, message: Message, visible_from: Seq) {
        if let Some(by) = self.begins_by.take() {
            let begins = visible_from..=by + 1;
            assert!(begins.contains(&message.seq), "{begins:?}: {}", message.seq);
        } else {
            let expected = (self.seq + 1).max(visible_from);
            assert_eq!(message.seq, expected, "the feed of messages");
        }
        self.seq = message.seq;
        self.note(&message, None);
        self.apply(message);
    }

    /// The feed of changes brings each once and in order. Its cursors stay where they began on the line
    /// of messages, which this feed does not bring.
    fn change(&mut self, message: Message, cursor: MessageCursor) {
        let number = message.change_seq;
        assert!(number > self.place, "change {number} behind {}", self.place);
        self.place = number;
        if let Some(before) = self.cursor {
            let expected = MessageCursor {
                change_seq: Some(number),
                ..before
            };
            assert_eq!(cursor, expected, "the cursor of a change");
        }
        self.cursor = Some(cursor);
        self.note(&message, Some(number));
        self.apply(message);
    }

    fn note(&mut self, message: &Message, change_seq: Option<Seq>) {
        self.delivered.push(Delivered {
            chat: message.chat_id,
            seq: message.seq,
            change_seq,
        });
    }

    /// Drops everything where it is of another membership. The cursors behind which both feeds go on;
    /// none where the client follows from now on, and then reads what there is.
    fn begin(&mut self, member: &Member, incarnation: Incarnation) -> Option<[MessageCursor; 2]> {
        let is_new = self.joined_seq != Some(member.joined_seq);
        if is_new {
            self.messages.clear();
            (self.seq, self.place, self.cursor) = (0, 0, None);
        }
        self.begins_by = None;
        self.has_ended = false;
        if is_new && self.reads_first {
            self.joined_seq = None;
            return None;
        }
        self.joined_seq = Some(member.joined_seq);
        let cursor = MessageCursor {
            chat_id: self.chat,
            incarnation,
            seq: self.seq,
            change_seq: Some(self.place),
        };
        let of_changes = *self.cursor.get_or_insert(cursor);
        Some([cursor, of_changes])
    }

    /// Both feeds are open, and the client reads what there is.
    fn read(&mut self, member: &Member, messages: BTreeMap<Seq, Message>) {
        self.joined_seq = Some(member.joined_seq);
        let last = messages.last_key_value().map(|(seq, _)| *seq);
        self.begins_by = Some(last.unwrap_or(member.visible_from_seq - 1));
        self.messages = messages;
    }

    pub fn is_complete(&self, truth: &Truth, viewer: &Viewer) -> bool {
        match truth.membership(viewer.user_id, self.chat) {
            Some(member) => {
                self.joined_seq == Some(member.joined_seq)
                    && self.messages == truth.visible(&member)
            }
            None => self.joined_seq.is_none() || self.has_ended,
        }
    }

    pub fn compare(&mut self, truth: &Truth, viewer: &Viewer) {
        truth.check_deliveries(viewer.user_id, &std::mem::take(&mut self.delivered));
        match truth.membership(viewer.user_id, self.chat) {
            Some(member) => {
                assert_eq!(self.joined_seq, Some(member.joined_seq), "the membership");
                assert_eq!(self.messages, truth.visible(&member), "the replica");
            }
            // What ends a membership is the last that is told of it. Later ones may have begun and ended
            // before the client asked again.
            None if self.has_ended => {
                let line = truth.line(self.chat);
                let mut notices = line.iter().filter_map(|message| {
                    let notice = message.notice.as_ref()?;
                    let ends = Some(message.seq) > self.joined_seq;
                    (ends && notice.removes(viewer.user_id)).then_some(message.seq)
                });
                assert_eq!(Some(self.seq), notices.next(), "the end");
            }
            None => {}
        }
    }
}

/// Follows as long as the user is a member, and again when they are.
pub async fn follow(connection: &Connection, replica: &Mutex<LinesReplica>) {
    let (truth, viewer) = (&connection.truth, &connection.viewer);
    let chat = replica.lock().chat;
    loop {
        if let Some(member) = &truth.membership(viewer.user_id, chat) {
            let feeds = &connection.services.feeds;
            let incarnation = feeds.incarnation().await.unwrap();
            let after = replica.lock().begin(member, incarnation);
            let [after, of_changes] = match &after {
                Some(cursors) => cursors.map(|cursor| Some(cursor.encode())),
                None => [None, None],
            };
            let messages = feeds.messages(viewer, chat, after.as_deref()).await;
            let changes = feeds.changes(viewer, chat, of_changes.as_deref()).await;
            match (messages, changes) {
                // The feeds are of this membership where it is there before and behind their opening.
                (Ok(messages), Ok(changes))
                    if joined(truth.membership(viewer.user_id, chat).as_ref())
                        == Some(member.joined_seq) =>
                {
                    if after.is_none() {
                        let visible = truth.visible(member);
                        replica.lock().read(member, visible);
                    }
                    tokio::join!(
                        follow_messages(connection, replica, messages, member.visible_from_seq),
                        follow_changes(connection, replica, changes),
                    );
                    replica.lock().has_ended = true;
                }
                (messages, changes) => {
                    let errors = [messages.err(), changes.err()];
                    errors.into_iter().flatten().for_each(assert_no_member);
                }
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// The membership, by the message that it began with.
pub(super) fn joined(member: Option<&Member>) -> Option<Seq> {
    member.map(|member| member.joined_seq)
}

async fn follow_messages(
    connection: &Connection,
    replica: &Mutex<LinesReplica>,
    mut feed: MessageFeed,
    visible_from: Seq,
) {
    loop {
        match feed.next().await {
            Ok(published) => {
                let message = published.message().unwrap().clone();
                replica.lock().add(message, visible_from);
            }
            Err(error) => return assert_no_member(error),
        }
        connection.stall().await;
    }
}

async fn follow_changes(
    connection: &Connection,
    replica: &Mutex<LinesReplica>,
    mut feed: ChangeFeed,
) {
    loop {
        match feed.next().await {
            Ok(item) => {
                let message = item.change.message().unwrap().clone();
                replica.lock().change(message, item.cursor);
            }
            Err(error) => return assert_no_member(error),
        }
        connection.stall().await;
    }
}

pub(super) fn assert_no_member(error: FeedError) {
    let is_expected = matches!(
        &error,
        FeedError::Access(AccessError::Denied(Denied::NotMember))
    );
    assert!(is_expected, "{error:?}");
}
