//! Groups: who is in, with what role, and under which title. What happens to a group is a system
//! message on its line.

pub(crate) mod model;
pub(crate) mod rules;
pub(crate) mod service;
pub(crate) mod store;

pub use model::*;
pub use rules::*;
pub use service::*;
pub use store::*;
