//! Messages: sent once, numbered without a hole, read in pages; edited and deleted on a line of
//! changes.

pub(crate) mod content;
pub(crate) mod model;
mod moderating;
pub(crate) mod notice;
pub(crate) mod pins;
pub(crate) mod reactions;
pub(crate) mod reading;
pub(crate) mod rules;
pub(crate) mod searching;
pub(crate) mod service;
pub(crate) mod store;

pub use content::*;
pub use model::*;
pub use notice::*;
pub use pins::*;
pub use reactions::*;
pub use rules::*;
pub use searching::*;
pub use service::*;
pub use store::*;
