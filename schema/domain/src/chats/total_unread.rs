//! How much a user has not read in all their chats.

use super::store::ChatStore;
use crate::error::PortError;
use crate::id::UserId;
use crate::page::Window;

/// In so many chats the unread messages are summed up: the most recently active ones.
pub const MAX_SUMMED: usize = 1_000;

/// How many messages the user has not read in the `most` most recently active of their chats, those
/// that they have muted left out. Three calls of the store, whatever their number.
///
/// # Errors
/// Where the store fails.
pub async fn total_unread(
    store: &dyn ChatStore,
    user: UserId,
    most: usize,
) -> Result<u32, PortError> {
    let window = Window {
        after: None,
        before: None,
        limit: most,
        from_end: false,
    };
    let recent = store.chats_of(user, None, &window).await?;
    let chats: Vec<_> = recent.items.iter().map(|chat| chat.id).collect();
    let members = store.memberships(user, &chats).await?;
    let heard = members.iter().filter(|member| !member.is_muted);
    let heard: Vec<_> = heard.map(|member| member.chat_id).collect();
    let counts = store.unread_counts(user, &heard).await?;
    let counts = counts.into_iter().map(|(_, count)| count);
    Ok(counts.fold(0, u32::saturating_add))
}
