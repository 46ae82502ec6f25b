//! What is read of a chat's lines.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use metrics::counter;

use super::AccountFeed;
use super::item::AccountItem;
use super::line::Wanted;
use crate::chats::model::Member;
use crate::feeds::error::FeedError;
use crate::feeds::retry::retry_unavailable;
use crate::id::ChatId;
use crate::metadata::Metadata;
use crate::metrics::RESYNCS;
use crate::users::model::{About, User};

impl AccountFeed {
    /// Reads the next page of what the bus did not bring of a chat.
    pub(super) async fn read(&mut self, chat: ChatId) -> Result<(), FeedError> {
        let Some(line) = self.lines.get_mut(&chat) else {
            self.behind.remove(&chat);
            return Ok(());
        };
        let context = &self.context;
        match line.wants() {
            None => {}
            Some(Wanted::Messages) => {
                let from = line.place.seq + 1;
                // Behind the question, so that the page is not from before a change that was
                // acknowledged.
                let Some(head) = retry_unavailable!(context.head(chat))? else {
                    return self.miss(chat).await;
                };
                let page = retry_unavailable!(context.backlog(&head, from))?;
                let first = page.first().and_then(|published| published.message());
                if first.is_none_or(|message| message.seq > from) {
                    return self.miss(chat).await;
                }
                line.take_page(&page);
                line.note_found();
            }
            Some(Wanted::Changes) => {
                let page = retry_unavailable!(context.changes(chat, line.place.change_seq))?;
                // Behind the rows: whoever was removed before one of them was made is known to be.
                let head = retry_unavailable!(context.head(chat))?;
                let (false, Some(head)) = (page.items.is_empty(), head) else {
                    return self.miss(chat).await;
                };
                line.take_rows(page.items, head);
                line.note_found();
            }
            Some(Wanted::End) => {
                let head = retry_unavailable!(context.head(chat))?;
                match head {
                    Some(head) if head.last_seq > line.place.seq => line.know(head.into()),
                    // The line does not say where the membership ended.
                    _ => {
                        self.end(chat);
                        return Ok(());
                    }
                }
            }
        }
        self.release(chat).await
    }

    /// The store does not have what it has told: it lags behind, or has lost it. It is given a
    /// moment, then the chat is reset to what there is.
    async fn miss(&mut self, chat: ChatId) -> Result<(), FeedError> {
        let Some(line) = self.lines.get_mut(&chat) else {
            return Ok(());
        };
        let since = line.note_missing();
        if since.elapsed() <= self.context.policy.ahead_grace {
            tokio::time::sleep(Duration::from_millis(50)).await;
            return Ok(());
        }
        counter!(RESYNCS).increment(1);
        let user = self.viewer.user_id;
        let (heads, members) = retry_unavailable!(self.context.standing(user, &[chat]))?;
        match (heads.get(&chat), members.get(&chat)) {
            (Some(head), Some(member)) => {
                line.restart(member, (*head).into());
                self.ready.put(line, AccountItem::ChatReset(chat));
                self.note(chat);
            }
            _ => self.end(chat),
        }
        Ok(())
    }

    /// Whether the membership has ended by the system message that was told last, which cannot be
    /// read.
    pub(super) async fn is_ended(&self, chat: ChatId) -> Result<bool, FeedError> {
        let user = self.viewer.user_id;
        let member = retry_unavailable!(self.context.member(user, chat))?;
        let joined_seq = self.lines.get(&chat).map(|line| line.joined_seq);
        Ok(member.map(|member| member.joined_seq) != joined_seq)
    }

    /// Reads the marks of members of whom it is not known what was told.
    pub(super) async fn ask_for_receipts(&mut self, chat: ChatId) -> Result<(), FeedError> {
        let Some(line) = self.lines.get_mut(&chat) else {
            return Ok(());
        };
        for user in line.take_uncertain() {
            let member = retry_unavailable!(self.context.member(user, chat))?;
            let shown = member.filter(|member| member.shows_marks_to(self.viewer.user_id));
            if let Some(receipt) = shown.as_ref().and_then(Member::receipt) {
                line.receipt(receipt, None, &mut self.ready);
            }
        }
        Ok(())
    }

    /// Reads the user's profile and the version of their blocks, and has them told where they are
    /// others than were told.
    pub(super) async fn read_profile(&mut self) -> Result<(), FeedError> {
        let found = retry_unavailable!(self.context.user(self.viewer.user_id))?;
        let profile = found.as_ref().map(hash);
        self.viewer_changed |= profile != self.profile;
        self.profile = profile;
        Ok(())
    }
}

/// A hash of what a user's profile says, and of the version of their blocks. A stream has no room for the profile, which may be long.
fn hash(user: &User) -> u64 {
    let mut hasher = DefaultHasher::new();
    user.name.as_str().hash(&mut hasher);
    user.about.as_ref().map(About::as_str).hash(&mut hasher);
    user.metadata
        .as_ref()
        .map(Metadata::as_str)
        .hash(&mut hasher);
    user.avatar_id.hash(&mut hasher);
    user.block_version.hash(&mut hasher);
    hasher.finish()
}
