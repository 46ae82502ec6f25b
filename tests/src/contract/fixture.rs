//! The stores under test, and the steps that most rules begin with.

use std::sync::Arc;

use talksy_domain::attachments::AttachmentStore;
use talksy_domain::auth::SessionStore;
use talksy_domain::blocks::BlockStore;
use talksy_domain::chats::{
    Chat, ChatKind, ChatStore, ChatTitle, Member, MemberFilter, MemberPage,
};
use talksy_domain::clock::Timestamp;
use talksy_domain::cursor::MemberCursor;
use talksy_domain::groups::{GroupAction, GroupChange, GroupOutcome, GroupStore, NewGroup};
use talksy_domain::id::{ChatId, UserId};
use talksy_domain::jobs::JobStore;
use talksy_domain::mail::EmailAddress;
use talksy_domain::messages::{
    Append, Appended, ChangeAction, ChangeRefusal, Changed, ChangedMessage, ClientMessageId,
    Message, MessageChange, MessageStore, MessageText,
};
use talksy_domain::metadata::Metadata;
use talksy_domain::moderation::ModerationStore;
use talksy_domain::page::{Page, Window};
use talksy_domain::users::UserStore;
use talksy_domain::users::{DisplayName, User};

use super::{ids, now, word};
use crate::event_sinks::Recorder;

/// Accounts, chats and messages over one backend.
#[derive(Clone)]
pub struct Stores {
    /// The users.
    pub users: Arc<dyn UserStore>,
    /// Sessions.
    pub sessions: Arc<dyn SessionStore>,
    /// The chats and members.
    pub chats: Arc<dyn ChatStore>,
    /// The messages.
    pub messages: Arc<dyn MessageStore>,
    /// The groups.
    pub groups: Arc<dyn GroupStore>,
    /// The attachments.
    pub attachments: Arc<dyn AttachmentStore>,
    /// The blocks.
    pub blocks: Arc<dyn BlockStore>,
    /// The jobs.
    pub jobs: Arc<dyn JobStore>,
    /// Reports, suspensions and what operators did.
    pub moderation: Arc<dyn ModerationStore>,
    /// What follows from commits, as the store hands it over.
    pub events: Recorder,
}

impl Stores {
    /// The ports of one store, which was opened with this recorder.
    pub fn of<S>(store: S, events: Recorder) -> Self
    where
        S: UserStore
            + SessionStore
            + ChatStore
            + MessageStore
            + GroupStore
            + AttachmentStore
            + BlockStore
            + JobStore
            + ModerationStore
            + 'static,
    {
        let store = Arc::new(store);
        Self {
            users: Arc::clone(&store) as _,
            sessions: Arc::clone(&store) as _,
            chats: Arc::clone(&store) as _,
            messages: Arc::clone(&store) as _,
            groups: Arc::clone(&store) as _,
            attachments: Arc::clone(&store) as _,
            blocks: Arc::clone(&store) as _,
            jobs: Arc::clone(&store) as _,
            moderation: store,
            events,
        }
    }

    /// Makes a user of this name.
    pub(super) async fn user(&self, name: &str) -> User {
        let (user, made) = self
            .users
            .find_or_create_user(&candidate(name))
            .await
            .unwrap();
        assert!(made, "an address that nobody had has a user");
        user
    }

    /// Members of a chat.
    pub(super) async fn members(
        &self,
        chat: ChatId,
        filter: &MemberFilter,
        window: &Window<MemberCursor>,
    ) -> Page<Member> {
        let wanted = MemberPage {
            chat,
            filter: filter.clone(),
            window: window.clone(),
        };
        let mut pages = self.chats.member_pages(&[wanted]).await.unwrap();
        assert_eq!(pages.len(), 1);
        pages.remove(0)
    }

    /// Makes users.
    pub(super) async fn users<const N: usize>(&self) -> [User; N] {
        let mut users = Vec::with_capacity(N);
        for _ in 0..N {
            users.push(self.user("Ada").await);
        }
        users
            .try_into()
            .unwrap_or_else(|_| unreachable!("as many were made"))
    }

    /// Makes the direct chat of two users.
    pub(super) async fn direct(&self, one: &User, other: &User) -> Chat {
        self.direct_at(one, other, now()).await
    }

    /// Makes the direct chat of two users, begun at that time.
    pub(super) async fn direct_at(&self, one: &User, other: &User, at: Timestamp) -> Chat {
        let (chat, made) = self
            .chats
            .open_direct(&direct_candidate(at), [one.id, other.id])
            .await
            .unwrap();
        assert!(made, "two new users have a chat");
        chat
    }

    /// Makes two users and their chat.
    pub(super) async fn pair(&self) -> (User, User, Chat) {
        let [one, other] = self.users().await;
        let chat = self.direct(&one, &other).await;
        (one, other, chat)
    }

    /// Makes a group that the first of these users owns, with the others as plain members.
    pub(super) async fn group(&self, users: &[&User]) -> Chat {
        let group = new_group(users);
        match self.groups.create_group(&group).await.unwrap() {
            GroupOutcome::Done { chat, message } => {
                assert!(message.is_some(), "a new group has its first message");
                *chat
            }
            refused @ GroupOutcome::Refused(_) => panic!("a group was refused: {refused:?}"),
        }
    }

    /// Asks for a change of a group.
    pub(super) async fn change_group(
        &self,
        chat: ChatId,
        actor: UserId,
        action: GroupAction,
    ) -> GroupOutcome {
        let change = GroupChange {
            message_id: ids().next(),
            chat_id: chat,
            actor_id: actor,
            at: now(),
            max_members: 1_000,
            action,
        };
        self.groups.change_group(&change).await.unwrap()
    }

    /// Changes a group, which must be allowed and change something; returns the system message.
    pub(super) async fn notice(&self, chat: ChatId, actor: UserId, action: GroupAction) -> Message {
        match self.change_group(chat, actor, action).await {
            GroupOutcome::Done {
                message: Some(message),
                ..
            } => *message,
            other => panic!("nothing was changed: {other:?}"),
        }
    }

    /// Changes a message, which must be allowed.
    pub(super) async fn change(
        &self,
        message: &Message,
        actor: UserId,
        action: ChangeAction,
    ) -> ChangedMessage {
        match ask(self, message, actor, action).await {
            Ok(changed) => changed,
            Err(refused) => panic!("a change was refused: {refused:?}"),
        }
    }

    /// Appends a draft that must be taken.
    pub(super) async fn append(&self, draft: &Message) -> Appended {
        match self.messages.append(draft).await.unwrap() {
            Append::Done(appended) => *appended,
            refused => panic!("a member's message was refused: {refused:?}"),
        }
    }

    /// Sends as many texts.
    pub(super) async fn send(&self, chat: ChatId, sender: UserId, count: usize) -> Vec<Message> {
        let mut sent = Vec::with_capacity(count);
        for _ in 0..count {
            let appended = self.append(&draft(chat, sender)).await;
            assert!(!appended.is_duplicate);
            sent.push(appended.message);
        }
        sent
    }

    /// The chat as it is now.
    pub(super) async fn chat(&self, id: ChatId) -> Chat {
        let mut found = self.chats.chats(&[id]).await.unwrap();
        assert_eq!(found.len(), 1, "the chat is there, once");
        found.remove(0)
    }

    /// All messages of the chat, read from its start in pages.
    pub(super) async fn all_messages(&self, chat: ChatId) -> Vec<Message> {
        let mut messages: Vec<Message> = Vec::new();
        loop {
            let window = forward(messages.last().map(|message| message.seq), 100);
            let page = self.messages.page(chat, &window).await.unwrap();
            messages.extend(page.items);
            if !page.has_next {
                return messages;
            }
        }
    }
}

/// A user whom no store has yet.
pub(super) fn candidate(name: &str) -> User {
    User {
        id: ids().next(),
        email: EmailAddress::parse(&format!("{}@contract.example", word())).unwrap(),
        name: name_of(name),
        about: None,
        metadata: None,
        avatar_id: None,
        created_at: now(),
        last_seen_at: None,
        block_version: 0,
        deleted_at: None,
    }
}

/// A group that no store has yet, of which the first of these users is the owner.
pub(super) fn new_group(users: &[&User]) -> NewGroup {
    let (owner, others) = users.split_first().unwrap();
    NewGroup {
        chat_id: ids().next(),
        message_id: ids().next(),
        creator_id: owner.id,
        member_ids: others.iter().map(|user| user.id).collect(),
        title: ChatTitle::parse("A group").unwrap(),
        metadata: None,
        client_chat_id: None,
        avatar_id: None,
        at: now(),
    }
}

/// A chat that no store has yet.
pub(super) fn direct_candidate(at: Timestamp) -> Chat {
    Chat {
        id: ids().next(),
        kind: ChatKind::Direct,
        created_at: at,
        active_at: at,
        last_seq: 0,
        member_count: 2,
        title: None,
        last_change_seq: 0,
        applied_seq: 0,
        metadata_seq: 0,
        is_closed: false,
        avatar_id: None,
    }
}

/// A text that no store has numbered.
pub(super) fn draft(chat: ChatId, sender: UserId) -> Message {
    Message::draft(ids().next(), chat, sender, text_of("hello"), now())
}

/// The same with the sender's own id for it.
pub(super) fn draft_with_id(chat: ChatId, sender: UserId, own_id: &str) -> Message {
    Message {
        client_message_id: Some(ClientMessageId::parse(own_id).unwrap()),
        ..draft(chat, sender)
    }
}

/// A message's text.
pub(super) fn text_of(text: &str) -> MessageText {
    MessageText::parse(text).unwrap()
}

/// What an application keeps beside something.
pub(super) fn metadata(json: &str) -> Metadata {
    Metadata::parse(json.to_owned()).unwrap()
}

/// A user's name.
pub(super) fn name_of(text: &str) -> DisplayName {
    DisplayName::parse(text).unwrap()
}

/// The first `limit` items behind a position.
pub(super) fn forward<C>(after: Option<C>, limit: usize) -> Window<C> {
    Window {
        after,
        before: None,
        limit,
        from_end: false,
    }
}

/// The last `limit` items ahead of a position.
pub(super) fn backward<C>(before: Option<C>, limit: usize) -> Window<C> {
    Window {
        after: None,
        before,
        limit,
        from_end: true,
    }
}

/// Items in an order of their own, for answers that come in any.
pub(super) fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort_unstable();
    items
}

/// The numbers of messages.
pub(super) fn seqs(messages: &[Message]) -> Vec<u32> {
    messages.iter().map(|message| message.seq).collect()
}

/// Asks for a change of a message.
pub(super) async fn ask(
    stores: &Stores,
    message: &Message,
    actor: UserId,
    action: ChangeAction,
) -> Result<ChangedMessage, ChangeRefusal> {
    let change = MessageChange {
        message_id: message.id,
        chat_id: message.chat_id,
        actor_id: actor,
        at: now(),
        action,
    };
    match stores.messages.change(&change).await.unwrap() {
        Changed::Done(changed) => Ok(*changed),
        Changed::Refused(refusal) => Err(refusal),
    }
}
