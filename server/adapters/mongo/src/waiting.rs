//! What waits in a chat's queue for its number, and what becomes of it.

use talksy_domain::access::Denied;
use talksy_domain::error::PortError;
use talksy_domain::groups::{GroupChange, GroupOutcome};
use talksy_domain::id;
use talksy_domain::messages::{Changed, Message, MessageChange};
use talksy_domain::seq::Seq;
use tokio::sync::oneshot;
use tracing::Span;

use super::documents::Place;

/// What became of what waited.
#[derive(Debug)]
pub(super) enum Committed {
    /// The draft is durable at this place.
    Now(Place),
    /// The sender has sent it before: this message.
    Before(Box<Message>),
    /// At the number that it would have got, its sender is no member.
    Denied(Denied),
    /// The chat has no number left.
    Full,
    /// What came of a change of the group.
    Group(Box<GroupOutcome>),
    /// What came of a change of a message.
    Changed(Box<Changed>),
}

/// What waits for its number.
pub(super) enum Work {
    /// A message that is to be sent.
    Draft {
        /// The message.
        draft: Box<Message>,
        /// Its sender is a member as far as the system messages up to this number say.
        checked: Seq,
    },
    /// A change of the group.
    Change {
        /// What is to happen.
        change: Box<GroupChange>,
        /// Whether its repair job is written.
        is_announced: bool,
    },
    /// A change of a message, in the queue of these.
    MessageChange {
        /// What is to become of it.
        change: Box<MessageChange>,
        /// Whether it is made for an account that is erased.
        is_erasure: bool,
    },
}

/// Something that waits for its number, and where what becomes of it is told.
pub(super) struct Waiting {
    /// What waits.
    pub(super) work: Work,
    /// Of the call that waits.
    pub(super) span: Span,
    reply: oneshot::Sender<Result<Committed, PortError>>,
}

impl Waiting {
    /// Lets something wait.
    pub(super) fn new(
        work: Work,
        span: Span,
    ) -> (Self, oneshot::Receiver<Result<Committed, PortError>>) {
        let (reply, answer) = oneshot::channel();
        (Self { work, span, reply }, answer)
    }

    /// The draft, where it is one.
    pub(super) fn draft(&self) -> Option<&Message> {
        match &self.work {
            Work::Draft { draft, .. } => Some(draft),
            Work::Change { .. } | Work::MessageChange { .. } => None,
        }
    }

    /// The change of a message, where it is one.
    pub(super) fn message_change(&self) -> Option<&MessageChange> {
        match &self.work {
            Work::MessageChange { change, .. } => Some(change),
            Work::Draft { .. } | Work::Change { .. } => None,
        }
    }

    /// Whether it is a change of a message for an account that is erased.
    pub(super) fn is_erasure(&self) -> bool {
        matches!(&self.work, Work::MessageChange { is_erasure, .. } if *is_erasure)
    }

    /// A number that tells writers apart: the end of an id is random.
    pub(super) fn spread(&self) -> u8 {
        let message = match &self.work {
            Work::Draft { draft, .. } => draft.id,
            Work::Change { change, .. } => change.message_id,
            Work::MessageChange { change, .. } => change.message_id,
        };
        id::bytes(message)[15]
    }

    /// Whether nobody waits for it any more.
    pub(super) fn is_given_up(&self) -> bool {
        self.reply.is_closed()
    }

    /// Tells what became of it. Whoever waited may have given up.
    pub(super) fn answer(self, outcome: Result<Committed, PortError>) {
        let _ = self.reply.send(outcome);
    }
}
