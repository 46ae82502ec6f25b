//! The process as the kernel sees it, under the names that Prometheus's own clients use. Linux's
//! `/proc`; what cannot be read is left out.

use std::fmt::Write as _;
use std::fs;

/// Clock ticks a second in `/proc`: part of the kernel's interface to programs.
const TICKS: f64 = 100.0;

/// Appends the process's metrics to a page.
pub(crate) fn write(page: &mut String) {
    let mut put = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            // Writing to a string does not fail.
            let _ = write!(
                page,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n"
            );
        }
    };
    let stat = fs::read_to_string("/proc/self/stat").ok();
    // Behind the name, which may hold blanks and brackets.
    let fields: Vec<&str> = stat
        .as_deref()
        .and_then(|stat| stat.rsplit_once(')'))
        .map(|(_, fields)| fields.split_whitespace().collect())
        .unwrap_or_default();
    let number = |index: usize| fields.get(index)?.parse::<f64>().ok();
    let cpu = number(11)
        .zip(number(12))
        .map(|(user, system)| (user + system) / TICKS);
    put(
        "process_cpu_seconds_total",
        "counter",
        "CPU time spent, in seconds.",
        cpu,
    );
    put("process_threads", "gauge", "Threads.", number(17));
    let started = number(19)
        .zip(boot_time())
        .map(|(ticks, boot)| boot + ticks / TICKS);
    put(
        "process_start_time_seconds",
        "gauge",
        "When the process started, in seconds since the Unix epoch.",
        started,
    );
    let resident =
        value_after("/proc/self/status", "VmRSS:", 0).map(|kilobytes| kilobytes * 1024.0);
    put(
        "process_resident_memory_bytes",
        "gauge",
        "Memory in RAM, in bytes.",
        resident,
    );
    let open = fs::read_dir("/proc/self/fd").ok();
    let open = open.and_then(|entries| u32::try_from(entries.count()).ok());
    put(
        "process_open_fds",
        "gauge",
        "Open file descriptors.",
        open.map(f64::from),
    );
    put(
        "process_max_fds",
        "gauge",
        "How many file descriptors may be open.",
        value_after("/proc/self/limits", "Max open files", 0),
    );
}

fn boot_time() -> Option<f64> {
    value_after("/proc/stat", "btime", 0)
}

/// The `index`th number behind a name that starts a line.
fn value_after(path: &str, name: &str, index: usize) -> Option<f64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().nth(index)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_shows_memory_time_and_files() {
        let mut page = String::new();
        write(&mut page);
        for name in [
            "process_cpu_seconds_total",
            "process_threads",
            "process_start_time_seconds",
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_max_fds",
        ] {
            let start = format!("{name} ");
            let line = page.lines().find(|line| line.starts_with(&start));
            let value: f64 = line.unwrap()[start.len()..].parse().unwrap();
            assert!(value >= 0.0, "{name}");
        }
    }
}
