//! `Message`.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object};
use talksy_domain::chats::Member;
use talksy_domain::cursor::{Cursor as _, MemberCursor, MessageCursor};
use talksy_domain::messages::{ClientMessageId, Message, MessageText};
use talksy_domain::page::{MAX_PAGE, Page, Window};

use crate::chats::{
    ChatNode, FirstMembersOf, LowestReadMarksOf, ReadReceiptConnection, ReadReceiptObject,
    load_chat, member_cursor,
};
use crate::connection::{connection, page_cost};
use crate::context::ContextExt as _;
use crate::error::Result;
use crate::scalars::{DateTime, global_id, int};
use crate::users::{UserNode, load_user};

/// What kind of message it is.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "MessageKind", remote = "talksy_domain::messages::MessageKind")]
pub enum MessageKindEnum {
    /// Has text.
    Text,
    /// Has at least one image.
    Image,
    /// Has at least one file that is no image.
    File,
    /// Says what happened in the chat; has no sender.
    System,
}

/// A message.
#[derive(Clone)]
pub struct MessageNode(Arc<Message>);

/// A message.
#[Object(name = "Message")]
impl MessageNode {
    /// The message's global id.
    pub(crate) async fn id(&self) -> ID {
        global_id(self.0.id)
    }

    /// Its chat.
    async fn chat(&self, ctx: &Context<'_>) -> Result<ChatNode> {
        load_chat(ctx, self.0.chat_id).await
    }

    /// The message's place in `Chat.messages`: give it as `after` or `before`.
    async fn cursor(&self) -> String {
        self.place()
    }

    /// 1, 2, 3 … within the chat, without a hole.
    async fn seq(&self) -> i32 {
        int(self.0.seq)
    }

    /// What kind of message it is.
    async fn kind(&self) -> MessageKindEnum {
        self.0.kind.into()
    }

    /// Who sent it. Null for a system message.
    async fn sender(&self, ctx: &Context<'_>) -> Result<Option<UserNode>> {
        match self.0.sender_id {
            Some(user) => Ok(Some(load_user(ctx, user).await?)),
            None => Ok(None),
        }
    }

    /// What it says. Null where the message has no text or was deleted.
    async fn text(&self) -> Option<&str> {
        self.0.text.as_ref().map(MessageText::as_str)
    }

    /// The sender's own id for the message.
    async fn client_message_id(&self) -> Option<&str> {
        self.0
            .client_message_id
            .as_ref()
            .map(ClientMessageId::as_str)
    }

    /// When it was sent.
    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }

    /// When its text was last changed.
    async fn edited_at(&self) -> Option<DateTime> {
        self.0.edited_at.map(DateTime)
    }

    /// When it was deleted.
    async fn deleted_at(&self) -> Option<DateTime> {
        self.0.deleted_at.map(DateTime)
    }

    /// Members other than the sender whose read mark has passed this message.
    #[graphql(complexity = "page_cost([first, None], child_complexity)")]
    async fn read_by(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 0 to 100; 50 where absent.")] first: Option<i32>,
        #[graphql(desc = "Only receipts behind this cursor.")] after: Option<String>,
    ) -> Result<ReadReceiptConnection> {
        let window = Window::forward(first, member_cursor(after.as_deref(), self.0.chat_id)?)?;
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

    /// True once every other member has read it.
    async fn is_read_by_all(&self, ctx: &Context<'_>) -> Result<bool> {
        let slowest = ctx
            .loaders()
            .load_one(LowestReadMarksOf(self.0.chat_id))
            .await?;
        let slowest = slowest.unwrap_or_default();
        let other = slowest
            .iter()
            .find(|member| Some(member.user_id) != self.0.sender_id);
        Ok(other.is_some_and(|member| member.last_read_seq >= self.0.seq))
    }
}

impl MessageNode {
    /// The node of a message.
    pub(crate) fn new(message: Message) -> Self {
        Self(Arc::new(message))
    }

    /// The message's place in its chat.
    pub(crate) fn place(&self) -> String {
        MessageCursor {
            chat_id: self.0.chat_id,
            seq: self.0.seq,
        }
        .encode()
    }

    /// The readers of this message. In a chat whose members fit a page they come from the list
    /// of members, which all messages of the request share; else from the store.
    async fn readers(
        &self,
        ctx: &Context<'_>,
        window: &Window<MemberCursor>,
    ) -> Result<Page<Member>> {
        let (chat, seq) = (self.0.chat_id, self.0.seq);
        let is_reader = |member: &Member| {
            Some(member.user_id) != self.0.sender_id && member.last_read_seq >= seq
        };
        let key = FirstMembersOf {
            chat,
            limit: MAX_PAGE + 1,
        };
        let mut members = ctx.loaders().load_one(key).await?.unwrap_or_default();
        if members.len() <= MAX_PAGE {
            members.retain(is_reader);
            if let Some(after) = window.after {
                members.retain(|member| member.user_id > after.user_id);
            }
            return Ok(Page::from_overread(members, window));
        }
        // The sender may be among those read, so one more is asked for.
        let wider = Window {
            limit: window.limit + 1,
            ..window.clone()
        };
        let services = ctx.services();
        let membership = services.access.membership(ctx.viewer()?, chat).await?;
        let page = services
            .chats
            .members(&membership, Some(seq), &wider)
            .await?;
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
    "A page of messages, oldest first."
);

impl MessageEdge {
    /// The edge of a message.
    pub(crate) fn new(message: Message) -> Self {
        let node = MessageNode::new(message);
        Self {
            cursor: node.place(),
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
