//! Loads messages.

use std::collections::HashMap;

use async_graphql::dataloader::Loader;
use talksy_domain::error::PortError;
use talksy_domain::id::ChatId;
use talksy_domain::messages::Message;

use crate::loaders::{LoaderContext, by_key};

/// The newest message of a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LastMessageOf(pub ChatId);

impl Loader<LastMessageOf> for LoaderContext {
    type Value = Message;
    type Error = PortError;

    async fn load(
        &self,
        keys: &[LastMessageOf],
    ) -> Result<HashMap<LastMessageOf, Message>, PortError> {
        let chats: Vec<_> = keys.iter().map(|key| key.0).collect();
        let messages = self.services.messages.last_messages(&chats).await?;
        Ok(by_key(messages, |message| LastMessageOf(message.chat_id)))
    }
}
