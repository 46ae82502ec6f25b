//! Changing messages: the line of changes. The writes stand in `change_writes`.
//!
//! A message keeps the number of its latest change, `changeSeq`, so that the changed messages of a
//! chat, in the order of that number, are what a follower reads. That order is all: a row only
//! moves to a greater number. So a follower at place p loses nothing **if no row ever gets a number
//! that is not above all that anybody could have seen**.
//!
//! A unique index on the number does not see to that. A writer that read k as the last number and
//! was held up could still write k + 1 where others had given one message k + 1 and then k + 2: the
//! row has moved on, and k + 1 is free again, but a follower is at k + 2. So a number is **claimed**
//! first, in the one document that all writers of a chat share, and never twice:
//!
//! 1. The chat, the members and the messages are read, and the changes are judged in their order.
//! 2. The last claims, up to number k, have to be **settled**: each of their messages has its number
//!    or a greater one, or never gets it. That the chat's `lastChangeSeq` has reached k says so, or
//!    that this instance has seen to it. Else their writer is given a moment, and then each message
//!    that has not its number gets a `fence` of it.
//! 3. The chat takes the claim, numbers k + 1 to k + n for these messages, if its last claim is
//!    still k.
//! 4. One ordered command writes the changes: each message takes its change and its number, if its
//!    `changeSeq` is still what was read, or what the change ahead of it has left, and its fence is
//!    below the number.
//! 5. `lastChangeSeq` of the chat is advanced.
//!
//! Where step 3 or a write of step 4 finds another there, it begins anew with what is there then. A
//! claim that comes to nothing leaves a number that no row ever has, as does a change that is
//! superseded.
//!
//! The command of step 4 tells how many of its writes have changed a message, not which. Where that
//! is not all, or it was not answered (then what may still be on its way is fenced off first), the
//! messages are read: nobody else can have changed them without settling these claims, so a write
//! that was not carried out has left its message below its number. Where one is above all of the
//! claims, somebody has settled them and gone on, and nobody can tell any more: whoever asked for
//! that change is told that it is not known.
//!
//! Each write is confirmed by the majority before the next step. Hence k is visible or fenced off
//! before k + 1 is claimed, also where the writer of k does not know whether it succeeded, and in
//! every state that the majority has the rows up to the greatest are complete.
//!
//! Within one instance those who wait for one chat are served together, and instances that meet
//! there take turns (see `turns`); nothing depends on that for being right.
//!
//! A crash behind step 3 costs the next change the moment of step 2; one behind step 4 leaves
//! `lastChangeSeq` behind, which readers notice and repair (see `heads`).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::doc;
use talksy_domain::access::Denied;
use talksy_domain::chats::{Chat, Member};
use talksy_domain::error::PortError;
use talksy_domain::events::Announcement;
use talksy_domain::id::{self, ChatId, MessageId, UserId};
use talksy_domain::messages::{ChangeRefusal, Changed, ChangedMessage, Message, MessageChange};
use talksy_domain::seq::Seq;
use tokio::time::Instant;

use super::Inner;
use super::call::Call;
use super::change_writes::{self, Step, Written};
use super::chat_queue::ChatQueue;
use super::commands::Shape;
use super::documents::{ChatDocument, KeptChat, MessageDocument, key, keys};
use super::fault::Fault;
use super::turns::ChatTurn;
use super::waiting::{Committed, Waiting, Work};
use super::{heads, members};

/// How long the writer of a claim is given before it is fenced off. More than a write takes, also
/// where the majority is slow; and what a crash may cost the next change of the chat, once.
const CLAIM_TIMEOUT: Duration = Duration::from_millis(300);

/// The most changes that one command writes together.
const BATCH: usize = 64;

/// Changes a message.
pub(super) async fn change(call: &Call, change: &MessageChange) -> Result<Changed, Fault> {
    let queue = call.inner.change_queues.of(id::bytes(change.chat_id));
    let work = Work::MessageChange(Box::new(change.clone()));
    let (waiting, answer) = Waiting::new(work, call.span.clone());
    if queue.enqueue(waiting)? {
        let worker = ChangeQueueWorker {
            inner: Arc::clone(&call.inner),
            queue,
            chat: change.chat_id,
        };
        tokio::spawn(worker.run());
    }
    let outcome = match call.wait(answer).await? {
        Ok(Ok(Committed::Changed(outcome))) => *outcome,
        Ok(Err(error)) => return Err(Fault::NotCommitted(error)),
        Ok(Ok(_)) | Err(_) => return Err(Fault::Panicked),
    };
    if !matches!(&outcome, Changed::Done(done) if done.is_new) {
        // What is new was told with its write.
        call.announce(outcome.announcements());
    }
    Ok(outcome)
}

/// Carries out the changes that wait in a queue until it is empty.
struct ChangeQueueWorker {
    inner: Arc<Inner>,
    queue: Arc<ChatQueue>,
    chat: ChatId,
}

/// A panic fails what waits, and the next change starts another worker.
impl Drop for ChangeQueueWorker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.queue.abandon();
        }
    }
}

/// What the changes of a batch are judged by.
struct Read {
    kept: KeptChat,
    /// The members among those who ask and those who are to be mentioned.
    actors: HashMap<UserId, Member>,
    messages: HashMap<MessageId, Message>,
}

/// What becomes of a change.
enum Verdict {
    /// It is answered.
    Answered(Result<Changed, PortError>),
    /// The message is so already.
    AsItIs(Box<Message>),
    /// It has to be written.
    Write(Box<Step>),
    /// It depends on whether one ahead of it is written.
    Open,
}

impl Verdict {
    const fn is_as_it_is(&self) -> bool {
        matches!(self, Self::AsItIs(_))
    }
}

/// A claim of another writer, and since when it is waited for.
type Foreign = Option<(Seq, Instant)>;

impl ChangeQueueWorker {
    async fn run(self) {
        loop {
            let mut batch = self.queue.next(BATCH);
            if batch.is_empty() {
                return;
            }
            let call = self.call();
            let mut turn = ChatTurn::new(&call, &self.queue, format!("changes:{}", self.chat));
            if let Err(fault) = self.commit(&mut turn, &mut batch).await {
                let error = PortError::from(fault);
                for waiting in batch {
                    waiting.answer(Err(error.clone()));
                }
            }
            turn.pass().await;
        }
    }

    /// A call of its own for each attempt: those who wait have deadlines of their own.
    fn call(&self) -> Call {
        Call::new(&self.inner, self.inner.options.timeout)
    }

    /// Tries until everything in the batch is answered, or nobody waits for it any more. What is
    /// left of it where it fails may or may not be durable.
    async fn commit(
        &self,
        turn: &mut ChatTurn,
        batch: &mut VecDeque<Waiting>,
    ) -> Result<(), Fault> {
        let mut foreign = None;
        let mut attempt = 0_u32;
        loop {
            turn.take(attempt).await;
            batch.retain(|waiting| !waiting.is_given_up());
            self.queue.fill(batch, BATCH);
            let Some(spread) = batch.front().map(Waiting::spread) else {
                return Ok(());
            };
            let call = self.call();
            if self.attempt(&call, turn, batch, &mut foreign).await? {
                attempt = 0;
                continue;
            }
            attempt += 1;
            call.pause(attempt, spread.rotate_left(attempt)).await?;
        }
    }

    /// Judges the batch, writes what is to be written, and answers what is done with. False where
    /// another writer was faster.
    async fn attempt(
        &self,
        call: &Call,
        turn: &ChatTurn,
        batch: &mut VecDeque<Waiting>,
        foreign: &mut Foreign,
    ) -> Result<bool, Fault> {
        let Some(read) = self.read(call, batch).await? else {
            for waiting in batch.drain(..) {
                answer(waiting, Ok(Changed::Refused(Denied::NoChat.into())));
            }
            return Ok(true);
        };
        let steps = judge(call, &read, batch).await;
        let kept = read.kept;
        let writes: Vec<_> = steps.iter().flatten().map(|step| &**step).collect();
        let Some(last) = writes.last().map(|step| step.after.change_seq) else {
            return Ok(true);
        };
        if kept.chat.last_change_seq.max(self.queue.settled()) < kept.claimed_seq {
            let since = foreign.filter(|(seq, _)| *seq == kept.claimed_seq);
            let (_, since) = *foreign.insert(since.unwrap_or((kept.claimed_seq, Instant::now())));
            if since.elapsed() < CLAIM_TIMEOUT {
                return Ok(false);
            }
            change_writes::fence(call, &kept).await?;
        }
        let mseq = kept.chat.applied_seq;
        let told = |(waiting, step): (&Waiting, &Option<Box<Step>>)| {
            let message = step.as_ref()?.after.clone();
            Some(Announcement::message_changed(message, mseq).within(&waiting.span))
        };
        let announced: Vec<_> = batch.iter().zip(&steps).filter_map(told).collect();
        let writing = async {
            if change_writes::claim(call, &kept, &writes).await? {
                let writing = change_writes::write(call, self.chat, &writes, announced);
                writing.await.map(Some)
            } else {
                Ok(None)
            }
        };
        // Looks whether others stand in line.
        let Some((written, fault)) = turn.measured(writes.len() + 1, writing).await? else {
            return Ok(false);
        };
        self.queue.note_settled(last);
        self.finish(call, &kept.chat, steps, &written, batch);
        fault.map_or(Ok(true), Err)
    }

    /// Reads what the batch is judged by, where the chat exists.
    async fn read(&self, call: &Call, batch: &VecDeque<Waiting>) -> Result<Option<Read>, Fault> {
        let changes = || batch.iter().filter_map(Waiting::message_change);
        let mentioned = changes().flat_map(|change| change.mentioned().iter().copied());
        let actors = changes().map(|change| change.actor_id).chain(mentioned);
        let actors: Vec<_> = actors.collect();
        let messages: Vec<_> = changes().map(|change| change.message_id).collect();
        let of_chat = doc! { "_id": key(id::bytes(self.chat)), "ready": true };
        let of_messages = doc! {
            "_id": { "$in": keys(&messages, id::bytes) },
            "chatId": key(id::bytes(self.chat)),
        };
        let (kept, actors, messages) = tokio::try_join!(
            call.find_one::<ChatDocument>(of_chat, Shape::default()),
            members::among(call, self.chat, &actors),
            call.find::<MessageDocument>(of_messages, Shape::default()),
        )?;
        Ok(kept.map(|kept| Read {
            kept,
            actors: actors.into_iter().map(|one| (one.user_id, one)).collect(),
            messages: messages.into_iter().map(|one| (one.id, one)).collect(),
        }))
    }

    /// Answers what was written, and keeps in the batch what has to be tried again. The answers come
    /// behind the advance of the chat's last change, so that reads behind them find nothing to mend;
    /// the next batch does not wait for it.
    fn finish(
        &self,
        call: &Call,
        chat: &Chat,
        steps: Vec<Option<Box<Step>>>,
        written: &[Written],
        batch: &mut VecDeque<Waiting>,
    ) {
        let mut written = written.iter();
        let mut answers = Vec::new();
        let mut reached = 0;
        for (waiting, step) in batch.drain(..).zip(steps).collect::<Vec<_>>() {
            let Some(step) = step else {
                batch.push_back(waiting);
                continue;
            };
            match written.next() {
                Some(Written::Done) => {
                    let last_change_seq = step.after.change_seq;
                    reached = last_change_seq;
                    let chat = Chat {
                        last_change_seq,
                        ..chat.clone()
                    };
                    answers.push((waiting, done(step.after, chat, true)));
                }
                Some(Written::Unknown) => answer(waiting, Err(Fault::Unconfirmed.into())),
                Some(Written::Not) | None => batch.push_back(waiting),
            }
        }
        if reached == 0 {
            return;
        }
        let (call, chat) = (call.clone(), self.chat);
        tokio::spawn(async move {
            if let Err(fault) = heads::advance_changes(&call, chat, reached).await {
                // The changes are durable. Reads find them above the chat's head and repair that.
                tracing::debug!(%fault, "the last change of a chat was not advanced");
            }
            for (waiting, outcome) in answers {
                answer(waiting, Ok(outcome));
            }
        });
    }
}

/// Judges the changes of the batch, each behind those ahead of it. Answers those of which nothing
/// is to be written, and returns for each of the others what is, or nothing where that is open.
async fn judge(call: &Call, read: &Read, batch: &mut VecDeque<Waiting>) -> Vec<Option<Box<Step>>> {
    let mut written: HashMap<MessageId, Message> = HashMap::new();
    let mut number = read.kept.claimed_seq;
    let mut verdicts = Vec::new();
    for change in batch.iter().filter_map(Waiting::message_change) {
        let verdict = match written.get(&change.message_id) {
            Some(before) => match one(read, change, before, number) {
                // What is ahead of it may come to nothing.
                Verdict::Answered(_) | Verdict::AsItIs(_) => Verdict::Open,
                verdict => verdict,
            },
            None => match read.messages.get(&change.message_id) {
                Some(before) => one(read, change, before, number),
                None => missing(call, read, change).await,
            },
        };
        if let Verdict::Write(step) = &verdict {
            number = step.after.change_seq;
            written.insert(change.message_id, step.after.clone());
        }
        verdicts.push(verdict);
    }
    let chat = if verdicts.iter().any(Verdict::is_as_it_is) {
        let exact = heads::exact_one(call, read.kept.chat.clone()).await;
        exact.map_err(PortError::from)
    } else {
        Ok(read.kept.chat.clone())
    };
    let mut steps = Vec::new();
    for (waiting, verdict) in batch.drain(..).zip(verdicts).collect::<Vec<_>>() {
        match verdict {
            Verdict::Answered(outcome) => answer(waiting, outcome),
            Verdict::AsItIs(message) => {
                let chat = chat.clone();
                answer(waiting, chat.map(|chat| done(*message, chat, false)));
            }
            Verdict::Write(step) => {
                steps.push(Some(step));
                batch.push_back(waiting);
            }
            Verdict::Open => {
                steps.push(None);
                batch.push_back(waiting);
            }
        }
    }
    steps
}

/// Judges one change of a message that is as in `before`, where `last` is the last number given.
fn one(read: &Read, change: &MessageChange, before: &Message, last: Seq) -> Verdict {
    let Some(actor) = read.actors.get(&change.actor_id) else {
        return Verdict::Answered(Ok(Changed::Refused(Denied::NotMember.into())));
    };
    let kind = read.kept.chat.kind;
    match change.apply(before, kind, actor, last.saturating_add(1)) {
        Err(refusal) => Verdict::Answered(Ok(Changed::Refused(refusal))),
        Ok(None) => Verdict::AsItIs(Box::new(before.clone())),
        Ok(Some(after)) => {
            let is_member = |user| read.actors.contains_key(&user);
            if let Err(refusal) = change.check_mentions(before, is_member) {
                return Verdict::Answered(Ok(Changed::Refused(refusal)));
            }
            Verdict::Write(Box::new(Step {
                before: before.clone(),
                after,
            }))
        }
    }
}

/// Why the message of a change was not found. One that does not parse fails this change alone.
async fn missing(call: &Call, read: &Read, change: &MessageChange) -> Verdict {
    if !read.actors.contains_key(&change.actor_id) {
        return Verdict::Answered(Ok(Changed::Refused(Denied::NotMember.into())));
    }
    let filter = change_writes::of(change.message_id, change.chat_id);
    let found = call.find_one::<MessageDocument>(filter, Shape::default());
    match found.await {
        Ok(None) => Verdict::Answered(Ok(Changed::Refused(ChangeRefusal::NoMessage))),
        // It has come meanwhile.
        Ok(Some(_)) => Verdict::Open,
        Err(fault) => Verdict::Answered(Err(fault.into())),
    }
}

fn answer(waiting: Waiting, outcome: Result<Changed, PortError>) {
    waiting.answer(outcome.map(|outcome| Committed::Changed(Box::new(outcome))));
}

fn done(message: Message, chat: Chat, is_new: bool) -> Changed {
    Changed::Done(Box::new(ChangedMessage {
        message,
        chat,
        is_new,
    }))
}
