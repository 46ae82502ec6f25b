//! Fetching any object by its global id.

use async_graphql::{Context, ID, Interface, Object};
use talksy_domain::error::Invalid;
use talksy_domain::id::{ChatId, MessageId, SessionId, UserId};
use talksy_domain::page::MAX_PAGE;

use crate::auth::SessionNode;
use crate::chats::ChatNode;
use crate::context::ContextExt as _;
use crate::error::Result;
use crate::messages::MessageNode;
use crate::users::UserNode;

/// An object with a typed, globally unique id (`TypeID`: `usr_…`, `cht_…`, `msg_…`, `ses_…`).
#[derive(Clone, Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "The object's global id."))]
pub enum Node {
    /// A user.
    User(UserNode),
    /// A chat.
    Chat(ChatNode),
    /// A message.
    Message(MessageNode),
    /// A session.
    Session(SessionNode),
}

/// Fetching by global id.
#[derive(Default)]
pub struct NodeQuery;

#[Object]
impl NodeQuery {
    /// The object with this id; null where there is none or the viewer may not see it.
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Any global id.")] id: ID,
    ) -> Result<Option<Node>> {
        Ok(fetch(ctx, &[id], "id").await?.pop().flatten())
    }

    /// The objects with these ids, in their order; null where there is none or the viewer may
    /// not see it.
    #[graphql(complexity = "ids.len().saturating_mul(child_complexity)")]
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most 100 global ids.")] ids: Vec<ID>,
    ) -> Result<Vec<Option<Node>>> {
        ctx.viewer()?;
        if ids.len() > MAX_PAGE {
            return Err(Invalid::new("ids", format!("must be at most {MAX_PAGE} ids")).into());
        }
        fetch(ctx, &ids, "ids").await
    }
}

/// One of the kinds of ids that a node may have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NodeId {
    User(UserId),
    Chat(ChatId),
    Message(MessageId),
    Session(SessionId),
}

fn parse_node_id(id: &ID, field: &'static str) -> Result<NodeId, Invalid> {
    let text = id.as_str();
    text.parse()
        .map(NodeId::User)
        .or_else(|_| text.parse().map(NodeId::Chat))
        .or_else(|_| text.parse().map(NodeId::Message))
        .or_else(|_| text.parse().map(NodeId::Session))
        .map_err(|_: type_safe_id::Error| {
            Invalid::new(field, "must hold ids that this server has returned")
        })
}

/// Reads objects of all kinds: one call a kind.
async fn fetch(ctx: &Context<'_>, ids: &[ID], field: &'static str) -> Result<Vec<Option<Node>>> {
    let viewer = ctx.viewer()?;
    let services = ctx.services();
    let wanted: Vec<_> = ids
        .iter()
        .map(|id| parse_node_id(id, field))
        .collect::<Result<_, _>>()?;
    let mut users = Vec::new();
    let mut chats = Vec::new();
    let mut messages = Vec::new();
    let mut sessions = Vec::new();
    for id in &wanted {
        match *id {
            NodeId::User(id) => users.push(id),
            NodeId::Chat(id) => chats.push(id),
            NodeId::Message(id) => messages.push(id),
            NodeId::Session(id) => sessions.push(id),
        }
    }
    let mut found = Vec::<(NodeId, Node)>::new();
    if !users.is_empty() {
        let readable = services.access.profiles(viewer, users).into_users();
        for (id, user) in ctx.loaders().load_many(readable).await? {
            found.push((NodeId::User(id), Node::User(UserNode::new(user))));
        }
    }
    if !chats.is_empty() {
        for chat in services.chats.visible(viewer, &chats).await? {
            found.push((NodeId::Chat(chat.id), Node::Chat(ChatNode(chat))));
        }
    }
    if !messages.is_empty() {
        for message in services.messages.visible(viewer, &messages).await? {
            let id = NodeId::Message(message.id);
            found.push((id, Node::Message(MessageNode::new(message))));
        }
    }
    if !sessions.is_empty() {
        for session in services.auth.sessions(viewer).await? {
            found.push((
                NodeId::Session(session.id),
                Node::Session(SessionNode::new(session)),
            ));
        }
    }
    let pick = |id: &NodeId| {
        found
            .iter()
            .find(|(known, _)| known == id)
            .map(|(_, node)| node.clone())
    };
    Ok(wanted.iter().map(pick).collect())
}
