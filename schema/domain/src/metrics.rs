//! The names of what the domain counts, and what each means. Counting costs nothing where the
//! process has no recorder.

use metrics::{Unit, counter, describe_counter};

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
            "Feeds that fell so far behind that their mailbox was emptied; they read on from the store.",
        ),
        (
            BUS_INTERRUPTIONS,
            "Interruptions of the event bus; every feed then compares with the store.",
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
}

/// Counts a message; outcomes are two.
pub(crate) fn message_sent(is_duplicate: bool) {
    let outcome = if is_duplicate { "duplicate" } else { "new" };
    counter!(MESSAGES_SENT, "outcome" => outcome).increment(1);
}
