//! The adapters that live in this process's memory: the embedded default where no Redis is
//! configured. They forget everything when the process ends, and bound what they remember.

mod codes;
mod limits;
mod presence;

pub use codes::MemoryCodeStore;
pub use limits::MemoryRateLimiter;
pub use presence::MemoryPresenceStore;
