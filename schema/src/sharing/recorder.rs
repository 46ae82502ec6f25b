//! An execution without a viewer. It notes where holes are, and gives up where something asks for
//! a viewer that is no hole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_graphql::{PathSegment, QueryPathNode, QueryPathSegment};
use parking_lot::Mutex;
use talksy_domain::events::Hole;

/// Put beside a request, it makes the execution one for all viewers.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Recorded>);

#[derive(Debug, Default)]
struct Recorded {
    has_given_up: AtomicBool,
    holes: Mutex<Vec<RecordedHole>>,
}

/// A hole, and where it is in the response. A place and not a mark in the text, which a user could
/// write too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedHole {
    /// The response keys and indices on the way to it.
    pub path: Vec<PathSegment>,
    /// What belongs there.
    pub hole: Hole,
}

impl Recorder {
    /// Something asked for a viewer: what is executed is not the same for all.
    pub(crate) fn give_up(&self) {
        self.0.has_given_up.store(true, Ordering::Release);
    }

    /// Notes a hole.
    pub(crate) fn note(&self, node: Option<&QueryPathNode<'_>>, hole: Hole) {
        let Some(node) = node else {
            return self.give_up();
        };
        let mut path: Vec<_> = std::iter::once(node)
            .chain(node.parents())
            .map(|node| match node.segment {
                QueryPathSegment::Name(name) => PathSegment::Field(name.to_owned()),
                QueryPathSegment::Index(index) => PathSegment::Index(index),
            })
            .collect();
        path.reverse();
        let noted = RecordedHole { path, hole };
        let mut holes = self.0.holes.lock();
        // A field that is selected twice is resolved twice.
        if !holes.contains(&noted) {
            holes.push(noted);
        }
    }

    /// The holes, once the execution has ended; `None` where it was not one for all viewers.
    pub fn into_holes(self) -> Option<Vec<RecordedHole>> {
        let is_for_all = !self.0.has_given_up.load(Ordering::Acquire);
        is_for_all.then(|| std::mem::take(&mut *self.0.holes.lock()))
    }
}
