//! A chat as `ChatChanged` tells it: as all its viewers share it, with what is the user's own. Of a chat
//! that is told in this way the feed keeps what a sidebar's feed keeps.

use tokio::time::Instant;

use super::AccountFeed;
use super::line::Line;
use crate::feeds::chat_feed::ChatItem;
use crate::feeds::counted::Counted;
use crate::feeds::error::FeedError;
use crate::feeds::read_by_all::ReadByAll;
use crate::feeds::readiness::{PAUSE, Readiness, readiness};
use crate::feeds::reply_target::ReplyTarget;
use crate::feeds::retry::retry_unavailable;
use crate::feeds::told_chat::Told;
use crate::id::ChatId;
use crate::messages::model::Message;
use crate::seq::Seq;

impl AccountFeed {
    /// The chat that a [`super::AccountItem::ChatChanged`] names, as it is now; `None` where the user has
    /// left it meanwhile. What else comes while the store or the bus is waited for is delivered behind.
    ///
    /// # Errors
    /// The feed is over, and says why.
    pub async fn chat(&mut self, chat: ChatId) -> Result<Option<ChatItem>, FeedError> {
        let mut waits_since = None;
        let mut unconfirmed_since = None;
        let incarnation = self.incarnation;
        loop {
            self.context.check(incarnation)?;
            if self.stale.contains(&chat) {
                // What the user has of it may be older than what they were told.
                self.compare(vec![chat]).await?;
            }
            let Some(line) = self.lines.get_mut(&chat) else {
                return Ok(None);
            };
            let (place, is_gone) = (line.place, line.is_gone);
            let Some(told) = line.told_mut() else {
                if is_gone || !self.begin_to_tell(chat).await? {
                    return Ok(None);
                }
                continue;
            };
            // What was read of the lines counts too.
            told.advance(place);
            match readiness(&self.context, incarnation, told, None, &mut waits_since).await? {
                Readiness::Ready(state) => {
                    told.tell(state.ends());
                    let member = told.member.clone();
                    return Ok(Some(ChatItem {
                        state,
                        member,
                        incarnation,
                    }));
                }
                Readiness::Gone => return Ok(None),
                Readiness::StoreIsBehind => tokio::time::sleep(PAUSE).await,
                Readiness::BusIsBehind(left) => {
                    let (at, signal) = (Instant::now() + left, self.receiver.recv());
                    if let Some(signal) = self.timer.until(at, signal).await {
                        self.take(signal).await?;
                    }
                }
                Readiness::Unconfirmed => {
                    let since = *unconfirmed_since.get_or_insert_with(Instant::now);
                    if is_gone || since.elapsed() > self.context.policy.ahead_grace {
                        return Ok(None);
                    }
                    let confirmed = told.confirmed;
                    self.compare(vec![chat]).await?;
                    let told = self.lines.get(&chat).and_then(Line::told);
                    if told.is_some_and(|told| told.confirmed == confirmed) {
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        }
    }

    /// What a message that was told, or whose change was, replies to; `None` where it is no reply, and
    /// where its chat is not followed any more.
    pub fn reply_target(&self, told: &Message) -> Option<ReplyTarget> {
        let line = self.lines.get(&told.chat_id)?;
        ReplyTarget::of(told, line.visible_from())
    }

    /// How much of a chat that was told is unread; `None` where that is known for another place of the
    /// chat only.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn unread(&mut self, item: &ChatItem, of: Counted) -> Result<Option<u32>, FeedError> {
        let line = self.lines.get_mut(&item.member.chat_id);
        let Some(told) = line.and_then(Line::told_mut) else {
            return Ok(None);
        };
        let (ends, context) = (item.state.ends(), &self.context);
        let count = told.unread_mut(of);
        Ok(count.at(ends, &item.member, context).await?)
    }

    /// The same where it is in memory.
    pub fn known_unread(&self, item: &ChatItem, of: Counted) -> Option<u32> {
        let told = self.lines.get(&item.member.chat_id)?.told()?;
        told.unread(of).known_at(item.state.ends())
    }

    /// How far all others have read of a chat that was told; `None` of a large group, and where there are no
    /// others.
    ///
    /// # Errors
    /// Where the store fails, which is seldom asked.
    pub async fn read_by_all(&mut self, item: &ChatItem) -> Result<Option<Seq>, FeedError> {
        if self.ready.large.contains(item.state.chat.member_count) {
            return Ok(None);
        }
        let chat = item.member.chat_id;
        let known = self.lines.get(&chat).map(|line| line.read_by_all);
        if let Some(known) = known.filter(|known| known.is_exact()) {
            return Ok(known.seq());
        }
        let found = self
            .context
            .slowest_others(self.viewer.user_id, &[chat])
            .await?;
        let now = ReadByAll::of(found.get(&chat).copied().flatten());
        if let Some(line) = self.lines.get_mut(&chat) {
            line.read_by_all = now;
        }
        Ok(now.seq())
    }

    /// Reads what the user has of a chat; `false` where they are no member of it.
    async fn begin_to_tell(&mut self, chat: ChatId) -> Result<bool, FeedError> {
        let user = self.viewer.user_id;
        let (heads, mut members) = retry_unavailable!(self.context.standing(user, &[chat]))?;
        let (Some(head), Some(member)) = (heads.get(&chat), members.remove(&chat)) else {
            return Ok(false);
        };
        let Some(line) = self.lines.get_mut(&chat) else {
            return Ok(false);
        };
        if line.joined_seq != member.joined_seq {
            // They have left and come back: the line has yet to say so.
            return Ok(false);
        }
        let mut told = Told::new(head, member);
        told.confirmed = head.applied_seq;
        line.tell(told);
        Ok(true)
    }
}
