//! Reports, suspensions, and what operators did.

use mongodb::bson::raw::RawDocument;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, DateTime, Uuid};
use serde::{Deserialize, Serialize};
use talksy_domain::id::{self, AuditId, ReportId, UserId};
use talksy_domain::moderation::{
    AuditEntry, OperatorAct, Reason, Report, ReportOutcome, ReportState, Suspension,
};

use super::{AUDIT_LOG, REPORTS, SUSPENSIONS, Stored, date, id_text, instant, key};
use crate::fault::Why;

/// A report.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReportDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    message_id: Uuid,
    chat_id: Uuid,
    sender_id: Uuid,
    reported_by: Uuid,
    reason: String,
    created_at: DateTime,
    state: String,
    /// Unique: while it is open its message and user ([`open_slot`]), then its own id.
    slot: Binary,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved_by: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolution: Option<String>,
}

/// The state as it stands in documents and queries.
pub(crate) const fn report_state(state: ReportState) -> &'static str {
    match state {
        ReportState::Open => "open",
        ReportState::Resolved => "resolved",
    }
}

/// What an open report of a message by a user has alone.
pub(crate) fn open_slot(report: &Report) -> Binary {
    let parts = [id::bytes(report.message_id), id::bytes(report.reported_by)];
    slot(parts.concat())
}

/// What a resolved report has alone.
pub(crate) fn report_slot(report: ReportId) -> Binary {
    slot(id::bytes(report).to_vec())
}

const fn slot(bytes: Vec<u8>) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes,
    }
}

impl From<&Report> for ReportDocument {
    fn from(report: &Report) -> Self {
        let outcome = report.outcome.as_ref();
        Self {
            id: key(id::bytes(report.id)),
            message_id: key(id::bytes(report.message_id)),
            chat_id: key(id::bytes(report.chat_id)),
            sender_id: key(id::bytes(report.sender_id)),
            reported_by: key(id::bytes(report.reported_by)),
            reason: report.reason.as_str().to_owned(),
            created_at: date(report.created_at),
            state: report_state(report.state()).to_owned(),
            slot: match outcome {
                None => open_slot(report),
                Some(_) => report_slot(report.id),
            },
            resolved_by: outcome.map(|outcome| key(id::bytes(outcome.resolved_by))),
            resolution: outcome.map(|outcome| outcome.resolution.as_str().to_owned()),
        }
    }
}

impl Stored for ReportDocument {
    type Value = Report;
    const COLLECTION: &'static str = REPORTS;

    fn name(raw: &RawDocument) -> String {
        let id = id_text(raw, "_id", |bytes| {
            let id: ReportId = id::from_bytes(bytes);
            id.to_string()
        });
        format!("report {id}")
    }

    fn value(self) -> Result<Report, Why> {
        let outcome = match (&*self.state, self.resolved_by, self.resolution) {
            ("open", ..) => None,
            ("resolved", Some(resolved_by), Some(resolution)) => Some(ReportOutcome {
                resolved_by: id::from_bytes(resolved_by.bytes()),
                resolution: Reason::stored(resolution),
            }),
            _ => return Err("it has no known state".into()),
        };
        Ok(Report {
            id: id::from_bytes(self.id.bytes()),
            message_id: id::from_bytes(self.message_id.bytes()),
            chat_id: id::from_bytes(self.chat_id.bytes()),
            sender_id: id::from_bytes(self.sender_id.bytes()),
            reported_by: id::from_bytes(self.reported_by.bytes()),
            reason: Reason::stored(self.reason),
            created_at: instant(self.created_at),
            outcome,
        })
    }
}

/// The suspension of an account. Its id is the user's.
#[derive(Serialize, Deserialize)]
pub(crate) struct SuspensionDocument {
    #[serde(rename = "_id")]
    user_id: Uuid,
    since: DateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<DateTime>,
    reason: String,
}

impl From<&Suspension> for SuspensionDocument {
    fn from(suspension: &Suspension) -> Self {
        Self {
            user_id: key(id::bytes(suspension.user_id)),
            since: date(suspension.since),
            until: suspension.until.map(date),
            reason: suspension.reason.as_str().to_owned(),
        }
    }
}

impl Stored for SuspensionDocument {
    type Value = Suspension;
    const COLLECTION: &'static str = SUSPENSIONS;

    fn name(raw: &RawDocument) -> String {
        let id = id_text(raw, "_id", |bytes| {
            let id: UserId = id::from_bytes(bytes);
            id.to_string()
        });
        format!("the suspension of user {id}")
    }

    fn value(self) -> Result<Suspension, Why> {
        Ok(Suspension {
            user_id: id::from_bytes(self.user_id.bytes()),
            since: instant(self.since),
            until: self.until.map(instant),
            reason: Reason::stored(self.reason),
        })
    }
}

/// An entry of the log of operators' acts.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    at: DateTime,
    operator_id: Uuid,
    /// Its JSON, as the SQLite store keeps it.
    act: String,
}

impl AuditDocument {
    /// The document of an entry.
    pub(crate) fn new(entry: &AuditEntry) -> Result<Self, Why> {
        Ok(Self {
            id: key(id::bytes(entry.id)),
            at: date(entry.at),
            operator_id: key(id::bytes(entry.operator_id)),
            act: entry.act.to_json()?,
        })
    }
}

impl Stored for AuditDocument {
    type Value = AuditEntry;
    const COLLECTION: &'static str = AUDIT_LOG;

    fn name(raw: &RawDocument) -> String {
        let id = id_text(raw, "_id", |bytes| {
            let id: AuditId = id::from_bytes(bytes);
            id.to_string()
        });
        format!("entry {id} of the audit log")
    }

    fn value(self) -> Result<AuditEntry, Why> {
        Ok(AuditEntry {
            id: id::from_bytes(self.id.bytes()),
            at: instant(self.at),
            operator_id: id::from_bytes(self.operator_id.bytes()),
            act: OperatorAct::parse(&self.act)?,
        })
    }
}
