//! The names of what is counted of mail jobs, and what each means.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram};

/// Tries of jobs; `outcome`.
pub(crate) const ATTEMPTS: &str = "talksy_mail_attempts_total";
/// Time of a try.
pub(crate) const ATTEMPT_DURATION: &str = "talksy_mail_attempt_duration_seconds";
/// Jobs put back to be tried again.
pub(crate) const RETRIES: &str = "talksy_mail_retries_total";
/// Jobs given up.
pub(crate) const GIVEN_UP: &str = "talksy_mail_given_up_total";
/// Jobs that wait; `queue`.
pub(crate) const QUEUE_DEPTH: &str = "talksy_mail_queue_depth";
/// Whether jobs are taken from the broker.
pub(crate) const CONSUMING: &str = "talksy_mail_consuming";

/// Says what each metric means, and shows those without labels from the start.
pub fn describe() {
    describe_counter!(
        ATTEMPTS,
        Unit::Count,
        "Tries of mail jobs by outcome: sent, transient, permanent, expired, unknown_version or compose."
    );
    describe_histogram!(
        ATTEMPT_DURATION,
        Unit::Seconds,
        "Time of one try of a mail job."
    );
    describe_gauge!(
        QUEUE_DEPTH,
        Unit::Count,
        "Mail jobs that wait: for a worker (jobs), for their next try (retry), or as dead letters (dead)."
    );
    describe_gauge!(
        CONSUMING,
        Unit::Count,
        "1 while mail jobs are taken from RabbitMQ, 0 while it is waited for."
    );
    for (name, meaning) in [
        (RETRIES, "Mail jobs put back to be tried again later."),
        (
            GIVEN_UP,
            "Mail jobs given up: dead letters where there is RabbitMQ.",
        ),
    ] {
        describe_counter!(name, Unit::Count, meaning);
        counter!(name).increment(0);
    }
}
