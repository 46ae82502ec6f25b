//! An event that a shared operation is executed on, and the feed that it comes from.

use std::sync::Arc;

use async_graphql::Context;
use futures_util::{Stream, StreamExt as _};
use parking_lot::Mutex;
use talksy_domain::chats::ReadReceipt;
use talksy_domain::events::{Hole, Published, Renderings, Template};
use talksy_domain::feeds::{
    AccountEvent, AccountFeed, AccountItem, ChangeFeed, ChangeItem, ChatFeed, ChatItem, Feed,
    FeedError, MessageFeed, StateFeed, StateItem,
};
use talksy_domain::id::UserId;

use super::filling::Filling;

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
    /// Of `accountEvents`.
    Account(AccountEvent),
}

impl Rendered {
    /// The type of the event in GraphQL; `None` where it is never shared.
    pub fn type_name(&self) -> Option<&'static str> {
        Some(match self {
            Self::Message(_) => "MessageEdge",
            Self::Change(_) => "MessageChange",
            Self::Receipt(_) => "ReadReceipt",
            Self::Chat(_) => "Chat",
            Self::Account(event) => match &event.item {
                AccountItem::MessageAdded(_) => "MessageAdded",
                AccountItem::MessageChanged(_) => "MessageChange",
                AccountItem::ReceiptChanged(..) => "ReceiptChanged",
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
            Self::Account(event) => match &event.item {
                AccountItem::MessageAdded(published) | AccountItem::MessageChanged(published) => {
                    Some(published)
                }
                AccountItem::ReceiptChanged(_, published) => published.as_ref(),
                _ => None,
            },
        }
    }

    /// What it was rendered to, where that is shared.
    pub fn renderings(&self) -> Option<&Renderings> {
        match self {
            Self::Chat(item) => Some(&item.state.renderings),
            _ => self.published().map(|published| &published.renderings),
        }
    }

    /// Whom most operations ask for.
    pub fn person(&self) -> Option<UserId> {
        match self {
            Self::Chat(item) => item.state.last_message.as_ref()?.sender_id,
            Self::Receipt(item) => Some(item.state.user_id),
            Self::Account(AccountEvent {
                item: AccountItem::ReceiptChanged(receipt, _),
                ..
            }) => Some(receipt.user_id),
            _ => self.published()?.message()?.sender_id,
        }
    }

    /// The viewer's place behind the event, where each has their own.
    pub fn cursor(&self) -> Option<String> {
        match self {
            Self::Change(item) => Some(talksy_domain::cursor::Cursor::encode(&item.cursor)),
            Self::Account(event) => Some(event.cursor.encode()),
            Self::Message(_) | Self::Receipt(_) | Self::Chat(_) => None,
        }
    }
}

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
    /// The next event.
    ///
    /// # Errors
    /// The feed is over, and says why.
    pub async fn next(&mut self) -> Result<Rendered, FeedError> {
        Ok(match self {
            Self::Messages(feed) => Rendered::Message(feed.next().await?),
            // In a box, so that a feed of messages that waits needs no room for them.
            Self::Changes(feed) => Rendered::Change(Box::pin(feed.next()).await?),
            Self::Receipts(feed) => Rendered::Receipt(Box::pin(feed.next()).await?),
            Self::Chats(feed) => Rendered::Chat(Box::pin(feed.next()).await?),
            Self::Account(feed) => Rendered::Account(Box::pin(feed.next()).await?),
        })
    }

    /// What is the viewer's own of an event that the feed has just told, as far as a template asks
    /// for it.
    pub async fn filling(&mut self, event: &Rendered, template: &Template) -> Filling {
        let mut filling = Filling::default();
        for hole in template.holes() {
            match (hole, event) {
                (Hole::Cursor, _) => filling.cursor = event.cursor(),
                (Hole::UnreadCount, Rendered::Chat(item)) => {
                    if let Self::Chats(feed) = self {
                        filling.unread = feed.unread(item).await.ok().flatten();
                    }
                }
                (_, Rendered::Chat(item)) => {
                    filling.member = Some(item.member.clone());
                    filling.incarnation = Some(item.incarnation);
                }
                _ => {}
            }
        }
        filling
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
