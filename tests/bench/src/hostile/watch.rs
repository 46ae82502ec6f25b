//! What an attack costs a server: processor time to the nanosecond, and the peak of its memory.

use std::fs;
use std::time::Duration;

use crate::outcome::{Context as _, Outcome};
use crate::process::Process;

/// Looks at one process, by what Linux tells of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    pid: u32,
}

/// Where a process stood before an attack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    cpu: Duration,
    memory: u64,
}

/// What an attack has cost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent {
    /// Processor time of all threads.
    pub(super) cpu: Duration,
    /// The highest resident memory since the mark, in bytes above that at the mark.
    pub(super) memory: u64,
}

impl Watch {
    pub(super) fn of(server: &Process) -> Self {
        Self { pid: server.id() }
    }

    /// Begins anew: the peak of memory counts from here.
    pub(super) fn mark(self) -> Outcome<Mark> {
        fs::write(format!("/proc/{}/clear_refs", self.pid), "5")
            .context("cannot reset the peak of the server's memory")?;
        Ok(Mark {
            cpu: self.cpu()?,
            memory: self.status("VmRSS:")?,
        })
    }

    /// What was spent since the mark.
    pub(super) fn since(self, mark: Mark) -> Outcome<Spent> {
        Ok(Spent {
            cpu: self.cpu()?.saturating_sub(mark.cpu),
            memory: self.status("VmHWM:")?.saturating_sub(mark.memory),
        })
    }

    /// How many files and sockets the process has open.
    pub(super) fn files(self) -> Outcome<usize> {
        let files = fs::read_dir(format!("/proc/{}/fd", self.pid));
        Ok(files.context("the server's open files")?.count())
    }

    /// Processor time of the threads that there are. A server keeps those that work.
    fn cpu(self) -> Outcome<Duration> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid));
        let mut nanos = 0;
        for thread in threads.context("the server's threads")? {
            // A thread may have ended since the folder was read.
            if let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) {
                nanos += first_number(&text).context("the time of a thread")?;
            }
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// A line of `/proc/PID/status`, in bytes.
    fn status(self, name: &str) -> Outcome<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))
            .context("the server's memory")?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(first_number);
        Ok(kilobytes.context(format_args!("no {name}"))? * 1024)
    }
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_spends_is_seen() {
        let watch = Watch {
            pid: std::process::id(),
        };
        let mark = watch.mark().unwrap();
        let block = vec![1_u8; 32 << 20];
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        assert_eq!(sum, 32 << 20);
        let spent = watch.since(mark).unwrap();
        // Other tests run in this process, too: there may be more, and hardly less.
        assert!(spent.memory > 24 << 20, "{spent:?}");
        assert!(spent.cpu > Duration::ZERO, "{spent:?}");
        assert!(watch.files().unwrap() > 2);
    }
}
