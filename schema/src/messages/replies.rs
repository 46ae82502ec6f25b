//! Replies: what a message answers, and what answers it.

use std::collections::HashMap;
use std::sync::Arc;

use talksy_domain::cursor::{Cursor as _, ReplyCursor};
use talksy_domain::error::{Invalid, PortError};
use talksy_domain::messages::{Message, MessageAt};
use talksy_domain::page::{Page, Window};
use talksy_domain::seq::Seq;

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
