//! `searchMessages`.

use async_graphql::{Context, ID, Object};
use talksy_domain::cursor::Cursor as _;
use talksy_domain::id;
use talksy_domain::messages::SearchRequest;
use talksy_domain::page::Page;
use talksy_domain::search::{SearchPage, SearchPlace};

use super::types::{MessageConnection, MessageNode};
use crate::context::ContextExt as _;
use crate::error::Result;

/// The search of messages.
#[derive(Default)]
pub struct SearchQuery;

#[Object]
impl SearchQuery {
    /// Messages that the viewer may read and that have all of these words, the last one as the beginning
    /// of a word, newest first; case and accents do not count. A page may be shorter than `first` while
    /// `hasNextPage` is true: go on with its `endCursor`.
    async fn search_messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The words, at most 200 characters.")] query: String,
        #[graphql(desc = "Only messages of this chat.")] chat_id: Option<ID>,
        #[graphql(desc = "Only messages of this sender.")] sender_id: Option<ID>,
        #[graphql(desc = "How many at most, 0 to 100; 50 where absent.")] first: Option<i32>,
        #[graphql(desc = "Only messages behind this cursor of the search.")] after: Option<String>,
    ) -> Result<Option<MessageConnection>> {
        let request = SearchRequest {
            query: &query,
            chat: chat_id.map(|chat| id::parse(&chat, "chatId")).transpose()?,
            sender: sender_id
                .map(|sender| id::parse(&sender, "senderId"))
                .transpose()?,
            first,
            after: after.as_deref(),
        };
        let messages = &ctx.services().messages;
        let found = messages
            .search(ctx.viewer()?, ctx.client(), request)
            .await?;
        Ok(Some(connection(found, after.is_some())))
    }
}

fn connection(found: SearchPage, is_behind: bool) -> MessageConnection {
    let end = found.next.map(|next| next.encode());
    let page = Page {
        items: found.hits.into_iter().map(MessageNode::new).collect(),
        has_next: end.is_some(),
        has_previous: is_behind,
    };
    let place = |hit: &MessageNode| SearchPlace::of(hit.message()).encode();
    MessageConnection::new(page, place).ending_at(end)
}
