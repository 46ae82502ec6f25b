//! Blocks: one document for each user who has ever blocked anybody, with all whom they have blocked.

use mongodb::bson::raw::RawDocument;
use mongodb::bson::{Bson, Document, Uuid, doc};
use serde::{Deserialize, Serialize};
use talksy_domain::blocks::{BlockNumber, Blocked};
use talksy_domain::id::{self, UserId};

use super::{BLOCKS, Stored, id_text, key};
use crate::fault::Why;

/// Whom a user has blocked. Each change of it is a compare-and-set on its version.
#[derive(Serialize, Deserialize)]
pub(crate) struct BlocksDocument {
    #[serde(rename = "_id")]
    blocker: Uuid,
    /// Rises with every change.
    v: BlockNumber,
    /// In the order in which they were blocked.
    #[serde(default)]
    blocked: Vec<BlockedDocument>,
}

/// One whom the user has blocked.
#[derive(Serialize, Deserialize)]
struct BlockedDocument {
    user: Uuid,
    /// The version with which it came.
    number: BlockNumber,
}

/// Whom a user has blocked, oldest block first.
#[derive(Clone)]
pub(crate) struct BlockList {
    /// Who has.
    pub(crate) blocker: UserId,
    /// Rises with every change.
    pub(crate) version: BlockNumber,
    /// Whom.
    pub(crate) blocked: Vec<Blocked>,
}

impl BlockList {
    /// Of a user who has blocked nobody yet.
    pub(crate) const fn of_nobody(blocker: UserId) -> Self {
        Self {
            blocker,
            version: 0,
            blocked: Vec::new(),
        }
    }

    /// Whether this user is blocked.
    pub(crate) fn has(&self, user: UserId) -> bool {
        self.blocked.iter().any(|blocked| blocked.user_id == user)
    }

    /// The next version, with this user or without.
    pub(crate) fn with(mut self, user_id: UserId, is_blocked: bool) -> Self {
        self.version = self.version.saturating_add(1);
        self.blocked.retain(|blocked| blocked.user_id != user_id);
        if is_blocked {
            self.blocked.push(Blocked {
                user_id,
                number: self.version,
            });
        }
        self
    }

    /// The document.
    pub(crate) fn document(&self) -> BlocksDocument {
        let blocked = self.blocked.iter().map(|blocked| BlockedDocument {
            user: key(id::bytes(blocked.user_id)),
            number: blocked.number,
        });
        BlocksDocument {
            blocker: key(id::bytes(self.blocker)),
            v: self.version,
            blocked: blocked.collect(),
        }
    }
}

impl Stored for BlocksDocument {
    type Value = BlockList;
    const COLLECTION: &'static str = BLOCKS;

    fn name(raw: &RawDocument) -> String {
        let id = id_text(raw, "_id", |bytes| {
            let id: UserId = id::from_bytes(bytes);
            id.to_string()
        });
        format!("the blocks of user {id}")
    }

    fn value(self) -> Result<BlockList, Why> {
        let blocked = self.blocked.into_iter().map(|blocked| Blocked {
            user_id: id::from_bytes(blocked.user.bytes()),
            number: blocked.number,
        });
        Ok(BlockList {
            blocker: id::from_bytes(self.blocker.bytes()),
            version: self.v,
            blocked: blocked.collect(),
        })
    }
}

/// Whether one of the two in a direct chat has blocked the other, as the documents of the chat and of
/// its members say it. It follows the list of that one, whose version it carries.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct BlockMark {
    v: BlockNumber,
    on: bool,
}

impl BlockMark {
    /// What the list says of this user.
    pub(crate) fn of(list: &BlockList, blocked: UserId) -> Self {
        Self {
            v: list.version,
            on: list.has(blocked),
        }
    }

    /// The field of the mark, by the two's order, for the blocks that this one of them has set.
    pub(crate) fn field(blocker: UserId, other: UserId) -> &'static str {
        if id::bytes(blocker) < id::bytes(other) {
            "lowBlocks"
        } else {
            "highBlocks"
        }
    }

    /// Matches documents that have no mark as new as this one.
    pub(crate) fn is_older(self, field: &str) -> Document {
        let version = format!("{field}.v");
        let none = doc! { &version: { "$exists": false } };
        let older = doc! { &version: { "$lt": i64::from(self.v) } };
        doc! { "$or": [none, older] }
    }

    /// As documents keep it.
    pub(crate) fn value(self) -> Bson {
        doc! { "v": i64::from(self.v), "on": self.on }.into()
    }

    /// Whether either of the two has blocked the other, by both their marks.
    pub(crate) fn any(marks: [Option<Self>; 2]) -> bool {
        marks.into_iter().flatten().any(|mark| mark.on)
    }
}
