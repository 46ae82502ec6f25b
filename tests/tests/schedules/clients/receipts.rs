//! A client of `readReceiptUpdated`: how far each member of a chat has read.

use std::collections::HashMap;

use parking_lot::Mutex;
use talksy_domain::chats::{Member, ReadReceipt};
use talksy_domain::feeds::{Feed as _, StateFeed};
use talksy_domain::id::{ChatId, UserId};
use talksy_domain::seq::Seq;
use talksy_domain::viewer::Viewer;

use super::super::truth::{Delivered, Truth};
use super::Connection;
use super::lines::{RETRY, assert_no_member, joined};

/// What the client has of a membership.
pub struct ReceiptsReplica {
    chat: ChatId,
    /// The membership, by the message that it began with; `None` where the client follows none.
    joined_seq: Option<Seq>,
    marks: HashMap<UserId, Seq>,
    /// Those that this connection has told.
    told: HashMap<UserId, Seq>,
    delivered: Vec<Delivered>,
}

fn marks(truth: &Truth, chat: ChatId) -> HashMap<UserId, Seq> {
    let members = truth.members(chat);
    let receipts = members.iter().filter_map(Member::receipt);
    receipts
        .map(|receipt| (receipt.user_id, receipt.last_read_seq))
        .collect()
}

impl ReceiptsReplica {
    pub fn new(chat: ChatId) -> Self {
        Self {
            chat,
            joined_seq: None,
            marks: HashMap::new(),
            told: HashMap::new(),
            delivered: Vec::new(),
        }
    }

    /// The feed is open, and the client reads what there is.
    fn begin(&mut self, truth: &Truth, member: &Member) {
        self.joined_seq = Some(member.joined_seq);
        self.marks = marks(truth, self.chat);
        self.told.clear();
    }

    /// None is told behind a newer one of the same member.
    fn apply(&mut self, receipt: ReadReceipt) {
        let (user, seq) = (receipt.user_id, receipt.last_read_seq);
        self.delivered.push(Delivered {
            chat: self.chat,
            // What others have read may lie before all that the viewer may see.
            seq: seq.max(self.joined_seq.unwrap()),
            change_seq: None,
        });
        let told = self.told.insert(user, seq);
        assert!(told.is_none_or(|told| told <= seq), "{seq} behind {told:?}");
        let known = self.marks.entry(user).or_default();
        *known = seq.max(*known);
    }

    /// Whether it has the marks of all who are members.
    pub fn is_complete(&self, truth: &Truth, viewer: &Viewer) -> bool {
        let member = truth.membership(viewer.user_id, self.chat);
        if self.joined_seq != joined(member.as_ref()) {
            return false;
        }
        let mut marks = marks(truth, self.chat).into_iter();
        member.is_none() || marks.all(|(user, seq)| self.marks.get(&user) == Some(&seq))
    }

    pub fn compare(&mut self, truth: &Truth, viewer: &Viewer) {
        truth.check_deliveries(viewer.user_id, &std::mem::take(&mut self.delivered));
        let member = truth.membership(viewer.user_id, self.chat);
        assert_eq!(self.joined_seq, joined(member.as_ref()), "the membership");
        if member.is_some() {
            for (user, seq) in marks(truth, self.chat) {
                assert_eq!(self.marks.get(&user), Some(&seq), "the mark of {user}");
            }
        }
    }
}

/// Follows as long as the user is a member, and again when they are.
pub async fn follow(connection: &Connection, replica: &Mutex<ReceiptsReplica>) {
    let (truth, viewer) = (&connection.truth, &connection.viewer);
    let chat = replica.lock().chat;
    replica.lock().joined_seq = None;
    loop {
        if let Some(member) = truth.membership(viewer.user_id, chat) {
            let feed = connection.services.feeds.receipts(viewer, chat).await;
            let now = truth.membership(viewer.user_id, chat);
            match feed {
                Ok(feed) if joined(now.as_ref()) == Some(member.joined_seq) => {
                    replica.lock().begin(truth, &member);
                    follow_one(connection, replica, feed).await;
                    replica.lock().joined_seq = None;
                }
                Ok(_) => {}
                Err(error) => assert_no_member(error),
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn follow_one(
    connection: &Connection,
    replica: &Mutex<ReceiptsReplica>,
    mut feed: StateFeed<ReadReceipt>,
) {
    loop {
        match feed.next().await {
            Ok(item) => replica.lock().apply(item.state),
            Err(error) => return assert_no_member(error),
        }
        connection.stall().await;
    }
}
