//! Reporting messages, and what operators do.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use talksy_domain::id;
use talksy_domain::moderation::Reason;

use super::types::{ModeratedUserObject, ReportNode};
use crate::context::ContextExt as _;
use crate::error::Result;
use crate::scalars::{DateTime, global_id};

/// A message to report to the operators of the server.
#[derive(InputObject)]
pub struct ReportMessageInput {
    /// A message that the viewer may read and has not sent.
    message_id: ID,
    /// Why: 1 to 1,000 characters, not blank.
    reason: String,
}

/// The message was reported, now or by an earlier call.
#[derive(SimpleObject)]
pub struct ReportMessagePayload {
    /// The viewer's open report of the message. What becomes of it is for operators to see.
    report_id: ID,
}

/// What became of a report.
#[derive(InputObject)]
pub struct ResolveReportInput {
    /// The report.
    report_id: ID,
    /// What the operator says of it: 1 to 1,000 characters, not blank.
    resolution: String,
}

/// The report as it is now.
#[derive(SimpleObject)]
pub struct ResolveReportPayload {
    /// The report.
    report: ReportNode,
}

/// Whose account to suspend.
#[derive(InputObject)]
pub struct SuspendUserInput {
    /// The user, who is no operator.
    user_id: ID,
    /// Why, for operators: 1 to 1,000 characters, not blank.
    reason: String,
    /// Until when, a time to come; without it until an operator restores the account.
    until: Option<DateTime>,
}

/// The account as it is now.
#[derive(SimpleObject)]
pub struct SuspendUserPayload {
    /// The account.
    moderated_user: ModeratedUserObject,
}

/// Whose account to restore.
#[derive(InputObject)]
pub struct RestoreUserInput {
    /// The user.
    user_id: ID,
}

/// The account as it is now.
#[derive(SimpleObject)]
pub struct RestoreUserPayload {
    /// The account.
    moderated_user: ModeratedUserObject,
}

/// Mutations of moderation.
#[derive(Default)]
pub struct ModerationMutation;

#[Object]
impl ModerationMutation {
    /// Reports a message to the operators of the server. While they have not seen to it, reporting it
    /// again answers the same report.
    async fn report_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The message, and why.")] input: ReportMessageInput,
    ) -> Result<Option<ReportMessagePayload>> {
        let viewer = ctx.viewer()?;
        let message = id::parse(&input.message_id, "messageId")?;
        let reason = Reason::parse(&input.reason, "reason")?;
        let moderation = &ctx.services().moderation;
        let report = moderation.report(viewer, message, reason).await?;
        Ok(Some(ReportMessagePayload {
            report_id: global_id(report),
        }))
    }

    /// For operators: says what became of a report. It is said once: the same again changes nothing,
    /// something else is refused with `CONFLICT`.
    async fn resolve_report(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The report, and what became of it.")] input: ResolveReportInput,
    ) -> Result<Option<ResolveReportPayload>> {
        let viewer = ctx.viewer()?;
        let report = id::parse(&input.report_id, "reportId")?;
        let resolution = Reason::parse(&input.resolution, "resolution")?;
        let moderation = &ctx.services().moderation;
        let (operator, report) = moderation.resolve(viewer, report, resolution).await?;
        Ok(Some(ResolveReportPayload {
            report: ReportNode::new(operator, report),
        }))
    }

    /// For operators: suspends an account. Its sessions end within a second, and signing in is refused
    /// with `SUSPENDED`. A suspension that the account has is replaced.
    async fn suspend_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose account, why and until when.")] input: SuspendUserInput,
    ) -> Result<Option<SuspendUserPayload>> {
        let viewer = ctx.viewer()?;
        let user = id::parse(&input.user_id, "userId")?;
        let reason = Reason::parse(&input.reason, "reason")?;
        let until = input.until.map(|until| until.0);
        let moderation = &ctx.services().moderation;
        let moderated = moderation.suspend(viewer, user, reason, until).await?;
        Ok(Some(SuspendUserPayload {
            moderated_user: ModeratedUserObject::new(moderated),
        }))
    }

    /// For operators: ends the suspension of an account. Where it has none, nothing is changed.
    async fn restore_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose account.")] input: RestoreUserInput,
    ) -> Result<Option<RestoreUserPayload>> {
        let viewer = ctx.viewer()?;
        let user = id::parse(&input.user_id, "userId")?;
        let moderated = ctx.services().moderation.restore(viewer, user).await?;
        Ok(Some(RestoreUserPayload {
            moderated_user: ModeratedUserObject::new(moderated),
        }))
    }
}
