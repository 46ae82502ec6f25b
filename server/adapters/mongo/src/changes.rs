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
//! Those who react to one message at the same time share its write and its number; see `reactions`.
//!
//! Within one instance those who wait for one chat are served together, and instances that meet
//! there take turns (see `turns`); nothing depends on that for being right.
//!
//! A crash behind step 3 costs the next change the moment of step 2; one behind step 4 leaves
//! `lastChangeSeq` behind, which readers notice and repair (see `heads`).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::doc;
use talksy_domain::access::Denied;
use talksy_domain::chats::{Chat, Member};
use talksy_domain::error::PortError;
use talksy_domain::events::Announcement;
use talksy_domain::id::{self, ChatId, MessageId, UserId};
use talksy_domain::messages::{
    ChangeAction, ChangeRefusal, Changed, ChangedMessage, Message, MessageChange,
};
use talksy_domain::seq::Seq;
use tokio::time::Instant;

use super::Inner;
use super::call::Call;
use super::change_writes::{self, Step, Written};
use super::chat_queue::ChatQueue;
use super::commands::Shape;
use super::documents::{
    self, ChatDocument, KeptChat, MESSAGES, MessageDocument, Toggled, ToggledDocument, key, keys,
};
use super::fault::Fault;
use super::plan::{Judged, Plan};
use super::reactions::Who;
use super::turns::ChatTurn;
use super::waiting::{Committed, Waiting, Work};
use super::{heads, members, moderation, pins, reactions};

/// How long the writer of a claim is given before it is fenced off. More than a write takes, also
/// where the majority is slow; and what a crash may cost the next change of the chat, once.
const CLAIM_TIMEOUT: Duration = Duration::from_millis(300);

/// The most changes that one command writes together.
const BATCH: usize = 64;

/// Changes a message; `is_erasure` says whether that is of an account that is erased. What an operator
/// does is logged ahead of it, and not where it changes nothing.
pub(super) async fn change(
    call: &Call,
    change: &MessageChange,
    is_erasure: bool,
) -> Result<Changed, Fault> {
    let Some(entry) = change.audit_entry() else {
        return enqueue(call, change, is_erasure).await;
    };
    moderation::log(call, entry).await?;
    // Where it is not known what came of it, the entry stays.
    let outcome = enqueue(call, change, is_erasure).await?;
    if !matches!(&outcome, Changed::Done(done) if done.is_new) {
        moderation::withdraw(call, entry).await?;
    }
    Ok(outcome)
}

async fn enqueue(call: &Call, change: &MessageChange, is_erasure: bool) -> Result<Changed, Fault> {
    let queue = call.inner.change_queues.of(id::bytes(change.chat_id));
    let work = Work::MessageChange {
        change: Box::new(change.clone()),
        is_erasure,
    };
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
pub(super) struct Read {
    /// The chat.
    pub(super) kept: KeptChat,
    /// The members among those who ask and those who are to be mentioned.
    pub(super) actors: HashMap<UserId, Member>,
    /// The messages.
    pub(super) messages: HashMap<MessageId, Message>,
    /// What concerns their reactions.
    pub(super) toggled: HashMap<MessageId, Toggled>,
    /// Which of the reactions that are asked for are there.
    pub(super) reacted: HashMap<Who, bool>,
    /// How many messages are pinned in the chat, where one is to be pinned. Exact where the last
    /// claims are settled.
    pub(super) pins: usize,
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
        let plan = judge(call, &read, batch).await;
        let kept = &read.kept;
        let writes: Vec<_> = plan.steps.iter().collect();
        let Some(last) = writes.last().map(|step| step.after.change_seq) else {
            return Ok(true);
        };
        if kept.chat.last_change_seq.max(self.queue.settled()) < kept.claimed_seq {
            let since = foreign.filter(|(seq, _)| *seq == kept.claimed_seq);
            let (_, since) = *foreign.insert(since.unwrap_or((kept.claimed_seq, Instant::now())));
            if since.elapsed() < CLAIM_TIMEOUT {
                return Ok(false);
            }
            change_writes::fence(call, kept).await?;
            if plan.pins > 0 {
                // What was counted may have changed since.
                self.queue.note_settled(kept.claimed_seq);
                return Ok(true);
            }
        }
        self.prepare(call, &read, &plan).await?;
        let announced = announced(kept, &plan, batch);
        let writing = async {
            if change_writes::claim(call, kept, &writes).await? {
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
        self.finish(call, &kept.chat, plan, &written, batch);
        fault.map_or(Ok(true), Err)
    }

    /// What has to be durable ahead of the writes: the toggles that they replace, and the jobs of
    /// deletions.
    async fn prepare(&self, call: &Call, read: &Read, plan: &Plan) -> Result<(), Fault> {
        let of = |message: MessageId| read.toggled.get(&message);
        let replacing = plan.steps.iter().filter(|step| !step.toggles.is_empty());
        let replaced = replacing.filter_map(|step| of(step.before.id));
        let replaced = replaced.flat_map(Toggled::updates).collect();
        reactions::write(call, replaced).await?;
        for step in plan.steps.iter().filter(|step| step.is_deletion()) {
            let had = of(step.before.id).is_some_and(|of| of.has_reactions);
            if had || plan.has_toggles(step.before.id) {
                reactions::announce_erasure(call, self.chat, step.before.id).await?;
            }
        }
        Ok(())
    }

    /// Reads what the batch is judged by, where the chat exists.
    async fn read(&self, call: &Call, batch: &VecDeque<Waiting>) -> Result<Option<Read>, Fault> {
        let changes = || batch.iter().filter_map(Waiting::message_change);
        let mentioned = changes().flat_map(|change| change.mentioned().iter().copied());
        let actors = changes().map(|change| change.actor_id).chain(mentioned);
        let actors: Vec<_> = actors.collect();
        let messages: Vec<_> = changes().map(|change| change.message_id).collect();
        let reacting: Vec<_> = changes().filter_map(who).collect();
        let is_pin =
            |change: &MessageChange| matches!(change.action, ChangeAction::Pin { is_pinned: true });
        let mut is_again = false;
        loop {
            let of_chat = doc! { "_id": key(id::bytes(self.chat)), "ready": true };
            let of_messages = doc! {
                "_id": { "$in": keys(&messages, id::bytes) },
                "chatId": key(id::bytes(self.chat)),
            };
            let (kept, actors, messages) = tokio::try_join!(
                call.find_one::<ChatDocument>(of_chat, Shape::default()),
                members::among(call, self.chat, &actors),
                call.find_raw(MESSAGES, of_messages, Shape::default()),
            )?;
            let Some(kept) = kept else {
                return Ok(None);
            };
            let toggled = documents::parse_all::<ToggledDocument>(&messages).into_iter();
            let toggled = toggled.map(|one| (one.message_id, one)).collect();
            let messages = documents::parse_all::<MessageDocument>(&messages);
            let counting = reactions::counted(call, self.chat, &toggled, &reacting);
            let (reacted, is_newer) = counting.await?;
            // Once more is enough: what is newer than its message is right, and a write finds the message
            // changed.
            if is_newer && !is_again {
                is_again = true;
                continue;
            }
            // Behind the chat, whose claims it depends on.
            let pins = if changes().any(is_pin) {
                pins::count(call, self.chat).await?
            } else {
                0
            };
            return Ok(Some(Read {
                kept,
                actors: actors.into_iter().map(|one| (one.user_id, one)).collect(),
                messages: messages.into_iter().map(|one| (one.id, one)).collect(),
                toggled,
                reacted,
                pins,
            }));
        }
    }

    /// Answers what was written, and keeps in the batch what has to be tried again. The answers come
    /// behind the advance of the chat's last change, so that reads behind them find nothing to mend;
    /// the next batch does not wait for it.
    fn finish(
        &self,
        call: &Call,
        chat: &Chat,
        plan: Plan,
        written: &[Written],
        batch: &mut VecDeque<Waiting>,
    ) {
        let mut answers = Vec::new();
        for (waiting, of) in batch.drain(..).zip(plan.steps_of).collect::<Vec<_>>() {
            let written = of.and_then(|of| written.get(of));
            let step = of.and_then(|of| plan.steps.get(of));
            match (written, step) {
                (Some(Written::Done), Some(step)) => {
                    let chat = Chat {
                        last_change_seq: step.after.change_seq,
                        ..chat.clone()
                    };
                    answers.push((waiting, done(step.after.clone(), chat, true)));
                }
                (Some(Written::Unknown), _) => answer(waiting, Err(Fault::Unconfirmed.into())),
                _ => batch.push_back(waiting),
            }
        }
        let durable = plan.steps.into_iter().zip(written);
        let durable = durable.filter(|(_, written)| **written == Written::Done);
        let durable: Vec<_> = durable.map(|(step, _)| step).collect();
        let Some(reached) = durable.last().map(|step| step.after.change_seq) else {
            return;
        };
        let (call, chat) = (call.clone(), self.chat);
        tokio::spawn(async move {
            let (advanced, followed) = tokio::join!(
                heads::advance_changes(&call, chat, reached),
                follow(&call, chat, &durable),
            );
            if let Err(fault) = advanced {
                // The changes are durable. Reads find them above the chat's head and repair that.
                tracing::debug!(%fault, "the last change of a chat was not advanced");
            }
            for (waiting, outcome) in answers {
                answer(waiting, Ok(outcome));
            }
            let cleared = match followed {
                Ok(messages) => reactions::clear(&call, chat, messages).await,
                Err(fault) => Err(fault),
            };
            if let Err(fault) = cleared {
                // Whoever needs them writes them.
                tracing::debug!(%fault, "the reactions of a change were not written");
            }
        });
    }
}

/// An event for each write, within the span of the first who waits for it.
fn announced(kept: &KeptChat, plan: &Plan, batch: &VecDeque<Waiting>) -> Vec<Announcement> {
    let mseq = kept.chat.applied_seq;
    let told = plan.steps.iter().enumerate().map(|(place, step)| {
        let told = Announcement::message_changed(step.after.clone(), mseq);
        let mut waiting = batch.iter().zip(&plan.steps_of);
        match waiting.find(|(_, of)| **of == Some(place)) {
            Some((waiting, _)) => told.within(&waiting.span),
            None => told,
        }
    });
    told.collect()
}

/// Writes what messages have counted into the reactions' documents. Returns these messages, with the
/// last change of each.
async fn follow(call: &Call, chat: ChatId, steps: &[Step]) -> Result<Vec<(MessageId, Seq)>, Fault> {
    let toggles = steps.iter().flat_map(|step| {
        let toggles = step.toggles.iter();
        toggles.map(|toggle| toggle.update(chat, step.after.id))
    });
    let toggles = toggles.collect();
    reactions::write(call, toggles).await?;
    let mut last = BTreeMap::new();
    for step in steps {
        if !step.toggles.is_empty() || last.contains_key(&step.after.id) {
            last.insert(step.after.id, step.after.change_seq);
        }
    }
    Ok(last.into_iter().collect())
}

/// Whose reaction, with what, a change asks for.
fn who(change: &MessageChange) -> Option<Who> {
    match &change.action {
        ChangeAction::React { emoji, .. } => {
            Some((change.message_id, change.actor_id, emoji.clone()))
        }
        _ => None,
    }
}

/// Judges the changes of the batch, each behind those ahead of it. Answers those of which nothing
/// is to be written, and returns what is to be written for the others.
async fn judge(call: &Call, read: &Read, batch: &mut VecDeque<Waiting>) -> Plan {
    let mut plan = Plan::new(read.kept.claimed_seq);
    let mut verdicts = Vec::new();
    for waiting in batch.iter() {
        let Some(change) = waiting.message_change() else {
            continue;
        };
        let member = read.actors.get(&change.actor_id);
        let judged = match change.right(waiting.is_erasure(), member) {
            Err(denied) => Judged::refused(denied),
            Ok(right) => match plan.judge(read, change, right) {
                Some(judged) => judged,
                None => missing(call, change).await,
            },
        };
        verdicts.push(judged);
    }
    let chat = if verdicts.iter().any(Judged::is_as_it_is) {
        let exact = heads::exact_one(call, read.kept.chat.clone()).await;
        exact.map_err(PortError::from)
    } else {
        Ok(read.kept.chat.clone())
    };
    for (waiting, judged) in batch.drain(..).zip(verdicts).collect::<Vec<_>>() {
        let step = match judged {
            Judged::Answered(outcome) => {
                answer(waiting, outcome);
                continue;
            }
            Judged::AsItIs(message) => {
                let chat = chat.clone();
                answer(waiting, chat.map(|chat| done(*message, chat, false)));
                continue;
            }
            Judged::Written(step) => Some(step),
            Judged::Open => None,
        };
        plan.steps_of.push(step);
        batch.push_back(waiting);
    }
    plan
}

/// Why the message of a change was not found. One that does not parse fails this change alone.
async fn missing(call: &Call, change: &MessageChange) -> Judged {
    let filter = change_writes::of(change.message_id, change.chat_id);
    let found = call.find_one::<MessageDocument>(filter, Shape::default());
    match found.await {
        Ok(None) => Judged::refused(ChangeRefusal::NoMessage),
        // It has come meanwhile.
        Ok(Some(_)) => Judged::Open,
        Err(fault) => Judged::Answered(Err(fault.into())),
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
