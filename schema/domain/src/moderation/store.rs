//! The port through which reports, suspensions and the log of operators' acts are kept.

use super::audit::AuditEntry;
use super::model::{Report, ReportOutcome, ReportState, Suspension, SuspensionPlace};
use crate::clock::Timestamp;
use crate::error::PortError;
use crate::id::{AuditId, ReportId, UserId};
use crate::page::{Page, Window};
use crate::port::port;
use crate::users::model::User;

/// What came of resolving a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// It is resolved so now.
    Done(Report),
    /// It was resolved before. Nothing was changed, and nothing logged.
    Before(Report),
    /// There is no such report.
    NoReport,
}

port! {
    /// Keeps reports, suspensions, and what operators did. Each method is atomic on its own, but that
    /// an entry of the log may be written ahead of its act: then a crash in between leaves an entry of
    /// an act that did not happen, and never an act without one. An act that changes nothing is not
    /// logged.
    pub trait ModerationStore as "moderation" with ModerationStoreLayer {
        /// Keeps an open report, where its user has no open one of the message. Answers the id of the
        /// one that there is. Of concurrent calls for one user and message one is kept.
        async fn report(&self, report: &Report) -> Result<ReportId, PortError>;

        /// Those of these reports that there are, in any order.
        async fn reports(&self, ids: &[ReportId]) -> Result<Vec<Report>, PortError>;

        /// Reports, greatest id first; with a state those in it. Forward windows only.
        async fn report_page(
            &self,
            state: Option<ReportState>,
            window: &Window<ReportId>,
        ) -> Result<Page<Report>, PortError>;

        /// Resolves an open report, and logs that.
        async fn resolve(
            &self,
            report: ReportId,
            outcome: &ReportOutcome,
            entry: &AuditEntry,
        ) -> Result<Resolved, PortError>;

        /// Suspends an account, in the place of a suspension that it has, logs that, and ends all
        /// sessions that the user has by then. A crash may delay the end of sessions; a job comes to
        /// it. Those that begin later are their beginner's: see [`Self::suspensions`].
        async fn suspend(
            &self,
            suspension: &Suspension,
            entry: &AuditEntry,
        ) -> Result<(), PortError>;

        /// Ends a suspension that has not run out by `now`, and logs that. False where there is none.
        async fn restore(
            &self,
            user: UserId,
            now: Timestamp,
            entry: &AuditEntry,
        ) -> Result<bool, PortError>;

        /// The suspensions that these users have, in any order; those that have run out may be among
        /// them. It sees every one that was written before the call. So who makes a session and then
        /// finds its user not suspended knows that a later suspension ends it.
        async fn suspensions(&self, users: &[UserId]) -> Result<Vec<Suspension>, PortError>;

        /// The suspensions that have not run out by `now`, last suspended first, ties by user from
        /// the greatest id down. Forward windows only.
        async fn suspension_page(
            &self,
            now: Timestamp,
            window: &Window<SuspensionPlace>,
        ) -> Result<Page<Suspension>, PortError>;

        /// All users, greatest id first, which are the newest accounts, without deleted ones. Forward
        /// windows only.
        async fn newest_users(&self, window: &Window<UserId>) -> Result<Page<User>, PortError>;

        /// Ends all sessions that the user has.
        async fn end_sessions(&self, user: UserId) -> Result<(), PortError>;

        /// Up to `limit` entries of the log behind one, oldest first.
        async fn audit(
            &self,
            after: Option<AuditId>,
            limit: usize,
        ) -> Result<Vec<AuditEntry>, PortError>;

        /// Deletes up to `most` of the reports that the user has made, and of those of messages that
        /// they have sent, and says how many there were. Fewer than `most` are all.
        async fn erase_reports_of(&self, user: UserId, most: usize) -> Result<usize, PortError>;
    }
}
