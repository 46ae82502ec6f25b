//! The names of what the domain counts, and what each means. Counting costs nothing where the
//! process has no recorder.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

/// Messages that were sent; `outcome` is `new` or `duplicate`.
pub(crate) const MESSAGES_SENT: &str = "talksy_messages_sent_total";
/// Holes in a feed that were read from the store; `found_by` is `event` or `head`.
pub(crate) const GAP_REPAIRS: &str = "talksy_feed_gap_repairs_total";
/// Feeds refused or ended with `RESYNC_REQUIRED`.
pub(crate) const RESYNCS: &str = "talksy_feed_resyncs_total";
/// Mailboxes that were full and emptied.
pub(crate) const MAILBOX_OVERFLOWS: &str = "talksy_feed_mailbox_overflows_total";
/// Interruptions that a bus announced.
pub(crate) const BUS_INTERRUPTIONS: &str = "talksy_bus_interruptions_total";
/// Events that found the queue to the bus full.
pub(crate) const EVENTS_DROPPED: &str = "talksy_events_dropped_total";

/// Codes that were longer than usual; `by` is `address` or `alarm`.
pub(crate) const CODES_LENGTHENED: &str = "talksy_signin_codes_lengthened_total";

/// Runs of jobs; `kind`, and `outcome`: done, `put_off`, retried, failed or lost.
pub(crate) const JOB_RUNS: &str = "talksy_job_runs_total";
/// Jobs that failed for good and wait for an operator; as the store has them, the same on all
/// instances.
pub(crate) const JOBS_FAILED: &str = "talksy_jobs_failed";

/// Says what each metric means, and shows those without labels from the start.
pub fn describe() {
    describe_counter!(
        MESSAGES_SENT,
        Unit::Count,
        "Messages acknowledged to their senders, by outcome: new or duplicate."
    );
    let plain = [
        (
            RESYNCS,
            "Message feeds refused or ended because too much was missed to replay.",
        ),
        (
            MAILBOX_OVERFLOWS,
            "Feeds that fell so far behind that their mailbox was emptied; they read on from the store what was in it.",
        ),
        (
            BUS_INTERRUPTIONS,
            "Interruptions of the event bus; the feeds that each concerns then compare with the store.",
        ),
        (
            EVENTS_DROPPED,
            "Events that were not published because too many waited; their feeds read the store.",
        ),
    ];
    for (name, meaning) in plain {
        describe_counter!(name, Unit::Count, meaning);
        counter!(name).increment(0);
    }
    describe_counter!(
        GAP_REPAIRS,
        Unit::Count,
        "Holes that message feeds filled from the store, by what showed them: a later event, or the chat's head."
    );
    for found_by in ["event", "head"] {
        counter!(GAP_REPAIRS, "found_by" => found_by).increment(0);
    }
    describe_counter!(
        CODES_LENGTHENED,
        Unit::Count,
        "Sign-in codes of more than six digits, by why: many tries of the address, or the alarm, many wrong codes of all."
    );
    for by in ["address", "alarm"] {
        counter!(CODES_LENGTHENED, "by" => by).increment(0);
    }
    describe_jobs();
}

/// Counts a code that is longer than usual; reasons are two.
pub(crate) fn code_lengthened(by: &'static str) {
    counter!(CODES_LENGTHENED, "by" => by).increment(1);
}

/// Describes the metrics of jobs.
fn describe_jobs() {
    describe_counter!(
        JOB_RUNS,
        Unit::Count,
        "Runs of durable jobs by kind and outcome: done; put_off, where it was too early; retried, where it failed and is tried again; failed for good; lost, where the store did not take the outcome."
    );
    describe_gauge!(
        JOBS_FAILED,
        Unit::Count,
        "Jobs that failed for good and wait for an operator, as the shared store has them; 1,000 stands for more."
    );
    gauge!(JOBS_FAILED).set(0);
}

/// Shows the kinds of jobs that this version knows.
pub(crate) fn jobs_known(kinds: &[&'static str]) {
    for kind in kinds {
        counter!(JOB_RUNS, "kind" => *kind, "outcome" => "failed").increment(0);
    }
}

/// Counts a run of a job.
pub(crate) fn job_ran(kind: &str, outcome: &'static str) {
    counter!(JOB_RUNS, "kind" => kind.to_owned(), "outcome" => outcome).increment(1);
}

/// Says how many jobs have failed for good.
pub(crate) fn jobs_failed(count: usize) {
    gauge!(JOBS_FAILED).set(u32::try_from(count).unwrap_or(u32::MAX));
}

/// Counts a message; outcomes are two.
pub(crate) fn message_sent(is_duplicate: bool) {
    let outcome = if is_duplicate { "duplicate" } else { "new" };
    counter!(MESSAGES_SENT, "outcome" => outcome).increment(1);
}
