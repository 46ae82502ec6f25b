//! Opens feeds, after checking that the viewer may have them.

use std::collections::HashSet;
use std::sync::Arc;

use super::account::{AccountFeed, AccountPosition};
use super::change_feed::ChangeFeed;
use super::chat_feed::ChatFeed;
use super::chat_removed_feed::ChatRemovedFeed;
use super::chat_subscription::ChatSubscription;
use super::context::FeedContext;
use super::error::FeedError;
use super::message_feed::MessageFeed;
use super::policy::FeedPolicy;
use super::presence_feed::PresenceFeed;
use super::reply_target::ReplyTarget;
use super::state_feed::{MemberState, StateFeed};
use super::typing_feed::TypingFeed;
use crate::access::Access;
use crate::auth::service::AuthService;
use crate::chats::model::{Member, ReadReceipt};
use crate::chats::store::ChatStore;
use crate::cursor::MessageCursor;
use crate::error::{Invalid, PortError};
use crate::events::bus::Bus;
use crate::events::event::{Event, Interest, Topic};
use crate::events::hub::Signal;
use crate::id::{ChatId, UserId};
use crate::incarnation::Incarnation;
use crate::messages::model::Message;
use crate::messages::reactions::Emoji;
use crate::messages::store::MessageStore;
use crate::page::MAX_PAGE;
use crate::presence::service::PresenceService;
use crate::seq::Seq;
use crate::viewer::Viewer;

impl MemberState for ReadReceipt {
    const INTEREST: Interest = Interest::RECEIPTS;

    fn of_event(event: &Event) -> Option<Self> {
        match event {
            Event::ReadReceipt { receipt, .. } => Some(*receipt),
            _ => None,
        }
    }

    fn of_member(member: &Member) -> Option<Self> {
        member.receipt()
    }

    fn place(&self) -> (UserId, Seq) {
        (self.user_id, self.last_read_seq)
    }
}

/// Opens feeds.
#[derive(Clone)]
pub struct FeedService {
    context: Arc<FeedContext>,
    presence: Arc<PresenceService>,
}

impl FeedService {
    /// The service. Must be called on a Tokio runtime.
    pub fn new(
        access: Arc<Access>,
        bus: Arc<dyn Bus>,
        chats: Arc<dyn ChatStore>,
        messages: Arc<dyn MessageStore>,
        presence: Arc<PresenceService>,
        auth: Arc<AuthService>,
        policy: FeedPolicy,
    ) -> Self {
        let shared = Arc::clone(&presence);
        Self {
            context: FeedContext::new(access, bus, chats, messages, shared, auth, policy),
            presence,
        }
    }

    /// Which past the store has, as cursors carry it.
    ///
    /// # Errors
    /// Where it was never read, and the store is down.
    pub async fn incarnation(&self) -> Result<Incarnation, PortError> {
        self.context.incarnation.current().await
    }

    /// With which emoji the viewer has reacted to a message that a feed has told them: read together
    /// for all who ask of one message.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn reactions(
        &self,
        viewer: &Viewer,
        message: &Message,
    ) -> Result<Arc<[Emoji]>, PortError> {
        self.context.reactions(viewer.user_id, message).await
    }

    /// The messages that told messages reply to, at the places of these; `None` for one that may not be
    /// read.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn reply_targets(
        &self,
        targets: &[ReplyTarget],
    ) -> Result<Vec<Option<Message>>, PortError> {
        let readable = targets.iter().filter(|target| target.is_readable());
        let places: Vec<_> = readable.map(ReplyTarget::at).collect();
        let mut found = self.context.messages_at(&places).await?.into_iter();
        let message = |target: &ReplyTarget| target.is_readable().then(|| found.next())?.flatten();
        Ok(targets.iter().map(message).collect())
    }

    /// Every message of the chat from now on, or from behind `after`, exactly once and in order.
    ///
    /// # Errors
    /// Where the viewer is no member, `after` is no cursor of the chat, or more messages lie
    /// behind it than are replayed.
    pub async fn messages(
        &self,
        viewer: &Viewer,
        chat: ChatId,
        after: Option<&str>,
    ) -> Result<MessageFeed, FeedError> {
        let after = self.place(chat, after).await?;
        let subscription = self.subscribe(viewer, chat, Interest::MESSAGES).await?;
        MessageFeed::open(subscription, after.map(|cursor| cursor.seq)).await
    }

    /// Every changed message of the chat from now on, or from behind `after`, as it is now and in
    /// the order of the changes.
    ///
    /// # Errors
    /// As [`FeedService::messages`].
    pub async fn changes(
        &self,
        viewer: &Viewer,
        chat: ChatId,
        after: Option<&str>,
    ) -> Result<ChangeFeed, FeedError> {
        let after = self.place(chat, after).await?;
        let subscription = self.subscribe(viewer, chat, Interest::CHANGES).await?;
        ChangeFeed::open(subscription, after).await
    }

    /// The chats that the viewer leaves, or is removed from.
    pub async fn removals(&self, viewer: &Viewer) -> Result<ChatRemovedFeed, FeedError> {
        ChatRemovedFeed::open(Arc::clone(&self.context), viewer.user_id).await
    }

    /// The chats of the viewer that change.
    pub async fn chats(&self, viewer: &Viewer) -> Result<ChatFeed, FeedError> {
        ChatFeed::open(Arc::clone(&self.context), viewer.user_id).await
    }

    /// Everything that concerns the viewer, from now on or from behind `after`: of the chats in
    /// `detail`, or of all, messages and changes too.
    ///
    /// # Errors
    /// Where `after` names chats that the viewer never had, or lies beyond what the store holds.
    pub async fn account(
        &self,
        viewer: &Viewer,
        after: Option<AccountPosition>,
        detail: Option<HashSet<ChatId>>,
    ) -> Result<AccountFeed, FeedError> {
        AccountFeed::open(Arc::clone(&self.context), *viewer, after, detail).await
    }

    /// The read marks of the chat's members that move.
    pub async fn receipts(
        &self,
        viewer: &Viewer,
        chat: ChatId,
    ) -> Result<StateFeed<ReadReceipt>, FeedError> {
        self.member_states(viewer, chat).await
    }

    /// The other members who start or stop typing.
    pub async fn typing(&self, viewer: &Viewer, chat: ChatId) -> Result<TypingFeed, FeedError> {
        let interest = Interest::TYPING.and(Interest::MESSAGES);
        let mut subscription = self.subscribe(viewer, chat, interest).await?;
        subscription.membership().await?;
        Ok(TypingFeed::new(subscription))
    }

    /// The presence of these users: the state now, then each change.
    ///
    /// # Errors
    /// Where there are too many, or one shares no chat with the viewer.
    pub async fn presence(
        &self,
        viewer: &Viewer,
        users: Vec<UserId>,
    ) -> Result<PresenceFeed, FeedError> {
        if users.len() > MAX_PAGE {
            return Err(
                Invalid::new("userIds", format!("must be at most {MAX_PAGE} users")).into(),
            );
        }
        let context = Arc::clone(&self.context);
        PresenceFeed::open(context, &self.presence, *viewer, users).await
    }

    /// Resolves when the viewer's session has ended. The bus tells it at once; the store is asked first,
    /// as the session may have ended before the bus was listened to, after an interruption, and
    /// regularly, together with all sessions of the process.
    ///
    /// # Errors
    /// Where the bus takes no subscription.
    pub async fn session_end(&self, viewer: &Viewer) -> Result<(), PortError> {
        let topics = [Topic::User(viewer.user_id)];
        let mut receiver = self
            .context
            .bus
            .subscribe(Interest::SESSIONS, &topics)
            .await?;
        let watched = self.context.sessions.watch(viewer.session_id);
        loop {
            let signal = tokio::select! {
                biased;
                signal = receiver.recv() => signal,
                () = watched.ended() => return Ok(()),
            };
            match signal {
                Signal::Event(event) => match event.event {
                    Event::SessionRevoked { session_id } if session_id == viewer.session_id => {
                        return Ok(());
                    }
                    // Other sessions of the user end without a look at this one's.
                    _ => {}
                },
                Signal::Missed(_) | Signal::Interrupted => watched.look(),
            }
        }
    }

    async fn member_states<S: MemberState>(
        &self,
        viewer: &Viewer,
        chat: ChatId,
    ) -> Result<StateFeed<S>, FeedError> {
        StateFeed::open(self.subscribe(viewer, chat, S::INTEREST).await?).await
    }

    /// The place of a cursor in the chat, in the store as it is now.
    async fn place(
        &self,
        chat: ChatId,
        after: Option<&str>,
    ) -> Result<Option<MessageCursor>, FeedError> {
        let Some(text) = after else {
            return Ok(None);
        };
        let incarnation = self.incarnation().await?;
        let cursor = MessageCursor::decode_in(text, chat, incarnation, "after")?;
        Ok(Some(cursor))
    }

    async fn subscribe(
        &self,
        viewer: &Viewer,
        chat: ChatId,
        interest: Interest,
    ) -> Result<ChatSubscription, FeedError> {
        ChatSubscription::open(Arc::clone(&self.context), viewer, chat, interest).await
    }
}
