//! What all feeds of the process share: what they read of the store, together where many ask the
//! same, and a few at a time where each asks for itself.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use moka::future::Cache;
use tokio::sync::Semaphore;

use super::chat_states::ChatStates;
use super::error::FeedError;
use super::heartbeats::Heartbeats;
use super::incarnation::KnownIncarnation;
use super::policy::FeedPolicy;
use super::read_by_all::Slowest;
use super::recovery::{self, Recovery};
use super::session_watch::SessionWatch;
use super::shared_reader::SharedReader;
use crate::access::{Access, Sight};
use crate::auth::service::AuthService;
use crate::chats::model::Member;
use crate::chats::store::ChatStore;
use crate::error::PortError;
use crate::events::bus::Bus;
use crate::events::event::{Event, Published};
use crate::id::{ChatId, MessageId, UserId};
use crate::incarnation::Incarnation;
use crate::messages::model::Message;
use crate::messages::reactions::Emoji;
use crate::messages::reading::messages_at;
use crate::messages::store::{Head, MessageAt, MessageStore};
use crate::metrics::RESYNCS;
use crate::page::{MAX_PAGE, Page, Window};
use crate::pausing;
use crate::presence::model::Presence;
use crate::presence::service::PresenceService;
use crate::seq::Seq;
use crate::users::model::User;

/// A page of a chat's messages as feeds share it.
pub(super) type Backlog = Arc<Vec<Arc<Published>>>;

/// How many chats one store call asks for at most where it reads little of each.
const CHATS: usize = 1_000;
/// How many keys one store call asks for at most where it reads more.
const KEYS: usize = 100;
/// How many reads that no other feed shares go on at once: twice as many as feeds recover at once, so
/// that those which are being opened have their turn.
const READS: usize = 2 * recovery::AT_ONCE;
/// How many pages of what was missed are read at once. After an interruption all feeds of the process
/// read some; neither requests nor feeds that are being opened are to wait behind all of them.
const REPLAYS: usize = 8;

/// What all feeds of the process share.
pub(super) struct FeedContext {
    pub(super) access: Arc<Access>,
    pub(super) bus: Arc<dyn Bus>,
    chats: Arc<dyn ChatStore>,
    messages: Arc<dyn MessageStore>,
    pub(super) incarnation: Arc<KnownIncarnation>,
    pub(super) heartbeats: Heartbeats,
    pub(super) policy: FeedPolicy,
    heads: SharedReader<ChatId, Head>,
    /// The sum of the versions of a user's memberships.
    versions: SharedReader<UserId, u64>,
    users: SharedReader<UserId, User>,
    /// The sessions of open connections.
    pub(super) sessions: SessionWatch,
    /// The two members of a chat who have read least.
    lowest_marks: SharedReader<ChatId, Arc<[Member]>>,
    first_members: SharedReader<ChatId, Arc<[Member]>>,
    presence: SharedReader<UserId, Presence>,
    /// Who may see whom: the viewer and the other.
    acquaintances: SharedReader<(UserId, UserId), Sight>,
    /// With what a user has reacted to a message; nothing of one who has not.
    reactions: SharedReader<(MessageId, ChatId, UserId), Arc<[Emoji]>>,
    /// How many unread messages mention a member, by which version of the membership: an edit of one
    /// message asks for those of all members at once.
    unread_mentions: SharedReader<(ChatId, UserId), (u32, u32)>,
    /// Pages that were read to fill holes, so that a thousand feeds with the same hole read it once.
    /// Messages do not move, but they change: the number of the chat's newest change when the page
    /// was asked for is a part of the key, and so a page is never from before a change that was
    /// acknowledged.
    backlog: Cache<(ChatId, Seq, Seq), Backlog>,
    /// How chats look to all their viewers.
    pub(super) states: ChatStates,
    /// When the feeds of many chats look at the store after an interruption.
    pub(super) recovery: Arc<Recovery>,
    reads: Semaphore,
    replays: Semaphore,
}

impl FeedContext {
    /// Must be called on a Tokio runtime.
    pub(super) fn new(
        access: Arc<Access>,
        bus: Arc<dyn Bus>,
        chats: Arc<dyn ChatStore>,
        messages: Arc<dyn MessageStore>,
        presence: Arc<PresenceService>,
        auth: Arc<AuthService>,
        policy: FeedPolicy,
    ) -> Arc<Self> {
        let backlog = Cache::builder()
            .max_capacity(256)
            .time_to_live(Duration::from_secs(1))
            .build();
        let states = ChatStates::new(&chats, Arc::clone(&messages));
        Arc::new(Self {
            incarnation: KnownIncarnation::watch(Arc::clone(&messages), policy.heartbeat),
            heartbeats: Heartbeats::new(policy.heartbeat),
            policy,
            heads: SharedReader::over(&messages, CHATS, |store, chats| async move {
                let heads = store.heads(&chats).await?;
                Ok(heads.into_iter().map(|head| (head.chat_id, head)).collect())
            }),
            versions: SharedReader::over(&chats, KEYS, |store, users| async move {
                store.membership_versions(&users).await
            }),
            users: SharedReader::over(&access, KEYS, |access, users| async move {
                let users = access.users.users(&users).await?;
                Ok(users.into_iter().map(|user| (user.id, user)).collect())
            }),
            sessions: SessionWatch::start(auth, policy.session_check),
            lowest_marks: SharedReader::over(&chats, CHATS, |store, chats| async move {
                Ok(by_chat(store.lowest_read_marks(&chats).await?))
            }),
            first_members: SharedReader::over(&chats, KEYS, |store, chats| async move {
                Ok(by_chat(store.first_members(&chats, MAX_PAGE).await?))
            }),
            presence: SharedReader::over(&presence, KEYS, |presence, users| async move {
                let states = presence.states_of(&users).await?;
                Ok(states
                    .into_iter()
                    .map(|state| (state.user_id, state))
                    .collect())
            }),
            acquaintances: SharedReader::over(&access, KEYS, |access, pairs| async move {
                access.acquaintances(&pairs).await
            }),
            reactions: SharedReader::over(&messages, CHATS, |store, keys| async move {
                reactions(&*store, &keys).await
            }),
            unread_mentions: SharedReader::over(&chats, CHATS, |store, keys| async move {
                unread_mentions(&*store, &keys).await
            }),
            access,
            bus,
            chats,
            messages,
            backlog,
            states,
            recovery: Arc::default(),
            reads: Semaphore::new(READS),
            replays: Semaphore::new(REPLAYS),
        })
    }

    /// Makes sure that the store was not restored since a feed was opened under this incarnation, as
    /// far as the process knows.
    pub(super) fn check(&self, incarnation: Incarnation) -> Result<(), FeedError> {
        if self.incarnation.is(incarnation) {
            return Ok(());
        }
        counter!(RESYNCS).increment(1);
        Err(FeedError::Restored)
    }

    /// A read that no other feed shares.
    async fn alone<T>(
        &self,
        read: impl Future<Output = Result<T, PortError>>,
    ) -> Result<T, PortError> {
        // The semaphore is never closed.
        let _permit = pausing::turn(|| self.reads.acquire()).await;
        pausing::holding(read).await
    }

    /// A read of what a feed missed.
    async fn replay<T>(
        &self,
        read: impl Future<Output = Result<T, PortError>>,
    ) -> Result<T, PortError> {
        // The semaphore is never closed.
        let _permit = pausing::turn(|| self.replays.acquire()).await;
        pausing::holding(read).await
    }

    /// The ends of the chat's lines; `None` where there is no such chat.
    pub(super) async fn head(&self, chat: ChatId) -> Result<Option<Head>, PortError> {
        self.heads.one(chat).await
    }

    /// The ends of these chats' lines, where there are such chats.
    pub(super) async fn heads(&self, chats: &[ChatId]) -> Result<HashMap<ChatId, Head>, PortError> {
        self.heads.many(chats).await
    }

    /// Rises with every change of what the user alone has in a chat, and of which chats they have.
    pub(super) async fn version_of(&self, user: UserId) -> Result<u64, PortError> {
        Ok(self.versions.one(user).await?.unwrap_or(0))
    }

    /// The user; `None` where there is none.
    pub(super) async fn user(&self, user: UserId) -> Result<Option<User>, PortError> {
        self.users.one(user).await
    }

    /// The first page of the chat's members.
    pub(super) async fn first_members(&self, chat: ChatId) -> Result<Arc<[Member]>, PortError> {
        let found = self.first_members.one(chat).await?;
        Ok(found.unwrap_or_default())
    }

    /// The presence of those of these users whom the viewer may see, where it is another one than
    /// `told` says. Whom a block hides is away, and nobody says since when. That is found out of those
    /// whose state is another one, and of those in `doubtful`.
    pub(super) async fn changed_presence(
        &self,
        viewer: UserId,
        users: &[UserId],
        told: &HashMap<UserId, Presence>,
        doubtful: &BTreeSet<UserId>,
    ) -> Result<Vec<Presence>, PortError> {
        let mut states = self.presence.many(users).await?;
        states.retain(|user, state| told.get(user) != Some(state) || doubtful.contains(user));
        // Behind the states: who may not see them any more is not told.
        let pairs: Vec<_> = states.keys().map(|user| (viewer, *user)).collect();
        let sights = self.acquaintances.many(&pairs).await?;
        let shown = states.into_values().filter_map(|state| {
            let user = state.user_id;
            match sights.get(&(viewer, user))? {
                Sight::Seen => Some(state),
                // Of whom nothing was told, there is nothing to take back.
                Sight::Hidden => told.contains_key(&user).then(|| Presence::hidden(user)),
            }
        });
        Ok(shown
            .filter(|state| told.get(&state.user_id) != Some(state))
            .collect())
    }

    /// With what the user has reacted to a message, which they have been let see.
    pub(super) async fn reactions(
        &self,
        user: UserId,
        message: &Message,
    ) -> Result<Arc<[Emoji]>, PortError> {
        let key = (message.id, message.chat_id, user);
        Ok(self.reactions.one(key).await?.unwrap_or_default())
    }

    /// The messages at these places, which somebody has been let see; `None` where there is none.
    pub(super) async fn messages_at(
        &self,
        places: &[MessageAt],
    ) -> Result<Vec<Option<Message>>, PortError> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        self.alone(messages_at(&*self.messages, places)).await
    }

    /// The user's chats.
    pub(super) async fn chat_ids_of(&self, user: UserId) -> Result<Vec<ChatId>, PortError> {
        self.alone(self.chats.chat_ids_of(user)).await
    }

    /// The chats that the user had, each with the number of the system message that says so.
    pub(super) async fn left_chats_of(
        &self,
        user: UserId,
    ) -> Result<HashMap<ChatId, Seq>, PortError> {
        let left = self.alone(self.chats.left_chats_of(user)).await?;
        Ok(left.into_iter().collect())
    }

    /// The user's membership of a chat, where there is one.
    pub(super) async fn member(
        &self,
        user: UserId,
        chat: ChatId,
    ) -> Result<Option<Member>, PortError> {
        let chats = [chat];
        let found = self.alone(self.chats.memberships(user, &chats)).await?;
        Ok(found.into_iter().next())
    }

    /// How much of a chat the user has not read; `None` where they are no member.
    pub(super) async fn unread_count(
        &self,
        user: UserId,
        chat: ChatId,
    ) -> Result<Option<u32>, PortError> {
        let chats = [chat];
        let counts = self.alone(self.chats.unread_counts(user, &chats)).await?;
        Ok(counts.first().map(|(_, count)| *count))
    }

    /// How much of that mentions the user, with the version of the membership by which was counted;
    /// `None` where they are no member.
    pub(super) async fn unread_mentions(
        &self,
        user: UserId,
        chat: ChatId,
    ) -> Result<Option<(u32, u32)>, PortError> {
        self.unread_mentions.one((chat, user)).await
    }

    /// How these chats stand for the user: their ends, and the memberships of those of which the user
    /// is a member. The ends are read first, so that what ends a membership that was read has a
    /// number above them, or above the membership's own.
    pub(super) async fn standing(
        &self,
        user: UserId,
        chats: &[ChatId],
    ) -> Result<(HashMap<ChatId, Head>, HashMap<ChatId, Member>), PortError> {
        let heads = self.heads.many(chats).await?;
        let mut members = HashMap::with_capacity(chats.len());
        for some in chats.chunks(CHATS) {
            let found = self.alone(self.chats.memberships(user, some)).await?;
            members.extend(found.into_iter().map(|member| (member.chat_id, member)));
        }
        Ok((heads, members))
    }

    /// Of all other members of each of these chats the one who has read least, and how far; `None` where
    /// there are no others, or a block hides it.
    pub(super) async fn slowest_others(
        &self,
        user: UserId,
        chats: &[ChatId],
    ) -> Result<HashMap<ChatId, Option<Slowest>>, PortError> {
        let mut lowest = self.lowest_marks.many(chats).await?;
        let mark = |chat: &ChatId| {
            let members = lowest.remove(chat).unwrap_or_default();
            // Those who have read least come first.
            let other = members.iter().find(|member| member.user_id != user);
            let other = other.filter(|member| member.shows_marks_to(user));
            let slowest = other.map(|member| Slowest {
                user_id: member.user_id,
                seq: member.last_read_seq,
            });
            (*chat, slowest)
        };
        Ok(chats.iter().map(mark).collect())
    }

    /// Up to a page of the chat's changed messages behind `after`, by change.
    pub(super) async fn changes(
        &self,
        chat: ChatId,
        after: Seq,
    ) -> Result<Page<Message>, PortError> {
        let window = Window {
            after: Some(after),
            before: None,
            limit: MAX_PAGE,
            from_end: false,
        };
        self.replay(self.messages.changes(chat, 1, &window)).await
    }

    /// Up to a page of the messages from `from` on of the chat that stands as `head` says, which was
    /// read for this.
    pub(super) async fn backlog(&self, head: &Head, from: Seq) -> Result<Backlog, PortError> {
        let chat = head.chat_id;
        let key = (chat, from, head.last_change_seq);
        let read = || async {
            let window = Window {
                after: Some(from - 1),
                before: None,
                limit: MAX_PAGE,
                from_end: false,
            };
            let page = self.replay(self.messages.page(chat, &window)).await?;
            let publish = |message| Published::new(Event::MessageAdded { message });
            Ok(Arc::new(
                page.items.into_iter().map(publish).collect::<Vec<_>>(),
            ))
        };
        // Who reads for all and still waits for its turn may leave it to another of them.
        let page = pausing::turn(|| Box::pin(self.backlog.try_get_with(key, read()))).await;
        let page = page.map_err(|error: Arc<PortError>| (*error).clone())?;
        // One that does not hold what it should is not kept: the store may have it in a moment.
        let first = page.first().and_then(|published| published.message());
        if first.is_none_or(|message| message.seq > from) {
            self.backlog.invalidate(&key).await;
        }
        Ok(page)
    }
}

/// The members of each chat, in their order.
fn by_chat(members: Vec<Member>) -> Vec<(ChatId, Arc<[Member]>)> {
    let mut chats = HashMap::<ChatId, Vec<Member>>::new();
    for member in members {
        chats.entry(member.chat_id).or_default().push(member);
    }
    let shared = chats.into_iter();
    shared
        .map(|(chat, members)| (chat, members.into()))
        .collect()
}

/// How many unread messages of chats mention their members: one call a chat, of which few are asked for
/// at once.
async fn unread_mentions(
    store: &dyn ChatStore,
    keys: &[(ChatId, UserId)],
) -> Result<Vec<((ChatId, UserId), (u32, u32))>, PortError> {
    let mut found = Vec::with_capacity(keys.len());
    for of_chat in keys.chunk_by(|one, other| one.0 == other.0) {
        let Some((chat, _)) = of_chat.first() else {
            continue;
        };
        let users: Vec<_> = of_chat.iter().map(|(_, user)| *user).collect();
        let counts = store
            .unread_mentions_among(*chat, &users)
            .await?
            .into_iter();
        found.extend(counts.map(|one| ((*chat, one.user_id), (one.count, one.version))));
    }
    Ok(found)
}

/// With what users have reacted to messages: one call a message, of which few are asked for at once.
async fn reactions(
    store: &dyn MessageStore,
    keys: &[(MessageId, ChatId, UserId)],
) -> Result<Vec<((MessageId, ChatId, UserId), Arc<[Emoji]>)>, PortError> {
    let mut found = Vec::new();
    for of_message in keys.chunk_by(|one, other| one.0 == other.0) {
        let Some((message, chat, _)) = of_message.first() else {
            continue;
        };
        let users: Vec<_> = of_message.iter().map(|(.., user)| *user).collect();
        let mut own = HashMap::<UserId, Vec<Emoji>>::new();
        let among = store.reactions_among((*chat, *message), &users).await?;
        for (user, emoji) in among {
            own.entry(user).or_default().push(emoji);
        }
        let own = own.into_iter();
        found.extend(own.map(|(user, emoji)| ((*message, *chat, user), emoji.into())));
    }
    Ok(found)
}
