//! What operators see of the processes: metrics, log lines, traces, and the files that are built
//! on them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod connections;
mod counts;
mod files;
mod logs;
mod scrape;
mod traces;
