//! Reporting messages, and what operators of the server do about reports and accounts. The list of
//! accounts stands in `listing`, the deletion of messages in `messages::moderating`.

use std::sync::Arc;
use std::time::Duration;

use super::audit::{self, AuditEntry, OperatorAct};
use super::model::{Reason, Report, ReportOutcome, ReportState, Suspension};
use super::store::{ModerationStore, Resolved};
use crate::access::{Access, AccessError, Denied, Operator};
use crate::clock::{Clock, Timestamp};
use crate::error::service_error;
use crate::error::{ApiError, ErrorCode, Invalid, PortError};
use crate::id::{IdGenerator, MessageId, ReportId, UserId};
use crate::limits::{Decision, RateLimiter, Rule};
use crate::messages::model::{Message, MessageKind};
use crate::messages::service::{MessageError, MessageService};
use crate::page::{Page, Window};
use crate::users::model::User;
use crate::users::store::UserStore;
use crate::viewer::Viewer;

/// Why a report, or an act of an operator, was refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ModerationError {
    /// An argument breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The viewer may not.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// There is no such message where the viewer may read.
    #[error("There is no such message.")]
    NoMessage,
    /// A message of the viewer's own.
    #[error("Your own message cannot be reported.")]
    OwnMessage,
    /// A system message tells what happened; nobody has written it.
    #[error("A system message cannot be reported.")]
    SystemMessage,
    /// There is nothing left to report.
    #[error("The message was deleted.")]
    Deleted,
    /// There is no such report.
    #[error("There is no such report.")]
    NoReport,
    /// Somebody has seen to the report already, with another outcome.
    #[error("The report was resolved already.")]
    ResolvedOtherwise,
    /// Operators are named by the server's configuration, and nothing else takes that away.
    #[error("An operator of this server cannot be suspended.")]
    SuspendsOperator,
    /// Too many reports, or acts.
    #[error("You do this too quickly. Wait a little.")]
    TooFast(Duration),
    /// The messages could not be read.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl ModerationError {
    fn api_error(&self) -> ApiError {
        let refuse = |code, field| ApiError::new(code, self.to_string()).field(field);
        match self {
            Self::Invalid(invalid) => invalid.into(),
            Self::Access(error) => error.clone().into(),
            Self::NoMessage => refuse(ErrorCode::NotFound, "messageId"),
            Self::OwnMessage | Self::SystemMessage => refuse(ErrorCode::Forbidden, "messageId"),
            Self::Deleted => refuse(ErrorCode::Conflict, "messageId"),
            Self::NoReport => refuse(ErrorCode::NotFound, "reportId"),
            Self::ResolvedOtherwise => refuse(ErrorCode::Conflict, "reportId"),
            Self::SuspendsOperator => refuse(ErrorCode::Forbidden, "userId"),
            Self::TooFast(wait) => {
                ApiError::new(ErrorCode::RateLimited, self.to_string()).retry_after(*wait)
            }
            Self::Message(error) => error.clone().into(),
            Self::Port(error) => error.into(),
        }
    }
}

service_error!(ModerationError);

/// An account as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeratedUser {
    /// The user.
    pub user: User,
    /// Their suspension, where they have one that has not run out.
    pub suspension: Option<Suspension>,
}

/// How quickly one may report, and act as an operator.
#[derive(Clone, Copy, Debug)]
pub struct ModerationPolicy {
    /// Reports, a user.
    pub report: Rule,
    /// Acts, an operator.
    pub act: Rule,
}

/// Rules of moderation.
pub struct ModerationService {
    /// What is kept of it.
    pub(crate) store: Arc<dyn ModerationStore>,
    /// The accounts.
    pub(crate) users: Arc<dyn UserStore>,
    /// The messages.
    pub(crate) messages: Arc<MessageService>,
    /// Who may do what.
    pub(crate) access: Arc<Access>,
    /// Holds back who is too quick.
    pub(crate) limiter: Arc<dyn RateLimiter>,
    /// How quick that is.
    pub(crate) policy: ModerationPolicy,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// New ids.
    pub(crate) ids: IdGenerator,
}

impl ModerationService {
    /// Reports a message to the operators. Where the viewer has an open report of it, that one is the
    /// answer, and its reason stays.
    ///
    /// # Errors
    /// Where the viewer may not read the message, has sent it, or reports too quickly, and where it is
    /// a system message or deleted.
    pub async fn report(
        &self,
        viewer: &Viewer,
        message: MessageId,
        reason: Reason,
    ) -> Result<ReportId, ModerationError> {
        self.admit(viewer, self.policy.report).await?;
        let found = self.messages.visible(viewer, &[message]).await?.pop();
        let message = found.ok_or(ModerationError::NoMessage)?;
        let sender_id = match message.sender_id {
            Some(sender) if message.kind != MessageKind::System => sender,
            _ => return Err(ModerationError::SystemMessage),
        };
        if sender_id == viewer.user_id {
            return Err(ModerationError::OwnMessage);
        }
        if message.deleted_at.is_some() {
            return Err(ModerationError::Deleted);
        }
        let report = Report {
            id: self.ids.next(),
            message_id: message.id,
            chat_id: message.chat_id,
            sender_id,
            reported_by: viewer.user_id,
            reason,
            created_at: self.clock.now(),
            outcome: None,
        };
        Ok(self.store.report(&report).await?)
    }

    /// The viewer as an operator of the server.
    ///
    /// # Errors
    /// Where they are none.
    pub async fn operator(&self, viewer: &Viewer) -> Result<Operator, ModerationError> {
        Ok(self.access.operator(viewer).await?)
    }

    /// The reports, newest first; with a state those in it.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn reports(
        &self,
        _operator: Operator,
        state: Option<ReportState>,
        window: &Window<ReportId>,
    ) -> Result<Page<Report>, ModerationError> {
        Ok(self.store.report_page(state, window).await?)
    }

    /// Those of these reports that the viewer may see: all for an operator, none for others.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn visible(
        &self,
        viewer: &Viewer,
        reports: &[ReportId],
    ) -> Result<Vec<(Operator, Report)>, PortError> {
        let operator = match self.access.operator(viewer).await {
            Ok(operator) => operator,
            Err(AccessError::Denied(_)) => return Ok(Vec::new()),
            Err(AccessError::Port(error)) => return Err(error),
        };
        let found = self.store.reports(reports).await?.into_iter();
        Ok(found.map(|report| (operator, report)).collect())
    }

    /// The messages of reports, which operators read wherever they lie. Deleted ones are left out.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn reported_messages(
        &self,
        _operator: Operator,
        messages: &[MessageId],
    ) -> Result<Vec<Message>, PortError> {
        let mut found = self.messages.store.messages(messages).await?;
        found.retain(|message| message.deleted_at.is_none());
        Ok(found)
    }

    /// Says what became of a report. Saying the same again changes nothing.
    ///
    /// # Errors
    /// Where the viewer is no operator or acts too quickly, there is no such report, or something
    /// else was said of it.
    pub async fn resolve(
        &self,
        viewer: &Viewer,
        report: ReportId,
        resolution: Reason,
    ) -> Result<(Operator, Report), ModerationError> {
        let operator = self.acting(viewer).await?;
        let found = self.store.reports(&[report]).await?.pop();
        let found = found.ok_or(ModerationError::NoReport)?;
        let outcome = ReportOutcome {
            resolved_by: operator.user_id(),
            resolution: resolution.clone(),
        };
        let entry = self.entry(
            operator,
            OperatorAct::ResolveReport {
                report_id: report,
                message_id: found.message_id,
                resolution,
            },
        );
        match self.store.resolve(report, &outcome, &entry).await? {
            Resolved::Done(report) => {
                audit::told(&entry);
                Ok((operator, report))
            }
            Resolved::Before(report) => {
                let before = report.outcome.as_ref().map(|before| &before.resolution);
                if before == Some(&outcome.resolution) {
                    Ok((operator, report))
                } else {
                    Err(ModerationError::ResolvedOtherwise)
                }
            }
            Resolved::NoReport => Err(ModerationError::NoReport),
        }
    }

    /// Suspends an account until a time, or until it is restored: its sessions end, and none begins.
    /// Of a suspension that the account has this one takes the place; the same again changes nothing.
    ///
    /// # Errors
    /// Where the viewer is no operator or acts too quickly, `until` is not to come, there is no such
    /// user, or they are an operator.
    pub async fn suspend(
        &self,
        viewer: &Viewer,
        user: UserId,
        reason: Reason,
        until: Option<Timestamp>,
    ) -> Result<ModeratedUser, ModerationError> {
        let operator = self.acting(viewer).await?;
        let now = self.clock.now();
        if until.is_some_and(|until| until <= now) {
            return Err(Invalid::new("until", "must be a time to come").into());
        }
        let before = self.user(user, now).await?;
        if self.access.is_operator(&before.user) {
            return Err(ModerationError::SuspendsOperator);
        }
        let is_same = |before: &Suspension| before.until == until && before.reason == reason;
        if before.suspension.as_ref().is_some_and(is_same) {
            return Ok(before);
        }
        let suspension = Suspension {
            user_id: user,
            since: now,
            until,
            reason: reason.clone(),
        };
        let act = OperatorAct::SuspendUser {
            user_id: user,
            reason,
            until,
        };
        let entry = self.entry(operator, act);
        self.store.suspend(&suspension, &entry).await?;
        audit::told(&entry);
        Ok(ModeratedUser {
            suspension: Some(suspension),
            ..before
        })
    }

    /// Ends the suspension of an account. Where it has none, nothing is changed.
    ///
    /// # Errors
    /// Where the viewer is no operator or acts too quickly, or there is no such user.
    pub async fn restore(
        &self,
        viewer: &Viewer,
        user: UserId,
    ) -> Result<ModeratedUser, ModerationError> {
        let operator = self.acting(viewer).await?;
        let now = self.clock.now();
        let before = self.user(user, now).await?;
        let entry = self.entry(operator, OperatorAct::RestoreUser { user_id: user });
        if before.suspension.is_some() && self.store.restore(user, now, &entry).await? {
            audit::told(&entry);
        }
        Ok(ModeratedUser {
            suspension: None,
            ..before
        })
    }

    /// A user, whose account is not deleted, with their suspension.
    async fn user(&self, user: UserId, now: Timestamp) -> Result<ModeratedUser, ModerationError> {
        let found = self.users.users(&[user]).await?;
        let found = self.moderated(found, now).await?.pop();
        let found = found.filter(|found| !found.user.is_deleted());
        found.ok_or_else(|| AccessError::from(Denied::NoUser).into())
    }

    /// Counts an act of an operator. Whoever is none is counted too.
    async fn acting(&self, viewer: &Viewer) -> Result<Operator, ModerationError> {
        self.admit(viewer, self.policy.act).await?;
        self.operator(viewer).await
    }

    fn entry(&self, operator: Operator, act: OperatorAct) -> AuditEntry {
        AuditEntry {
            id: self.ids.next(),
            at: self.clock.now(),
            operator_id: operator.user_id(),
            act,
        }
    }

    async fn admit(&self, viewer: &Viewer, rule: Rule) -> Result<(), ModerationError> {
        let key = viewer.user_id.to_string();
        match self.limiter.check(rule, &key).await? {
            Decision::Denied(wait) => Err(ModerationError::TooFast(wait)),
            Decision::Allowed => Ok(()),
        }
    }
}
