//! The number of an item on a line.

/// A message's number within its chat: 1, 2, 3 … without a hole. Up to 2,147,483,647, so that it
/// is a GraphQL `Int`.
pub type Seq = u32;
