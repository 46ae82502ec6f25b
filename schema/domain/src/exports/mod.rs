//! The archive of a user: all that is their own, and what they may read, as entries with paths. How
//! entries become the bytes of a file is the transport's.
//!
//! An archive is made of parts (`ArchivePart`); the list of them stands in
//! [`crate::services`], and a further one is added there. Parts read by pages, one at a time, and only
//! as quickly as entries are taken, so that an archive of any size takes the same memory.
//!
//! The first entry, `manifest.json`, says which form the archive has. The last, `complete.json`, counts
//! what was written: an archive without it was broken off.

mod attachments;
mod chats;
mod entry;
mod lines;
mod messages;
mod profile;
pub(crate) mod service;
mod sessions;

pub(crate) use attachments::OwnAttachments;
pub(crate) use chats::OwnChats;
pub use entry::*;
pub(crate) use profile::OwnProfile;
pub use service::*;
pub(crate) use sessions::OwnSessions;
