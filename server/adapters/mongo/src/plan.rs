//! What is to be written for the changes that wait for one chat: each is judged behind those ahead of
//! it, as if they were written.

use std::collections::HashMap;

use talksy_domain::error::PortError;
use talksy_domain::id::MessageId;
use talksy_domain::messages::{
    Beside, ChangeAction, ChangeRefusal, Changed, Message, MessageChange, Right,
};
use talksy_domain::seq::Seq;

use super::change_writes::Step;
use super::changes::Read;
use super::documents::Toggle;

/// What becomes of a change.
pub(super) enum Judged {
    /// It is answered.
    Answered(Result<Changed, PortError>),
    /// The message is so already.
    AsItIs(Box<Message>),
    /// It has to be written: by the step at this place.
    Written(usize),
    /// It depends on whether one ahead of it is written.
    Open,
}

impl Judged {
    /// It is refused.
    pub(super) fn refused(refusal: impl Into<ChangeRefusal>) -> Self {
        Self::Answered(Ok(Changed::Refused(refusal.into())))
    }

    /// Whether the message is so already.
    pub(super) const fn is_as_it_is(&self) -> bool {
        matches!(self, Self::AsItIs(_))
    }
}

/// What is to be written for a batch.
pub(super) struct Plan {
    /// The writes, in the order of their numbers.
    pub(super) steps: Vec<Step>,
    /// Of each change that is left in the batch the place of its step; `None` where that is open.
    pub(super) steps_of: Vec<Option<usize>>,
    /// How many messages are pinned by the steps.
    pub(super) pins: usize,
    /// Whether one that is pinned is no longer.
    frees_pins: bool,
    /// Of each message that is written the place of its last step.
    last_of: HashMap<MessageId, usize>,
    /// The last number that was given.
    number: Seq,
}

impl Plan {
    /// Nothing yet; `number` is the last one that was claimed.
    pub(super) fn new(number: Seq) -> Self {
        Self {
            steps: Vec::new(),
            steps_of: Vec::new(),
            pins: 0,
            frees_pins: false,
            last_of: HashMap::new(),
            number,
        }
    }

    /// Judges a change, made by this right, behind those that were judged before. `None` where its message was
    /// not found.
    pub(super) fn judge(
        &mut self,
        read: &Read,
        change: &MessageChange,
        right: Right<'_>,
    ) -> Option<Judged> {
        let place = self.last_of.get(&change.message_id).copied();
        let last = place.and_then(|place| Some((place, self.steps.get(place)?)));
        let before = match last {
            Some((_, step)) => &step.after,
            None => read.messages.get(&change.message_id)?,
        };
        let beside = Beside {
            has_reacted: self.has_reacted(read, change),
            pins: read.pins + self.pins,
        };
        // Those who react to one message share a number.
        let shared = last.filter(|(_, step)| is_reaction(change) && !step.toggles.is_empty());
        let number = match shared {
            Some((_, step)) => step.after.change_seq,
            None => self.number.saturating_add(1),
        };
        let kind = read.kept.chat.kind;
        let is_first = last.is_none();
        let is_member = |user| read.actors.contains_key(&user);
        let applied = change.apply(before, kind, right, number, beside);
        let applied = applied.and_then(|after| match after {
            Some(after) => (change.check_mentions(before, is_member)).map(|()| Some(after)),
            None => Ok(None),
        });
        let judged = match applied {
            Err(ChangeRefusal::TooManyPins) if self.pins > 0 || self.frees_pins => Judged::Open,
            // What is ahead of it may come to nothing.
            Err(_) | Ok(None) if !is_first => Judged::Open,
            Err(refusal) => Judged::refused(refusal),
            Ok(None) => Judged::AsItIs(Box::new(before.clone())),
            Ok(Some(after)) => {
                let shared = shared.map(|(place, _)| place);
                let before = before.clone();
                Judged::Written(self.write(change, shared, before, after))
            }
        };
        Some(judged)
    }

    /// Whether the actor has reacted so, behind the steps.
    fn has_reacted(&self, read: &Read, change: &MessageChange) -> bool {
        let ChangeAction::React { emoji, .. } = &change.action else {
            return false;
        };
        let is_asked =
            |toggle: &&Toggle| toggle.user_id == change.actor_id && toggle.emoji == *emoji;
        let ahead = self.toggles_of(change.message_id).rev().find(is_asked);
        if let Some(toggle) = ahead {
            return toggle.is_on;
        }
        let who = (change.message_id, change.actor_id, emoji.clone());
        read.reacted.get(&who).copied().unwrap_or_default()
    }

    /// Whether a step of the message has toggles.
    pub(super) fn has_toggles(&self, message: MessageId) -> bool {
        self.toggles_of(message).len() > 0
    }

    /// The toggles of a message's last step that has any, oldest first. It has those of the steps
    /// ahead of it too.
    fn toggles_of(&self, message: MessageId) -> std::slice::Iter<'_, Toggle> {
        let mut steps = self.steps.iter().rev();
        let step = steps.find(|step| step.after.id == message && !step.toggles.is_empty());
        step.map_or_else(Default::default, |step| step.toggles.iter())
    }

    /// Adds what a change makes of a message: to the step at `shared`, or as one of its own. Returns
    /// the step's place.
    fn write(
        &mut self,
        change: &MessageChange,
        shared: Option<usize>,
        before: Message,
        after: Message,
    ) -> usize {
        let toggle = toggle(change, after.change_seq);
        if let Some(place) = shared
            && let Some(step) = self.steps.get_mut(place)
        {
            step.after = after;
            if let Some(toggle) = toggle {
                put(&mut step.toggles, toggle);
            }
            return place;
        }
        self.pins += usize::from(before.pinned_seq == 0 && after.pinned_seq > 0);
        self.frees_pins |= before.pinned_seq > 0 && after.pinned_seq == 0;
        self.number = after.change_seq;
        let mut toggles = Vec::new();
        if let Some(toggle) = toggle {
            // Those of the steps ahead are in no document yet.
            toggles.extend(self.toggles_of(change.message_id).cloned());
            put(&mut toggles, toggle);
        }
        let place = self.steps.len();
        self.last_of.insert(change.message_id, place);
        self.steps.push(Step {
            before,
            after,
            toggles,
        });
        place
    }
}

const fn is_reaction(change: &MessageChange) -> bool {
    matches!(change.action, ChangeAction::React { .. })
}

fn toggle(change: &MessageChange, seq: Seq) -> Option<Toggle> {
    let ChangeAction::React { emoji, is_added } = &change.action else {
        return None;
    };
    Some(Toggle {
        user_id: change.actor_id,
        emoji: emoji.clone(),
        is_on: *is_added,
        seq,
    })
}

/// Adds a toggle in the place of one of the same reaction.
fn put(toggles: &mut Vec<Toggle>, toggle: Toggle) {
    toggles.retain(|known| (known.user_id, &known.emoji) != (toggle.user_id, &toggle.emoji));
    toggles.push(toggle);
}
