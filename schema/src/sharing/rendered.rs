//! An event that a shared operation is executed on, and the feed that it comes from.

use std::sync::Arc;

use async_graphql::Context;
use futures_util::{Stream, StreamExt as _};
use parking_lot::Mutex;
use talksy_domain::chats::ReadReceipt;
use talksy_domain::events::{Hole, Published, Renderings, Template};
use talksy_domain::feeds::{
    AccountEvent, AccountFeed, AccountItem, ChangeFeed, ChangeItem, ChatFeed, ChatItem, Counted,
    Feed, FeedError, MessageFeed, ReplyTarget, StateFeed, StateItem,
};
use talksy_domain::id::{ChatId, MessageId, UserId};
use talksy_domain::messages::Message;

use super::filling::{AllRead, Filling};
use super::operation::SharedOperation;

/// Put beside a subscription's request, it makes the subscription yield just this event: the one
/// place where an event becomes bytes, whoever drives the feed.
#[derive(Clone, Debug)]
pub enum Rendered {
    /// Of `messageAdded`.
    Message(Arc<Published>),
    /// Of `messageUpdated`.
    Change(ChangeItem),
    /// Of `readReceiptUpdated`.
    Receipt(StateItem<ReadReceipt>),
    /// Of `chatUpdated`.
    Chat(ChatItem),
    /// Of `accountEvents`; where it tells of a chat that viewers share, with the chat.
    Account(AccountEvent, Option<ChatItem>),
}

impl Rendered {
    /// The type of the event in GraphQL; `None` where it is never shared.
    pub fn type_name(&self) -> Option<&'static str> {
        Some(match self {
            Self::Message(_) => "MessageEdge",
            Self::Change(_) => "MessageChange",
            Self::Receipt(_) => "ReadReceipt",
            Self::Chat(_) => "Chat",
            Self::Account(event, chat) => match &event.item {
                AccountItem::MessageAdded(_) => "MessageAdded",
                AccountItem::MessageChanged(_) => "MessageChange",
                AccountItem::ReceiptChanged(..) => "ReceiptChanged",
                AccountItem::ChatChanged(_) if chat.is_some() => CHAT_CHANGED,
                _ => return None,
            },
        })
    }

    /// What was published, where the event comes from the bus.
    pub fn published(&self) -> Option<&Arc<Published>> {
        match self {
            Self::Message(published) => Some(published),
            Self::Change(item) => Some(&item.change),
            Self::Receipt(item) => item.event.as_ref(),
            Self::Chat(_) => None,
            Self::Account(event, _) => match &event.item {
                AccountItem::MessageAdded(published) | AccountItem::MessageChanged(published) => {
                    Some(published)
                }
                AccountItem::ReceiptChanged(_, published) => published.as_ref(),
                _ => None,
            },
        }
    }

    /// The chat whose state it tells of, with what is the viewer's own.
    pub fn chat(&self) -> Option<&ChatItem> {
        match self {
            Self::Chat(item) => Some(item),
            Self::Account(_, chat) => chat.as_ref(),
            _ => None,
        }
    }

    /// What it was rendered to, where that is shared.
    pub fn renderings(&self) -> Option<&Renderings> {
        match self.chat() {
            Some(item) => Some(&item.state.renderings),
            None => self.published().map(|published| &published.renderings),
        }
    }

    /// The message that it tells of.
    pub fn message(&self) -> Option<&Message> {
        match self.chat() {
            Some(item) => item.state.last_message.as_ref(),
            None => self.published()?.message(),
        }
    }

    /// For whom it is rendered, where it looks different from each side: a direct chat, whose title is
    /// the other side's name.
    pub fn side(&self) -> Option<Side> {
        let item = self.chat()?;
        Some(Side {
            chat_id: item.member.chat_id,
            peer: item.state.peer_of(item.member.user_id)?,
        })
    }

    /// Whom most operations ask for.
    pub fn people(&self) -> impl Iterator<Item = UserId> {
        let peer = self.side().map(|side| side.peer);
        let person = self.person().filter(|person| Some(*person) != peer);
        person.into_iter().chain(peer)
    }

    fn person(&self) -> Option<UserId> {
        if let Some(item) = self.chat() {
            return item.state.last_message.as_ref()?.sender_id;
        }
        match self {
            Self::Receipt(item) => Some(item.state.user_id),
            Self::Account(event, _) => match &event.item {
                AccountItem::ReceiptChanged(receipt, _) => Some(receipt.user_id),
                _ => self.published()?.message()?.sender_id,
            },
            _ => self.published()?.message()?.sender_id,
        }
    }

    /// The viewer's place behind the event, where each has their own.
    pub fn cursor(&self) -> Option<String> {
        match self {
            Self::Change(item) => Some(talksy_domain::cursor::Cursor::encode(&item.cursor)),
            Self::Account(event, _) => Some(event.cursor.encode()),
            Self::Message(_) | Self::Receipt(_) | Self::Chat(_) => None,
        }
    }
}

/// From which side a direct chat is seen. Put beside a request that is executed for all who see it from
/// there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// The chat.
    pub chat_id: ChatId,
    /// Who is on the other side.
    pub peer: UserId,
}

/// The message that an event tells of. Put beside a request that is executed for all who are told: what
/// viewers have done with it is filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnMessage(pub MessageId);

/// The type of the events that tell of a chat in `accountEvents`.
const CHAT_CHANGED: &str = "ChatChanged";

/// A feed that was opened for a shared operation.
pub enum OpenedFeed {
    /// Of `messageAdded`.
    Messages(MessageFeed),
    /// Of `messageUpdated`.
    Changes(ChangeFeed),
    /// Of `readReceiptUpdated`.
    Receipts(StateFeed<ReadReceipt>),
    /// Of `chatUpdated`.
    Chats(Box<ChatFeed>),
    /// Of `accountEvents`.
    Account(Box<AccountFeed>),
}

impl OpenedFeed {
    /// The next event. A chat that `accountEvents` tells of comes with its state where the operation
    /// shares that.
    ///
    /// # Errors
    /// The feed is over, and says why.
    pub async fn next(&mut self, operation: &SharedOperation) -> Result<Rendered, FeedError> {
        Ok(match self {
            Self::Messages(feed) => Rendered::Message(feed.next().await?),
            // In a box, so that a feed of messages that waits needs no room for them.
            Self::Changes(feed) => Rendered::Change(Box::pin(feed.next()).await?),
            Self::Receipts(feed) => Rendered::Receipt(Box::pin(feed.next()).await?),
            Self::Chats(feed) => Rendered::Chat(Box::pin(feed.next()).await?),
            Self::Account(feed) => {
                let shares_chats = operation.key(CHAT_CHANGED).is_some();
                loop {
                    let event = Box::pin(feed.next()).await?;
                    let AccountItem::ChatChanged(chat) = event.item else {
                        break Rendered::Account(event, None);
                    };
                    if !shares_chats {
                        break Rendered::Account(event, None);
                    }
                    // One that the viewer has left meanwhile is passed over.
                    if let Some(chat) = Box::pin(feed.chat(chat)).await? {
                        break Rendered::Account(event, Some(chat));
                    }
                }
            }
        })
    }

    /// What the message that an event tells of replies to, and whether the viewer may read that; `None`
    /// where it is no reply, and where the feed does not know.
    pub fn reply_target(&self, event: &Rendered) -> Option<ReplyTarget> {
        if let Some(item) = event.chat() {
            return item.reply_target();
        }
        let told = event.message()?;
        match self {
            Self::Messages(feed) => feed.reply_target(told),
            Self::Changes(feed) => feed.reply_target(told),
            Self::Account(feed) => feed.reply_target(told),
            Self::Receipts(_) | Self::Chats(_) => None,
        }
    }

    /// What is the viewer's own of an event that the feed has just told, as far as a template asks
    /// for it.
    pub async fn filling(&mut self, event: &Rendered, template: &Template) -> Filling {
        let mut filling = Filling::default();
        let Some(item) = event.chat() else {
            // Elsewhere nothing but the place is each viewer's own.
            filling.cursor = event.cursor();
            return filling;
        };
        for hole in template.holes() {
            match hole {
                Hole::Cursor => filling.cursor = event.cursor(),
                // Whoever drives the feed reads it.
                Hole::HasReacted(_) => {}
                Hole::UnreadCount => {
                    filling.unread = self.unread(item, Counted::Messages).await;
                }
                Hole::UnreadMentionCount => {
                    filling.unread_mentions = self.unread(item, Counted::Mentions).await;
                }
                Hole::ReadByAll => {
                    // In a box, as it is seldom read.
                    filling.read_by_all = Box::pin(self.read_by_all(item)).await;
                }
                _ => {
                    filling.member = Some(item.member.clone());
                    filling.incarnation = Some(item.incarnation);
                }
            }
        }
        filling
    }

    async fn unread(&mut self, item: &ChatItem, of: Counted) -> Option<u32> {
        match self.known_unread(item, of) {
            Some(known) => Some(known),
            // In a box, as it is seldom read.
            None => Box::pin(self.read_unread(item, of)).await,
        }
    }

    fn known_unread(&self, item: &ChatItem, of: Counted) -> Option<u32> {
        match self {
            Self::Chats(feed) => feed.known_unread(item, of),
            Self::Account(feed) => feed.known_unread(item, of),
            _ => None,
        }
    }

    async fn read_by_all(&mut self, item: &ChatItem) -> Option<AllRead> {
        let seq = match self {
            Self::Chats(feed) => feed.read_by_all(item).await,
            Self::Account(feed) => feed.read_by_all(item).await,
            _ => return None,
        };
        seq.ok().map(AllRead)
    }

    async fn read_unread(&mut self, item: &ChatItem, of: Counted) -> Option<u32> {
        let count = match self {
            Self::Chats(feed) => feed.unread(item, of).await,
            Self::Account(feed) => feed.unread(item, of).await,
            _ => Ok(None),
        };
        count.ok().flatten()
    }
}

/// Put beside a subscription's request, it takes the feed that the subscription opens, which then
/// yields nothing: who put it there drives the feed.
#[derive(Clone, Default)]
pub struct SharedFeed(Arc<Mutex<Option<OpenedFeed>>>);

impl SharedFeed {
    /// The feed, once the subscription has opened it.
    pub fn take(&self) -> Option<OpenedFeed> {
        self.0.lock().take()
    }
}

/// The items of a feed; none where the feed is driven by who opened the subscription.
pub(crate) fn items<F: Feed, O: FnOnce(F) -> OpenedFeed>(
    ctx: &Context<'_>,
    feed: F,
    opened: O,
) -> impl Stream<Item = Result<F::Item, FeedError>> + Send + use<F, O> {
    match ctx.data_opt::<SharedFeed>() {
        Some(shared) => {
            *shared.0.lock() = Some(opened(feed));
            futures_util::stream::empty().left_stream()
        }
        None => feed.into_stream().right_stream(),
    }
}
