//! What every feed of one chat has: the chat's signals, as long as the user is a member.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::time::{Instant, timeout_at};

use super::context::{Backlog, FeedContext};
use super::ends::Ends;
use super::error::FeedError;
use super::retry::retry_unavailable;
use crate::access::{AccessError, Denied, Membership};
use crate::events::event::{Interest, Published, Topic};
use crate::events::hub::{Receiver, Signal};
use crate::id::ChatId;
use crate::incarnation::Incarnation;
use crate::messages::store::Head;
use crate::metrics::RESYNCS;
use crate::seq::Seq;
use crate::viewer::Viewer;

/// How often a store that is behind what it told is looked at.
const AHEAD_POLL: Duration = Duration::from_millis(100);

/// What every feed of one chat has: the chat's signals, as long as the user is a member.
pub(super) struct ChatSubscription {
    pub(super) context: Arc<FeedContext>,
    receiver: Receiver,
    pub(super) chat: ChatId,
    pub(super) viewer: Viewer,
    /// The store's when the feed was opened.
    pub(super) incarnation: Incarnation,
    /// The number of the newest system message at which the viewer was known to be a member.
    mseq: Seq,
    /// The system message by which the viewer joined: the feed is of that membership.
    joined_seq: Option<Seq>,
    /// The furthest that the chat's lines were seen to go.
    seen: Ends,
    /// How many members the chat had when it was looked at last.
    pub(super) member_count: u32,
    /// The store is looked at by then at the latest.
    heartbeat_at: Instant,
    /// Received, and not admitted yet.
    received: Option<Signal>,
    /// The store is to be looked at before anything else.
    owes_look: bool,
}

impl ChatSubscription {
    /// First follows the chat, so that what happens while the caller looks is in the mailbox.
    /// The membership is the caller's to check.
    pub(super) async fn open(
        context: Arc<FeedContext>,
        viewer: &Viewer,
        chat: ChatId,
        interest: Interest,
    ) -> Result<Self, FeedError> {
        let incarnation = context.incarnation.current().await?;
        let interest = interest.and(Interest::MEMBERSHIP);
        // The viewer's own mark in a large group is told to them alone.
        let own = interest.meets(Interest::RECEIPTS);
        let own = own.then_some(Topic::User(viewer.user_id));
        let topics: Vec<_> = own.into_iter().chain([Topic::Chat(chat)]).collect();
        let receiver = context.bus.subscribe(interest, &topics).await?;
        let heartbeat_at = context.heartbeats.next();
        Ok(Self {
            context,
            receiver,
            chat,
            viewer: *viewer,
            incarnation,
            mseq: 0,
            joined_seq: None,
            seen: Ends::default(),
            member_count: 0,
            heartbeat_at,
            received: None,
            owes_look: false,
        })
    }

    /// The viewer's membership.
    ///
    /// # Errors
    /// [`Denied::NotMember`] also where the membership is not the one that was found before: who was
    /// removed and has joined again may not read what lies between.
    pub(super) async fn membership(&mut self) -> Result<Membership, AccessError> {
        let access = &self.context.access;
        let membership = access.membership(&self.viewer, self.chat).await?;
        let joined_seq = membership.member().joined_seq;
        if *self.joined_seq.get_or_insert(joined_seq) != joined_seq {
            return Err(Denied::NotMember.into());
        }
        Ok(membership)
    }

    /// The ends of the chat's lines.
    pub(super) async fn head(&self) -> Result<Head, FeedError> {
        let head = self.context.head(self.chat).await?;
        Ok(head.ok_or(AccessError::from(Denied::NoChat))?)
    }

    /// The ends of the chat's lines, once they reach to `place`; `None` where they do not within
    /// the grace. A store that has failed over may be behind what it told before, for a moment.
    pub(super) async fn head_reaching(&mut self, place: Ends) -> Result<Option<Head>, FeedError> {
        let mut head = self.head().await?;
        if !Ends::from(head).reach(place) {
            // Who is no member is not told where the chat ends.
            self.membership().await?;
        }
        let started = Instant::now();
        while !Ends::from(head).reach(place) {
            if started.elapsed() >= self.context.policy.ahead_grace {
                counter!(RESYNCS).increment(1);
                return Ok(None);
            }
            tokio::time::sleep(AHEAD_POLL).await;
            head = self.head().await?;
        }
        self.seen = self.seen.max(head.into());
        self.member_count = head.member_count;
        Ok(Some(head))
    }

    /// Looks at the store, as a feed does on its heartbeat and after an interruption: the ends of the
    /// chat's lines, and whether the store is still the one that it was, and goes as far as the feed
    /// has come.
    ///
    /// # Errors
    /// [`FeedError::Restored`] or [`FeedError::LineBroken`] where it is not.
    pub(super) async fn look(&mut self, place: Ends) -> Result<Head, FeedError> {
        let place = place.max(self.seen);
        let head = retry_unavailable!(self.head_reaching(place))?;
        self.check_incarnation()?;
        self.heartbeat_at = self.context.heartbeats.next();
        head.ok_or(FeedError::LineBroken)
    }

    /// Makes sure that the store was not restored since the feed was opened, as far as the process
    /// knows.
    pub(super) fn check_incarnation(&self) -> Result<(), FeedError> {
        self.context.check(self.incarnation)
    }

    /// Up to a page of messages from `from` on.
    pub(super) async fn backlog(&self, from: Seq) -> Result<Backlog, FeedError> {
        // Behind the question, so that the page is not from before a change that was acknowledged.
        let head = self.head().await?;
        Ok(self.context.backlog(&head, from).await?)
    }

    /// The next signal of the chat, whether or not the user is still a member: for a feed that
    /// finds that out by the line. `None` when it is time for [`Self::look`], or for what the feed
    /// waits for itself. Cancel-safe.
    pub(super) async fn any_signal(&mut self, until: Option<Instant>) -> Option<Signal> {
        let until = until.map_or(self.heartbeat_at, |until| until.min(self.heartbeat_at));
        loop {
            let signal = match self.receiver.try_recv() {
                Some(signal) => signal,
                None => timeout_at(until, self.receiver.recv()).await.ok()?,
            };
            // What the viewer does elsewhere is no concern of this chat's feed.
            match &signal {
                Signal::Event(event) if event.event.chat_id() != Some(self.chat) => {}
                _ => return Some(signal),
            }
        }
    }

    /// The next signal of the chat, as [`Self::any_signal`], as long as the user is a member.
    ///
    /// # Errors
    /// [`Denied::NotMember`] once the user is no member, also where the event that said so was
    /// lost: every event carries the number of the newest system message.
    pub(super) async fn signal(
        &mut self,
        until: Option<Instant>,
    ) -> Result<Option<Signal>, FeedError> {
        if self.received.is_none() {
            self.received = self.any_signal(until).await;
        }
        if let Some(Signal::Event(event)) = &self.received
            && let Some(mseq) = event.event.mseq()
        {
            self.confirm(mseq).await?;
        }
        self.check_incarnation()?;
        // It was admitted.
        Ok(self.received.take())
    }

    /// The next event of the chat for a feed of states, as long as the user is a member; `None`
    /// where the states are to be compared with the store's, on each heartbeat and after an
    /// interruption. The user was found to be a member then. Cancel-safe.
    ///
    /// # Errors
    /// As [`Self::signal`].
    pub(super) async fn event(&mut self) -> Result<Option<Arc<Published>>, FeedError> {
        if !self.owes_look {
            if let Some(Signal::Event(event)) = self.signal(None).await? {
                return Ok(Some(event));
            }
            self.owes_look = true;
        }
        let head = self.look(Ends::default()).await?;
        self.confirm(head.applied_seq).await?;
        self.owes_look = false;
        Ok(None)
    }

    /// Makes sure that the user is a member behind this system message.
    pub(super) async fn confirm(&mut self, mseq: Seq) -> Result<(), FeedError> {
        if mseq > self.mseq {
            retry_unavailable!(self.membership())?;
            self.mseq = mseq;
        }
        Ok(())
    }
}
