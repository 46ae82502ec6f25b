//! The bytes of attachments: in a folder, or in a store that speaks the protocol of Amazon S3; and
//! the images among them, decoded and written anew.
//!
//! Bytes pass in pieces: what is being written holds one piece of them, and what is read another. An
//! object appears under its name once it is whole. Each call has a deadline, so that a store that is
//! down is told as that.

mod images;
mod store;
mod writer;

pub use images::{ImageLimits, Images};
pub use store::{Objects, ObjectsError, S3Options};
