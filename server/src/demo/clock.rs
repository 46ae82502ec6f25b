//! The time of a demo: in the past while its chats are made, so that they tell of days, and the present
//! from then on. It never goes back.

use std::sync::atomic::{AtomicI64, Ordering};

use talksy_domain::clock::{Clock, SystemClock, Timestamp};

/// The machine's clock, behind by so many milliseconds.
#[derive(Debug, Default)]
pub(super) struct DemoClock {
    behind: AtomicI64,
}

impl DemoClock {
    /// Goes on from this time, which is not ahead of the present.
    pub(super) fn go_to(&self, time: Timestamp) {
        let behind = SystemClock.now().as_millis() - time.as_millis();
        self.behind.store(behind.max(0), Ordering::SeqCst);
    }

    /// Goes on from the present.
    pub(super) fn go_on(&self) {
        self.behind.store(0, Ordering::SeqCst);
    }
}

impl Clock for DemoClock {
    fn now(&self) -> Timestamp {
        let present = SystemClock.now().as_millis();
        Timestamp::from_millis(present - self.behind.load(Ordering::SeqCst))
    }
}
