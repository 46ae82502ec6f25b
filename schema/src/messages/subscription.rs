//! `messageAdded` and `messageUpdated`.

use std::sync::Arc;

use async_graphql::{Context, ID, Subscription};
use futures_util::{Stream, StreamExt as _, stream};
use talksy_domain::events::Published;
use talksy_domain::feeds::{ChangeItem, FeedError};
use talksy_domain::id;
use talksy_domain::incarnation::Incarnation;

use super::change::MessageChangeObject;
use super::types::MessageEdge;
use crate::context::ContextExt as _;
use crate::error::Result;
use crate::sharing::{OpenedFeed, Rendered, items};

/// Live feeds of messages.
#[derive(Default)]
pub struct MessageSubscription;

#[Subscription]
impl MessageSubscription {
    /// Every new message of the chat, exactly once and in order; with `after`, first those
    /// missed. After a reconnection give the cursor of the last message received.
    ///
    /// Ends with `FORBIDDEN` when the viewer is no member any more, and with `RESYNC_REQUIRED`
    /// when more was missed than is replayed.
    async fn message_added(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A chat of the viewer.")] chat_id: ID,
        #[graphql(desc = "The cursor of the last message known, from `messages` or from here.")]
        after: Option<String>,
    ) -> Result<impl Stream<Item = Result<MessageEdge>> + use<>> {
        let incarnation = ctx.services().feeds.incarnation().await?;
        let edge = move |message| async move { edge(message, incarnation) };
        if let Some(Rendered::Message(message)) = ctx.data_opt() {
            let once: Result<_, FeedError> = Ok(Arc::clone(message));
            return Ok(stream::iter([once]).filter_map(edge).left_stream());
        }
        let viewer = ctx.viewer()?;
        let chat = id::parse(&chat_id, "chatId")?;
        let feeds = &ctx.services().feeds;
        let feed = feeds.messages(viewer, chat, after.as_deref()).await?;
        let messages = items(ctx, feed, OpenedFeed::Messages);
        Ok(messages.filter_map(edge).right_stream())
    }

    /// Every changed message of the chat (edited, deleted, reacted to, pinned) as it is now, in the
    /// order of the changes; with `after`, first those changed since. Of several changes of one message
    /// that were missed the latest is told.
    ///
    /// Ends with `FORBIDDEN` when the viewer is no member any more, and with `RESYNC_REQUIRED`
    /// when more was missed than is replayed.
    async fn message_updated(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A chat of the viewer.")] chat_id: ID,
        #[graphql(desc = "The cursor of the last change known, from here, or `headCursor`.")]
        after: Option<String>,
    ) -> Result<impl Stream<Item = Result<MessageChangeObject>> + use<>> {
        if let Some(Rendered::Change(item)) = ctx.data_opt() {
            let once: Result<_, FeedError> = Ok(item.clone());
            return Ok(stream::iter([once]).filter_map(change).left_stream());
        }
        let viewer = ctx.viewer()?;
        let chat = id::parse(&chat_id, "chatId")?;
        let feeds = &ctx.services().feeds;
        let feed = feeds.changes(viewer, chat, after.as_deref()).await?;
        let changes = items(ctx, feed, OpenedFeed::Changes);
        Ok(changes.filter_map(change).right_stream())
    }
}

async fn change(item: Result<ChangeItem, FeedError>) -> Option<Result<MessageChangeObject>> {
    match item {
        Ok(ChangeItem { change, cursor }) => {
            let message = change.message()?.clone();
            Some(Ok(MessageChangeObject::at(message, cursor)))
        }
        Err(error) => Some(Err(error.into())),
    }
}

fn edge(
    published: Result<Arc<Published>, FeedError>,
    incarnation: Incarnation,
) -> Option<Result<MessageEdge>> {
    match published {
        Ok(published) => {
            let message = published.message()?.clone();
            Some(Ok(MessageEdge::new(message, incarnation)))
        }
        Err(error) => Some(Err(error.into())),
    }
}
