//! The people of a schedule, their chats, and what they ask for.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use talksy_domain::chats::{Chat, ChatKind, ChatTitle, MemberRole};
use talksy_domain::clock::{SystemClock, SystemEntropy};
use talksy_domain::groups::{GroupOutcome, NewGroup};
use talksy_domain::id::{ChatId, IdGenerator, UserId};
use talksy_domain::messages::{
    ClientMessageId, Emoji, HistoryFrom, Message, MessageContent, MessageEdit, MessageError,
    MessageKind, MessageText,
};
use talksy_domain::seq::Seq;
use talksy_domain::services::Services;
use talksy_domain::users::User;
use talksy_domain::viewer::Viewer;
use talksy_tests::clock;

use super::case::Operation;
use super::deployment::Deployment;
use super::process::wait;
use super::truth::Truth;

/// The people, and the chats that are there from the start: the direct one of Ann and Ben, and two
/// groups that Ann owns and Cleo is in. Ben is in the first of them.
#[derive(Clone)]
pub struct People {
    pub ann: Viewer,
    pub ben: Viewer,
    pub cleo: Viewer,
    /// Who writes to Ben for the first time.
    pub dora: Viewer,
    pub chats: Vec<ChatId>,
    /// What was acknowledged: the senders' own ids of messages, and the messages' numbers.
    pub sent: Arc<Mutex<Vec<(String, ChatId, Seq)>>>,
}

impl People {
    pub fn follower(&self, who: usize) -> Viewer {
        [self.ben, self.cleo][who % 2]
    }

    fn sender(&self, by: usize) -> Viewer {
        [self.ann, self.ben, self.cleo][by % 3]
    }

    /// The message with this place from the chat's end, and who sent it.
    fn message(&self, truth: &Truth, chat: ChatId, nth: usize) -> Option<(Message, Viewer)> {
        let line = truth.line(chat);
        let mut sent = line
            .iter()
            .rev()
            .filter(|message| message.kind != MessageKind::System);
        let message = sent.nth(nth)?;
        let mut everybody = [self.ann, self.ben, self.cleo].into_iter();
        let sender = everybody.find(|viewer| Some(viewer.user_id) == message.sender_id)?;
        Some((message.clone(), sender))
    }

    /// Asks an instance for something, as the `number`th. What may not be done is refused: that is part
    /// of the schedule.
    pub async fn ask(&self, services: &Services, truth: &Truth, asked: Operation, number: usize) {
        let Services {
            chats,
            groups,
            messages,
            ..
        } = services;
        let ann = &self.ann;
        match asked {
            Operation::Send { chat, by } => {
                self.send(services, self.sender(by), self.chats[chat], number)
                    .await;
            }
            Operation::Edit { chat, nth } => {
                if let Some((message, by)) = self.message(truth, self.chats[chat], nth) {
                    let edit = MessageEdit {
                        mention_ids: Some(self.named(number)),
                        ..text(number).into()
                    };
                    let _ = messages.edit(&by, message.id, edit, None).await;
                }
            }
            Operation::Delete { chat, nth } => {
                if let Some((message, by)) = self.message(truth, self.chats[chat], nth) {
                    let _ = messages.delete(&by, message.id).await;
                }
            }
            Operation::React {
                chat,
                nth,
                by,
                emoji,
                is_added,
            } => {
                if let Some((message, _)) = self.message(truth, self.chats[chat], nth) {
                    let emoji = Emoji::parse(["👍", "❤️"][emoji]).unwrap();
                    let by = self.sender(by);
                    let _ = messages.react(&by, message.id, emoji, is_added).await;
                }
            }
            Operation::Pin {
                chat,
                nth,
                is_pinned,
            } => {
                if let Some((message, _)) = self.message(truth, self.chats[chat], nth) {
                    let _ = messages.pin(ann, message.id, is_pinned).await;
                }
            }
            Operation::Add { chat, who, all } => {
                let history = if all {
                    HistoryFrom::All
                } else {
                    HistoryFrom::Join
                };
                let users = vec![self.follower(who).user_id];
                let _ = groups.add(ann, self.chats[chat], users, history).await;
            }
            Operation::Remove { chat, who } => {
                let user = self.follower(who).user_id;
                let _ = groups.remove(ann, self.chats[chat], user).await;
            }
            Operation::Leave { chat, who } => {
                let _ = groups.leave(&self.follower(who), self.chats[chat]).await;
            }
            Operation::Rename { chat } => {
                let title = ChatTitle::parse(&format!("title {number}")).unwrap();
                let _ = groups.rename(ann, self.chats[chat], title).await;
            }
            Operation::SetRole { chat, who, admin } => {
                let role = if admin {
                    MemberRole::Admin
                } else {
                    MemberRole::Member
                };
                let user = self.follower(who).user_id;
                let _ = groups.set_role(ann, self.chats[chat], user, role).await;
            }
            Operation::MarkRead { chat, by } => {
                let seq = u32::try_from(number).unwrap();
                let (by, chat) = (self.sender(by), self.chats[chat]);
                let _ = chats.mark_read(&by, chat, seq).await;
                if number.is_multiple_of(3) {
                    let _ = chats.mark_unread(&by, chat, seq / 4 + 1).await;
                }
            }
            Operation::Mute { chat, who, muted } => {
                let _ = chats
                    .mute(&self.follower(who), self.chats[chat], muted)
                    .await;
            }
            Operation::StartChat => {
                let started = chats.start_direct(&self.dora, self.ben.user_id).await;
                if let Ok((chat, _)) = started {
                    self.send(services, self.dora, chat.id, number).await;
                }
            }
        }
    }

    /// Whom a text mentions, should they be members.
    fn named(&self, number: usize) -> Vec<UserId> {
        match number % 4 {
            0 => vec![self.ben.user_id],
            1 => vec![self.cleo.user_id],
            _ => Vec::new(),
        }
    }

    async fn send(&self, services: &Services, by: Viewer, chat: ChatId, number: usize) {
        let own_id = format!("own {number}");
        let id = ClientMessageId::parse(own_id.as_str()).unwrap();
        let messages = &services.messages;
        for mention_ids in [self.named(number), Vec::new()] {
            let content = MessageContent {
                mention_ids,
                ..text(number).into()
            };
            match messages.send(&by, chat, content, Some(id.clone())).await {
                Ok(sent) => {
                    self.sent.lock().push((own_id, chat, sent.message.seq));
                    return;
                }
                // Whom it mentions is no member: then it mentions nobody.
                Err(MessageError::Invalid(_)) => {}
                Err(_) => return,
            }
        }
    }

    /// What was acknowledged is there once, and what was not is there at most once.
    pub fn check_sent(&self, truth: &Truth) {
        let mut lines = std::collections::HashMap::new();
        let sent = self.sent.lock();
        for chat in sent
            .iter()
            .map(|(_, chat, _)| *chat)
            .chain(self.chats.iter().copied())
        {
            lines.entry(chat).or_insert_with(|| truth.line(chat));
        }
        for line in lines.values() {
            let seqs: Vec<_> = line.iter().map(|message| message.seq).collect();
            let dense: Vec<_> = (1..).take(seqs.len()).collect();
            assert_eq!(seqs, dense, "the line");
            let mut own_ids: Vec<_> = line.iter().filter_map(own_id).collect();
            let count = own_ids.len();
            own_ids.sort_unstable();
            own_ids.dedup();
            assert_eq!(own_ids.len(), count, "a message was sent twice");
        }
        for (id, chat, seq) in sent.iter() {
            let mut line = lines[chat].iter();
            let found = line.find(|message| own_id(message) == Some(id));
            assert_eq!(found.map(|message| message.seq), Some(*seq), "{id} is lost");
        }
    }
}

fn own_id(message: &Message) -> Option<&str> {
    message
        .client_message_id
        .as_ref()
        .map(ClientMessageId::as_str)
}

fn text(number: usize) -> MessageText {
    MessageText::parse(format!("text {number}")).unwrap()
}

/// Signs new people up, and makes their chats.
pub fn sign_up(deployment: &Deployment) -> People {
    let ports = deployment.ports();
    let ids = IdGenerator::new(Arc::new(SystemClock), Arc::new(SystemEntropy));
    let candidates = ["ann", "ben", "cleo", "dora"].map(|name| deployment.candidate(name));
    let made = async {
        let mut viewers = Vec::new();
        for candidate in &candidates {
            let users = &ports.users;
            let (user, _) = users.find_or_create_user(candidate).await.unwrap();
            viewers.push(viewer(&user, &ids));
        }
        let user = |who: usize| candidates[who].id;
        let direct = Chat {
            id: ids.next(),
            kind: ChatKind::Direct,
            created_at: clock::START,
            active_at: clock::START,
            last_seq: 0,
            member_count: 2,
            title: None,
            last_change_seq: 0,
            applied_seq: 0,
            metadata_seq: 0,
            is_closed: false,
            avatar_id: None,
        };
        let opened = ports.chats.open_direct(&direct, [user(0), user(1)]).await;
        let mut chats = vec![opened.unwrap().0.id];
        for members in [vec![user(1), user(2)], vec![user(2)]] {
            let group = NewGroup {
                chat_id: ids.next(),
                message_id: ids.next(),
                creator_id: user(0),
                member_ids: members,
                title: ChatTitle::parse("A group").unwrap(),
                metadata: None,
                client_chat_id: None,
                avatar_id: None,
                at: clock::START,
            };
            match ports.groups.create_group(&group).await.unwrap() {
                GroupOutcome::Done { chat, .. } => chats.push(chat.id),
                GroupOutcome::Refused(refusal) => panic!("{refusal:?}"),
            }
        }
        (viewers, chats)
    };
    let (viewers, chats) = wait(deployment.real(), made, || false).unwrap();
    People {
        ann: viewers[0],
        ben: viewers[1],
        cleo: viewers[2],
        dora: viewers[3],
        chats,
        sent: Arc::default(),
    }
}

fn viewer(user: &User, ids: &IdGenerator) -> Viewer {
    Viewer {
        user_id: user.id,
        session_id: ids.next(),
        expires_at: clock::START + Duration::from_hours(24),
    }
}
