//! `chatUpdated`, `chatRemoved` and `readReceiptUpdated`.

use async_graphql::{Context, ID, Object, Subscription};
use futures_util::{Stream, StreamExt as _, stream};
use talksy_domain::cursor::{Cursor as _, MessageCursor};
use talksy_domain::feeds::{Feed as _, Removal};
use talksy_domain::id::{self, ChatId};

use super::types::{ChatNode, ReadReceiptObject};
use crate::context::ContextExt as _;
use crate::error::Result;
use crate::scalars::global_id;
use crate::sharing::{OpenedFeed, Rendered, items};

/// The viewer is no longer in this chat.
pub struct ChatRemovedObject {
    cursor: String,
    chat_id: ChatId,
}

/// The viewer is no longer in this chat.
#[Object(name = "ChatRemoved")]
impl ChatRemovedObject {
    /// The place of the system message that says so, and behind which the viewer reads nothing.
    pub(crate) async fn cursor(&self) -> String {
        self.cursor.clone()
    }

    /// The chat's global id.
    async fn chat_id(&self) -> ID {
        global_id(self.chat_id)
    }
}

impl ChatRemovedObject {
    /// A chat that was left at a place.
    pub(crate) const fn told(chat_id: ChatId, cursor: String) -> Self {
        Self { cursor, chat_id }
    }
}

/// Live feeds of chats.
#[derive(Default)]
pub struct ChatSubscription;

#[Subscription]
impl ChatSubscription {
    /// Any of the viewer's chats changed or appeared: its state now. What a sidebar needs.
    ///
    /// Subscribe first, then query `chats`: a change in between is then not missed. After a
    /// reconnection query again.
    async fn chat_updated(
        &self,
        ctx: &Context<'_>,
    ) -> Result<impl Stream<Item = Result<ChatNode>> + use<>> {
        if let Some(Rendered::Chat(item)) = ctx.data_opt() {
            let chat = Ok(ChatNode::at(&item.state));
            return Ok(stream::iter([chat]).left_stream());
        }
        let viewer = ctx.viewer()?;
        let chats = ctx.services().feeds.chats(viewer).await?;
        let chats = items(ctx, chats, |feed| OpenedFeed::Chats(Box::new(feed)));
        let chats = chats.map(|item| Ok(ChatNode::at(&item?.state)));
        Ok(chats.right_stream())
    }

    /// The viewer is no longer in this chat: they left it, or were removed.
    async fn chat_removed(
        &self,
        ctx: &Context<'_>,
    ) -> Result<impl Stream<Item = Result<ChatRemovedObject>> + use<>> {
        let viewer = ctx.viewer()?;
        let removals = ctx.services().feeds.removals(viewer).await?;
        Ok(removals.into_stream().map(|removal| {
            let Removal {
                chat_id,
                left_seq,
                incarnation,
            } = removal?;
            let place = MessageCursor {
                chat_id,
                incarnation,
                seq: left_seq,
                change_seq: None,
            };
            Ok(ChatRemovedObject::told(chat_id, place.encode()))
        }))
    }

    /// A member of the chat has read further: the member's receipt now. In a large group the viewer's
    /// own alone, as it was moved on any of their devices: see `Chat.readByAllSeq`.
    async fn read_receipt_updated(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A chat of the viewer.")] chat_id: ID,
    ) -> Result<impl Stream<Item = Result<ReadReceiptObject>> + use<>> {
        if let Some(Rendered::Receipt(item)) = ctx.data_opt() {
            let receipt = Ok(ReadReceiptObject(item.state));
            return Ok(stream::iter([receipt]).left_stream());
        }
        let viewer = ctx.viewer()?;
        let chat = id::parse(&chat_id, "chatId")?;
        let feeds = &ctx.services().feeds;
        let receipts = feeds.receipts(viewer, chat).await?;
        let receipts = items(ctx, receipts, OpenedFeed::Receipts);
        let receipts = receipts.map(|item| Ok(ReadReceiptObject(item?.state)));
        Ok(receipts.right_stream())
    }
}
