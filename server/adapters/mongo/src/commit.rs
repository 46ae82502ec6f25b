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

use std::collections::VecDeque;
use std::sync::Arc;

use mongodb::bson::doc;
use talksy_domain::error::PortError;
use talksy_domain::id::{self, ChatId};
use talksy_domain::messages::Message;
use talksy_domain::seq::Seq;

use super::Inner;
use super::call::Call;
use super::chat_queue::{ChatQueue, Committed, Waiting};
use super::commands::{Prefix, Shape};
use super::documents::{self, MessageDocument, key};
use super::fault::Fault;
use super::indexes::MESSAGES_BY_SEQ;
use super::turns::ChatTurn;
use super::{heads, settle};

/// The most messages that one insert takes together.
const BATCH: usize = 64;

/// Gives the draft its number, or finds the message that it repeats.
pub(super) async fn commit(call: &Call, draft: &Message) -> Result<Committed, Fault> {
    let chat = draft.chat_id;
    let queue = call.inner.queues.of(id::bytes(chat));
    let (waiting, answer) = Waiting::new(draft.clone());
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

/// Commits the drafts of a queue until it is empty.
struct ChatQueueWorker {
    inner: Arc<Inner>,
    queue: Arc<ChatQueue>,
    chat: ChatId,
}

/// A panic fails the drafts that wait, and the next draft starts another worker.
impl Drop for ChatQueueWorker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.queue.abandon();
        }
    }
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
            // The end of an id is random, and tells instances apart.
            let spread = id::bytes(first.draft.id)[15].rotate_left(attempt);
            let last = match self.queue.hint() {
                // In a turn others have inserted since.
                Some(last) if !turn.is_held() => last,
                _ => {
                    turn.rest(attempt).await;
                    heads::last_seq(call, self.chat).await?
                }
            };
            let numbered = |from: usize| -> Vec<_> {
                (last + 1..)
                    .zip(batch.iter())
                    .skip(from)
                    .map(|(seq, waiting)| MessageDocument::new(&waiting.draft, seq))
                    .collect()
            };
            let inserting = settle::insert(call, numbered, &mut is_unsure);
            let Prefix { count, refused } = turn.measured(batch.len(), inserting).await?;
            let reached = answer_all(last, batch.drain(..count));
            let Some(index) = refused else {
                self.queue.reached(reached);
                return Ok(());
            };
            if index != MESSAGES_BY_SEQ && self.answer_repeated(call, batch, is_unsure).await? {
                // The number was not taken.
                self.queue.reached(reached);
                continue;
            }
            // Another instance was faster; or the first of two was, and the majority does not know
            // it yet.
            attempt = if count > 0 { 1 } else { attempt + 1 };
            call.pause(attempt, spread).await?;
        }
        Ok(())
    }

    /// Answers the batch's first draft with the message that it repeats, or is where this worker is
    /// unsure what it has inserted. False where that is not to be found.
    async fn answer_repeated(
        &self,
        call: &Call,
        batch: &mut VecDeque<Waiting>,
        is_unsure: bool,
    ) -> Result<bool, Fault> {
        let Some(first) = batch.front() else {
            return Ok(false);
        };
        let filter = doc! {
            "chatId": key(id::bytes(self.chat)),
            "dedup": documents::dedup(&first.draft),
        };
        let before = call.find_one::<MessageDocument>(filter, Shape::default());
        // A message that does not parse fails this draft alone.
        let outcome = match before.await {
            Ok(None) => return Ok(false),
            Ok(Some(message)) if is_unsure && message.id == first.draft.id => {
                Ok(Committed::Now(message.seq))
            }
            Ok(Some(message)) => Ok(Committed::Before(Box::new(message))),
            Err(fault @ Fault::Document { .. }) => Err(fault.into()),
            Err(fault) => return Err(fault),
        };
        if let Some(first) = batch.pop_front() {
            first.answer(outcome);
        }
        Ok(true)
    }
}

/// Tells drafts their numbers, which follow `last`, and returns the last of them.
fn answer_all(last: Seq, durable: impl Iterator<Item = Waiting>) -> Seq {
    let mut reached = last;
    for waiting in durable {
        reached += 1;
        waiting.answer(Ok(Committed::Now(reached)));
    }
    reached
}
