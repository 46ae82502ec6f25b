//! Loads reported messages.

use std::collections::HashMap;
use std::sync::Arc;

use talksy_domain::access::Operator;
use talksy_domain::error::PortError;
use talksy_domain::id::MessageId;
use talksy_domain::messages::Message;

use crate::loaders::{Loader, LoaderContext};

/// A message that was reported, which an operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReportedMessage {
    /// Who asks.
    pub operator: Operator,
    /// The message.
    pub message: MessageId,
}

impl Loader<ReportedMessage> for LoaderContext {
    type Value = Arc<Message>;

    async fn load(
        &self,
        keys: &[ReportedMessage],
    ) -> Result<HashMap<ReportedMessage, Arc<Message>>, PortError> {
        // A request has one viewer.
        let Some(operator) = keys.first().map(|key| key.operator) else {
            return Ok(HashMap::new());
        };
        let messages: Vec<_> = keys.iter().map(|key| key.message).collect();
        let moderation = &self.services.moderation;
        let found = moderation.reported_messages(operator, &messages).await?;
        let keyed = found.into_iter().map(|message| {
            let key = ReportedMessage {
                operator,
                message: message.id,
            };
            (key, Arc::new(message))
        });
        Ok(keyed.collect())
    }
}
