//! Reactions to messages, and pinned messages.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use talksy_domain::cursor::Cursor as _;
use talksy_domain::error::PortError;
use talksy_domain::events::Hole;
use talksy_domain::id::{self, ChatId, MessageId};
use talksy_domain::messages::{
    Emoji, Message, PinCursor, Reaction, ReactionCount, ReactionCursor, ReactionPage,
};
use talksy_domain::page::{Page, Window};
use talksy_domain::seq::Seq;

use super::types::MessageNode;
use crate::context::ContextExt as _;
use crate::error::{Result, dangling};
use crate::loaders::{Loader, LoaderContext, by_place};
use crate::scalars::{compound_id, int};
use crate::sharing::{OwnMessage, SharedField, SharedType};
use crate::users::{UserConnection, UserNode};

/// What viewers share of reactions.
pub(crate) const SHARED: &[SharedType] = &[SharedType {
    name: "ReactionGroup",
    interfaces: &[],
    fields: &[
        SharedField::event("id"),
        SharedField::event("emoji"),
        SharedField::event("count"),
        SharedField::own("viewerHasReacted"),
    ],
}];

/// The reactions to a message with one emoji.
#[derive(Clone)]
pub struct ReactionGroupObject {
    message: Arc<Message>,
    /// The emoji's place among those of the message.
    place: u8,
    counted: ReactionCount,
}

/// The reactions to a message with one emoji.
#[Object(name = "ReactionGroup")]
impl ReactionGroupObject {
    /// The group's own id: always the same for this emoji on this message, and no other object's.
    /// For caches; `node` does not know it.
    async fn id(&self) -> ID {
        compound_id(
            "reactions",
            &[&self.message.id, &self.counted.emoji.as_str()],
        )
    }

    /// The emoji, in Unicode's fully-qualified form.
    async fn emoji(&self) -> &str {
        self.counted.emoji.as_str()
    }

    /// How many users have reacted so.
    async fn count(&self) -> i32 {
        int(self.counted.count)
    }

    /// Whether the viewer is one of them.
    async fn viewer_has_reacted(&self, ctx: &Context<'_>) -> Result<bool> {
        // What is filled in is of the event's own message. Of another one, which it replies to, each
        // viewer reads it.
        let own = ctx.data_opt::<OwnMessage>();
        if own.is_some_and(|own| own.0 == self.message.id)
            && ctx.is_hole(Hole::HasReacted(self.place))
        {
            return Ok(false);
        }
        let key = ViewerReactionsTo(self.message.chat_id, self.message.id);
        let own = ctx.loaders().load_one(key).await?.unwrap_or_default();
        Ok(own.contains(&self.counted.emoji))
    }

    /// Who has reacted so, in the order in which they did. Counted anew: it may be ahead of `count`.
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 0 to 100; 50 where absent.")] first: Option<i32>,
        #[graphql(desc = "Only users behind this cursor.")] after: Option<String>,
    ) -> Result<UserConnection> {
        let (message, emoji) = (self.message.id, &self.counted.emoji);
        let after = after
            .map(|text| ReactionCursor::decode_in(&text, message, emoji, "after"))
            .transpose()?;
        let window = Window::forward(first, after.map(|cursor| cursor.place))?;
        let key = ReactionPage {
            message_id: message,
            chat_id: self.message.chat_id,
            emoji: emoji.clone(),
            window,
        };
        let page = ctx.loaders().load_one(key).await?;
        let Some(page) = page else {
            return Err(dangling(message.to_string()).into());
        };
        let users = page.items.iter().map(|reaction| reaction.user_id);
        let users = ctx.loaders().load_many(users).await?;
        let node = |reaction: &Reaction| {
            let user = users.get(&reaction.user_id);
            let user = user.ok_or_else(|| dangling(reaction.user_id.to_string()))?;
            let cursor = ReactionCursor {
                message_id: message,
                emoji: emoji.clone(),
                place: reaction.place(),
            };
            Ok(UserNode::at(Arc::clone(user), &cursor.encode()))
        };
        let nodes: Result<Vec<_>> = page.items.iter().map(node).collect();
        let users = Page {
            items: nodes?,
            has_next: page.has_next,
            has_previous: page.has_previous,
        };
        Ok(UserConnection::new(users, UserNode::place))
    }
}

impl ReactionGroupObject {
    /// The groups of a message's reactions.
    pub(crate) fn of(message: &Arc<Message>) -> Vec<Self> {
        let counts = message.reactions.counts().iter();
        let group = |(place, counted): (u8, &ReactionCount)| Self {
            message: Arc::clone(message),
            place,
            counted: counted.clone(),
        };
        (0..).zip(counts).map(group).collect()
    }
}

/// With which emoji the viewer has reacted to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ViewerReactionsTo(pub ChatId, pub MessageId);

impl Loader<ViewerReactionsTo> for LoaderContext {
    type Value = Arc<[Emoji]>;

    async fn load(
        &self,
        keys: &[ViewerReactionsTo],
    ) -> Result<HashMap<ViewerReactionsTo, Self::Value>, PortError> {
        let Some(viewer) = self.viewer() else {
            return Ok(HashMap::new());
        };
        let asked: Vec<_> = keys.iter().map(|key| (key.0, key.1)).collect();
        let messages = &self.services.messages;
        let mut own = HashMap::<MessageId, Vec<Emoji>>::new();
        for (message, emoji) in messages.viewer_reactions(viewer, &asked).await? {
            own.entry(message).or_default().push(emoji);
        }
        let found = keys
            .iter()
            .filter_map(|key| Some((*key, own.remove(&key.1)?.into())));
        Ok(found.collect())
    }
}

impl Loader<ReactionPage> for LoaderContext {
    type Value = Page<Reaction>;

    async fn load(
        &self,
        keys: &[ReactionPage],
    ) -> Result<HashMap<ReactionPage, Self::Value>, PortError> {
        let pages = self.services.messages.reaction_pages(keys).await?;
        let pages = pages.into_iter().map(Some).collect();
        Ok(by_place(keys, pages, |page| page))
    }
}

/// A page of a chat's pinned messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PinnedOf {
    /// The chat.
    pub chat: ChatId,
    /// Which part of them.
    pub window: Window<Seq>,
}

impl Loader<PinnedOf> for LoaderContext {
    type Value = Page<Arc<Message>>;

    async fn load(&self, keys: &[PinnedOf]) -> Result<HashMap<PinnedOf, Self::Value>, PortError> {
        let Some(viewer) = self.viewer() else {
            return Ok(HashMap::new());
        };
        let wanted: Vec<_> = keys
            .iter()
            .map(|key| (key.chat, key.window.clone()))
            .collect();
        let pages = self.services.messages.pinned_pages(viewer, &wanted).await?;
        Ok(by_place(keys, pages, |page| page.map(Arc::new)))
    }
}

/// A reaction to add.
#[derive(InputObject)]
pub struct AddReactionInput {
    /// A message of a chat of the viewer.
    message_id: ID,
    /// A single emoji of Unicode's list, with skin tone where it has one; with or without
    /// presentation selectors.
    emoji: String,
}

/// The message with the reaction.
#[derive(SimpleObject)]
pub struct AddReactionPayload {
    /// The message.
    message: MessageNode,
}

/// A reaction to take back.
#[derive(InputObject)]
pub struct RemoveReactionInput {
    /// A message of a chat of the viewer.
    message_id: ID,
    /// The emoji, as in `addReaction`.
    emoji: String,
}

/// The message without the reaction.
#[derive(SimpleObject)]
pub struct RemoveReactionPayload {
    /// The message.
    message: MessageNode,
}

/// Whether a message is to be pinned.
#[derive(InputObject)]
pub struct PinMessageInput {
    /// A message of a chat of the viewer.
    message_id: ID,
    /// Whether it is to be pinned.
    pinned: bool,
}

/// The message as it is now.
#[derive(SimpleObject)]
pub struct PinMessagePayload {
    /// The message.
    message: MessageNode,
}

/// Mutations of reactions and pins.
#[derive(Default)]
pub struct ReactionMutation;

#[Object]
impl ReactionMutation {
    /// Reacts to a message. One that the viewer has reacted to so already stays as it is. A message
    /// has at most 50 different emoji: `CONFLICT` for a further one.
    async fn add_reaction(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The message and the emoji.")] input: AddReactionInput,
    ) -> Result<Option<AddReactionPayload>> {
        let message = react(ctx, &input.message_id, &input.emoji, true).await?;
        Ok(Some(AddReactionPayload { message }))
    }

    /// Takes a reaction of the viewer back. Where there is none, nothing is changed.
    async fn remove_reaction(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The message and the emoji.")] input: RemoveReactionInput,
    ) -> Result<Option<RemoveReactionPayload>> {
        let message = react(ctx, &input.message_id, &input.emoji, false).await?;
        Ok(Some(RemoveReactionPayload { message }))
    }

    /// Pins a message in its chat, or no longer: for the owners and admins of a group, and for both
    /// in a direct chat. Where it is so already, nothing is changed. A chat has at most 100 pinned
    /// messages: `CONFLICT` for a further one.
    async fn pin_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The message, and whether it is to be pinned.")] input: PinMessageInput,
    ) -> Result<Option<PinMessagePayload>> {
        let viewer = ctx.viewer()?;
        let message = id::parse(&input.message_id, "messageId")?;
        let messages = &ctx.services().messages;
        let message = messages.pin(viewer, message, input.pinned).await?;
        let message = MessageNode::new(message);
        Ok(Some(PinMessagePayload { message }))
    }
}

async fn react(
    ctx: &Context<'_>,
    message: &ID,
    emoji: &str,
    is_added: bool,
) -> Result<MessageNode> {
    let viewer = ctx.viewer()?;
    let message = id::parse(message, "messageId")?;
    let emoji = Emoji::parse(emoji)?;
    let messages = &ctx.services().messages;
    let message = messages.react(viewer, message, emoji, is_added).await?;
    Ok(MessageNode::new(message))
}

impl MessageNode {
    /// The message's place among those that are pinned in its chat.
    pub(crate) fn pinned_place(&self) -> String {
        let message = self.message();
        PinCursor {
            chat_id: message.chat_id,
            pinned_seq: message.pinned_seq,
        }
        .encode()
    }
}
