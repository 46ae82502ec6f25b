//! What the store itself says: what every replica is compared with.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use talksy_domain::chats::{Chat, Member};
use talksy_domain::id::{ChatId, UserId};
use talksy_domain::messages::Message;
use talksy_domain::seq::Seq;
use talksy_domain::services::Ports;
use talksy_tests::backend::{membership, messages_from};
use tokio::runtime::Handle;

use super::process::wait;

/// The store, asked from outside, and what was noted as it was written. Answers take no time.
pub struct Truth {
    real: Handle,
    ports: Mutex<Arc<Ports>>,
    /// How many writes were done.
    pub writes: Arc<AtomicU64>,
    /// The number of the last change before a membership's end, by the chat and the end's message.
    changes_at: Mutex<HashMap<(ChatId, Seq), Seq>>,
    /// How often a replica was compared with the store.
    pub comparisons: AtomicU64,
}

/// A message that was delivered, or a change of one.
#[derive(Clone, Copy, Debug)]
pub struct Delivered {
    pub chat: ChatId,
    pub seq: Seq,
    pub change_seq: Option<Seq>,
}

impl Truth {
    pub fn new(real: Handle, ports: Ports) -> Arc<Self> {
        Arc::new(Self {
            real,
            ports: Mutex::new(Arc::new(ports)),
            writes: Arc::default(),
            changes_at: Mutex::default(),
            comparisons: AtomicU64::new(0),
        })
    }

    /// From now on the truth is there.
    pub fn moves_to(&self, ports: Ports) {
        *self.ports.lock() = Arc::new(ports);
    }

    fn ask<T>(&self, question: impl AsyncFnOnce(Arc<Ports>) -> T) -> T {
        let ports = Arc::clone(&self.ports.lock());
        wait(&self.real, question(ports), || false).unwrap()
    }

    /// How many writes were done so far.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }

    pub fn membership(&self, user: UserId, chat: ChatId) -> Option<Member> {
        self.ask(async |ports| membership(&ports, user, chat).await)
    }

    pub fn chat(&self, chat: ChatId) -> Chat {
        let chats = self.ask(async |ports| ports.chats.chats(&[chat]).await);
        chats.unwrap().pop().unwrap()
    }

    pub fn chats_of(&self, user: UserId) -> Vec<ChatId> {
        let chats = self.ask(async |ports| ports.chats.chat_ids_of(user).await);
        chats.unwrap()
    }

    pub fn unread(&self, user: UserId, chat: ChatId) -> Option<u32> {
        let counts = self.ask(async |ports| ports.chats.unread_counts(user, &[chat]).await);
        counts.unwrap().pop().map(|(_, count)| count)
    }

    /// How far all members of the chat but this one have read; 0 where there are no others.
    pub fn read_by_all(&self, user: UserId, chat: ChatId) -> Seq {
        let lowest = self.ask(async |ports| ports.chats.lowest_read_marks(&[chat]).await);
        let lowest = lowest.unwrap();
        let other = lowest.iter().find(|member| member.user_id != user);
        other.map_or(0, |member| member.last_read_seq)
    }

    /// All messages of a chat.
    pub fn line(&self, chat: ChatId) -> Vec<Message> {
        self.ask(async |ports| messages_from(&ports, chat, 1).await)
    }

    /// What the member may read of the chat.
    pub fn visible(&self, member: &Member) -> BTreeMap<Seq, Message> {
        let (chat, from) = (member.chat_id, member.visible_from_seq);
        let messages = self.ask(async |ports| messages_from(&ports, chat, from).await);
        let by_seq = messages.into_iter().map(|message| (message.seq, message));
        by_seq.collect()
    }

    /// Notes how far the changes went when memberships of these chats ended, at once behind their end.
    pub fn note_ends(&self, chats: &[ChatId]) {
        let chats = chats.to_vec();
        let found = self.ask(async |ports| {
            let last = ports.messages.last_messages(&chats).await.unwrap();
            (last, ports.messages.heads(&chats).await.unwrap())
        });
        let (last, heads) = found;
        let mut changes_at = self.changes_at.lock();
        for message in last {
            let notice = message.notice.as_ref();
            if notice.is_some_and(|notice| notice.leaving().next().is_some()) {
                let mut heads = heads.iter();
                let head = heads.find(|head| head.chat_id == message.chat_id).unwrap();
                let key = (message.chat_id, message.seq);
                changes_at.entry(key).or_insert(head.last_change_seq);
            }
        }
    }

    /// Makes sure that the user was let to see all that was delivered to them: that it lies within a
    /// membership, and no change behind its end.
    pub fn check_deliveries(&self, user: UserId, delivered: &[Delivered]) {
        let mut ranges: HashMap<ChatId, Vec<Range>> = HashMap::new();
        for item in delivered {
            let chat = item.chat;
            let ranges = ranges
                .entry(chat)
                .or_insert_with(|| self.ranges(user, chat));
            let may = |range: &Range| {
                let is_change_within = match (item.change_seq, range.last_change_seq) {
                    (Some(number), Some(last)) => number <= last,
                    _ => true,
                };
                range.first <= item.seq
                    && range.last.is_none_or(|last| item.seq <= last)
                    && is_change_within
            };
            assert!(ranges.iter().any(may), "{item:?} leaked: {ranges:?}");
        }
    }

    /// What the user could see of the chat, by its line.
    fn ranges(&self, user: UserId, chat: ChatId) -> Vec<Range> {
        let mut ranges: Vec<Range> = Vec::new();
        let mut is_group = false;
        let changes_at = self.changes_at.lock().clone();
        for message in self.line(chat) {
            let Some(notice) = &message.notice else {
                continue;
            };
            is_group = true;
            for effect in &notice.effects {
                if effect.user_id != user {
                    continue;
                }
                if let Some(history) = effect.joins {
                    ranges.push(Range {
                        first: history.first_visible(message.seq),
                        ..Range::default()
                    });
                }
                if effect.role.is_none()
                    && let Some(range) = ranges.last_mut()
                {
                    range.last = Some(message.seq);
                    range.last_change_seq = changes_at.get(&(chat, message.seq)).copied();
                }
            }
        }
        if !is_group {
            ranges.push(Range::default());
        }
        ranges
    }

    /// A replica was compared.
    pub fn compared(&self) {
        self.comparisons.fetch_add(1, Ordering::SeqCst);
    }
}

/// The messages of one membership.
#[derive(Clone, Debug, Default)]
struct Range {
    first: Seq,
    last: Option<Seq>,
    last_change_seq: Option<Seq>,
}
