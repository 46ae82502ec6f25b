//! An operation, as the queue of its socket knows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::http::operations::Counted;

/// An operation on a socket.
#[derive(Debug)]
pub(in crate::http::ws) struct Operation {
    /// The client's id for it.
    pub(in crate::http::ws) id: Box<str>,
    /// Its results' frames up to the payload.
    pub(in crate::http::ws) next_prefix: Box<str>,
    /// Whether its frames are still wanted. Written under the send queue's lock.
    live: AtomicBool,
    /// It counts among the operations of its user until it has ended.
    counted: Mutex<Option<Counted>>,
}

impl Operation {
    pub(in crate::http::ws) fn new(
        id: &str,
        next_prefix: Box<str>,
        counted: Option<Counted>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: id.into(),
            next_prefix,
            live: AtomicBool::new(true),
            counted: Mutex::new(counted),
        })
    }

    pub(super) fn is_live(&self) -> bool {
        self.live.load(Ordering::Relaxed)
    }

    /// It has ended, before its client can know.
    pub(super) fn end(&self) {
        self.live.store(false, Ordering::Relaxed);
        drop(self.counted.lock().take());
    }
}
