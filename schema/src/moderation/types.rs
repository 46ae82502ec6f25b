//! `Moderation`, `Report` and `ModeratedUser`.

use async_graphql::{Context, Enum, ID, Object};
use talksy_domain::access::Operator;
use talksy_domain::cursor::Cursor as _;
use talksy_domain::moderation::{
    ModeratedUser, ModeratedUserCursor, Report, ReportCursor, Suspension,
};
use talksy_domain::page::Window;

use super::loaders::ReportedMessage;
use crate::connection::{connection, cursor};
use crate::context::ContextExt as _;
use crate::error::Result;
use crate::messages::MessageNode;
use crate::scalars::{DateTime, compound_id, global_id};
use crate::users::{UserNode, load_user};

/// Whether somebody has seen to a report.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(
    name = "ReportState",
    remote = "talksy_domain::moderation::ReportState"
)]
pub enum ReportStateEnum {
    /// Nobody has yet.
    Open,
    /// An operator has.
    Resolved,
}

/// A message that a user has reported to the operators of the server. It keeps no copy of the message:
/// an edit shows here too.
#[derive(Clone)]
pub struct ReportNode {
    report: Report,
    operator: Operator,
}

/// A message that a user has reported to the operators of the server. It keeps no copy of the message:
/// an edit shows here too.
#[Object(name = "Report")]
impl ReportNode {
    /// The report's global id.
    pub(crate) async fn id(&self) -> ID {
        global_id(self.report.id)
    }

    /// The message as it is now, also where the operator is no member of its chat. Null where it was
    /// deleted.
    async fn message(&self, ctx: &Context<'_>) -> Result<Option<MessageNode>> {
        let key = ReportedMessage {
            operator: self.operator,
            message: self.report.message_id,
        };
        let found = ctx.loaders().load_one(key).await?;
        Ok(found.map(MessageNode::out_of_chat))
    }

    /// Who has reported it.
    async fn reported_by(&self, ctx: &Context<'_>) -> Result<UserNode> {
        load_user(ctx, self.report.reported_by).await
    }

    /// Why, in the words of who has reported it.
    async fn reason(&self) -> &str {
        self.report.reason.as_str()
    }

    /// Whether somebody has seen to it.
    async fn state(&self) -> ReportStateEnum {
        self.report.state().into()
    }

    /// When it was reported.
    async fn created_at(&self) -> DateTime {
        self.report.created_at.into()
    }

    /// The operator who has seen to it.
    async fn resolved_by(&self, ctx: &Context<'_>) -> Result<Option<UserNode>> {
        match &self.report.outcome {
            Some(outcome) => Ok(Some(load_user(ctx, outcome.resolved_by).await?)),
            None => Ok(None),
        }
    }

    /// What the operator says of it.
    async fn resolution(&self) -> Option<&str> {
        let outcome = self.report.outcome.as_ref();
        outcome.map(|outcome| outcome.resolution.as_str())
    }
}

impl ReportNode {
    /// A report, as the operator sees it.
    pub(crate) const fn new(operator: Operator, report: Report) -> Self {
        Self { report, operator }
    }

    fn cursor(&self) -> String {
        ReportCursor(self.report.id).encode()
    }
}

connection!(
    ReportConnection,
    ReportEdge,
    "ReportConnection",
    "ReportEdge",
    ReportNode,
    "A page of reports, newest first."
);

/// An account as operators see it.
#[derive(Clone)]
pub struct ModeratedUserObject {
    moderated: ModeratedUser,
    /// In a list.
    place: Option<ModeratedUserCursor>,
}

/// An account as operators see it.
#[Object(name = "ModeratedUser")]
impl ModeratedUserObject {
    /// An id of its own: always the same for this user, and no other object's. For caches; `node` does
    /// not know it.
    async fn id(&self) -> ID {
        compound_id("moderated", &[&self.moderated.user.id])
    }

    /// The user.
    async fn user(&self) -> UserNode {
        UserNode::new(self.moderated.user.clone())
    }

    /// Whether the account may not be used at present.
    async fn is_suspended(&self) -> bool {
        self.moderated.suspension.is_some()
    }

    /// Until when; null where it is not suspended, or until an operator restores it.
    async fn suspended_until(&self) -> Option<DateTime> {
        let until = self.suspension()?.until?;
        Some(until.into())
    }

    /// Why it is suspended. Its user is not told.
    async fn reason(&self) -> Option<&str> {
        self.suspension().map(|one| one.reason.as_str())
    }
}

impl ModeratedUserObject {
    /// An account.
    pub(crate) const fn new(moderated: ModeratedUser) -> Self {
        Self {
            moderated,
            place: None,
        }
    }

    const fn suspension(&self) -> Option<&Suspension> {
        self.moderated.suspension.as_ref()
    }

    fn cursor(&self) -> String {
        let place = self.place.as_ref().map(ModeratedUserCursor::encode);
        place.unwrap_or_default()
    }
}

connection!(
    ModeratedUserConnection,
    ModeratedUserEdge,
    "ModeratedUserConnection",
    "ModeratedUserEdge",
    ModeratedUserObject,
    "A page of accounts."
);

/// What operators of this server see.
pub struct ModerationObject(pub Operator);

/// What operators of this server see.
#[Object(name = "Moderation")]
impl ModerationObject {
    /// What users have reported, newest first.
    async fn reports(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only reports in this state.")] state: Option<ReportStateEnum>,
        #[graphql(desc = "How many, 0 to 100; 50 where absent.")] first: Option<i32>,
        #[graphql(desc = "Only reports behind this cursor.")] after: Option<String>,
    ) -> Result<ReportConnection> {
        let after: Option<ReportCursor> = cursor(after.as_deref(), "after")?;
        let window = Window::forward(first, after.map(|after| after.0))?;
        let moderation = &ctx.services().moderation;
        let page = moderation.reports(self.0, state.map(Into::into), &window);
        let node = |report| ReportNode::new(self.0, report);
        Ok(ReportConnection::new(
            page.await?.map(node),
            ReportNode::cursor,
        ))
    }

    /// The accounts of this server. Those who are suspended come last suspended first; of others those
    /// that are searched for by name, and else the newest account first.
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Only users whose name starts with this, whatever the case; at most 100 characters. A \
                    mail address finds its user alone."
        )]
        search: Option<String>,
        #[graphql(desc = "Only those who are suspended at present, or only those who are not.")]
        suspended: Option<bool>,
        #[graphql(desc = "How many, 0 to 100; 50 where absent.")] first: Option<i32>,
        #[graphql(desc = "Only users behind this cursor, of the same arguments.")] after: Option<
            String,
        >,
    ) -> Result<ModeratedUserConnection> {
        let window = Window::forward(first, cursor(after.as_deref(), "after")?)?;
        let moderation = &ctx.services().moderation;
        let page = moderation.users(self.0, search.as_deref(), suspended, &window);
        let object = |(place, moderated)| ModeratedUserObject {
            moderated,
            place: Some(place),
        };
        Ok(ModeratedUserConnection::new(
            page.await?.map(object),
            ModeratedUserObject::cursor,
        ))
    }
}
