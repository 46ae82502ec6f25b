//! Opens feeds, after checking that the viewer may have them.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use super::bus::Bus;
use super::chat_feed::ChatFeed;
use super::event::{Event, Interest, Published, Topic};
use super::head::HeadReader;
use super::hub::{Receiver, Signal};
use super::message_feed::MessageFeed;
use super::policy::LivePolicy;
use super::presence_feed::PresenceFeed;
use super::receipt_feed::ReceiptFeed;
use super::typing_feed::TypingFeed;
use crate::accounts::AccountService;
use crate::chats::{ChatStore, Member};
use crate::context::Viewer;
use crate::cursor::MessageCursor;
use crate::error::{ErrorCode, Invalid, PortError, Refusal};
use crate::id::{ChatId, UserId};
use crate::messages::{MessageStore, Seq};
use crate::page::{MAX_PAGE, Window};
use crate::presence::PresenceService;
use crate::service_error;

/// Why a feed was refused or has ended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LiveError {
    /// An argument breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// There is no such chat.
    #[error("There is no such chat.")]
    NoChat,
    /// The viewer is no member, or no longer.
    #[error("Only members of the chat may follow it.")]
    NotMember,
    /// A user to watch shares no chat with the viewer.
    #[error("The presence of users with whom you share no chat is not shown: {0}.")]
    NotShared(UserId),
    /// More was missed than is replayed.
    #[error("More than {0} messages were missed. Refetch the chat, then subscribe again.")]
    ResyncRequired(u32),
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl LiveError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Invalid(invalid) => invalid.into(),
            Self::NoChat => Refusal::new(ErrorCode::NotFound, self.to_string()).field("chatId"),
            Self::NotMember => Refusal::new(ErrorCode::Forbidden, self.to_string()).field("chatId"),
            Self::NotShared(_) => {
                Refusal::new(ErrorCode::Forbidden, self.to_string()).field("userIds")
            }
            Self::ResyncRequired(_) => Refusal::new(ErrorCode::ResyncRequired, self.to_string()),
            Self::Port(error) => error.into(),
        }
    }
}

service_error!(LiveError);

/// A page of a chat's messages as feeds share it.
pub(super) type Backlog = Arc<Vec<Arc<Published>>>;

/// What feeds stand on.
pub(super) struct Ground {
    pub(super) bus: Arc<dyn Bus>,
    pub(super) chats: Arc<dyn ChatStore>,
    messages: Arc<dyn MessageStore>,
    heads: HeadReader,
    /// Pages that were read to fill holes. Messages do not move, so that a thousand feeds with
    /// the same hole read it once; short-lived, because a message may be edited or deleted.
    backlog: Cache<(ChatId, Seq), Backlog>,
    pub(super) policy: LivePolicy,
}

/// Opens feeds.
#[derive(Clone)]
pub struct LiveService {
    ground: Arc<Ground>,
    presence: Arc<PresenceService>,
    accounts: Arc<AccountService>,
}

impl LiveService {
    /// The service. Must be called on a Tokio runtime.
    pub fn new(
        bus: Arc<dyn Bus>,
        chats: Arc<dyn ChatStore>,
        messages: Arc<dyn MessageStore>,
        presence: Arc<PresenceService>,
        accounts: Arc<AccountService>,
        policy: LivePolicy,
    ) -> Self {
        let heads = HeadReader::spawn(Arc::clone(&messages));
        let backlog = Cache::builder()
            .max_capacity(256)
            .time_to_live(Duration::from_secs(1))
            .build();
        let ground = Arc::new(Ground {
            bus,
            chats,
            messages,
            heads,
            backlog,
            policy,
        });
        Self {
            ground,
            presence,
            accounts,
        }
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
    ) -> Result<MessageFeed, LiveError> {
        let after = after
            .map(|text| MessageCursor::decode_in(text, chat, "after"))
            .transpose()?
            .map(|cursor| cursor.seq);
        let watch = self.watch(viewer, chat, Interest::MESSAGES).await?;
        MessageFeed::open(watch, after).await
    }

    /// The chats of the viewer that change.
    pub async fn chats(&self, viewer: &Viewer) -> Result<ChatFeed, LiveError> {
        ChatFeed::open(Arc::clone(&self.ground), viewer.user_id).await
    }

    /// The read marks of the chat's members that move.
    pub async fn receipts(&self, viewer: &Viewer, chat: ChatId) -> Result<ReceiptFeed, LiveError> {
        let watch = self.watch(viewer, chat, Interest::RECEIPTS).await?;
        watch.member().await?;
        Ok(ReceiptFeed::new(watch))
    }

    /// The other members who start or stop typing.
    pub async fn typing(&self, viewer: &Viewer, chat: ChatId) -> Result<TypingFeed, LiveError> {
        let interest = Interest::TYPING.and(Interest::MESSAGES);
        let watch = self.watch(viewer, chat, interest).await?;
        watch.member().await?;
        Ok(TypingFeed::new(watch))
    }

    /// The presence of these users: the state now, then each change.
    ///
    /// # Errors
    /// Where there are too many, or one shares no chat with the viewer.
    pub async fn presence(
        &self,
        viewer: &Viewer,
        users: Vec<UserId>,
    ) -> Result<PresenceFeed, LiveError> {
        if users.len() > MAX_PAGE {
            return Err(
                Invalid::new("userIds", format!("must be at most {MAX_PAGE} users")).into(),
            );
        }
        let ground = Arc::clone(&self.ground);
        PresenceFeed::open(ground, Arc::clone(&self.presence), viewer.user_id, users).await
    }

    /// Resolves when the viewer's session has ended. The bus tells it at once; the store is
    /// asked first, as the session may have ended before the bus was listened to, then after an
    /// interruption and on every heartbeat.
    ///
    /// # Errors
    /// Where the bus takes no subscription.
    pub async fn session_end(&self, viewer: &Viewer) -> Result<(), PortError> {
        let topics = [Topic::User(viewer.user_id)];
        let mut receiver = self
            .ground
            .bus
            .subscribe(Interest::SESSIONS, &topics)
            .await?;
        loop {
            if matches!(
                self.accounts.is_live_now(viewer.session_id).await,
                Ok(false)
            ) {
                return Ok(());
            }
            // Other sessions of the user end without a look at this one's.
            while let Ok(Signal::Event(event)) =
                tokio::time::timeout(self.ground.policy.heartbeat, receiver.recv()).await
            {
                match event.event {
                    Event::SessionRevoked { session_id } if session_id == viewer.session_id => {
                        return Ok(());
                    }
                    _ => {}
                }
            }
        }
    }

    /// First follow, then look: what happens in between is in the mailbox. The membership is the
    /// caller's to check.
    async fn watch(
        &self,
        viewer: &Viewer,
        chat: ChatId,
        interest: Interest,
    ) -> Result<ChatWatch, LiveError> {
        let ground = Arc::clone(&self.ground);
        let interest = interest.and(Interest::MEMBERSHIP);
        let receiver = ground.bus.subscribe(interest, &[Topic::Chat(chat)]).await?;
        Ok(ChatWatch {
            ground,
            receiver,
            chat,
            user: viewer.user_id,
        })
    }
}

/// What every feed of one chat has: the chat's signals, as long as the user is a member.
pub(super) struct ChatWatch {
    pub(super) ground: Arc<Ground>,
    receiver: Receiver,
    pub(super) chat: ChatId,
    pub(super) user: UserId,
}

impl ChatWatch {
    /// The user's membership.
    pub(super) async fn member(&self) -> Result<Member, LiveError> {
        let members = self
            .ground
            .chats
            .memberships(self.user, &[self.chat])
            .await?;
        match members.into_iter().next() {
            Some(member) => Ok(member),
            None if self.ground.chats.chats(&[self.chat]).await?.is_empty() => {
                Err(LiveError::NoChat)
            }
            None => Err(LiveError::NotMember),
        }
    }

    /// The chat's end, and the membership epoch with it.
    pub(super) async fn head(&self) -> Result<crate::messages::Head, LiveError> {
        self.ground
            .heads
            .head(self.chat)
            .await?
            .ok_or(LiveError::NoChat)
    }

    /// Up to a page of messages from `from` on.
    pub(super) async fn backlog(&self, from: Seq) -> Result<Backlog, PortError> {
        let ground = &self.ground;
        let key = (self.chat, from);
        let read = async {
            let window = Window {
                after: Some(from - 1),
                before: None,
                limit: MAX_PAGE,
                from_end: false,
            };
            let page = ground.messages.page(self.chat, &window).await?;
            let publish = |message| {
                Published::new(Event::MessageAdded {
                    message,
                    membership_epoch: 0,
                })
            };
            Ok(Arc::new(
                page.items.into_iter().map(publish).collect::<Vec<_>>(),
            ))
        };
        let page = ground.backlog.try_get_with(key, read).await;
        let page = page.map_err(|error: Arc<PortError>| (*error).clone())?;
        if page.is_empty() {
            ground.backlog.invalidate(&key).await;
        }
        Ok(page)
    }

    /// The next signal of the chat. Cancel-safe.
    ///
    /// # Errors
    /// [`LiveError::NotMember`] once the user has been removed.
    pub(super) async fn signal(&mut self) -> Result<Signal, LiveError> {
        let signal = self.receiver.recv().await;
        self.admit(signal)
    }

    /// A signal that waits already.
    pub(super) fn waiting_signal(&mut self) -> Result<Option<Signal>, LiveError> {
        self.receiver
            .try_recv()
            .map(|signal| self.admit(signal))
            .transpose()
    }

    /// Every signal passes here: none reaches a user who was removed.
    fn admit(&self, signal: Signal) -> Result<Signal, LiveError> {
        match &signal {
            Signal::Event(event) if matches!(event.event, Event::MemberRemoved { user_id, .. } if user_id == self.user) => {
                Err(LiveError::NotMember)
            }
            _ => Ok(signal),
        }
    }
}
