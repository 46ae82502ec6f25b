//! What of messages may be read by whom.

use super::model::Message;
use super::reactions::{Emoji, Reaction, ReactionPage};
use super::service::{MessageError, MessageService};
use super::store::{MessageAt, MessageStore, ReplyPage};
use crate::access::Membership;
use crate::error::PortError;
use crate::id::{ChatId, MessageId};
use crate::metadata::Metadata;
use crate::page::{Page, Window};
use crate::seq::Seq;
use crate::viewer::Viewer;

/// A window of a chat, with the first number that is looked at in the middle.
type VisiblePart = (ChatId, Seq, Window<Seq>);

/// The messages at these places, each for its place in `places`; `None` where there is none.
pub(crate) async fn messages_at(
    store: &dyn MessageStore,
    places: &[MessageAt],
) -> Result<Vec<Option<Message>>, PortError> {
    let window = |seq: Seq| Window {
        after: Some(seq.saturating_sub(1)),
        before: Some(seq.saturating_add(1)),
        limit: 1,
        from_end: false,
    };
    let wanted = places.iter().map(|&(chat, seq)| (chat, window(seq)));
    let pages = store.pages(&wanted.collect::<Vec<_>>()).await?;
    Ok(pages.into_iter().map(|mut page| page.items.pop()).collect())
}

impl MessageService {
    /// Those of these messages that lie in chats of the viewer, where the viewer may read.
    pub async fn visible(
        &self,
        viewer: &Viewer,
        ids: &[MessageId],
    ) -> Result<Vec<Message>, MessageError> {
        let messages = self.store.messages(ids).await?;
        Ok(self.visible_of(viewer, messages).await?)
    }

    /// Those of these messages, which were read ahead of this, that the viewer may read now.
    pub(super) async fn visible_of(
        &self,
        viewer: &Viewer,
        mut messages: Vec<Message>,
    ) -> Result<Vec<Message>, PortError> {
        if messages.is_empty() {
            return Ok(messages);
        }
        let chats = messages.iter().map(|message| message.chat_id);
        let memberships = self.access.memberships_by_chat(viewer, chats).await?;
        messages.retain(|message| {
            let membership = memberships.get(&message.chat_id);
            membership.is_some_and(|membership| membership.may_read(message.seq))
        });
        Ok(messages)
    }

    /// These pages of chats, oldest first, of what the viewer may read, each for its place in
    /// `wanted`. Of chats of which the viewer is no member there is none.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn pages(
        &self,
        viewer: &Viewer,
        wanted: &[(ChatId, Window<Seq>)],
    ) -> Result<Vec<Option<Page<Message>>>, PortError> {
        let chats = wanted.iter().map(|(chat, _)| *chat);
        let memberships = self.access.memberships_by_chat(viewer, chats).await?;
        let parts: Vec<_> = wanted
            .iter()
            .filter_map(|(chat, window)| {
                Some((*chat, visible_part(memberships.get(chat)?, window)))
            })
            .collect();
        let mut pages = self.store.pages(&parts).await?.into_iter();
        Ok(wanted
            .iter()
            .map(|(chat, window)| {
                let membership = memberships.get(chat)?;
                Some(as_asked(membership, window, pages.next()?))
            })
            .collect())
    }

    /// The same of changed messages as they are now, by change.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn change_pages(
        &self,
        viewer: &Viewer,
        wanted: &[(ChatId, Window<Seq>)],
    ) -> Result<Vec<Option<Page<Message>>>, PortError> {
        let parts = self.visible_parts(viewer, wanted).await?;
        let pages = self.store.change_pages(&known(&parts)).await?;
        Ok(in_places(&parts, pages))
    }

    /// Those of these messages that lie where the viewer may read, each for its place in `wanted`.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn readable(
        &self,
        viewer: &Viewer,
        wanted: &[MessageAt],
    ) -> Result<Vec<Option<Message>>, PortError> {
        let chats = wanted.iter().map(|(chat, _)| *chat);
        let memberships = self.access.memberships_by_chat(viewer, chats).await?;
        let is_readable = |&(chat, seq): &MessageAt| {
            let membership = memberships.get(&chat);
            membership.is_some_and(|membership| membership.may_read(seq))
        };
        let readable = wanted.iter().copied().filter(|place| is_readable(place));
        let mut found = self.at(&readable.collect::<Vec<_>>()).await?.into_iter();
        let message = |place: &MessageAt| is_readable(place).then(|| found.next())?.flatten();
        Ok(wanted.iter().map(message).collect())
    }

    /// These pages of the replies to messages, oldest first, each for its place in `wanted`. To
    /// messages that the viewer may not read there is none. Whoever may read a message may read the
    /// replies, which lie behind it.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn reply_pages(
        &self,
        viewer: &Viewer,
        wanted: &[ReplyPage],
    ) -> Result<Vec<Option<Page<Message>>>, PortError> {
        let chats = wanted.iter().map(|((chat, _), _)| *chat);
        let memberships = self.access.memberships_by_chat(viewer, chats).await?;
        let is_readable = |((chat, seq), _): &ReplyPage| {
            let membership = memberships.get(chat);
            membership.is_some_and(|membership| membership.may_read(*seq))
        };
        let parts: Vec<_> = wanted
            .iter()
            .filter(|page| is_readable(page))
            .cloned()
            .collect();
        let mut pages = self.store.reply_pages(&parts).await?.into_iter();
        let page = |page: &ReplyPage| is_readable(page).then(|| pages.next())?;
        Ok(wanted.iter().map(page).collect())
    }

    /// How many replies each of these messages has, which the viewer may read.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn reply_counts(
        &self,
        messages: &[MessageAt],
    ) -> Result<Vec<(MessageAt, u32)>, PortError> {
        self.store.reply_counts(messages).await
    }

    /// What the application keeps about groups, which the viewer has been let into: each by the number
    /// of the system message that says it ([`crate::chats::model::Chat::metadata_seq`]), for its place
    /// in `wanted`.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn group_metadata(
        &self,
        wanted: &[MessageAt],
    ) -> Result<Vec<Option<Metadata>>, PortError> {
        let said = self.at(wanted).await?.into_iter();
        let said = said.map(|message| message?.notice?.set_metadata().cloned());
        Ok(said.collect())
    }

    async fn at(&self, places: &[MessageAt]) -> Result<Vec<Option<Message>>, PortError> {
        messages_at(&*self.store, places).await
    }

    /// The same of pinned messages, newest pin first.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn pinned_pages(
        &self,
        viewer: &Viewer,
        wanted: &[(ChatId, Window<Seq>)],
    ) -> Result<Vec<Option<Page<Message>>>, PortError> {
        let parts = self.visible_parts(viewer, wanted).await?;
        let pages = self.store.pinned_pages(&known(&parts)).await?;
        Ok(in_places(&parts, pages))
    }

    /// Each of these windows with the first number that the viewer may read, for its place in `wanted`;
    /// `None` of chats of which the viewer is no member.
    async fn visible_parts(
        &self,
        viewer: &Viewer,
        wanted: &[(ChatId, Window<Seq>)],
    ) -> Result<Vec<Option<VisiblePart>>, PortError> {
        let chats = wanted.iter().map(|(chat, _)| *chat);
        let memberships = self.access.memberships_by_chat(viewer, chats).await?;
        let part = |(chat, window): &(ChatId, Window<Seq>)| {
            let from = memberships.get(chat)?.before_visible() + 1;
            Some((*chat, from, window.clone()))
        };
        Ok(wanted.iter().map(part).collect())
    }

    /// With which emoji the viewer has reacted to these messages, which they have been let see.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn viewer_reactions(
        &self,
        viewer: &Viewer,
        messages: &[(ChatId, MessageId)],
    ) -> Result<Vec<(MessageId, Emoji)>, PortError> {
        self.store.reactions_of(viewer.user_id, messages).await
    }

    /// Pages of those who have reacted to messages that the viewer has been let see, in their order.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn reaction_pages(
        &self,
        wanted: &[ReactionPage],
    ) -> Result<Vec<Page<Reaction>>, PortError> {
        self.store.reaction_pages(wanted).await
    }

    /// The newest message of each of these chats, which the viewer has been let into.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn last_messages(&self, chats: &[ChatId]) -> Result<Vec<Message>, PortError> {
        self.store.last_messages(chats).await
    }
}

/// The part of the window that the member may read.
fn visible_part(membership: &Membership, window: &Window<Seq>) -> Window<Seq> {
    let floor = membership.before_visible();
    Window {
        after: Some(window.after.unwrap_or(0).max(floor)),
        ..window.clone()
    }
}

/// A page of that part as one of the whole window.
fn as_asked(
    membership: &Membership,
    window: &Window<Seq>,
    mut page: Page<Message>,
) -> Page<Message> {
    // Forwards it goes by whether there is a cursor, which the member may not have given.
    if !window.from_end {
        let floor = membership.before_visible();
        page.has_previous = window.after.is_some_and(|after| after > floor);
    }
    page
}

/// Those parts that there are.
fn known(parts: &[Option<VisiblePart>]) -> Vec<VisiblePart> {
    parts.iter().flatten().cloned().collect()
}

/// The pages of the known parts, each for the place of its part.
fn in_places(
    parts: &[Option<VisiblePart>],
    pages: Vec<Page<Message>>,
) -> Vec<Option<Page<Message>>> {
    let mut pages = pages.into_iter();
    let page = |part: &Option<VisiblePart>| part.as_ref().and_then(|_| pages.next());
    parts.iter().map(page).collect()
}
