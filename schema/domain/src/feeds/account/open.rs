//! Where each chat begins: at the present, or behind the position that the client has told.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::time::Instant;

use super::AccountFeed;
use super::item::AccountItem;
use super::line::Line;
use super::lines::Lines;
use super::outbox::Outbox;
use super::position::{AccountPosition, Place};
use crate::chats::model::Member;
use crate::cursor::CursorError;
use crate::error::Invalid;
use crate::events::event::{Interest, Topic};
use crate::feeds::context::FeedContext;
use crate::feeds::error::FeedError;
use crate::feeds::left_chats::LeftChats;
use crate::feeds::read_by_all::ReadByAll;
use crate::feeds::timer::Timer;
use crate::id::ChatId;
use crate::messages::store::Head;
use crate::metrics::RESYNCS;
use crate::seq::Seq;
use crate::viewer::Viewer;

/// The chats of which the user is a member, as they stand.
type Standing = Vec<(Member, Head)>;

impl AccountFeed {
    pub(in crate::feeds) async fn open(
        context: Arc<FeedContext>,
        viewer: Viewer,
        after: Option<AccountPosition>,
        detail: Option<HashSet<ChatId>>,
    ) -> Result<Self, FeedError> {
        let interest = Interest::MESSAGES
            .and(Interest::CHANGES)
            .and(Interest::RECEIPTS)
            .and(Interest::MEMBERSHIP)
            .and(Interest::PROFILE)
            .and(Interest::BLOCKS);
        let user = viewer.user_id;
        let incarnation = context.incarnation.current().await?;
        if after
            .as_ref()
            .is_some_and(|after| !after.is_of(incarnation))
        {
            counter!(RESYNCS).increment(1);
            return Err(CursorError::OtherIncarnation("after").into());
        }
        let ids = context.chat_ids_of(user).await?;
        // All with one round trip, before anything is read of them.
        let chats = ids.iter().map(|chat| Topic::Chat(*chat));
        let topics: Vec<_> = chats.chain([Topic::User(user)]).collect();
        let receiver = context.bus.subscribe(interest, &topics).await?;
        let compare_at = context.heartbeats.next();
        // Before the memberships: what changes meanwhile is found when all are compared.
        let version = context.version_of(user).await?;
        let left = match &after {
            None => context.left_chats_of(user).await?,
            Some(_) => HashMap::new(),
        };
        let large = context.policy.large_groups;
        let mut feed = Self {
            recoverer: context.recovery.join(),
            context,
            receiver,
            viewer,
            detail: detail.map(|chats| chats.into_iter().collect()),
            lines: Lines::default(),
            left: LeftChats::new(left),
            ready: Outbox::new(incarnation, large),
            changed: BTreeSet::new(),
            stale: BTreeSet::new(),
            unmade: BTreeSet::new(),
            behind: BTreeSet::new(),
            gaps: BTreeSet::new(),
            viewer_changed: false,
            profile: None,
            compare_at,
            timer: Timer::new(),
            version,
            incarnation,
            marks_are_due: false,
            moved_marks: BTreeSet::new(),
            owes_caught_up: true,
            delivered: 0,
            delivered_since: None,
        };
        feed.read_profile().await?;
        feed.viewer_changed = false;
        match after {
            None => {
                let standing = feed.standing().await?;
                feed.lines = Lines::with_capacity(standing.len());
                for (member, head) in standing {
                    let line = Line::new(&member, head, large, feed.is_detailed(member.chat_id));
                    feed.lines.insert(line);
                }
            }
            Some(position) => feed.resume(position).await?,
        }
        feed.lines.shrink_to_fit();
        let chats = feed.lines.keys().copied().collect();
        feed.compare_marks(chats).await?;
        Ok(feed)
    }

    /// The user's chats in their order, all of them followed.
    async fn standing(&mut self) -> Result<Standing, FeedError> {
        let (context, user) = (&self.context, self.viewer.user_id);
        let ids = context.chat_ids_of(user).await?;
        for chat in &ids {
            let topic = Topic::Chat(*chat);
            context.bus.follow(&mut self.receiver, topic).await?;
        }
        let (heads, members) = context.standing(user, &ids).await?;
        let unmade = members.keys().filter(|chat| !heads.contains_key(chat));
        self.unmade = unmade.copied().collect();
        let members = members.into_values();
        let standing = members.filter_map(|member| {
            let head = *heads.get(&member.chat_id)?;
            Some((member, head))
        });
        let mut standing: Standing = standing.collect();
        standing.sort_unstable_by_key(|(member, _)| member.chat_id);
        Ok(standing)
    }

    async fn resume(&mut self, position: AccountPosition) -> Result<(), FeedError> {
        self.viewer_changed = true;
        let started = Instant::now();
        let (standing, left, mut places) = loop {
            let standing = self.standing().await?;
            let left = self.context.left_chats_of(self.viewer.user_id).await?;
            match places_of(&standing, &left, position.clone()) {
                Ok(places) if !standing.iter().any(|chat| is_ahead(chat, &places)) => {
                    break (standing, left, places);
                }
                // The store may have failed over, and be behind what it told before, for a moment.
                refused if started.elapsed() >= self.context.policy.ahead_grace => {
                    counter!(RESYNCS).increment(1);
                    return Err(refused.err().unwrap_or(FeedError::Ahead));
                }
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
        let mut others = self.version;
        self.lines = Lines::with_capacity(standing.len());
        for (member, head) in standing {
            let place = places.remove(&member.chat_id);
            if place.is_some() {
                others = others.saturating_sub(member.version.into());
            }
            self.begin(&member, head, place);
        }
        // A client may have read a chat behind its checkpoint that it has left since. Which one is not
        // known, only whether there can be one: then all are told that the user has left.
        if !(places.is_empty() && position.has_others_at(others)) {
            for (chat, seq) in &left {
                self.tell_removal(*chat, *seq);
            }
        }
        self.left = LeftChats::new(left);
        self.keep_to_limit();
        Ok(())
    }

    /// Begins with a chat behind the place that the client has told of it.
    fn begin(&mut self, member: &Member, head: Head, place: Option<Place>) {
        let chat = member.chat_id;
        let is_detailed = self.is_detailed(chat);
        let mut line = Line::new(member, head, self.ready.large, is_detailed);
        let Some(place) = place.filter(|place| place.seq >= member.joined_seq) else {
            self.lines.insert(line);
            self.begin_anew(chat);
            return;
        };
        line.read_by_all = ReadByAll::told(place.read_by_all);
        let is_moved = place.seq != line.place.seq || place.change_seq != line.place.change_seq;
        if is_detailed && place.without_detail {
            self.ready.put(&line, AccountItem::ChatReset(chat));
            self.changed.insert(chat);
        } else if is_detailed {
            line.begin_at(&place);
        } else if is_moved {
            self.changed.insert(chat);
        }
        if place.version != member.version {
            self.changed.insert(chat);
        }
        self.lines.insert(line);
        self.note(chat);
    }
}

/// The places of the chats that the user has or had.
///
/// # Errors
/// Where the position names others: the store was set back behind what it had told, or the cursor
/// of another chat was given.
fn places_of(
    standing: &Standing,
    left: &HashMap<ChatId, Seq>,
    mut position: AccountPosition,
) -> Result<HashMap<ChatId, Place>, FeedError> {
    let now = standing.iter().map(|(member, _)| member.chat_id);
    let all: BTreeSet<ChatId> = now.chain(left.keys().copied()).collect();
    let places = position.take(&all.into_iter().collect::<Vec<_>>());
    if let Some(number) = position.strange_cursor() {
        let rule = "must be a cursor of a chat of the viewer";
        return Err(Invalid::new(format!("after.since.{number}"), rule).into());
    }
    if position.is_empty() {
        Ok(places)
    } else {
        Err(FeedError::Ahead)
    }
}

/// Whether the client's place lies beyond the ends of the chat's lines.
fn is_ahead((member, head): &(Member, Head), places: &HashMap<ChatId, Place>) -> bool {
    places.get(&member.chat_id).is_some_and(|place| {
        place.seq > head.last_seq.max(member.joined_seq) || place.change_seq > head.last_change_seq
    })
}
