//! Loads messages.

use std::collections::HashMap;
use std::sync::Arc;

use talksy_domain::error::PortError;
use talksy_domain::id::ChatId;
use talksy_domain::messages::Message;
use talksy_domain::metadata::Metadata;
use talksy_domain::page::{Page, Window};
use talksy_domain::seq::Seq;

use crate::loaders::{Loader, LoaderContext, by_key, by_place};

/// A page of a chat's messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PageOf {
    /// The chat.
    pub chat: ChatId,
    /// Which part of its messages.
    pub window: Window<Seq>,
    /// What the chat's changes had reached when it was read. The page is read behind that: one that
    /// was loaded before is not told together with later changes.
    pub changes: Seq,
}

/// A page of a chat's changed messages, by change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChangesOf {
    /// The chat.
    pub chat: ChatId,
    /// Which part of its changes.
    pub window: Window<Seq>,
}

/// What the application keeps about a group, by the system message that says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GroupMetadataOf {
    /// The group.
    pub chat: ChatId,
    /// The number of the system message.
    pub seq: Seq,
}

/// The newest message of a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LastMessageOf(pub ChatId);

impl Loader<LastMessageOf> for LoaderContext {
    type Value = Arc<Message>;

    async fn load(
        &self,
        keys: &[LastMessageOf],
    ) -> Result<HashMap<LastMessageOf, Arc<Message>>, PortError> {
        let chats: Vec<_> = keys.iter().map(|key| key.0).collect();
        let messages = self.services.messages.last_messages(&chats).await?;
        Ok(by_key(messages.into_iter().map(Arc::new), |message| {
            LastMessageOf(message.chat_id)
        }))
    }
}

impl Loader<GroupMetadataOf> for LoaderContext {
    type Value = Metadata;

    async fn load(
        &self,
        keys: &[GroupMetadataOf],
    ) -> Result<HashMap<GroupMetadataOf, Metadata>, PortError> {
        let wanted: Vec<_> = keys.iter().map(|key| (key.chat, key.seq)).collect();
        let kept = self.services.messages.group_metadata(&wanted).await?;
        Ok(by_place(keys, kept, |metadata| metadata))
    }
}

impl Loader<PageOf> for LoaderContext {
    type Value = Page<Arc<Message>>;

    async fn load(&self, keys: &[PageOf]) -> Result<HashMap<PageOf, Self::Value>, PortError> {
        let Some(viewer) = self.viewer() else {
            return Ok(HashMap::new());
        };
        let wanted: Vec<_> = keys
            .iter()
            .map(|key| (key.chat, key.window.clone()))
            .collect();
        let pages = self.services.messages.pages(viewer, &wanted).await?;
        Ok(by_place(keys, pages, |page| page.map(Arc::new)))
    }
}

impl Loader<ChangesOf> for LoaderContext {
    type Value = Page<Arc<Message>>;

    async fn load(&self, keys: &[ChangesOf]) -> Result<HashMap<ChangesOf, Self::Value>, PortError> {
        let Some(viewer) = self.viewer() else {
            return Ok(HashMap::new());
        };
        let wanted: Vec<_> = keys
            .iter()
            .map(|key| (key.chat, key.window.clone()))
            .collect();
        let messages = &self.services.messages;
        let pages = messages.change_pages(viewer, &wanted).await?;
        Ok(by_place(keys, pages, |page| page.map(Arc::new)))
    }
}
