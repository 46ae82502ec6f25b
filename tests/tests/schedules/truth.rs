//! What the store itself says: what every replica is compared with.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use talksy_domain::chats::{Chat, Member};
use talksy_domain::id::{ChatId, UserId};
use talksy_domain::messages::Message;
use talksy_domain::page::MAX_PAGE;
use talksy_domain::seq::Seq;
use talksy_domain::services::Ports;
use talksy_tests::backend::{membership, messages_from};
use tokio::runtime::Handle;

use super::deployment::Deployment;
use super::process::wait;

/// The store, asked from outside, and what was noted as it was written. Answers take no time.
pub struct Truth {
    real: Handle,
    ports: Mutex<Arc<Ports>>,
    writes_at_once: bool,
    /// What it has answered since the last write.
    answers: Mutex<Answers>,
    /// How many writes were done.
    pub writes: Arc<AtomicU64>,
    /// The number of the last change before a membership's end, by the chat and the end's message.
    changes_at: Mutex<HashMap<(ChatId, Seq), Seq>>,
    /// How often a replica was compared with the store.
    pub comparisons: AtomicU64,
}

/// Answers as of so many writes: replicas are compared far more often than anything is written.
#[derive(Default)]
struct Answers {
    writes: u64,
    memberships: HashMap<(UserId, ChatId), Option<Member>>,
    chats: HashMap<ChatId, Chat>,
    chats_of: HashMap<UserId, Vec<ChatId>>,
    unread: HashMap<(UserId, ChatId), Option<u32>>,
    mentions: HashMap<(UserId, ChatId), Option<u32>>,
    lowest_marks: HashMap<ChatId, Vec<Member>>,
    members: HashMap<ChatId, Vec<Member>>,
    lines: HashMap<ChatId, Arc<Vec<Message>>>,
}

/// A message that was delivered, or a change of one.
#[derive(Clone, Copy, Debug)]
pub struct Delivered {
    pub chat: ChatId,
    pub seq: Seq,
    pub change_seq: Option<Seq>,
}

impl Truth {
    pub fn of(deployment: &Deployment) -> Arc<Self> {
        Arc::new(Self {
            real: deployment.real().clone(),
            ports: Mutex::new(Arc::new(deployment.ports())),
            writes_at_once: deployment.writes_at_once(),
            answers: Mutex::default(),
            writes: Arc::default(),
            changes_at: Mutex::default(),
            comparisons: AtomicU64::new(0),
        })
    }

    /// From now on the truth is there.
    pub fn moves_to(&self, ports: Ports) {
        *self.ports.lock() = Arc::new(ports);
        *self.answers.lock() = Answers::default();
    }

    fn ask<T>(&self, question: impl AsyncFnOnce(Arc<Ports>) -> T) -> T {
        let ports = Arc::clone(&self.ports.lock());
        wait(&self.real, question(ports), || false).unwrap()
    }

    /// How many writes were done so far.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }

    /// The answer of the store to a question, which is asked once between two writes where no write
    /// outlives its call.
    fn known<K: Copy + Eq + Hash, V: Clone>(
        &self,
        of: impl Fn(&mut Answers) -> &mut HashMap<K, V>,
        key: K,
        question: impl AsyncFnOnce(Arc<Ports>) -> V,
    ) -> V {
        if !self.writes_at_once {
            return self.ask(question);
        }
        let mut answers = self.answers.lock();
        let answers = &mut *answers;
        let writes = self.writes();
        if answers.writes != writes {
            *answers = Answers {
                writes,
                ..Answers::default()
            };
        }
        let answer = of(answers).entry(key);
        answer.or_insert_with(|| self.ask(question)).clone()
    }

    pub fn membership(&self, user: UserId, chat: ChatId) -> Option<Member> {
        let question = async |ports: Arc<Ports>| membership(&ports, user, chat).await;
        self.known(|answers| &mut answers.memberships, (user, chat), question)
    }

    pub fn chat(&self, chat: ChatId) -> Chat {
        let question = async |ports: Arc<Ports>| {
            let chats = ports.chats.chats(&[chat]).await;
            chats.unwrap().pop().unwrap()
        };
        self.known(|answers| &mut answers.chats, chat, question)
    }

    pub fn chats_of(&self, user: UserId) -> Vec<ChatId> {
        let question = async |ports: Arc<Ports>| ports.chats.chat_ids_of(user).await.unwrap();
        self.known(|answers| &mut answers.chats_of, user, question)
    }

    pub fn unread(&self, user: UserId, chat: ChatId) -> Option<u32> {
        let question = async |ports: Arc<Ports>| {
            let counts = ports.chats.unread_counts(user, &[chat]).await;
            counts.unwrap().pop().map(|(_, count)| count)
        };
        self.known(|answers| &mut answers.unread, (user, chat), question)
    }

    /// How much of what is unread mentions the user.
    pub fn mentions(&self, user: UserId, chat: ChatId) -> Option<u32> {
        let question = async |ports: Arc<Ports>| {
            let counts = ports.chats.unread_mentions(user, &[chat]).await;
            counts.unwrap().pop().map(|(_, count)| count)
        };
        self.known(|answers| &mut answers.mentions, (user, chat), question)
    }

    /// How far all members of the chat but this one have read; 0 where there are no others.
    pub fn read_by_all(&self, user: UserId, chat: ChatId) -> Seq {
        let question = async |ports: Arc<Ports>| {
            let marks = ports.chats.lowest_read_marks(&[chat]).await;
            marks.unwrap()
        };
        let marks = self.known(|answers| &mut answers.lowest_marks, chat, question);
        let other = marks.iter().find(|member| member.user_id != user);
        other.map_or(0, |member| member.last_read_seq)
    }

    /// The members of the chat, who are few.
    pub fn members(&self, chat: ChatId) -> Vec<Member> {
        let question = async |ports: Arc<Ports>| {
            let members = ports.chats.first_members(&[chat], MAX_PAGE).await;
            members.unwrap()
        };
        self.known(|answers| &mut answers.members, chat, question)
    }

    /// All messages of a chat.
    pub fn line(&self, chat: ChatId) -> Arc<Vec<Message>> {
        let question = async |ports: Arc<Ports>| Arc::new(messages_from(&ports, chat, 1).await);
        self.known(|answers| &mut answers.lines, chat, question)
    }

    /// What the member may read of the chat.
    pub fn visible(&self, member: &Member) -> BTreeMap<Seq, Message> {
        let line = self.line(member.chat_id);
        let from = member.visible_from_seq;
        let visible = line.iter().filter(|message| message.seq >= from);
        visible
            .map(|message| (message.seq, message.clone()))
            .collect()
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
        for message in self.line(chat).iter() {
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
