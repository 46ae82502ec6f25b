//! Real servers for the tests: each on a free port of its own, in a temporary folder, to be
//! stopped, killed, paused and started again. They end with the test.
//!
//! A server that is not installed fails the test; it is never passed over.

pub mod counted;
pub mod mongo;
pub mod rabbitmq;
pub mod redis;
pub mod s3;
pub mod smtp;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::ops::Range;
use std::path::Path;
use std::process::Stdio;

use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::app::must;
use crate::eventually;

/// Where free ports are looked for: below the range that the kernel takes the client's ends of
/// connections from. A port of that range could be taken by a client while its server is being
/// restarted, or be connected to itself by a client that waits for its server.
const PORTS: Range<u16> = 15_000..32_000;

/// A port that nobody listens on, and that no other caller in this process is given.
///
/// # Panics
/// Where there is none.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock();
    for _ in PORTS {
        let port = rand::random_range(PORTS);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && given.insert(port) {
            return port;
        }
    }
    panic!("no port of {PORTS:?} is free");
}

/// The first of these programs that is installed.
pub fn installed(programs: &[&str]) -> Option<String> {
    let path = std::env::var_os("PATH")?;
    let found = |program: &&&str| {
        program.starts_with('/') && Path::new(program).exists()
            || std::env::split_paths(&path).any(|folder| folder.join(program).exists())
    };
    programs.iter().find(found).map(|name| (*name).to_owned())
}

/// How a kind of server is started: on a port, with its data in a folder.
pub type Start = fn(port: u16, folder: &Path) -> Command;

/// Starts a program in a shell's place, which leaves somebody behind who ends it, and takes its
/// folder away, when the test's process has ended in whatever way. The program has no input, and
/// must not hand its work to a process that outlives it. A server that stands still when nobody is
/// left is told so by a SIGHUP, which the one who ends it does not heed.
pub(crate) fn watched(program: &str, folder: &Path) -> Command {
    const WATCH: &str = r#"
        exec 3<&0
        ( trap "" HUP; cat <&3 >/dev/null; kill -9 $$; rm -rf "$FOLDER" ) 2>/dev/null &
        exec "$@" </dev/null 3<&-
    "#;
    let mut command = Command::new("sh");
    command
        .args(["-c", WATCH, "sh", program])
        .env("FOLDER", folder);
    command
}

/// A server process on a port, with a folder of its own. The process leads a group, so that what
/// it starts ends with it.
pub struct Managed {
    name: &'static str,
    /// The port that it listens on, on 127.0.0.1.
    pub port: u16,
    folder: TempDir,
    start: Start,
    child: Option<Child>,
}

impl Managed {
    /// A server in a new folder, not started yet.
    pub fn new(name: &'static str, start: Start) -> Self {
        Self {
            name,
            port: free_port(),
            folder: must(tempfile::tempdir()),
            start,
            child: None,
        }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the process and waits until it listens.
    ///
    /// # Panics
    /// Where it ends instead.
    pub async fn start(&mut self) {
        let log = must(std::fs::File::create(self.folder().join("output.log")));
        let mut command = (self.start)(self.port, self.folder.path());
        command
            // One that watches its input ends when the test's process does, however that ends.
            .stdin(Stdio::piped())
            .stdout(must(log.try_clone()))
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("{} does not start: {error}", self.name),
        };
        let listening = eventually("a server that listens", async || {
            if let Ok(Some(status)) = child.try_wait() {
                return Some(Err(status));
            }
            let connected = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await;
            connected.ok().map(|_| Ok(()))
        });
        if let Err(status) = listening.await {
            panic!("{} ended with {status}:\n{}", self.name, self.log());
        }
        self.child = Some(child);
    }

    /// What it has printed since its last start.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder().join("output.log")).unwrap_or_default()
    }

    /// Stops it in order (SIGTERM) and waits for its end.
    pub async fn stop(&mut self) {
        self.signal("TERM");
        self.ended().await;
    }

    /// Kills it (SIGKILL) and waits for its end.
    pub async fn kill(&mut self) {
        self.signal("KILL");
        self.ended().await;
    }

    /// Has it stand still, and waits until all its threads do: the kernel goes on accepting
    /// connections and data for it, and it does nothing. What it had sent before may still arrive.
    pub async fn pause(&self) {
        self.signal("STOP");
        let Some(group) = self.child.as_ref().and_then(Child::id) else {
            return;
        };
        eventually("a server that stands still", async || {
            stands_still(group).then_some(())
        })
        .await;
    }

    /// Has it go on.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Starts it again, on the same port and folder.
    pub async fn restart(&mut self) {
        self.kill().await;
        self.start().await;
    }

    async fn ended(&mut self) {
        if let Some(mut child) = self.child.take() {
            must(crate::soon("a server's end", child.wait()).await);
        }
    }

    fn signal(&self, name: &str) {
        let Some(id) = self.child.as_ref().and_then(Child::id) else {
            return;
        };
        let group = format!("-{id}");
        let killed = std::process::Command::new("kill")
            .args(["-s", name, "--", &group])
            .stderr(Stdio::null())
            .status();
        must(killed);
    }
}

/// Whether every process of a group has stopped, with all its threads. The signal alone does not
/// tell: a thread stops when it next returns from the kernel.
fn stands_still(group: u32) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return group_states(group).iter().all(|state| is_still(state));
    };
    let mut members = processes
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| fields(path).is_some_and(|(_, of)| of == group));
    members.all(|process| {
        let Ok(threads) = std::fs::read_dir(process.join("task")) else {
            return true;
        };
        let mut threads = threads.filter_map(Result::ok);
        threads.all(|thread| fields(&thread.path()).is_none_or(|(state, _)| is_still(&state)))
    })
}

/// Whether a state as `ps` and `/proc` name it is that of one who does nothing: stopped, or dead.
fn is_still(state: &str) -> bool {
    state.starts_with(['T', 't', 'Z', 'X'])
}

/// The state and the process group in the `stat` file of a process or thread (proc(5)).
fn fields(folder: &Path) -> Option<(String, u32)> {
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    // The name before may hold anything, also blanks and brackets.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut rest = rest.split_ascii_whitespace();
    let state = rest.next()?.to_owned();
    Some((state, rest.nth(1)?.parse().ok()?))
}

/// The states of a group's processes where there is no `/proc`.
fn group_states(group: u32) -> Vec<String> {
    let mut ps = std::process::Command::new("ps");
    let listed = must(ps.args(["-A", "-o", "pgid=,state="]).output());
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let group = group.to_string();
    let states = listed.lines().filter_map(|line| {
        let (of, state) = line.trim().split_once(' ')?;
        (of == group).then(|| state.trim().to_owned())
    });
    states.collect()
}

impl Drop for Managed {
    fn drop(&mut self) {
        self.signal("KILL");
    }
}
