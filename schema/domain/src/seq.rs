//! The number of an item on a line.

/// An item's number on its line: 1, 2, 3 … without a hole. Up to [`MAX`], so that it is a GraphQL
/// `Int`.
pub type Seq = u32;

/// The greatest number of a line. A line that has reached it takes nothing further.
pub const MAX: Seq = i32::MAX.unsigned_abs();
