//! Reports, suspensions, and the log of what operators did. An act and its entry are one transaction.

use async_trait::async_trait;
use rusqlite::{Connection, Row};
use talksy_domain::clock::Timestamp;
use talksy_domain::error::PortError;
use talksy_domain::events::Announcement;
use talksy_domain::id::{self, AuditId, ReportId, SessionId, UserId};
use talksy_domain::moderation::{
    AuditEntry, ModerationStore, OperatorAct, Reason, Report, ReportOutcome, ReportState, Resolved,
    Suspension, SuspensionPlace,
};
use talksy_domain::page::{Page, Window};
use talksy_domain::users::User;

use super::SqliteStore;
use super::fault::{Fault, Why};
use super::rows::{self, Key, LAST_KEY, all, change, filled, one, statements, user_columns};

/// What [`report`] reads.
macro_rules! report_columns {
    () => {
        "id, message_id, chat_id, sender_id, reported_by, reason, created_at, state, resolved_by, resolution"
    };
}

/// What [`suspension`] reads.
macro_rules! suspension_columns {
    () => {
        "user_id, suspended_at, ends_at, why"
    };
}

statements! {
    OPEN_REPORT = "SELECT id FROM reports WHERE message_id = ?1 AND reported_by = ?2 AND state = 0";
    INSERT_REPORT = concat!("INSERT INTO reports (", report_columns!(), ")
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, NULL, NULL)");
    REPORT = concat!("SELECT ", report_columns!(), " FROM reports WHERE id = ?1");
    REPORTS = concat!("SELECT ", report_columns!(), " FROM rarray(?1) AS wanted
        CROSS JOIN reports ON id = wanted.value");
    ALL_REPORTS = concat!("SELECT ", report_columns!(), " FROM reports
        WHERE id < ?1 ORDER BY id DESC LIMIT ?2");
    REPORTS_IN_STATE = concat!("SELECT ", report_columns!(), " FROM reports
        WHERE state = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3");
    RESOLVE_REPORT = "UPDATE reports SET state = 1, resolved_by = ?2, resolution = ?3
        WHERE id = ?1 AND state = 0";
    ERASE_REPORTS_BY = "DELETE FROM reports WHERE id IN
        (SELECT id FROM reports WHERE reported_by = ?1 LIMIT ?2)";
    ERASE_REPORTS_OF = "DELETE FROM reports WHERE id IN
        (SELECT id FROM reports WHERE sender_id = ?1 LIMIT ?2)";
    PURGE_SUSPENSIONS = "DELETE FROM suspensions WHERE ends_at IS NOT NULL AND ends_at <= ?1";
    SUSPEND = concat!("INSERT OR REPLACE INTO suspensions (", suspension_columns!(), ")
        VALUES (?1, ?2, ?3, ?4)");
    RESTORE = "DELETE FROM suspensions
        WHERE user_id = ?1 AND coalesce(ends_at > ?2, TRUE)";
    SUSPENSIONS = concat!("SELECT ", suspension_columns!(), " FROM rarray(?1) AS wanted
        CROSS JOIN suspensions ON user_id = wanted.value");
    SUSPENSION_PAGE = concat!("SELECT ", suspension_columns!(), " FROM suspensions
        WHERE (suspended_at, user_id) < (?1, ?2) AND coalesce(ends_at > ?3, TRUE)
        ORDER BY suspended_at DESC, user_id DESC LIMIT ?4");
    NEWEST_USERS = concat!("SELECT ", user_columns!(), " FROM users
        WHERE id < ?1 AND deleted_at IS NULL ORDER BY id DESC LIMIT ?2");
    SESSIONS_TO_END = "SELECT id FROM sessions WHERE user_id = ?1";
    END_SESSIONS = "DELETE FROM sessions WHERE user_id = ?1";
    INSERT_ENTRY = "INSERT INTO audit_log (id, at, operator_id, act) VALUES (?1, ?2, ?3, ?4)";
    AUDIT = "SELECT id, at, operator_id, act FROM audit_log WHERE id > ?1 ORDER BY id LIMIT ?2";
}

#[async_trait]
impl ModerationStore for SqliteStore {
    async fn report(&self, report: &Report) -> Result<ReportId, PortError> {
        let report = report.clone();
        self.write(move |conn| {
            let who = (id::bytes(report.message_id), id::bytes(report.reported_by));
            let read = |row: &Row<'_>| Ok(id::from_bytes(row.get(0)?));
            if let Some(open) = one(conn, OPEN_REPORT, who, read)? {
                return Ok(open);
            }
            let values = (
                id::bytes(report.id),
                id::bytes(report.message_id),
                id::bytes(report.chat_id),
                id::bytes(report.sender_id),
                id::bytes(report.reported_by),
                report.reason.as_str(),
                report.created_at.as_millis(),
            );
            change(conn, INSERT_REPORT, values)?;
            Ok(report.id)
        })
        .await
    }

    async fn reports(&self, ids: &[ReportId]) -> Result<Vec<Report>, PortError> {
        let keys = rows::keys(ids, id::bytes);
        self.read(move |conn| all(conn, REPORTS, [rows::list(&keys)], report))
            .await
    }

    async fn report_page(
        &self,
        state: Option<ReportState>,
        window: &Window<ReportId>,
    ) -> Result<Page<Report>, PortError> {
        let (before, wanted) = (behind(window.after.map(id::bytes)), rows::overread(window));
        let reports = self.read(move |conn| match state {
            None => filled(conn, ALL_REPORTS, wanted, |limit| (&before, limit), report),
            Some(state) => {
                let values = |limit| (code(state), &before, limit);
                filled(conn, REPORTS_IN_STATE, wanted, values, report)
            }
        });
        Ok(Page::from_overread(reports.await?, window))
    }

    async fn resolve(
        &self,
        report_id: ReportId,
        outcome: &ReportOutcome,
        entry: &AuditEntry,
    ) -> Result<Resolved, PortError> {
        let (outcome, entry) = (outcome.clone(), entry.clone());
        self.write(move |conn| {
            let key = id::bytes(report_id);
            let values = (
                key,
                id::bytes(outcome.resolved_by),
                outcome.resolution.as_str(),
            );
            let is_done = change(conn, RESOLVE_REPORT, values)? > 0;
            let Some(report) = one(conn, REPORT, [key], report)? else {
                return Ok(Resolved::NoReport);
            };
            if !is_done {
                return Ok(Resolved::Before(report));
            }
            log(conn, &entry)?;
            Ok(Resolved::Done(report))
        })
        .await
    }

    async fn suspend(&self, suspension: &Suspension, entry: &AuditEntry) -> Result<(), PortError> {
        let (suspension, entry) = (suspension.clone(), entry.clone());
        let user = suspension.user_id;
        let work = move |conn: &Connection| {
            change(conn, PURGE_SUSPENSIONS, [suspension.since.as_millis()])?;
            let values = (
                id::bytes(user),
                suspension.since.as_millis(),
                suspension.until.map(Timestamp::as_millis),
                suspension.reason.as_str(),
            );
            change(conn, SUSPEND, values)?;
            log(conn, &entry)?;
            end_sessions(conn, user)
        };
        let ended = self.write_announced(work, move |ended| revoked(user, ended));
        ended.await.map(drop)
    }

    async fn restore(
        &self,
        user: UserId,
        now: Timestamp,
        entry: &AuditEntry,
    ) -> Result<bool, PortError> {
        let entry = entry.clone();
        self.write(move |conn| {
            let is_done = change(conn, RESTORE, (id::bytes(user), now.as_millis()))? > 0;
            if is_done {
                log(conn, &entry)?;
            }
            Ok(is_done)
        })
        .await
    }

    async fn suspensions(&self, users: &[UserId]) -> Result<Vec<Suspension>, PortError> {
        let keys = rows::keys(users, id::bytes);
        self.read(move |conn| all(conn, SUSPENSIONS, [rows::list(&keys)], suspension))
            .await
    }

    async fn suspension_page(
        &self,
        now: Timestamp,
        window: &Window<SuspensionPlace>,
    ) -> Result<Page<Suspension>, PortError> {
        let (since, user) = match window.after {
            Some((since, user)) => (since.as_millis(), id::bytes(user).to_vec()),
            None => (i64::MAX, LAST_KEY.to_vec()),
        };
        let wanted = rows::overread(window);
        let suspensions = self.read(move |conn| {
            let values = |limit| (since, &user, now.as_millis(), limit);
            filled(conn, SUSPENSION_PAGE, wanted, values, suspension)
        });
        Ok(Page::from_overread(suspensions.await?, window))
    }

    async fn newest_users(&self, window: &Window<UserId>) -> Result<Page<User>, PortError> {
        let (before, wanted) = (behind(window.after.map(id::bytes)), rows::overread(window));
        let users = self.read(move |conn| {
            let values = |limit| (&before, limit);
            filled(conn, NEWEST_USERS, wanted, values, rows::user)
        });
        Ok(Page::from_overread(users.await?, window))
    }

    async fn end_sessions(&self, user: UserId) -> Result<(), PortError> {
        let work = move |conn: &Connection| end_sessions(conn, user);
        let ended = self.write_announced(work, move |ended| revoked(user, ended));
        ended.await.map(drop)
    }

    async fn audit(
        &self,
        after: Option<AuditId>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, PortError> {
        // Sorts ahead of every id.
        let after = after.map_or_else(Vec::new, |after| id::bytes(after).to_vec());
        self.read(move |conn| filled(conn, AUDIT, limit, |limit| (&after, limit), entry))
            .await
    }

    async fn erase_reports_of(&self, user: UserId, most: usize) -> Result<usize, PortError> {
        let user = id::bytes(user);
        self.upkeep(move |conn| {
            let made = change(conn, ERASE_REPORTS_BY, (user, rows::limit(most)))?;
            let left = rows::limit(most.saturating_sub(made));
            Ok(made + change(conn, ERASE_REPORTS_OF, (user, left))?)
        })
        .await
    }
}

/// The key ahead of which a page of ids from the greatest down begins.
fn behind(after: Option<Key>) -> Vec<u8> {
    after.map_or_else(|| LAST_KEY.to_vec(), |after| after.to_vec())
}

/// Ends a user's sessions, and says which those were.
fn end_sessions(conn: &Connection, user: UserId) -> Result<Vec<SessionId>, Fault> {
    let user = id::bytes(user);
    let read = |row: &Row<'_>| Ok(id::from_bytes(row.get(0)?));
    let sessions = all(conn, SESSIONS_TO_END, [user], read)?;
    change(conn, END_SESSIONS, [user])?;
    Ok(sessions)
}

fn revoked(user: UserId, sessions: &[SessionId]) -> Vec<Announcement> {
    let revoked = |session: &SessionId| Announcement::session_revoked(user, *session);
    sessions.iter().map(revoked).collect()
}

/// Adds an entry to the log.
pub(super) fn log(conn: &Connection, entry: &AuditEntry) -> Result<(), Fault> {
    let act = entry.act.to_json().map_err(Fault::json)?;
    let values = (
        id::bytes(entry.id),
        entry.at.as_millis(),
        id::bytes(entry.operator_id),
        act,
    );
    change(conn, INSERT_ENTRY, values)?;
    Ok(())
}

const fn code(state: ReportState) -> i64 {
    match state {
        ReportState::Open => 0,
        ReportState::Resolved => 1,
    }
}

fn report(row: &Row<'_>) -> Result<Report, Fault> {
    let report_id: ReportId = id::from_bytes(row.get(0)?);
    let parse = || -> Result<Report, Why> {
        let resolved_by: Option<Key> = row.get(8)?;
        let resolution: Option<String> = row.get(9)?;
        let outcome = match (row.get::<_, i64>(7)?, resolved_by, resolution) {
            (0, ..) => None,
            (_, Some(resolved_by), Some(resolution)) => Some(ReportOutcome {
                resolved_by: id::from_bytes(resolved_by),
                resolution: Reason::stored(resolution),
            }),
            _ => return Err("it is resolved, but nobody has done so".into()),
        };
        Ok(Report {
            id: report_id,
            message_id: id::from_bytes(row.get(1)?),
            chat_id: id::from_bytes(row.get(2)?),
            sender_id: id::from_bytes(row.get(3)?),
            reported_by: id::from_bytes(row.get(4)?),
            reason: Reason::stored(row.get(5)?),
            created_at: Timestamp::from_millis(row.get(6)?),
            outcome,
        })
    };
    parse().map_err(|why| Fault::row(format_args!("report {report_id}"), why))
}

fn suspension(row: &Row<'_>) -> Result<Suspension, Fault> {
    let user_id: UserId = id::from_bytes(row.get(0)?);
    let parse = || -> Result<Suspension, Why> {
        Ok(Suspension {
            user_id,
            since: Timestamp::from_millis(row.get(1)?),
            until: row.get::<_, Option<i64>>(2)?.map(Timestamp::from_millis),
            reason: Reason::stored(row.get(3)?),
        })
    };
    parse().map_err(|why| Fault::row(format_args!("the suspension of user {user_id}"), why))
}

fn entry(row: &Row<'_>) -> Result<AuditEntry, Fault> {
    let entry_id: AuditId = id::from_bytes(row.get(0)?);
    let parse = || -> Result<AuditEntry, Why> {
        Ok(AuditEntry {
            id: entry_id,
            at: Timestamp::from_millis(row.get(1)?),
            operator_id: id::from_bytes(row.get(2)?),
            act: OperatorAct::parse(&row.get::<_, String>(3)?)?,
        })
    };
    parse().map_err(|why| Fault::row(format_args!("entry {entry_id} of the audit log"), why))
}
