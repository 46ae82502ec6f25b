//! Deleting as an operator of the server.

use super::model::Message;
use super::rules::ChangeAction;
use super::service::{MessageError, MessageService};
use crate::access::AccessError;
use crate::id::MessageId;
use crate::moderation::audit::{self, AuditEntry, OperatorAct};
use crate::viewer::Viewer;

impl MessageService {
    /// Deletes a message that its viewer may delete as an operator of the server alone; `None` where
    /// they are none, or there is no such message.
    pub(super) async fn delete_by_operator(
        &self,
        viewer: &Viewer,
        message: MessageId,
    ) -> Result<Option<Message>, MessageError> {
        let operator = match self.access.operator(viewer).await {
            Ok(operator) => operator,
            Err(AccessError::Denied(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Some(found) = self.store.messages(&[message]).await?.pop() else {
            return Ok(None);
        };
        self.write_erasure(&found).await?;
        let entry = AuditEntry {
            id: self.ids.next(),
            at: self.clock.now(),
            operator_id: operator.user_id(),
            act: OperatorAct::DeleteMessage {
                message_id: found.id,
                chat_id: found.chat_id,
                sender_id: found.sender_id,
            },
        };
        let action = ChangeAction::Moderate {
            entry: Box::new(entry.clone()),
        };
        let changed = self.commit(viewer, &found, action).await?;
        if changed.is_new {
            audit::told(&entry);
        }
        Ok(Some(changed.message))
    }
}
