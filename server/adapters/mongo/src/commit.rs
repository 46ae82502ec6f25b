//! Numbering messages and making them durable.
//!
//! Number n + 1 is inserted where n is the chat's last, under the unique index on (chat, seq), so
//! that of two who try one succeeds and the other tries behind it. n is read from what the
//! majority has, or was made durable by this instance: it cannot be rolled back, so n + 1 leaves no
//! hole. A second unique index, on (chat, dedup), refuses what the sender has sent before.
//!
//! What waits for one chat at the same time goes into one ordered insert, which stops at the first
//! document that is refused: so each message is still a commit of its own, behind the one before.
//! Who of several instances inserts next is a matter of `turns`; what became of an insert that was
//! not answered, of `settle`.
//!
//! A draft's sender has to be a member at its number; see `senders`.
//!
//! A change of a group is judged in the same queue, at the documents up to m(n), and ends the insert
//! ahead of it; see `groups`.

use std::collections::VecDeque;
use std::sync::Arc;

use talksy_domain::error::PortError;
use talksy_domain::events::Announcement;
use talksy_domain::id::{self, ChatId};
use talksy_domain::messages::Message;
use talksy_domain::seq;

use super::Inner;
use super::call::Call;
use super::chat_queue::ChatQueue;
use super::commands::Prefix;
use super::documents::{MessageDocument, Place};
use super::fault::Fault;
use super::groups::{self, Judged};
use super::indexes::MESSAGES_BY_SEQ;
use super::turns::ChatTurn;
use super::waiting::{Committed, Waiting, Work};
use super::{heads, notices, repair, senders, settle};

/// The most messages that one insert takes together.
const BATCH: usize = 64;

/// Gives a draft its number, or finds the message that it repeats; or changes the group.
pub(super) async fn commit(call: &Call, chat: ChatId, work: Work) -> Result<Committed, Fault> {
    let queue = call.inner.queues.of(id::bytes(chat));
    let (waiting, answer) = Waiting::new(work, call.span.clone());
    if queue.enqueue(waiting)? {
        let worker = ChatQueueWorker {
            inner: Arc::clone(&call.inner),
            queue,
            chat,
        };
        tokio::spawn(worker.run());
    }
    match call.wait(answer).await? {
        Ok(outcome) => outcome.map_err(Fault::NotCommitted),
        Err(_gone) => Err(Fault::Panicked),
    }
}

/// Commits what waits in a queue until it is empty.
struct ChatQueueWorker {
    inner: Arc<Inner>,
    queue: Arc<ChatQueue>,
    chat: ChatId,
}

/// A panic fails what waits, and the next draft starts another worker.
impl Drop for ChatQueueWorker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.queue.abandon();
        }
    }
}

/// How an attempt at the next number went.
enum Attempt {
    /// What was tried is answered.
    Done,
    /// So many drafts were answered; then the number was another's.
    Lost(usize),
}

impl ChatQueueWorker {
    async fn run(self) {
        loop {
            let mut batch = self.queue.next(BATCH);
            if batch.is_empty() {
                return;
            }
            // Those who wait have deadlines of their own.
            let call = Call::new(&self.inner, self.inner.options.timeout);
            let mut turn = ChatTurn::new(&call, &self.queue, format!("messages:{}", self.chat));
            if let Err(fault) = self.commit(&call, &mut turn, &mut batch).await {
                let error = PortError::from(fault);
                for waiting in batch {
                    waiting.answer(Err(error.clone()));
                }
            }
            turn.pass().await;
        }
    }

    /// Commits the batch in its order and answers what is done with. What is left of it where it
    /// fails may or may not be durable.
    async fn commit(
        &self,
        call: &Call,
        turn: &mut ChatTurn,
        batch: &mut VecDeque<Waiting>,
    ) -> Result<(), Fault> {
        let mut attempt = 0_u32;
        let mut is_unsure = false;
        while !batch.is_empty() {
            turn.take(attempt).await;
            self.queue.fill(batch, BATCH);
            let Some(first) = batch.front() else {
                break;
            };
            let spread = first.spread().rotate_left(attempt);
            let is_draft = first.draft().is_some();
            let last = match self.queue.hint() {
                // In a turn others have inserted since.
                Some(last) if !turn.is_held() => last,
                _ => {
                    turn.rest(attempt).await;
                    heads::last_place(call, self.chat).await?
                }
            };
            let outcome = if is_draft {
                self.commit_drafts(call, turn, last, batch, &mut is_unsure)
                    .await?
            } else {
                self.commit_change(call, turn, last, batch).await?
            };
            if let Attempt::Lost(count) = outcome {
                // Another instance was faster; or the first of two was, and the majority does not
                // know it yet.
                attempt = if count > 0 { 1 } else { attempt + 1 };
                call.pause(attempt, spread).await?;
            }
        }
        Ok(())
    }

    /// Commits the drafts at the batch's start.
    async fn commit_drafts(
        &self,
        call: &Call,
        turn: &ChatTurn,
        last: Place,
        batch: &mut VecDeque<Waiting>,
        is_unsure: &mut bool,
    ) -> Result<Attempt, Fault> {
        senders::check(call, &self.queue, self.chat, last, batch).await?;
        let room = usize::try_from(seq::MAX.saturating_sub(last.seq)).unwrap_or(usize::MAX);
        let numbered = |from: usize| -> Vec<_> {
            (last.seq + 1..)
                .zip(batch.iter().map_while(Waiting::draft).take(room))
                .skip(from)
                .map(|(seq, draft)| MessageDocument::new(draft, Place { seq, ..last }))
                .collect()
        };
        let count = numbered(0).len();
        if count == 0 {
            if room == 0 && batch.front().is_some_and(|first| first.draft().is_some()) {
                answer_next(batch, Ok(Committed::Full));
            }
            return Ok(Attempt::Done);
        }
        let announced = |from: usize| -> Vec<_> {
            let drafts = batch.iter().map_while(|next| Some((next.draft()?, next)));
            (last.seq + 1..)
                .zip(drafts.take(room))
                .skip(from)
                .map(|(seq, (draft, next))| {
                    let message = Message {
                        seq,
                        mseq: last.mseq,
                        ..draft.clone()
                    };
                    Announcement::message_added(message).within(&next.span)
                })
                .collect()
        };
        let inserting = settle::insert(call, numbered, announced, is_unsure);
        let Prefix { count, refused } = turn.measured(count, inserting).await?;
        let reached = answer_all(last, batch.drain(..count));
        let Some(index) = refused else {
            self.queue.reached(reached);
            return Ok(Attempt::Done);
        };
        if index != MESSAGES_BY_SEQ && self.answer_repeated(call, batch, *is_unsure).await? {
            // The number was not taken.
            self.queue.reached(reached);
            return Ok(Attempt::Done);
        }
        Ok(Attempt::Lost(count))
    }

    /// Answers the batch's first draft with the message that it repeats, or is where this worker is
    /// unsure what it has inserted. False where that is not to be found.
    async fn answer_repeated(
        &self,
        call: &Call,
        batch: &mut VecDeque<Waiting>,
        is_unsure: bool,
    ) -> Result<bool, Fault> {
        let Some(first) = batch.front().and_then(Waiting::draft) else {
            return Ok(false);
        };
        // A message that does not parse fails this draft alone.
        let outcome = match senders::repeated(call, first).await {
            Ok(None) => return Ok(false),
            Ok(Some(message)) if is_unsure && message.id == first.id => {
                let place = Place {
                    seq: message.seq,
                    mseq: message.mseq,
                };
                call.announce(vec![Announcement::message_added(message)]);
                Ok(Committed::Now(place))
            }
            Ok(Some(message)) => Ok(Committed::Before(Box::new(message))),
            Err(fault @ Fault::Document { .. }) => Err(fault.into()),
            Err(fault) => return Err(fault),
        };
        answer_next(batch, outcome);
        Ok(true)
    }

    /// Commits the change at the batch's start: the repair job, the system message, its effect.
    async fn commit_change(
        &self,
        call: &Call,
        turn: &ChatTurn,
        last: Place,
        batch: &mut VecDeque<Waiting>,
    ) -> Result<Attempt, Fault> {
        let Some(Work::Change {
            change,
            is_announced,
        }) = batch.front_mut().map(|first| &mut first.work)
        else {
            return Ok(Attempt::Done);
        };
        let (message, chat) = match groups::judge(call, change, last).await? {
            Judged::Stale => return Ok(Attempt::Lost(0)),
            Judged::Answered(outcome) => {
                if *is_announced {
                    repair::done(call, change.message_id).await;
                }
                answer_next(batch, Ok(Committed::Group(outcome)));
                return Ok(Attempt::Done);
            }
            Judged::Decided(decided) => *decided,
        };
        if !*is_announced {
            repair::announce(call, message.id, self.chat).await?;
            *is_announced = true;
        }
        let place = Place {
            seq: message.seq,
            mseq: message.seq,
        };
        let numbered = |from: usize| -> Vec<_> {
            let document = (from == 0).then(|| MessageDocument::new(&message, place));
            document.into_iter().collect()
        };
        let mut is_unsure = false;
        // It is told when it is applied.
        let inserting = settle::insert(call, numbered, |_| Vec::new(), &mut is_unsure);
        let inserted = turn.measured(1, inserting).await?;
        if inserted.refused.is_some() {
            return Ok(Attempt::Lost(0));
        }
        self.queue.reached(place);
        notices::apply(call, &message).await?;
        let outcome = groups::done(chat, Some(message));
        answer_next(batch, Ok(Committed::Group(Box::new(outcome))));
        Ok(Attempt::Done)
    }
}

/// Answers what is at the batch's start.
fn answer_next(batch: &mut VecDeque<Waiting>, outcome: Result<Committed, PortError>) {
    if let Some(first) = batch.pop_front() {
        first.answer(outcome);
    }
}

/// Tells drafts their places, which follow `last`, and returns the last of them.
fn answer_all(last: Place, durable: impl Iterator<Item = Waiting>) -> Place {
    let mut reached = last;
    for waiting in durable {
        reached.seq += 1;
        waiting.answer(Ok(Committed::Now(reached)));
    }
    reached
}
