//! Fetching any object by its global id.

use async_graphql::{Context, ID, Interface, Object};
use talksy_domain::error::Invalid;
use talksy_domain::id::{AttachmentId, ChatId, MessageId, ReportId, SessionId, UserId};
use talksy_domain::page::MAX_PAGE;

use crate::attachments::AttachmentNode;
use crate::auth::SessionNode;
use crate::chats::ChatNode;
use crate::context::ContextExt as _;
use crate::error::Result;
use crate::messages::MessageNode;
use crate::moderation::ReportNode;
use crate::users::UserNode;

/// An object with a typed, globally unique id (`TypeID`: `usr_…`, `cht_…`, `msg_…`, `att_…`,
/// `ses_…`, `rep_…`).
#[derive(Clone, Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "The object's global id."))]
pub enum Node {
    /// A user.
    User(UserNode),
    /// A chat.
    Chat(ChatNode),
    /// A message.
    Message(MessageNode),
    /// An attachment.
    Attachment(AttachmentNode),
    /// A session.
    Session(SessionNode),
    /// A report.
    Report(ReportNode),
}

/// Fetching by global id.
#[derive(Default)]
pub struct NodeQuery;

#[Object]
impl NodeQuery {
    /// The object with this id; null for one that is unknown, malformed or not the viewer's to see.
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Any global id.")] id: ID,
    ) -> Result<Option<Node>> {
        Ok(fetch(ctx, &[id]).await?.pop().flatten())
    }

    /// The objects with these ids, in their order; null for one that is unknown, malformed or not
    /// the viewer's to see.
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most 100 global ids.")] ids: Vec<ID>,
    ) -> Result<Vec<Option<Node>>> {
        ctx.viewer()?;
        if ids.len() > MAX_PAGE {
            return Err(Invalid::new("ids", format!("must be at most {MAX_PAGE} ids")).into());
        }
        fetch(ctx, &ids).await
    }
}

/// One of the kinds of ids that a node may have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NodeId {
    User(UserId),
    Chat(ChatId),
    Message(MessageId),
    Attachment(AttachmentId),
    Session(SessionId),
    Report(ReportId),
}

/// The id, where it is one that a node may have.
fn parse_node_id(id: &ID) -> Option<NodeId> {
    let text = id.as_str();
    text.parse()
        .map(NodeId::User)
        .or_else(|_| text.parse().map(NodeId::Chat))
        .or_else(|_| text.parse().map(NodeId::Message))
        .or_else(|_| text.parse().map(NodeId::Attachment))
        .or_else(|_| text.parse().map(NodeId::Session))
        .or_else(|_| text.parse().map(NodeId::Report))
        .ok()
}

/// Reads objects of all kinds: one call a kind.
async fn fetch(ctx: &Context<'_>, ids: &[ID]) -> Result<Vec<Option<Node>>> {
    let viewer = ctx.viewer()?;
    let services = ctx.services();
    let wanted: Vec<_> = ids.iter().map(parse_node_id).collect();
    let mut users = Vec::new();
    let mut chats = Vec::new();
    let mut messages = Vec::new();
    let mut attachments = Vec::new();
    let mut sessions = Vec::new();
    let mut reports = Vec::new();
    for id in wanted.iter().flatten() {
        match *id {
            NodeId::User(id) => users.push(id),
            NodeId::Chat(id) => chats.push(id),
            NodeId::Message(id) => messages.push(id),
            NodeId::Attachment(id) => attachments.push(id),
            NodeId::Session(id) => sessions.push(id),
            NodeId::Report(id) => reports.push(id),
        }
    }
    let mut found = Vec::<(NodeId, Node)>::new();
    if !users.is_empty() {
        let readable = services.access.profiles(viewer, users).await?.into_users();
        for (id, user) in ctx.loaders().load_many(readable).await? {
            found.push((NodeId::User(id), Node::User(UserNode::new(user))));
        }
    }
    if !chats.is_empty() {
        for chat in services.chats.visible(viewer, &chats).await? {
            found.push((NodeId::Chat(chat.id), Node::Chat(ChatNode::new(chat))));
        }
    }
    if !messages.is_empty() {
        for message in services.messages.visible(viewer, &messages).await? {
            let id = NodeId::Message(message.id);
            found.push((id, Node::Message(MessageNode::new(message))));
        }
    }
    if !attachments.is_empty() {
        for attachment in services.attachments.visible(viewer, &attachments).await? {
            let id = NodeId::Attachment(attachment.id);
            found.push((id, Node::Attachment(AttachmentNode::new(attachment))));
        }
    }
    if !sessions.is_empty() {
        for session in services.auth.visible(viewer, &sessions).await? {
            found.push((
                NodeId::Session(session.id),
                Node::Session(SessionNode::new(session)),
            ));
        }
    }
    if !reports.is_empty() {
        for (operator, report) in services.moderation.visible(viewer, &reports).await? {
            let id = NodeId::Report(report.id);
            found.push((id, Node::Report(ReportNode::new(operator, report))));
        }
    }
    let pick = |id: &Option<NodeId>| {
        let mut found = found.iter();
        let (_, node) = found.find(|(known, _)| Some(*known) == *id)?;
        Some(node.clone())
    };
    Ok(wanted.iter().map(pick).collect())
}
