//! Who is online, as leases that expire by themselves, and who is typing.

pub(crate) mod model;
pub(crate) mod service;
pub(crate) mod store;

pub use model::*;
pub use service::*;
pub use store::*;
