//! What a line has beside its place: what waits on it, and what was told of its chat.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use super::Line;
use crate::chats::model::ReadReceipt;
use crate::events::event::Published;
use crate::feeds::ends::Ends;
use crate::feeds::state_feed::Delivered;
use crate::feeds::told_chat::Told;
use crate::id::UserId;
use crate::seq::Seq;

/// A change, or a receipt, that waits until the messages up to `behind` are out.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    pub(super) behind: Seq,
    pub(super) item: T,
}

/// What a line has beside its place. One on which nothing happens has no room for it: an account has
/// many lines, and most of them are quiet.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// Up to here the lines are known to go; what was not put out of them is in the store.
    pub(super) known: Ends,
    /// The message that is put out next.
    pub(super) next: Option<Arc<Published>>,
    pub(super) held: Option<Box<Held>>,
    /// The read marks that were put out.
    pub(super) marks: Option<Box<Delivered>>,
    /// How the chat was told as a whole, once it was, and what is known of it since.
    pub(super) told: Option<Box<Told>>,
}

impl Rest {
    /// Whether it says nothing of a line that was put out up to `place`.
    const fn is_empty(&self, place: Ends) -> bool {
        place.reach(self.known)
            && self.next.is_none()
            && self.held.is_none()
            && self.marks.is_none()
            && self.told.is_none()
    }
}

/// What waits on a line, and since when.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Messages that are early.
    pub(super) messages: BTreeMap<Seq, Arc<Published>>,
    pub(super) changes: BTreeMap<Seq, Waiting<Arc<Published>>>,
    pub(super) receipts: Vec<Waiting<(ReadReceipt, Arc<Published>)>>,
    /// Changes that were read from the store, in order.
    pub(super) rows: VecDeque<Waiting<Arc<Published>>>,
    /// Messages that came later than changes of theirs ahead of the place: up to which change each has
    /// told.
    pub(super) told: BTreeMap<Seq, Seq>,
    /// Members of whom it is no longer known what was put out: the store has to tell their mark.
    pub(super) uncertain: Vec<UserId>,
    /// Since when something early waits.
    pub(super) gap_since: Option<Instant>,
    /// Since when the store does not have what it should.
    pub(super) missing_since: Option<Instant>,
    /// Since when the store does not go as far as what was put out.
    pub(super) ahead_since: Option<Instant>,
}

impl Held {
    fn is_empty(&self) -> bool {
        let times = [self.gap_since, self.missing_since, self.ahead_since];
        !self.has_early()
            && self.rows.is_empty()
            && self.told.is_empty()
            && self.uncertain.is_empty()
            && times.iter().all(Option::is_none)
    }

    /// Whether something waits that came from the bus.
    pub(super) fn has_early(&self) -> bool {
        !(self.messages.is_empty() && self.changes.is_empty() && self.receipts.is_empty())
    }
}

impl Line {
    pub(super) fn rest_mut(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
    }

    pub(super) fn held(&self) -> Option<&Held> {
        self.rest.as_ref()?.held.as_deref()
    }

    /// What waits, with room for it.
    pub(super) fn held_mut(&mut self) -> &mut Held {
        self.rest_mut().held.get_or_insert_default()
    }

    /// What waits, where something does.
    pub(super) fn waiting(&mut self) -> Option<&mut Held> {
        self.rest.as_mut()?.held.as_deref_mut()
    }

    pub(super) fn marks_mut(&mut self) -> &mut Delivered {
        self.rest_mut().marks.get_or_insert_default()
    }

    /// Frees the room for what the line does not have.
    pub(super) fn tidy(&mut self) {
        let place = self.place;
        let Some(rest) = &mut self.rest else {
            return;
        };
        if rest.held.as_ref().is_some_and(|held| held.is_empty()) {
            rest.held = None;
        }
        if rest.is_empty(place) {
            self.rest = None;
        }
    }

    /// How the chat was told as a whole, once it was, and what is known of it since.
    pub(in crate::feeds::account) fn told(&self) -> Option<&Told> {
        self.rest.as_ref()?.told.as_deref()
    }

    /// The same, to go on from.
    pub(in crate::feeds::account) fn told_mut(&mut self) -> Option<&mut Told> {
        self.rest.as_mut()?.told.as_deref_mut()
    }

    /// The chat is told as a whole from now on.
    pub(in crate::feeds::account) fn tell(&mut self, told: Told) {
        self.rest_mut().told = Some(Box::new(told));
    }

    pub(super) fn forget_told(&mut self) {
        if let Some(rest) = &mut self.rest {
            rest.told = None;
            self.tidy();
        }
    }
}
