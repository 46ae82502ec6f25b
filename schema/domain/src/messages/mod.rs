//! Messages: sent once, numbered without a hole, read in pages; edited and deleted on a line of
//! changes.

pub(crate) mod change;
pub(crate) mod model;
pub(crate) mod notice;
pub(crate) mod service;
pub(crate) mod store;

pub use change::*;
pub use model::*;
pub use notice::*;
pub use service::*;
pub use store::*;
