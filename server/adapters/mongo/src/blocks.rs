//! Blocks. The list of whom a user has blocked is one document, and each change of it one
//! compare-and-set: that is the commit. It bounds how many there are and numbers them, whatever
//! several devices of the user ask for at the same time.
//!
//! What follows from it stands where it is needed: in the direct chat of the two, which each message
//! reads, in both their memberships of it, and in the blocker's own document, whose version their
//! devices compare. Each is a **mark** with the list's version, and is only ever replaced by one of a
//! newer version, so that it does not matter who writes it how often. A job is written ahead of the
//! commit: who dies in between leaves it, and its task writes what is missing.
//!
//! A direct chat that is made at the same time has the marks too: its maker reads the lists behind
//! the insert of the chat and its members, and whoever blocks looks for the chat behind the commit.
//! One of them sees what the other has written.

use async_trait::async_trait;
use mongodb::bson::{Uuid, doc};
use talksy_domain::blocks::{BlockNumber, BlockOutcome, BlockStore, Blocked, MAX_BLOCKS};
use talksy_domain::chats::Chat;
use talksy_domain::clock::{Clock as _, SystemClock};
use talksy_domain::error::PortError;
use talksy_domain::events::Announcement;
use talksy_domain::id::{self, ChatId, JobId, UserId};
use talksy_domain::jobs::Task;
use talksy_domain::page::{Page, Window};
use talksy_domain::users::User;

use super::call::Call;
use super::commands::{Inserted, Shape};
use super::documents::{
    BLOCKS, BlockList, BlockMark, BlocksDocument, CHATS, ChatDocument, JOBS, MEMBERS, USERS, bson,
    key, keys, limit, overread, pair_key,
};
use super::fault::Fault;
use super::repair::HEAD_START;
use super::{MongoStore, jobs};

#[async_trait]
impl BlockStore for MongoStore {
    /// List, job, list, chat, \[chat, members, user\], job: 6. Each lost race adds a read and a write of
    /// the list. Where it is so already list, list, chat, \[chat, members, user\]: 4.
    async fn set_blocked(
        &self,
        blocker: UserId,
        other: UserId,
        is_blocked: bool,
    ) -> Result<BlockOutcome, PortError> {
        let call = self.call();
        // Whoever waits for it may go away in the middle: the rest is done all the same.
        let setting = tokio::spawn(async move { set(&call, blocker, other, is_blocked).await });
        Ok(setting.await.map_err(|_panic| Fault::Panicked)??)
    }

    /// 1 command.
    async fn blocks_among(
        &self,
        pairs: &[(UserId, UserId)],
    ) -> Result<Vec<(UserId, UserId)>, PortError> {
        Ok(among(&self.call(), pairs).await?)
    }

    /// 1 command.
    async fn blocked_by(
        &self,
        blocker: UserId,
        window: &Window<BlockNumber>,
    ) -> Result<Page<Blocked>, PortError> {
        let list = list(&self.call(), blocker).await?;
        let is_behind = |blocked: &Blocked| window.after.is_none_or(|after| blocked.number < after);
        let newest = list.blocked.into_iter().rev().filter(is_behind);
        let some = newest.take(overread(window)).collect();
        Ok(Page::from_overread(some, window))
    }

    /// List, chat, \[chat, members, user\]: 3, not among the store's figures: a job asks, not a request.
    async fn complete_block(&self, blocker: UserId, other: UserId) -> Result<(), PortError> {
        Ok(complete(&Call::of_store(&self.inner), blocker, other).await?)
    }

    /// List, lists, and for each block what its end costs; not among the store's figures.
    async fn erase_blocks_of(&self, user: UserId, most: usize) -> Result<usize, PortError> {
        Ok(erase(self, user, most).await?)
    }
}

/// The user's list.
async fn list(call: &Call, blocker: UserId) -> Result<BlockList, Fault> {
    let filter = doc! { "_id": key(id::bytes(blocker)) };
    let found = call.find_one::<BlocksDocument>(filter, Shape::default());
    let found = found.await?;
    Ok(found.unwrap_or_else(|| BlockList::of_nobody(blocker)))
}

async fn set(
    call: &Call,
    blocker: UserId,
    other: UserId,
    is_blocked: bool,
) -> Result<BlockOutcome, Fault> {
    let spread = id::bytes(blocker)[15];
    let mut job = None;
    for attempt in 1_u32.. {
        let before = list(call, blocker).await?;
        let outcome = if before.has(other) == is_blocked {
            Some(BlockOutcome::Done { is_new: false })
        } else if is_blocked && before.blocked.len() >= MAX_BLOCKS {
            Some(BlockOutcome::TooMany)
        } else {
            if job.is_none() {
                job = Some(announce(call, blocker, other).await?);
            }
            let is_written = replace(call, before, other, is_blocked).await?;
            is_written.then_some(BlockOutcome::Done { is_new: true })
        };
        if let Some(outcome) = outcome {
            if outcome != BlockOutcome::TooMany {
                // Also where it was so already: who has set it may have died before this.
                complete(call, blocker, other).await?;
            }
            if let Some(job) = job {
                done(call, job).await;
            }
            return Ok(outcome);
        }
        call.pause(attempt, spread.rotate_left(attempt)).await?;
    }
    Err(Fault::Contended)
}

/// Replaces a list by the next version. False where another was faster.
async fn replace(
    call: &Call,
    before: BlockList,
    other: UserId,
    is_blocked: bool,
) -> Result<bool, Fault> {
    let version = before.version;
    let filter = doc! { "_id": key(id::bytes(before.blocker)), "v": i64::from(version) };
    let after = before.with(other, is_blocked).document();
    if version == 0 {
        return Ok(call.insert(BLOCKS, after).await? == Inserted::Done);
    }
    let update = doc! { "$set": bson(&after)? };
    call.update_one(BLOCKS, filter, update).await
}

/// Writes the job that completes the change of a block.
async fn announce(call: &Call, blocker: UserId, other: UserId) -> Result<JobId, Fault> {
    let (job_id, now) = (id::from_bytes(Uuid::new().bytes()), SystemClock.now());
    let task = Task::CompleteBlock {
        blocker_id: blocker,
        blocked_id: other,
    };
    let job = task.job(job_id, now, now + HEAD_START);
    let job = job.map_err(|error| Fault::document("a job of a block", error.into()))?;
    jobs::insert(call, &job).await?;
    Ok(job_id)
}

/// Deletes the job of a change that is complete. One that stays does no harm.
async fn done(call: &Call, job: JobId) {
    let filter = doc! { "_id": key(id::bytes(job)) };
    if let Err(fault) = call.delete(JOBS, filter).await {
        tracing::debug!(%fault, "the job of a block was not deleted");
    }
}

/// Writes what follows from what the blocker's list says of the other, and tells both.
async fn complete(call: &Call, blocker: UserId, other: UserId) -> Result<(), Fault> {
    let list = list(call, blocker).await?;
    if list.version == 0 {
        // Nothing was set, or the account is deleted.
        return Ok(());
    }
    // Ready or not: who makes it may have read the list before.
    let filter = doc! { "directKey": pair_key([blocker, other]) };
    let chat = call.find_one::<ChatDocument>(filter, Shape::default());
    let chat = chat.await?.map(|kept| kept.chat.id);
    let user = doc! { "_id": key(id::bytes(blocker)) };
    let version = doc! { "$max": { "blockVersion": i64::from(list.version) } };
    tokio::try_join!(
        mark(call, chat, &list, other),
        call.update_one(USERS, user, version)
    )?;
    call.announce(Announcement::block_changed(blocker, other));
    Ok(())
}

/// Marks the direct chat of the two, where there is one, and both its members.
async fn mark(
    call: &Call,
    chat: Option<ChatId>,
    list: &BlockList,
    blocked: UserId,
) -> Result<(), Fault> {
    let Some(chat) = chat else {
        return Ok(());
    };
    let chat = key(id::bytes(chat));
    let mark = BlockMark::of(list, blocked);
    let field = BlockMark::field(list.blocker, blocked);
    let older = |id: &str| {
        let mut filter = doc! { id: chat };
        filter.extend(mark.is_older(field));
        filter
    };
    let set = doc! { "$set": { field: mark.value() } };
    let mut set_and_rise = set.clone();
    set_and_rise.insert("$inc", doc! { "v": 1_i64 });
    tokio::try_join!(
        call.update_one(CHATS, older("_id"), set),
        call.update_many(MEMBERS, older("chatId"), set_and_rise)
    )?;
    Ok(())
}

/// Marks a direct chat that is being made, whose document and members are there: what either has
/// blocked before. Whoever blocks from now on finds the chat.
pub(super) async fn mark_new(call: &Call, chat: &Chat, users: [UserId; 2]) -> Result<(), Fault> {
    let [one, other] = users;
    for list in lists(call, &[(one, other), (other, one)]).await? {
        let blocked = if list.blocker == one { other } else { one };
        if list.has(blocked) {
            mark(call, Some(chat.id), &list, blocked).await?;
        }
    }
    Ok(())
}

/// The lists that may have some of these pairs: those of the first of a pair that name the second of
/// one.
async fn lists(call: &Call, pairs: &[(UserId, UserId)]) -> Result<Vec<BlockList>, Fault> {
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let blockers: Vec<_> = pairs.iter().map(|pair| pair.0).collect();
    let blocked: Vec<_> = pairs.iter().map(|pair| pair.1).collect();
    let filter = doc! {
        "_id": { "$in": keys(&blockers, id::bytes) },
        "blocked.user": { "$in": keys(&blocked, id::bytes) },
    };
    call.find::<BlocksDocument>(filter, Shape::default()).await
}

/// Those of these pairs of which the first has blocked the second.
async fn among(call: &Call, pairs: &[(UserId, UserId)]) -> Result<Vec<(UserId, UserId)>, Fault> {
    let mut found = Vec::new();
    for list in lists(call, pairs).await? {
        let of_list = pairs.iter().filter(|pair| pair.0 == list.blocker);
        found.extend(of_list.filter(|pair| list.has(pair.1)));
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// These users without whom the viewer has blocked, and without who has blocked the viewer.
pub(super) async fn without_blocked(
    call: &Call,
    viewer: UserId,
    mut users: Vec<User>,
) -> Result<Vec<User>, Fault> {
    let both = |user: &User| [(viewer, user.id), (user.id, viewer)];
    let pairs: Vec<_> = users.iter().flat_map(both).collect();
    let found = among(call, &pairs).await?;
    users.retain(|user| !both(user).iter().any(|pair| found.contains(pair)));
    Ok(users)
}

async fn erase(store: &MongoStore, user: UserId, most: usize) -> Result<usize, Fault> {
    let call = || Call::of_store(&store.inner);
    let own = list(&call(), user).await?;
    let own = own.blocked.iter().map(|blocked| (user, blocked.user_id));
    let mut ending: Vec<_> = own.take(most).collect();
    if ending.len() < most {
        let filter = doc! { "blocked.user": key(id::bytes(user)) };
        let shape = Shape {
            limit: Some(limit(most - ending.len())),
            ..Shape::default()
        };
        let others = call().find::<BlocksDocument>(filter, shape).await?;
        ending.extend(others.iter().map(|list| (list.blocker, user)));
    }
    for (blocker, other) in &ending {
        set(&call(), *blocker, *other, false).await?;
    }
    if ending.len() < most {
        // What is left says that there was something.
        let filter = doc! { "_id": key(id::bytes(user)), "blocked": { "$size": 0 } };
        call().delete(BLOCKS, filter).await?;
    }
    Ok(ending.len())
}
