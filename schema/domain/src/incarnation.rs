//! Which past a store has.

/// Names the past of a store: made with its database, and made anew when the database was restored.
/// The lines of a restored store issue numbers a second time, for other messages. So a cursor
/// carries the incarnation of the store that gave it, and is good in no other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u32);

impl Incarnation {
    /// As cursors carry it.
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    /// As cursors carry it.
    pub const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(u32::from_be_bytes(bytes))
    }
}
