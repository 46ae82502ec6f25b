//! Replies: what a message answers, and what answers it.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::Context;
use talksy_domain::cursor::{Cursor as _, ReplyCursor};
use talksy_domain::error::{Invalid, PortError};
use talksy_domain::feeds::ReplyTarget;
use talksy_domain::messages::{Message, MessageAt};
use talksy_domain::page::{Page, Window};
use talksy_domain::seq::Seq;

use crate::context::ContextExt as _;
use crate::loaders::{Loader, LoaderContext, by_place};

/// A message, where the viewer may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReadableMessage(pub MessageAt);

/// How many replies a message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplyCountOf(pub MessageAt);

/// A page of the replies to a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RepliesOf {
    /// The message.
    pub message: MessageAt,
    /// Which part of its replies.
    pub window: Window<Seq>,
}

impl RepliesOf {
    /// The page that the arguments ask for.
    ///
    /// # Errors
    /// [`Invalid`] where they break a rule.
    pub(crate) fn of(
        message: MessageAt,
        first: Option<i32>,
        after: Option<&str>,
    ) -> Result<Self, Invalid> {
        let decode = |text| ReplyCursor::decode_of(text, message, "after");
        let after = after.map(decode).transpose()?;
        Ok(Self {
            message,
            window: Window::forward(first, after.map(|cursor| cursor.seq))?,
        })
    }
}

/// The message that one replies to, where the viewer may read it.
pub(crate) async fn load_target(
    ctx: &Context<'_>,
    reply: &Message,
) -> Result<Option<Arc<Message>>, PortError> {
    let Some(seq) = reply.reply_to else {
        return Ok(None);
    };
    let at = (reply.chat_id, seq);
    // Beside an event that is rendered for all who may read it, or for all who may not.
    let shared = ctx.data_opt::<ReplyTarget>();
    match shared.filter(|shared| shared.at() == at) {
        Some(target) => ctx.loaders().load_one(*target).await,
        None => ctx.loaders().load_one(ReadableMessage(at)).await,
    }
}

/// The place of a reply among those to the same message.
pub(crate) fn place_among_replies(reply: &Message) -> String {
    ReplyCursor {
        chat_id: reply.chat_id,
        reply_to: reply.reply_to.unwrap_or_default(),
        seq: reply.seq,
    }
    .encode()
}

impl Loader<ReadableMessage> for LoaderContext {
    type Value = Arc<Message>;

    async fn load(
        &self,
        keys: &[ReadableMessage],
    ) -> Result<HashMap<ReadableMessage, Arc<Message>>, PortError> {
        let Some(viewer) = self.viewer() else {
            return Ok(HashMap::new());
        };
        let wanted: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = self.services.messages.readable(viewer, &wanted).await?;
        Ok(by_place(keys, found, Arc::new))
    }
}

impl Loader<ReplyTarget> for LoaderContext {
    type Value = Arc<Message>;

    async fn load(
        &self,
        keys: &[ReplyTarget],
    ) -> Result<HashMap<ReplyTarget, Arc<Message>>, PortError> {
        let found = self.services.feeds.reply_targets(keys).await?;
        Ok(by_place(keys, found, Arc::new))
    }
}

impl Loader<ReplyCountOf> for LoaderContext {
    type Value = u32;

    async fn load(&self, keys: &[ReplyCountOf]) -> Result<HashMap<ReplyCountOf, u32>, PortError> {
        let messages: Vec<_> = keys.iter().map(|key| key.0).collect();
        let counts = self.services.messages.reply_counts(&messages).await?;
        let counts = counts.into_iter();
        Ok(counts
            .map(|(message, count)| (ReplyCountOf(message), count))
            .collect())
    }
}

impl Loader<RepliesOf> for LoaderContext {
    type Value = Page<Arc<Message>>;

    async fn load(&self, keys: &[RepliesOf]) -> Result<HashMap<RepliesOf, Self::Value>, PortError> {
        let Some(viewer) = self.viewer() else {
            return Ok(HashMap::new());
        };
        let wanted: Vec<_> = keys
            .iter()
            .map(|key| (key.message, key.window.clone()))
            .collect();
        let pages = self.services.messages.reply_pages(viewer, &wanted).await?;
        Ok(by_place(keys, pages, |page| page.map(Arc::new)))
    }
}
