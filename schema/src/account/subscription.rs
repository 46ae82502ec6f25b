//! `accountEvents`.

use std::collections::HashSet;

use async_graphql::{Context, ID, Subscription};
use futures_util::{Stream, StreamExt as _, stream};
use talksy_domain::error::Invalid;
use talksy_domain::events::Published;
use talksy_domain::feeds::{
    AccountEvent, AccountItem, AccountPosition as Position, FeedError, MAX_SINCE,
};
use talksy_domain::id;
use talksy_domain::services::Services;
use talksy_domain::viewer::{Authentication, Viewer};

use super::types::{
    AccountCheckpointObject, AccountEventInterface, AccountPosition, ChatChangedObject,
    ChatResetObject, MessageAddedObject, ReceiptChangedObject, ViewerChangedObject,
};
use crate::chats::{ChatNode, ChatRemovedObject};
use crate::context::ContextExt as _;
use crate::error::Result;
use crate::messages::{MessageChangeObject, MessageNode};
use crate::sharing::{OpenedFeed, Rendered, items};

/// The viewer's account as one stream.
#[derive(Default)]
pub struct AccountSubscription;

#[Subscription]
impl AccountSubscription {
    /// Everything that concerns the viewer, of all chats, in one resumable stream: once and in order
    /// on one connection, at least once across connections, idempotent by (chat, `seq`) and
    /// `changeSeq`. Without `after` it starts with a checkpoint at the present.
    ///
    /// Of chats that are not in `detailOf` only `ChatChanged`, `ChatRemoved` and `ChatReset` are told
    /// and their place advances: load a page when adding one.
    ///
    /// Ends with `RESYNC_REQUIRED` where the server does not have what came before `after`: drop all
    /// and subscribe without it.
    async fn account_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Where the client stands; absent at first.")] after: Option<
            AccountPosition,
        >,
        #[graphql(
            desc = "The chats whose messages, changes and receipts are told, at most 1,000; absent for all."
        )]
        detail_of: Option<Vec<ID>>,
    ) -> Result<impl Stream<Item = Result<AccountEventInterface>> + use<>> {
        if let Some(Rendered::Account(event, chat)) = ctx.data_opt() {
            let viewer = ctx.data_unchecked::<Authentication>().viewer().ok();
            let chat = chat.as_ref().map(|item| ChatNode::at(&item.state));
            let event = told(ctx.services(), viewer, Ok(event.clone()), chat).await;
            return Ok(stream::iter(event.transpose()).left_stream());
        }
        let viewer = *ctx.viewer()?;
        let after = after
            .map(|after| Position::parse(viewer.user_id, &after.checkpoint, &after.since))
            .transpose()?;
        let detail = match detail_of {
            Some(chats) if chats.len() > MAX_SINCE => {
                let rule = format!("must be at most {MAX_SINCE} ids");
                return Err(Invalid::new("detailOf", rule).into());
            }
            Some(chats) => {
                let chats = id::parse_all(&chats, "detailOf")?;
                Some(HashSet::from_iter(chats))
            }
            None => None,
        };
        let services = ctx.services().clone();
        let feed = services.feeds.account(&viewer, after, detail).await?;
        let events = items(ctx, feed, |feed| OpenedFeed::Account(Box::new(feed)));
        let events = events.filter_map(move |event| {
            let services = services.clone();
            async move {
                told(&services, Some(&viewer), event, None)
                    .await
                    .transpose()
            }
        });
        Ok(events.right_stream())
    }
}

/// The event as the viewer is told of it, with the chat where it tells of one that viewers share;
/// `None` where there is nothing to tell any more. Only events that are not shared need a viewer.
async fn told(
    services: &Services,
    viewer: Option<&Viewer>,
    event: Result<AccountEvent, FeedError>,
    chat: Option<ChatNode>,
) -> Result<Option<AccountEventInterface>> {
    let AccountEvent { item, cursor } = event?;
    let cursor = cursor.encode();
    Ok(Some(match item {
        AccountItem::MessageAdded(published) => match Published::message(&published) {
            Some(message) => AccountEventInterface::MessageAdded(MessageAddedObject {
                cursor,
                message: MessageNode::new(message.clone()),
            }),
            None => return Ok(None),
        },
        AccountItem::MessageChanged(change) => match change.message() {
            Some(message) => AccountEventInterface::MessageChange(MessageChangeObject::told(
                message.clone(),
                cursor,
            )),
            None => return Ok(None),
        },
        AccountItem::ChatChanged(id) => {
            let chat = match (chat, viewer) {
                (Some(chat), _) => Some(chat),
                // One that the viewer has left meanwhile is passed over.
                (None, Some(viewer)) => {
                    let found = services.chats.visible(viewer, &[id]).await?.pop();
                    found.map(ChatNode::new)
                }
                (None, None) => None,
            };
            let Some(chat) = chat else {
                return Ok(None);
            };
            AccountEventInterface::ChatChanged(ChatChangedObject { cursor, chat })
        }
        AccountItem::ChatRemoved(chat) => {
            AccountEventInterface::ChatRemoved(ChatRemovedObject::told(chat, cursor))
        }
        AccountItem::ReceiptChanged(receipt, _) => {
            AccountEventInterface::ReceiptChanged(ReceiptChangedObject { cursor, receipt })
        }
        AccountItem::ViewerChanged => {
            let Some(viewer) = viewer else {
                return Ok(None);
            };
            services.users.note_changed_profile();
            let viewer = services.users.me(viewer).await?;
            AccountEventInterface::ViewerChanged(ViewerChangedObject { cursor, viewer })
        }
        AccountItem::ChatReset(chat_id) => {
            AccountEventInterface::ChatReset(ChatResetObject { cursor, chat_id })
        }
        AccountItem::Checkpoint { is_caught_up } => {
            AccountEventInterface::AccountCheckpoint(AccountCheckpointObject {
                cursor,
                is_caught_up,
            })
        }
    }))
}
