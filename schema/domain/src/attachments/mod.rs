//! Attachments: files and images that users give to messages, and as pictures of themselves and of
//! groups.
//!
//! A row says what an attachment is and who uses it (`store`); its bytes are objects of another store
//! (`objects`). An upload is received in pieces and never held as a whole; what it is, its content
//! says, not its name. An image is decoded and written anew (`images`), so that nothing of what was
//! sent but its pixels is ever given to anybody (`uploads`). URLs of bytes are signed and short-lived
//! (`service`). What nobody uses is erased (`erasing`).

pub(crate) mod claiming;
pub(crate) mod erasing;
pub(crate) mod error;
pub(crate) mod images;
pub(crate) mod model;
pub(crate) mod objects;
pub(crate) mod service;
pub(crate) mod store;
pub(crate) mod types;
pub(crate) mod uploads;

pub use erasing::*;
pub use error::*;
pub use images::*;
pub use model::*;
pub use objects::*;
pub use service::*;
pub use store::*;
pub use types::*;
pub use uploads::*;
