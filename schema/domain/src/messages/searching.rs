//! The search of messages.

use super::service::{MessageError, MessageService};
use crate::access::Membership;
use crate::error::Invalid;
use crate::id::{ChatId, UserId};
use crate::page::page_size;
use crate::search::model::{MessageSearch, SearchPage, SearchPlace};
use crate::search::query::SearchQuery;
use crate::viewer::{ClientInfo, Viewer};

/// What a client asks of a search.
#[derive(Clone, Copy, Debug)]
pub struct SearchRequest<'a> {
    /// The words.
    pub query: &'a str,
    /// Only in this chat; in all of the viewer's where it is not given.
    pub chat: Option<ChatId>,
    /// Only messages of this sender.
    pub sender: Option<UserId>,
    /// The most hits.
    pub first: Option<i32>,
    /// Only hits behind this cursor.
    pub after: Option<&'a str>,
}

impl SearchRequest<'_> {
    /// What of it is the same in all chats.
    fn parse(&self) -> Result<MessageSearch, Invalid> {
        let decode = |text| SearchPlace::decode_in(text, self.chat, "after");
        Ok(MessageSearch {
            query: SearchQuery::parse(self.query)?,
            sender: self.sender,
            parts: Vec::new(),
            after: self.after.map(decode).transpose()?,
            limit: page_size(self.first, "first")?,
        })
    }
}

impl MessageService {
    /// Messages that the viewer may read and that have the words, newest first. Of chats that they have
    /// left there are none. A page may be shorter than was asked for where the search goes on: a store
    /// looks at so much for one page and no more.
    ///
    /// # Errors
    /// Where an argument breaks a rule, the chat is not there or the viewer no member of it, or they
    /// search too often.
    pub async fn search(
        &self,
        viewer: &Viewer,
        client: &ClientInfo,
        request: SearchRequest<'_>,
    ) -> Result<SearchPage, MessageError> {
        let mut search = request.parse()?;
        if let Some(wait) = self.search_limit.admit(viewer, client).await? {
            return Err(MessageError::TooManySearches(wait));
        }
        let memberships = match request.chat {
            Some(chat) => vec![self.access.membership(viewer, chat).await?],
            None => self.access.all_memberships(viewer).await?,
        };
        let part =
            |membership: &Membership| (membership.chat_id(), membership.before_visible() + 1);
        search.parts = memberships.iter().map(part).collect();
        if search.parts.is_empty() || search.limit == 0 {
            return Ok(SearchPage {
                hits: Vec::new(),
                next: None,
            });
        }
        let SearchPage { hits, next } = self.store.search(&search).await?;
        // A membership may have ended meanwhile: what was said behind its end is not for the viewer.
        let hits = self.visible_of(viewer, hits).await?;
        Ok(SearchPage { hits, next })
    }
}
