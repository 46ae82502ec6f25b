//! Reports, suspensions, and the log of what operators did.
//!
//! An entry of the log is written ahead of its act, and taken back where the act comes to nothing. A
//! crash in between leaves an entry of an act that did not happen; an act without an entry there is
//! none.
//!
//! A suspension is one document, whose write is the commit. Sessions are ended behind it. So that they
//! are where the instance dies in between, a job is written ahead of it, and deleted behind it.

use std::time::Duration;

use async_trait::async_trait;
use mongodb::bson::{Document, doc};
use talksy_domain::clock::Timestamp;
use talksy_domain::error::PortError;
use talksy_domain::events::Announcement;
use talksy_domain::id::{self, AuditId, JobId, ReportId, SessionId, UserId};
use talksy_domain::jobs::Task;
use talksy_domain::moderation::{
    AuditEntry, ModerationStore, Report, ReportOutcome, ReportState, Resolved, Suspension,
    SuspensionPlace,
};
use talksy_domain::page::{Page, Window};
use talksy_domain::users::User;

use super::MongoStore;
use super::call::Call;
use super::commands::{Inserted, Shape};
use super::documents::{
    AUDIT_LOG, AuditDocument, JOBS, REPORTS, ReportDocument, SESSIONS, SUSPENSIONS,
    SuspensionDocument, UserDocument, date, id_bytes, key, keys, limit, open_slot, overread,
    report_slot, report_state,
};
use super::fault::Fault;
use super::jobs;

/// How long the instance that suspends a user has to end their sessions.
const HEAD_START: Duration = Duration::from_secs(10);

/// How many sessions are ended by one command.
const ENDED_AT_ONCE: i64 = 500;

#[async_trait]
impl ModerationStore for MongoStore {
    /// 1 command; where there is an open report, 2.
    async fn report(&self, report: &Report) -> Result<ReportId, PortError> {
        Ok(keep(&self.call(), report).await?)
    }

    /// 1 command.
    async fn reports(&self, ids: &[ReportId]) -> Result<Vec<Report>, PortError> {
        let filter = doc! { "_id": { "$in": keys(ids, id::bytes) } };
        let call = self.call();
        let found = call.find::<ReportDocument>(filter, Shape::default());
        Ok(found.await?)
    }

    /// 1 command.
    async fn report_page(
        &self,
        state: Option<ReportState>,
        window: &Window<ReportId>,
    ) -> Result<Page<Report>, PortError> {
        let mut filter = behind(window.after.map(id::bytes));
        if let Some(state) = state {
            filter.insert("state", report_state(state));
        }
        let call = self.call();
        let found = call.find_first::<ReportDocument>(filter, newest_first(), overread(window));
        Ok(Page::from_overread(found.await?, window))
    }

    /// Report, entry, report; where it was resolved before, the report alone.
    async fn resolve(
        &self,
        report: ReportId,
        outcome: &ReportOutcome,
        entry: &AuditEntry,
    ) -> Result<Resolved, PortError> {
        Ok(resolve(&self.call(), report, outcome, entry).await?)
    }

    /// Entry, job, suspension, those that have run out, sessions and their end, job: 7 and more.
    async fn suspend(&self, suspension: &Suspension, entry: &AuditEntry) -> Result<(), PortError> {
        Ok(suspend(&self.call(), suspension, entry).await?)
    }

    /// Suspension, entry, suspension: 3; where there is none, 1.
    async fn restore(
        &self,
        user: UserId,
        now: Timestamp,
        entry: &AuditEntry,
    ) -> Result<bool, PortError> {
        Ok(restore(&self.call(), user, now, entry).await?)
    }

    /// 1 command.
    async fn suspensions(&self, users: &[UserId]) -> Result<Vec<Suspension>, PortError> {
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let filter = doc! { "_id": { "$in": keys(users, id::bytes) } };
        let call = self.call();
        let found = call.find::<SuspensionDocument>(filter, Shape::default());
        Ok(found.await?)
    }

    /// 1 command.
    async fn suspension_page(
        &self,
        now: Timestamp,
        window: &Window<SuspensionPlace>,
    ) -> Result<Page<Suspension>, PortError> {
        let mut parts = vec![active(now)];
        if let Some((since, user)) = window.after {
            let behind = [
                doc! { "since": { "$lt": date(since) } },
                doc! { "since": date(since), "_id": { "$lt": key(id::bytes(user)) } },
            ];
            parts.push(doc! { "$or": behind.to_vec() });
        }
        let shape = Shape {
            sort: Some(doc! { "since": -1, "_id": -1 }),
            ..Shape::default()
        };
        let call = self.call();
        let filter = doc! { "$and": parts };
        let found = call.find_first::<SuspensionDocument>(filter, shape, overread(window));
        Ok(Page::from_overread(found.await?, window))
    }

    /// 1 command.
    async fn newest_users(&self, window: &Window<UserId>) -> Result<Page<User>, PortError> {
        let mut filter = behind(window.after.map(id::bytes));
        filter.insert("deletedAt", doc! { "$exists": false });
        let call = self.call();
        let found = call.find_first::<UserDocument>(filter, newest_first(), overread(window));
        Ok(Page::from_overread(found.await?, window))
    }

    async fn end_sessions(&self, user: UserId) -> Result<(), PortError> {
        Ok(end_sessions(&Call::of_store(&self.inner), user).await?)
    }

    /// 1 command.
    async fn audit(
        &self,
        after: Option<AuditId>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, PortError> {
        let filter = after.map_or_else(
            Document::new,
            |after| doc! { "_id": { "$gt": key(id::bytes(after)) } },
        );
        let shape = Shape {
            sort: Some(doc! { "_id": 1 }),
            ..Shape::default()
        };
        let call = self.call();
        let found = call.find_first::<AuditDocument>(filter, shape, limit);
        Ok(found.await?)
    }

    async fn erase_reports_of(&self, user: UserId, most: usize) -> Result<usize, PortError> {
        Ok(erase(&Call::of_store(&self.inner), user, most).await?)
    }
}

fn newest_first() -> Shape {
    Shape {
        sort: Some(doc! { "_id": -1 }),
        ..Shape::default()
    }
}

/// What lies behind an id, from the greatest down.
fn behind(after: Option<[u8; 16]>) -> Document {
    after.map_or_else(Document::new, |after| doc! { "_id": { "$lt": key(after) } })
}

/// Suspensions that have not run out.
fn active(now: Timestamp) -> Document {
    let active = [
        doc! { "until": { "$exists": false } },
        doc! { "until": { "$gt": date(now) } },
    ];
    doc! { "$or": active.to_vec() }
}

/// Adds an entry to the log. Again does nothing.
pub(super) async fn log(call: &Call, entry: &AuditEntry) -> Result<(), Fault> {
    let document = AuditDocument::new(entry);
    let document = document.map_err(|why| Fault::document(format_args!("{}", entry.id), why))?;
    call.insert(AUDIT_LOG, document).await?;
    Ok(())
}

/// Takes back an entry whose act came to nothing.
pub(super) async fn withdraw(call: &Call, entry: &AuditEntry) -> Result<(), Fault> {
    let filter = doc! { "_id": key(id::bytes(entry.id)) };
    call.delete(AUDIT_LOG, filter).await?;
    Ok(())
}

/// Inserts the report under the unique index on its message and user: whoever is refused finds the
/// one that there is, unless it is resolved meanwhile, and then tries again.
async fn keep(call: &Call, report: &Report) -> Result<ReportId, Fault> {
    for attempt in 1_u32.. {
        let document = ReportDocument::from(report);
        if call.insert(REPORTS, document).await? == Inserted::Done {
            break;
        }
        // What a lost answer hides has its own id.
        let filter = doc! { "slot": open_slot(report) };
        let found = call.find_one::<ReportDocument>(filter, Shape::default());
        if let Some(open) = found.await? {
            return Ok(open.id);
        }
        call.pause(attempt, id::bytes(report.id)[15]).await?;
    }
    Ok(report.id)
}

async fn one(call: &Call, report: ReportId) -> Result<Option<Report>, Fault> {
    let filter = doc! { "_id": key(id::bytes(report)) };
    let found = call.find_one::<ReportDocument>(filter, Shape::default());
    found.await
}

async fn resolve(
    call: &Call,
    report: ReportId,
    outcome: &ReportOutcome,
    entry: &AuditEntry,
) -> Result<Resolved, Fault> {
    let before = match one(call, report).await? {
        None => return Ok(Resolved::NoReport),
        Some(before) if before.outcome.is_some() => return Ok(Resolved::Before(before)),
        Some(before) => before,
    };
    log(call, entry).await?;
    let filter = doc! {
        "_id": key(id::bytes(report)),
        "state": report_state(ReportState::Open),
    };
    let set = doc! {
        "state": report_state(ReportState::Resolved),
        "slot": report_slot(report),
        "resolvedBy": key(id::bytes(outcome.resolved_by)),
        "resolution": outcome.resolution.as_str(),
    };
    if call
        .update_one(REPORTS, filter, doc! { "$set": set })
        .await?
    {
        return Ok(Resolved::Done(Report {
            outcome: Some(outcome.clone()),
            ..before
        }));
    }
    withdraw(call, entry).await?;
    Ok(match one(call, report).await? {
        Some(before) => Resolved::Before(before),
        None => Resolved::NoReport,
    })
}

async fn suspend(call: &Call, suspension: &Suspension, entry: &AuditEntry) -> Result<(), Fault> {
    let user = suspension.user_id;
    log(call, entry).await?;
    // Of one act there is one.
    let job: JobId = id::from_bytes(id::bytes(entry.id));
    let at = suspension.since;
    let task = Task::EndSessions { user_id: user };
    let task = task.job(job, at, at + HEAD_START);
    let task = task.map_err(|error| Fault::document("a job that ends sessions", error.into()))?;
    jobs::insert(call, &task).await?;
    put(call, suspension).await?;
    let over = doc! { "until": { "$lte": date(suspension.since) } };
    call.delete(SUSPENSIONS, over).await?;
    end_sessions(call, user).await?;
    let filter = doc! { "_id": key(id::bytes(job)) };
    if let Err(fault) = call.delete(JOBS, filter).await {
        tracing::debug!(%fault, "a job that ends sessions was not deleted");
    }
    Ok(())
}

/// Writes the suspension, in the place of the user's other one.
async fn put(call: &Call, suspension: &Suspension) -> Result<(), Fault> {
    let mut set = doc! {
        "since": date(suspension.since),
        "reason": suspension.reason.as_str(),
    };
    let update = if let Some(until) = suspension.until {
        set.insert("until", date(until));
        doc! { "$set": set }
    } else {
        doc! { "$set": set, "$unset": { "until": "" } }
    };
    let filter = doc! { "_id": key(id::bytes(suspension.user_id)) };
    for attempt in 1_u32.. {
        let document = SuspensionDocument::from(suspension);
        if call.insert(SUSPENSIONS, document).await? == Inserted::Done {
            break;
        }
        let before =
            call.find_and_update::<SuspensionDocument>(filter.clone(), update.clone(), || {});
        if before.await?.is_some() {
            break;
        }
        // It was ended in between.
        call.pause(attempt, id::bytes(suspension.user_id)[15])
            .await?;
    }
    Ok(())
}

async fn restore(
    call: &Call,
    user: UserId,
    now: Timestamp,
    entry: &AuditEntry,
) -> Result<bool, Fault> {
    let mut filter = doc! { "_id": key(id::bytes(user)) };
    filter.extend(active(now));
    let found = call.find_one::<SuspensionDocument>(filter.clone(), Shape::default());
    if found.await?.is_none() {
        return Ok(false);
    }
    log(call, entry).await?;
    if call.delete(SUSPENSIONS, filter).await? > 0 {
        return Ok(true);
    }
    withdraw(call, entry).await?;
    Ok(false)
}

/// Ends a user's sessions, some at a time, until there are none.
async fn end_sessions(call: &Call, user: UserId) -> Result<(), Fault> {
    let of_user = doc! { "userId": key(id::bytes(user)) };
    loop {
        let shape = Shape {
            limit: Some(ENDED_AT_ONCE),
            fields: Some(doc! { "_id": 1 }),
            ..Shape::default()
        };
        let found = call.find_raw(SESSIONS, of_user.clone(), shape).await?;
        let sessions: Vec<SessionId> = found
            .iter()
            .map(|raw| id::from_bytes(id_bytes(raw, "_id")))
            .collect();
        if sessions.is_empty() {
            return Ok(());
        }
        let revoked = |session: &SessionId| Announcement::session_revoked(user, *session);
        let revoked = call.announcing(sessions.iter().map(revoked).collect());
        let mut filter = of_user.clone();
        filter.insert("_id", doc! { "$in": keys(&sessions, id::bytes) });
        let ended = call.delete_then(SESSIONS, filter, revoked).await?;
        if ended == 0 {
            // Others have ended them; what cannot be named is left.
            return Ok(());
        }
    }
}

async fn erase(call: &Call, user: UserId, most: usize) -> Result<usize, Fault> {
    let mut erased = 0;
    for field in ["reportedBy", "senderId"] {
        let wanted = most.saturating_sub(erased);
        if wanted == 0 {
            break;
        }
        let shape = Shape {
            limit: Some(limit(wanted)),
            fields: Some(doc! { "_id": 1 }),
            ..Shape::default()
        };
        let filter = doc! { field: key(id::bytes(user)) };
        let found = call.find_raw(REPORTS, filter, shape).await?;
        let reports: Vec<ReportId> = found
            .iter()
            .map(|raw| id::from_bytes(id_bytes(raw, "_id")))
            .collect();
        if !reports.is_empty() {
            let filter = doc! { "_id": { "$in": keys(&reports, id::bytes) } };
            call.delete(REPORTS, filter).await?;
        }
        erased += found.len();
    }
    Ok(erased)
}
