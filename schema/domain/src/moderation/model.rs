//! Operators, reports and suspensions.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::cursor::Cursor;
use crate::error::Invalid;
use crate::id::{self, ChatId, MessageId, ReportId, UserId};
use crate::mail::EmailAddress;
use crate::text::{TextRule, is_blank};

/// Who operates the server: the accounts of these addresses. An account has proved that its address
/// is its own, whenever it signed in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operators(Arc<HashSet<EmailAddress>>);

impl Operators {
    /// Whether the account of the address is an operator's.
    pub fn contains(&self, address: &EmailAddress) -> bool {
        self.0.contains(address)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<EmailAddress> for Operators {
    fn from_iter<I: IntoIterator<Item = EmailAddress>>(addresses: I) -> Self {
        Self(Arc::new(addresses.into_iter().collect()))
    }
}

/// Why somebody reports a message, is suspended, or what became of a report: 1 to 1,000 characters,
/// not blank, line breaks allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reason(String);

impl Reason {
    /// The most characters that it may have.
    pub const MAX_CHARS: usize = 1_000;

    /// Parses the text given in argument `field`; spaces around it are dropped.
    ///
    /// # Errors
    /// [`Invalid`] naming `field`.
    pub fn parse(text: &str, field: &'static str) -> Result<Self, Invalid> {
        let reason = text.trim();
        if is_blank(reason) {
            return Err(Invalid::new(field, "must not be empty"));
        }
        let rule = TextRule {
            field,
            max_chars: Self::MAX_CHARS,
            multi_line: true,
        };
        rule.check(reason)?;
        Ok(Self(reason.to_owned()))
    }

    /// A text as a store keeps it. Not checked again: the rules may be stricter now.
    pub const fn stored(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A message that a user has reported to the operators. It refers to the message and keeps no copy of
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Identifies the report; reports are ordered by it.
    pub id: ReportId,
    /// What was reported.
    pub message_id: MessageId,
    /// The message's chat.
    pub chat_id: ChatId,
    /// Who sent the message.
    pub sender_id: UserId,
    /// Who has reported it.
    pub reported_by: UserId,
    /// Why.
    pub reason: Reason,
    /// When.
    pub created_at: Timestamp,
    /// What became of it; `None` while it is open.
    pub outcome: Option<ReportOutcome>,
}

/// What became of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportOutcome {
    /// The operator who resolved it.
    pub resolved_by: UserId,
    /// What they say of it.
    pub resolution: Reason,
}

/// Whether somebody has seen to a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReportState {
    /// Nobody has yet.
    Open,
    /// An operator has.
    Resolved,
}

impl Report {
    /// Whether somebody has seen to it.
    pub const fn state(&self) -> ReportState {
        match self.outcome {
            None => ReportState::Open,
            Some(_) => ReportState::Resolved,
        }
    }
}

/// An account that may not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspension {
    /// Whose account.
    pub user_id: UserId,
    /// Since when.
    pub since: Timestamp,
    /// Until when; `None` where an operator has to end it.
    pub until: Option<Timestamp>,
    /// Why, for operators.
    pub reason: Reason,
}

impl Suspension {
    /// Whether it has not run out.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

/// The place of a report in a list, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportCursor(pub ReportId);

impl Cursor for ReportCursor {
    const TAG: u8 = b'R';

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(id::bytes(self.0));
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self(id::from_bytes(bytes.try_into().ok()?)))
    }
}

/// A place among suspensions, newest first: since when, and whose.
pub type SuspensionPlace = (Timestamp, UserId);

/// The place of a user in a list for operators, which has one of three orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModeratedUserCursor {
    /// Of those who are suspended, last suspended first.
    Suspended(SuspensionPlace),
    /// By name, then id: the name as lists order it.
    Named(String, UserId),
    /// Newest account first.
    Newest(UserId),
}

impl Cursor for ModeratedUserCursor {
    const TAG: u8 = b'M';

    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Suspended((since, user)) => {
                bytes.push(0);
                bytes.extend(id::bytes(*user));
                bytes.extend(since.as_millis().to_be_bytes());
            }
            Self::Named(name_key, user) => {
                bytes.push(1);
                bytes.extend(id::bytes(*user));
                bytes.extend(name_key.as_bytes());
            }
            Self::Newest(user) => {
                bytes.push(2);
                bytes.extend(id::bytes(*user));
            }
        }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (order, rest) = bytes.split_first()?;
        let (user, rest) = rest.split_first_chunk()?;
        let user = id::from_bytes(*user);
        Some(match (order, rest) {
            (0, since) => {
                let since = i64::from_be_bytes(since.try_into().ok()?);
                Self::Suspended((Timestamp::from_millis(since), user))
            }
            (1, name) => Self::Named(std::str::from_utf8(name).ok()?.to_owned(), user),
            (2, []) => Self::Newest(user),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_bounded_and_name_their_argument() {
        let reason = Reason::parse("  It is spam,\nagain. ", "reason").unwrap();
        assert_eq!(reason.as_str(), "It is spam,\nagain.");
        for text in ["", " \u{200B}", "a\u{0}b", "a\u{1B}[2J", &"x".repeat(1_001)] {
            let refused = Reason::parse(text, "resolution").unwrap_err();
            assert_eq!(refused.field, "resolution", "{text:?}");
        }
        assert!(Reason::parse(&"ö".repeat(1_000), "reason").is_ok());
    }

    #[test]
    fn cursors_round_trip_and_tell_orders_apart() {
        let user = id::from_bytes([3; 16]);
        for cursor in [
            ModeratedUserCursor::Suspended((Timestamp::from_millis(-5), user)),
            ModeratedUserCursor::Named("åsa".into(), user),
            ModeratedUserCursor::Named(String::new(), user),
            ModeratedUserCursor::Newest(user),
        ] {
            let decoded = ModeratedUserCursor::decode(&cursor.encode(), "after");
            assert_eq!(decoded, Ok(cursor));
        }
        let report = ReportCursor(id::from_bytes([4; 16]));
        assert_eq!(ReportCursor::decode(&report.encode(), "after"), Ok(report));
        assert!(ModeratedUserCursor::decode(&report.encode(), "after").is_err());
    }

    #[test]
    fn operators_are_known_by_their_address_as_accounts_are() {
        let address = |text| EmailAddress::parse(text).unwrap();
        let operators: Operators = [address(" Ada@Example.ORG ")].into_iter().collect();
        assert!(operators.contains(&address("ada@example.org")));
        assert!(!operators.contains(&address("ada+x@example.org")));
        assert!(Operators::default().is_empty());
    }

    #[test]
    fn a_suspension_runs_out_at_its_end() {
        let at = Timestamp::from_millis;
        let suspension = Suspension {
            user_id: id::from_bytes([1; 16]),
            since: at(10),
            until: Some(at(20)),
            reason: Reason::stored("no".into()),
        };
        assert!(suspension.is_active(at(19)));
        assert!(!suspension.is_active(at(20)));
        let for_good = Suspension {
            until: None,
            ..suspension
        };
        assert!(for_good.is_active(at(i64::MAX)));
    }
}
