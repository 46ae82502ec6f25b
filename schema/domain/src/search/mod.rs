//! Search: the words of a text, what a query asks for, and the place of a hit among the hits. Both
//! stores index and look up the words that are made here, so that they give the same answers.

pub(crate) mod fold;
pub(crate) mod limit;
pub(crate) mod model;
pub(crate) mod query;
pub(crate) mod words;

pub use fold::*;
pub use limit::*;
pub use model::*;
pub use query::*;
pub use words::*;
