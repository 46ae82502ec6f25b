//! The one schema, put together from the rooms.

use async_graphql::{
    Context, ID, Interface, MergedObject, MergedSubscription, Object, Result, Schema, SchemaBuilder,
};

use crate::accounts::graphql::{AccountMutation, AccountQuery, SessionNode, UserNode};
use crate::chats::graphql::{ChatMutation, ChatNode, ChatQuery, ChatSubscription};
use crate::error::{ErrorCode, Invalid};
use crate::graphql::ContextExt as _;
use crate::id::{ChatId, MessageId, SessionId, UserId};
use crate::messages::graphql::{MessageMutation, MessageNode, MessageSubscription};
use crate::page::MAX_PAGE;
use crate::presence::graphql::{PresenceMutation, PresenceSubscription};
use crate::services::Services;

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
        for (id, user) in ctx.loaders().load_many(users).await? {
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
        for session in services.accounts.sessions(viewer).await? {
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

/// What can be asked.
#[derive(MergedObject, Default)]
pub struct Query(AccountQuery, NodeQuery, ChatQuery);

/// What can be changed. The fields of one request are carried out in their order, also behind one
/// that is refused.
#[derive(MergedObject, Default)]
pub struct Mutation(
    AccountMutation,
    ChatMutation,
    MessageMutation,
    PresenceMutation,
);

/// What can be followed.
#[derive(MergedSubscription, Default)]
pub struct Subscription(MessageSubscription, ChatSubscription, PresenceSubscription);

/// The schema.
pub type TalksySchema = Schema<Query, Mutation, Subscription>;

/// The most fields a request may resolve, where a connection counts its page size times what one
/// item counts.
pub const MAX_COMPLEXITY: usize = 20_000;

fn builder() -> SchemaBuilder<Query, Mutation, Subscription> {
    Schema::build(
        Query::default(),
        Mutation::default(),
        Subscription::default(),
    )
    .register_output_type::<ErrorCode>()
    .limit_complexity(MAX_COMPLEXITY)
}

/// The schema over the services. A request needs beside it: [`crate::context::Authentication`],
/// [`crate::context::ClientInfo`] and [`crate::loaders::Loaders`].
pub fn schema(services: Services) -> TalksySchema {
    builder().data(services).finish()
}

/// The schema's SDL, as it is published.
pub fn sdl() -> String {
    let options = async_graphql::SDLExportOptions::new()
        .include_specified_by()
        .prefer_single_line_descriptions();
    builder().finish().sdl_with_options(options)
}

#[cfg(test)]
mod tests {
    use super::{builder, sdl};

    /// Rewritten by `make sdl`, which sets `TALKSY_WRITE_SDL`.
    #[test]
    fn the_published_sdl_is_this_schema() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql");
        if std::env::var_os("TALKSY_WRITE_SDL").is_some() {
            std::fs::write(path, sdl()).unwrap();
        }
        let published = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            published == sdl(),
            "schema.graphql is out of date: run `make sdl`"
        );
    }

    #[tokio::test]
    async fn everything_in_the_schema_is_described_and_nothing_deprecated() {
        const PART: &str = "name description isDeprecated";
        let query = format!(
            "{{ __schema {{ types {{ kind name description
                 fields(includeDeprecated: true) {{ {PART} args {{ name description }} }}
                 inputFields {{ name description }}
                 enumValues(includeDeprecated: true) {{ {PART} }} }} }} }}"
        );
        let answer = builder().finish().execute(query).await;
        assert!(answer.errors.is_empty(), "{:?}", answer.errors);
        let answer = answer.data.into_json().unwrap();
        let mut faults = Vec::new();
        look(&answer["__schema"]["types"], "", &mut faults);
        assert!(
            faults.is_empty(),
            "not described or deprecated: {faults:#?}"
        );
    }

    fn look(items: &serde_json::Value, parent: &str, faults: &mut Vec<String>) {
        for item in items.as_array().into_iter().flatten() {
            let name = item["name"].as_str().unwrap_or_default();
            // Introspection and the built-in scalar are the library's.
            if name.starts_with("__") || name == "ID" {
                continue;
            }
            let path = format!("{parent}.{name}");
            let described = item["description"]
                .as_str()
                .is_some_and(|text| !text.is_empty());
            if !described || item["isDeprecated"] == true {
                faults.push(path.clone());
            }
            for part in ["fields", "args", "inputFields", "enumValues"] {
                look(&item[part], &path, faults);
            }
        }
    }
}
