//! The port through which messages are kept.

use super::model::Message;
use super::reactions::{Emoji, Reaction, ReactionOf, ReactionPage};
use super::rules::{ChangeRefusal, MessageChange};
use crate::access::Denied;
use crate::chats::model::Chat;
use crate::error::PortError;
use crate::events::announcement::Announcement;
use crate::id::{ChatId, MessageId, UserId};
use crate::incarnation::Incarnation;
use crate::page::{Page, Window};
use crate::port::port;
use crate::search::model::{MessageSearch, SearchPage};
use crate::seq::Seq;

/// A message that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The message with its number.
    pub message: Message,
    /// Its chat as of the same commit.
    pub chat: Chat,
    /// Whether it is an earlier message with the same `clientMessageId`, found and not made.
    pub is_duplicate: bool,
}

/// What came of appending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Append {
    /// The message is durable: a crash at any later moment does not lose it.
    Done(Box<Appended>),
    /// The sender may not write to the chat. Nothing was kept.
    Denied(Denied),
    /// The sender may not read the message that it replies to. Nothing was kept.
    NoReplyTarget,
    /// Who is mentioned at this place of the list is no member. Nothing was kept.
    NotMentionable(usize),
    /// The chat has no number left ([`crate::seq::MAX`]). Nothing was kept.
    Full,
}

impl Append {
    /// What followers are told of it: a message that was sent before too, since what was told then
    /// may be lost.
    pub fn announcements(&self) -> Vec<Announcement> {
        match self {
            Self::Done(appended) => vec![Announcement::message_added(appended.message.clone())],
            Self::Denied(_) | Self::NoReplyTarget | Self::NotMentionable(_) | Self::Full => {
                Vec::new()
            }
        }
    }
}

/// What came of changing a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// The message is as it was asked for, durably.
    Done(Box<ChangedMessage>),
    /// It was refused. Nothing was changed.
    Refused(ChangeRefusal),
}

impl Changed {
    /// What followers are told of it: a message that was so already too, as a message that was sent
    /// before. One that was never changed is on no line of changes.
    pub fn announcements(&self) -> Vec<Announcement> {
        match self {
            Self::Done(changed) if changed.message.change_seq > 0 => {
                let mseq = changed.chat.applied_seq;
                let message = changed.message.clone();
                vec![Announcement::message_changed(message, mseq)]
            }
            Self::Done(_) | Self::Refused(_) => Vec::new(),
        }
    }
}

/// A message that is as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedMessage {
    /// The message now.
    pub message: Message,
    /// Its chat as of the same commit.
    pub chat: Chat,
    /// False where it was so already, so that it has no new number.
    pub is_new: bool,
}

/// The ends of a chat's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The chat.
    pub chat_id: ChatId,
    /// The number of its newest message, 0 for none.
    pub last_seq: Seq,
    /// The number of the newest change of a message, 0 for none.
    pub last_change_seq: Seq,
    /// See [`Chat::applied_seq`].
    pub applied_seq: Seq,
    /// How many members the chat has.
    pub member_count: u32,
}

/// A message by its chat and its number there.
pub type MessageAt = (ChatId, Seq);

/// Which part of the replies to which message is wanted.
pub type ReplyPage = (MessageAt, Window<Seq>);

port! {
    /// Keeps messages. Each method is atomic on its own. Methods that take many ids answer in any
    /// order and leave out what does not exist.
    pub trait MessageStore as "messages" with MessageStoreLayer {
        /// Gives the draft the next number of its chat and makes it durable, with the chat's
        /// `last_seq` and `active_at`. Where the sender has a message with the same
        /// `client_message_id` in the chat, that one is the answer, also where they are no member
        /// any more. Else the sender must be a member at that number: the system messages of the
        /// numbers before it decide. What it replies to, a message of the chat, must lie where the
        /// sender may read, and whom it mentions must be members. System messages are not appended but by
        /// [`crate::groups::GroupStore`].
        async fn append(&self, draft: &Message) -> Result<Append, PortError>;

        /// The message that [`MessageStore::append`] would answer this draft with instead of keeping it:
        /// of the same sender in the chat, with the same `client_message_id`. `None` for a draft
        /// without one.
        async fn repeated(&self, draft: &Message) -> Result<Option<Message>, PortError>;

        /// These messages.
        async fn messages(&self, ids: &[MessageId]) -> Result<Vec<Message>, PortError>;

        /// Messages of a chat by number, oldest first.
        async fn page(&self, chat: ChatId, window: &Window<Seq>) -> Result<Page<Message>, PortError>;

        /// A page of each of these chats, in their order, as [`MessageStore::page`].
        async fn pages(
            &self,
            wanted: &[(ChatId, Window<Seq>)],
        ) -> Result<Vec<Page<Message>>, PortError>;

        /// Changes a message by [`MessageChange::apply`], judged in the same commit, and gives it
        /// the chat's next change number. Whom it mentions is judged by
        /// [`MessageChange::check_mentions`]. What the deletion takes away is gone from the store. By
        /// what right it is made says [`MessageChange::right`].
        async fn change(&self, change: &MessageChange) -> Result<Changed, PortError>;

        /// Changes a message as [`MessageStore::change`] does, for an account that is erased, by
        /// [`Right::Erasure`](super::rules::Right::Erasure): the actor may be no member.
        async fn erase(&self, change: &MessageChange) -> Result<Changed, PortError>;

        /// The first `limit` messages, by number, that the user has sent in the chat behind number
        /// `after`, without deleted ones.
        async fn sent_by(
            &self,
            chat: ChatId,
            user: UserId,
            after: Seq,
            limit: usize,
        ) -> Result<Vec<Message>, PortError>;

        /// The first `limit` reactions of the user behind this one, to messages of whatever chat, in the
        /// order of messages and emoji. Among them may be such to deleted messages.
        async fn reacted_by(
            &self,
            user: UserId,
            after: Option<&ReactionOf>,
            limit: usize,
        ) -> Result<Vec<ReactionOf>, PortError>;

        /// Messages of a chat from number `from` on, by the number of their latest change, oldest
        /// first; those that were never changed are not among them. Forward windows only. What the
        /// page holds is complete up to its last item: a change that is missing there comes, or was
        /// superseded by one, with a greater number.
        async fn changes(
            &self,
            chat: ChatId,
            from: Seq,
            window: &Window<Seq>,
        ) -> Result<Page<Message>, PortError>;

        /// The changes of each of these chats, in their order, as [`MessageStore::changes`]: the
        /// number from which on messages are among them stands in the middle.
        async fn change_pages(
            &self,
            wanted: &[(ChatId, Seq, Window<Seq>)],
        ) -> Result<Vec<Page<Message>>, PortError>;

        /// How many messages reply to each of these, for its place in `messages`. Deleted ones do not
        /// count. Exact, counted by index.
        async fn reply_counts(
            &self,
            messages: &[MessageAt],
        ) -> Result<Vec<(MessageAt, u32)>, PortError>;

        /// Each of these pages, in their order: the messages that reply to a message, by number,
        /// oldest first, without deleted ones. Forward windows only.
        async fn reply_pages(&self, wanted: &[ReplyPage]) -> Result<Vec<Page<Message>>, PortError>;

        /// The newest message of each of these chats.
        async fn last_messages(&self, chats: &[ChatId]) -> Result<Vec<Message>, PortError>;

        /// Which past the store has. It is another one once the store was restored.
        async fn incarnation(&self) -> Result<Incarnation, PortError>;

        /// The ends of these chats.
        async fn heads(&self, chats: &[ChatId]) -> Result<Vec<Head>, PortError>;

        /// With which emoji the user has reacted to these messages, each named with its chat. Not
        /// behind what [`MessageStore::messages`] has answered before.
        async fn reactions_of(
            &self,
            user: UserId,
            messages: &[(ChatId, MessageId)],
        ) -> Result<Vec<(MessageId, Emoji)>, PortError>;

        /// The same of one message, for many users.
        async fn reactions_among(
            &self,
            message: (ChatId, MessageId),
            users: &[UserId],
        ) -> Result<Vec<(UserId, Emoji)>, PortError>;

        /// Each of these pages of those who have reacted, in their order. Of a deleted message there
        /// are none.
        async fn reaction_pages(
            &self,
            wanted: &[ReactionPage],
        ) -> Result<Vec<Page<Reaction>>, PortError>;

        /// Erases up to `most` of the reactions to a deleted message, and says how many there were;
        /// `None` where the message is not deleted. The store writes the job that does it with the
        /// deletion.
        async fn erase_reactions(
            &self,
            chat: ChatId,
            message: MessageId,
            most: usize,
        ) -> Result<Option<usize>, PortError>;

        /// Messages with these words, newest first, of the parts of chats that are searched. Edits and
        /// deletions reach it with their commit. What it costs does not grow with the chats' length:
        /// a store looks at so much, and then answers with what it has found and where to go on.
        async fn search(&self, search: &MessageSearch) -> Result<SearchPage, PortError>;

        /// Sees to it that those of the next `most` messages behind `after`, by id, are found by their
        /// words which were kept before there was a search. The id of the last that was looked at;
        /// `None` where there are no more. Harmless twice.
        async fn index_messages(
            &self,
            after: Option<MessageId>,
            most: usize,
        ) -> Result<Option<MessageId>, PortError>;

        /// The pinned messages of each of these chats, in their order, from a message's number on,
        /// newest pin first. The window is of the numbers of the changes that have pinned them, of
        /// which the greatest comes first; forward windows only.
        async fn pinned_pages(
            &self,
            wanted: &[(ChatId, Seq, Window<Seq>)],
        ) -> Result<Vec<Page<Message>>, PortError>;
    }
}
