//! What operators have done, for the server's owner: a log to which is only added.

use serde::{Deserialize, Serialize};

use super::model::Reason;
use crate::clock::Timestamp;
use crate::id::{AuditId, ChatId, MessageId, ReportId, UserId};

/// An act of an operator, as it is kept. It names users by their ids alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Identifies the entry; the log is ordered by it, and so by time to the millisecond.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub operator_id: UserId,
    /// What.
    pub act: OperatorAct,
}

/// What an operator does.
///
/// The serialised names are kept in stores and read by instances of other versions: a new field needs
/// a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum OperatorAct {
    /// Says what becomes of a report.
    ResolveReport {
        /// The report.
        report_id: ReportId,
        /// What was reported.
        message_id: MessageId,
        /// What the operator says of it.
        resolution: Reason,
    },
    /// Suspends an account.
    SuspendUser {
        /// Whose.
        user_id: UserId,
        /// Why.
        reason: Reason,
        /// Until when, in milliseconds since the Unix epoch; without it for good.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// Ends a suspension.
    RestoreUser {
        /// Whose.
        user_id: UserId,
    },
    /// Deletes a message that no other rule would let them delete.
    DeleteMessage {
        /// The message.
        message_id: MessageId,
        /// Its chat.
        chat_id: ChatId,
        /// Who sent it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sender_id: Option<UserId>,
    },
}

impl OperatorAct {
    /// The act's name, as in its stored form.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ResolveReport { .. } => "resolveReport",
            Self::SuspendUser { .. } => "suspendUser",
            Self::RestoreUser { .. } => "restoreUser",
            Self::DeleteMessage { .. } => "deleteMessage",
        }
    }

    /// The act as stores keep it.
    ///
    /// # Errors
    /// Where it cannot be written as JSON, which none of today's can not.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads it back.
    ///
    /// # Errors
    /// Where the text is no act that this version knows.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// Tells the log of the process that an operator has done something: who, and to whom, by their ids.
pub(crate) fn told(entry: &AuditEntry) {
    let (user, message, report) = match &entry.act {
        OperatorAct::ResolveReport {
            report_id,
            message_id,
            ..
        } => (None, Some(message_id), Some(report_id)),
        OperatorAct::SuspendUser { user_id, .. } | OperatorAct::RestoreUser { user_id } => {
            (Some(user_id), None, None)
        }
        OperatorAct::DeleteMessage { message_id, .. } => (None, Some(message_id), None),
    };
    tracing::info!(
        entry = %entry.id,
        operator = %entry.operator_id,
        act = entry.act.name(),
        user = user.map(tracing::field::display),
        message = message.map(tracing::field::display),
        report = report.map(tracing::field::display),
        "an operator has acted"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id;

    fn bytes(n: u8) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[15] = n;
        bytes
    }

    /// Other versions read it.
    #[test]
    fn the_stored_form_is_as_it_was() {
        let acts = [
            (
                OperatorAct::ResolveReport {
                    report_id: id::from_bytes(bytes(1)),
                    message_id: id::from_bytes(bytes(2)),
                    resolution: Reason::stored("Done".into()),
                },
                "{\"act\":\"resolveReport\",\"reportId\":\"rep_00000000000000000000000001\",\
                 \"messageId\":\"msg_00000000000000000000000002\",\"resolution\":\"Done\"}",
            ),
            (
                OperatorAct::SuspendUser {
                    user_id: id::from_bytes(bytes(3)),
                    reason: Reason::stored("Spam".into()),
                    until: Some(Timestamp::from_millis(7)),
                },
                "{\"act\":\"suspendUser\",\"userId\":\"usr_00000000000000000000000003\",\
                 \"reason\":\"Spam\",\"until\":7}",
            ),
            (
                OperatorAct::RestoreUser {
                    user_id: id::from_bytes(bytes(3)),
                },
                "{\"act\":\"restoreUser\",\"userId\":\"usr_00000000000000000000000003\"}",
            ),
            (
                OperatorAct::DeleteMessage {
                    message_id: id::from_bytes(bytes(2)),
                    chat_id: id::from_bytes(bytes(4)),
                    sender_id: None,
                },
                "{\"act\":\"deleteMessage\",\"messageId\":\"msg_00000000000000000000000002\",\
                 \"chatId\":\"cht_00000000000000000000000004\"}",
            ),
        ];
        for (act, text) in acts {
            assert_eq!(act.to_json().unwrap(), text);
            assert_eq!(OperatorAct::parse(text).unwrap(), act);
            assert!(text.contains(&format!("{{\"act\":\"{}\"", act.name())));
        }
        assert!(OperatorAct::parse("{\"act\":\"unknown\"}").is_err());
    }
}
