//! `Message`.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object};
use talksy_domain::chats::{Member, MemberFilter, MemberPage};
use talksy_domain::cursor::{Cursor as _, MemberCursor, MessageCursor};
use talksy_domain::incarnation::Incarnation;
use talksy_domain::messages::{ClientMessageId, Message, MessageText};
use talksy_domain::page::{MAX_PAGE, Page, Window};
use talksy_domain::seq::Seq;

use super::notice::SystemNoticeObject;
use super::reactions::ReactionGroupObject;
use super::replies::{RepliesOf, ReplyCountOf, load_target, place_among_replies};
use crate::attachments::{AttachmentNode, load_attachments};
use crate::chats::{
    ChatNode, FirstMembersOf, LowestReadMarksOf, ReadReceiptConnection, ReadReceiptObject,
    check_member, is_large, load_chat, load_members, member_cursor, no_member,
};
use crate::connection::connection;
use crate::context::ContextExt as _;
use crate::error::Result;
use crate::metadata::Json;
use crate::scalars::{DateTime, global_id, int};
use crate::sharing::{SharedField, SharedType};
use crate::users::{UserNode, load_user, load_users};

/// What kind of message it is.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "MessageKind", remote = "talksy_domain::messages::MessageKind")]
pub enum MessageKindEnum {
    /// Has text.
    Text,
    /// Has at least one image.
    Image,
    /// Has at least one file, and no image.
    File,
    /// Says what happened in the chat; has no sender.
    System,
}

/// What viewers share of messages.
pub(crate) const SHARED: &[SharedType] = &[
    SharedType {
        name: "MessageEdge",
        interfaces: &[],
        fields: &[
            SharedField::event("cursor"),
            SharedField::event("node").of("Message"),
        ],
    },
    SharedType {
        name: "Message",
        interfaces: &["Node"],
        fields: &[
            SharedField::event("id"),
            SharedField::event("chat").of("Chat"),
            SharedField::event("cursor"),
            SharedField::event("seq"),
            SharedField::event("changeSeq"),
            SharedField::event("kind"),
            SharedField::event("sender").of("User"),
            SharedField::event("text"),
            SharedField::event("metadata"),
            // By those who may read it, and by those who may not. What it replies to itself asks for the
            // viewer, and then nothing is shared.
            SharedField::event("replyTo").of("Message"),
            SharedField::event("mentions").of("User"),
            SharedField::event("attachments").of("Attachment"),
            SharedField::event("system").of("SystemNotice"),
            SharedField::event("clientMessageId"),
            SharedField::event("createdAt"),
            SharedField::event("editedAt"),
            SharedField::event("deletedAt"),
            SharedField::event("reactions").of("ReactionGroup"),
            SharedField::event("isPinned"),
        ],
    },
    SharedType {
        name: "MessageChange",
        interfaces: &["AccountEvent"],
        fields: &[
            SharedField::hole("cursor"),
            SharedField::event("changeSeq"),
            SharedField::event("message").of("Message"),
        ],
    },
    SharedType {
        name: "SystemNotice",
        interfaces: &[],
        fields: &[
            SharedField::event("kind"),
            SharedField::event("actor").of("User"),
            SharedField::event("subjects").of("User"),
            SharedField::event("title"),
            SharedField::event("role"),
        ],
    },
];

/// A message.
#[derive(Clone)]
pub struct MessageNode {
    message: Arc<Message>,
    /// Of a message in a page: the store's incarnation, and the changes that whoever has the page
    /// has; see [`MessageCursor::change_seq`].
    page: Option<(Incarnation, Seq)>,
    /// Whether the viewer was let see the message alone, and may be no member of its chat.
    is_out_of_chat: bool,
}

/// A message.
#[Object(name = "Message")]
impl MessageNode {
    /// The message's global id.
    pub(crate) async fn id(&self) -> ID {
        global_id(self.message.id)
    }

    /// Its chat.
    async fn chat(&self, ctx: &Context<'_>) -> Result<ChatNode> {
        let chat = load_chat(ctx, self.message.chat_id).await?;
        Ok(if self.is_out_of_chat {
            chat.without_proof()
        } else {
            chat
        })
    }

    /// The message's place in `Chat.messages`. Cursors of replies, pins and search are other cursors.
    async fn cursor(&self, ctx: &Context<'_>) -> Result<String> {
        let incarnation = match self.page {
            Some((incarnation, _)) => incarnation,
            None => ctx.services().feeds.incarnation().await?,
        };
        Ok(self.place(incarnation))
    }

    /// 1, 2, 3 … within the chat, without a hole.
    async fn seq(&self) -> i32 {
        int(self.message.seq)
    }

    /// The number of its latest change within the chat (edit, deletion, reaction, pin), 0 where it was
    /// never changed. Of two states of a message keep the one with the greater number, wherever each came
    /// from; always select it.
    async fn change_seq(&self) -> i32 {
        int(self.message.change_seq)
    }

    /// What kind of message it is.
    async fn kind(&self) -> MessageKindEnum {
        self.message.kind.into()
    }

    /// Who sent it. Null for a system message.
    async fn sender(&self, ctx: &Context<'_>) -> Result<Option<UserNode>> {
        match self.message.sender_id {
            Some(user) => Ok(Some(load_user(ctx, user).await?)),
            None => Ok(None),
        }
    }

    /// What it says. Null where the message has no text or was deleted.
    async fn text(&self) -> Option<&str> {
        self.message.text.as_ref().map(MessageText::as_str)
    }

    /// What the application keeps beside the message. Null where there is none or the message was
    /// deleted.
    async fn metadata(&self) -> Option<Json> {
        self.message.metadata.as_ref().map(Json::of)
    }

    /// The message that it replies to. Null where it is no reply or was deleted, and where the viewer
    /// may not read that message.
    async fn reply_to(&self, ctx: &Context<'_>) -> Result<Option<MessageNode>> {
        let target = load_target(ctx, &self.message).await?;
        Ok(target.map(MessageNode::new))
    }

    /// How many messages reply to this one, deleted ones left out. `changeSeq` does not cover it: it
    /// goes on while the message stays.
    async fn reply_count(&self, ctx: &Context<'_>) -> Result<i32> {
        let key = ReplyCountOf((self.message.chat_id, self.message.seq));
        let count = ctx.loaders().load_one(key).await?;
        Ok(int(count.unwrap_or_default()))
    }

    /// The messages that reply to this one, oldest first, deleted ones left out. Their cursors are
    /// places among them, and not in `Chat.messages`.
    async fn replies(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 0 to 100; 50 where absent.")] first: Option<i32>,
        #[graphql(desc = "Only replies behind this cursor.")] after: Option<String>,
    ) -> Result<MessageConnection> {
        let chat = self.message.chat_id;
        let key = RepliesOf::of((chat, self.message.seq), first, after.as_deref())?;
        let Some(page) = ctx.loaders().load_one(key).await? else {
            return Err(no_member(ctx, chat).await);
        };
        Ok(MessageConnection::new(
            page.map(MessageNode::new),
            |reply| place_among_replies(&reply.message),
        ))
    }

    /// Whom it mentions, at most 50. None where the message was deleted.
    async fn mentions(&self, ctx: &Context<'_>) -> Result<Vec<UserNode>> {
        load_users(ctx, &self.message.mention_ids).await
    }

    /// Its attachments, at most 10, in the sender's order. None where the message was deleted.
    async fn attachments(&self, ctx: &Context<'_>) -> Result<Vec<AttachmentNode>> {
        load_attachments(ctx, &self.message.attachments).await
    }

    /// What happened, for a system message.
    async fn system(&self) -> Option<SystemNoticeObject> {
        let notice = self.message.notice.clone()?;
        Some(SystemNoticeObject(notice))
    }

    /// The sender's own id for the message.
    async fn client_message_id(&self) -> Option<&str> {
        self.message
            .client_message_id
            .as_ref()
            .map(ClientMessageId::as_str)
    }

    /// When it was sent.
    async fn created_at(&self) -> DateTime {
        self.message.created_at.into()
    }

    /// When its content was last changed.
    async fn edited_at(&self) -> Option<DateTime> {
        self.message.edited_at.map(DateTime)
    }

    /// When it was deleted.
    async fn deleted_at(&self) -> Option<DateTime> {
        self.message.deleted_at.map(DateTime)
    }

    /// The reactions, by emoji, in the order in which each came first; at most 50.
    async fn reactions(&self) -> Vec<ReactionGroupObject> {
        ReactionGroupObject::of(&self.message)
    }

    /// Whether the message is pinned in its chat.
    async fn is_pinned(&self) -> bool {
        self.message.pinned_seq > 0
    }

    /// Members other than the sender whose read mark has passed this message. In a large group too,
    /// when it is asked: there `readReceiptUpdated` does not tell that somebody has read on.
    async fn read_by(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 0 to 100; 50 where absent.")] first: Option<i32>,
        #[graphql(desc = "Only receipts behind this cursor.")] after: Option<String>,
    ) -> Result<ReadReceiptConnection> {
        let window = Window::forward(
            first,
            member_cursor(after.as_deref(), self.message.chat_id)?,
        )?;
        if self.is_out_of_chat {
            check_member(ctx, self.message.chat_id).await?;
        }
        let page = self.readers(ctx, &window).await?;
        let receipts = Page {
            has_next: page.has_next,
            has_previous: page.has_previous,
            items: page
                .items
                .iter()
                .filter_map(Member::receipt)
                .map(ReadReceiptObject)
                .collect(),
        };
        Ok(ReadReceiptConnection::new(
            receipts,
            ReadReceiptObject::cursor,
        ))
    }

    /// True once every other member has read it; always false where it is not told: see
    /// `Chat.readByAllSeq`.
    async fn is_read_by_all(&self, ctx: &Context<'_>) -> Result<bool> {
        if is_large(ctx, self.message.chat_id).await? {
            return Ok(false);
        }
        let slowest = ctx
            .loaders()
            .load_one(LowestReadMarksOf(self.message.chat_id))
            .await?;
        let slowest = slowest.unwrap_or_default();
        let other = slowest
            .iter()
            .find(|member| Some(member.user_id) != self.message.sender_id);
        Ok(other
            .is_some_and(|member| !member.is_blocked && member.last_read_seq >= self.message.seq))
    }
}

impl MessageNode {
    /// The node of a message.
    pub(crate) fn new(message: impl Into<Arc<Message>>) -> Self {
        Self {
            message: message.into(),
            page: None,
            is_out_of_chat: false,
        }
    }

    /// The node of a message that the viewer was let see alone, and not as a member of its chat: an
    /// operator of the server.
    pub(crate) fn out_of_chat(message: impl Into<Arc<Message>>) -> Self {
        Self {
            is_out_of_chat: true,
            ..Self::new(message)
        }
    }

    /// The node of a message in a page that was read when the chat's changes had reached `changes`.
    pub(crate) fn of_page(
        message: impl Into<Arc<Message>>,
        incarnation: Incarnation,
        changes: Seq,
    ) -> Self {
        Self {
            message: message.into(),
            page: Some((incarnation, changes)),
            is_out_of_chat: false,
        }
    }

    /// The message.
    pub(super) fn message(&self) -> &Message {
        &self.message
    }

    /// The message's place in its chat, and that of its page among the changes.
    pub(crate) fn place(&self, incarnation: Incarnation) -> String {
        MessageCursor {
            chat_id: self.message.chat_id,
            incarnation,
            seq: self.message.seq,
            change_seq: self.page.map(|(_, changes)| changes),
        }
        .encode()
    }

    /// The same, of a message in a page.
    pub(crate) fn place_in_page(&self) -> String {
        let incarnation = self.page.map(|(incarnation, _)| incarnation);
        self.place(incarnation.unwrap_or_default())
    }

    /// The readers of this message. In a chat whose members fit a page they come from the list
    /// of members, which all messages of the request share; else from the store.
    async fn readers(
        &self,
        ctx: &Context<'_>,
        window: &Window<MemberCursor>,
    ) -> Result<Page<Member>> {
        let (chat, seq) = (self.message.chat_id, self.message.seq);
        let is_reader = |member: &Member| {
            Some(member.user_id) != self.message.sender_id && member.has_read(seq)
        };
        let key = FirstMembersOf {
            chat,
            limit: MAX_PAGE + 1,
        };
        let members = ctx.loaders().load_one(key).await?.unwrap_or_default();
        if members.len() <= MAX_PAGE {
            let after = window.after.map(|after| after.user_id);
            let readers = members
                .iter()
                .filter(|member| is_reader(member) && Some(member.user_id) > after);
            return Ok(Page::from_overread(readers.cloned().collect(), window));
        }
        // The sender may be among those read, so one more is asked for.
        let wider = Window {
            limit: window.limit + 1,
            ..window.clone()
        };
        let filter = MemberFilter {
            has_read: Some(seq),
            name: None,
        };
        let wanted = MemberPage {
            chat,
            filter,
            window: wider,
        };
        let page = load_members(ctx, wanted).await?;
        let more = page.has_next;
        let mut members = page.items;
        members.retain(is_reader);
        let mut page = Page::from_overread(members, window);
        page.has_next |= more;
        Ok(page)
    }
}

connection!(
    MessageConnection,
    MessageEdge,
    "MessageConnection",
    "MessageEdge",
    MessageNode,
    "A page of messages, in the order of their list."
);

impl MessageConnection {
    /// The same, where the list goes on at another place than behind its last item.
    pub(crate) fn ending_at(self, end: Option<String>) -> Self {
        Self { end, ..self }
    }
}

impl MessageEdge {
    /// The edge of a message.
    pub(crate) fn new(message: Message, incarnation: Incarnation) -> Self {
        let node = MessageNode::new(message);
        Self {
            cursor: node.place(incarnation),
            node,
        }
    }
}

impl ReadReceiptObject {
    fn cursor(&self) -> String {
        MemberCursor {
            chat_id: self.0.chat_id,
            user_id: self.0.user_id,
        }
        .encode()
    }
}
