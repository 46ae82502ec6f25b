//! The processes under load: how they start and stop, and what Linux says of their time and
//! memory.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::http::Connection;
use super::options::BareArguments;
use super::outcome::{Context as _, Outcome};

/// How long a process may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(20);

/// Linux counts a process's time in hundredths of a second, on every architecture there is.
const TICK: Duration = Duration::from_millis(10);

/// Settings of the server that differ from the defaults: nobody is held back.
const LIMITS: [&str; 14] = [
    "login_ip",
    "login_network",
    "login_address",
    "verify_ip",
    "refresh_ip",
    "send",
    "react",
    "typing",
    "start_chat",
    "change_chats",
    "mark_read",
    "update_profile",
    "search",
    "search_ip",
];

/// Shares of connections, all of which come from one address here.
const SHARES: [&str; 4] = [
    "connections_per_address",
    "sockets_per_address",
    "sockets_per_user",
    "anonymous_per_address",
];

/// Shares of operations, which few accounts have here.
const OPERATIONS: [&str; 2] = ["operations_per_user", "anonymous_operations_per_address"];

/// A server process. Dropping it kills it.
pub(super) struct Process {
    child: Child,
    pid: u32,
    pub(super) address: SocketAddr,
}

/// Where the server keeps what it has to keep.
pub(super) struct Home {
    folder: tempfile::TempDir,
    binary: PathBuf,
    /// The role of this program, where it is the server.
    role: Option<&'static str>,
    settings: Vec<String>,
    /// Whether limits of rates are lifted, as where only speed is measured.
    is_lifted: bool,
    /// How many files the server may have open, where that is not what this program may.
    files: Option<u32>,
}

impl Home {
    pub(super) fn new(binary: &Path) -> Outcome<Self> {
        Self::with(binary, Vec::new())
    }

    /// With these settings of the server besides.
    pub(super) fn with(binary: &Path, settings: Vec<String>) -> Outcome<Self> {
        Ok(Self {
            folder: tempfile::tempdir().context("cannot make a folder")?,
            binary: binary.to_owned(),
            role: None,
            settings,
            is_lifted: true,
            files: None,
        })
    }

    /// With the limits that the server has by itself, for who attacks it.
    pub(super) fn with_limits(binary: &Path, settings: Vec<String>) -> Outcome<Self> {
        Ok(Self {
            is_lifted: false,
            ..Self::with(binary, settings)?
        })
    }

    /// Lets the server have only so many files open.
    pub(super) fn few_files(self, files: u32) -> Self {
        Self {
            files: Some(files),
            ..self
        }
    }

    /// For this program in another role, which takes the settings of the server.
    pub(super) fn of_role(role: &'static str, settings: Vec<String>) -> Outcome<Self> {
        let binary = std::env::current_exe().context("where is this program?")?;
        Ok(Self {
            role: Some(role),
            ..Self::with(&binary, settings)?
        })
    }

    /// The data directory.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The server's program.
    fn command(&self) -> Command {
        let Some(files) = self.files else {
            return Command::new(&self.binary);
        };
        let mut shell = Command::new("sh");
        let script = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
        shell.arg("-c").arg(script).arg(&self.binary);
        shell
    }

    /// Starts the server here; also tells how long it took to be ready.
    pub(super) async fn start(&self) -> Outcome<(Process, Duration)> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let log_path = self.folder.path().join("log");
        let log = File::create(&log_path).context("cannot make the log")?;
        let mut command = self.command();
        command
            .args(self.role)
            .arg("--listen")
            .arg(address.to_string())
            .arg("--data-dir")
            .arg(self.data())
            .args(["--set", "auth.access_token_ttl=1h"])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        for limit in LIMITS.into_iter().filter(|_| self.is_lifted) {
            let quota = format!("limits.{limit}.burst=1000000");
            let period = format!("limits.{limit}.period=1s");
            command.args(["--set", &quota, "--set", &period]);
        }
        if self.is_lifted {
            command.args(["--set", "http.websocket.messages.burst=1000000"]);
            command.args(["--set", "http.websocket.messages.period=1s"]);
        }
        let operations = OPERATIONS.into_iter().filter(|_| self.is_lifted);
        for share in SHARES.into_iter().chain(operations) {
            command.args(["--set", &format!("http.shares.{share}=1000000")]);
        }
        command.args(["--set", "http.shares.anonymous_percent=100"]);
        for budget in ["cost_user", "cost_ip"] {
            let quota = format!("limits.{budget}.burst=2000000000");
            command.args(["--set", &quota]);
        }
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        // Settings of whoever runs this must not change what is measured.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TALKSY_") {
                command.env_remove(name);
            }
        }
        let started = Instant::now();
        let mut process = Process::spawn(&mut command, address)
            .context(format_args!("cannot start {}", self.binary.display()))?;
        match process.ready(started).await {
            Ok(took) => Ok((process, took)),
            Err(error) => {
                let log = std::fs::read_to_string(&log_path).unwrap_or_default();
                Err(format!("{error}\n{log}").into())
            }
        }
    }
}

impl Process {
    /// Starts this program as the bare server.
    pub(super) async fn start_bare(arguments: &BareArguments) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("bare-server")
            .args(["--response", &arguments.response])
            .args(["--frame", &arguments.frame])
            // It ends when this is closed, so even if this program is killed.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut process = Self::spawn(&mut command, unknown)?;
        let output = process.child.stdout.take().context("no output")?;
        let mut line = String::new();
        timeout(PATIENCE, BufReader::new(output).read_line(&mut line))
            .await
            .context("the bare server does not start")??;
        process.address = line.trim().parse().context("the bare server's address")?;
        Ok(process)
    }

    fn spawn(command: &mut Command, address: SocketAddr) -> Outcome<Self> {
        let child = command.kill_on_drop(true).spawn()?;
        let pid = child.id().context("the process has ended")?;
        Ok(Self {
            child,
            pid,
            address,
        })
    }

    /// Waits until the server is ready; tells how long that was since `started`.
    async fn ready(&mut self, started: Instant) -> Outcome<Duration> {
        let request = format!("GET /readyz HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        while started.elapsed() < PATIENCE {
            if let Ok(mut connection) = Connection::open(self.address).await
                && let Ok(answer) = connection.send(request.as_bytes()).await
                && answer.status == 200
            {
                return Ok(started.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("the server has ended: {status}").into());
            }
            sleep(Duration::from_millis(1)).await;
        }
        Err("the server does not get ready".into())
    }

    /// Stops the server in an orderly way.
    pub(super) async fn stop(mut self) -> Outcome<()> {
        let kill = format!("kill -TERM {}", self.pid);
        let killed = Command::new("sh").args(["-c", &kill]).status().await?;
        if !killed.success() {
            return Err("the server has ended early".into());
        }
        let status = timeout(PATIENCE, self.child.wait())
            .await
            .context("the server does not stop")??;
        if status.success() {
            Ok(())
        } else {
            Err(format!("the server has failed: {status}").into())
        }
    }

    /// The process's id.
    pub(super) fn id(&self) -> u32 {
        self.pid
    }

    /// Resident memory in bytes.
    pub(super) fn memory(&self) -> Outcome<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))
            .context("the server's memory")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kilobytes
            .map(|kilobytes: u64| kilobytes * 1024)
            .context("no VmRSS")
    }
}

/// How many processes have wanted a core at a time, in the last minute.
pub(super) fn load() -> Outcome<f64> {
    let load = std::fs::read_to_string("/proc/loadavg").context("the load of the machine")?;
    let minute = load
        .split(' ')
        .next()
        .and_then(|number| number.parse().ok());
    minute.context("the load of the machine cannot be read")
}

/// Processor time of these servers together and of this program, so far.
pub(super) fn cpu(servers: &[Process]) -> Outcome<[Duration; 2]> {
    let servers = servers.iter().map(|server| time(&server.pid.to_string()));
    Ok([servers.sum::<Outcome<Duration>>()?, time("self")?])
}

/// User and system time of a process, with its threads.
fn time(process: &str) -> Outcome<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))
        .context("the time of a process")?;
    ticks(&stat)
        .map(|ticks| TICK * ticks)
        .context("the time of a process cannot be read")
}

/// Fields 14 and 15 of `/proc/PID/stat`. The second is a name that may hold anything.
fn ticks(stat: &str) -> Option<u32> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = behind_name.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u32>().ok();
    Some(field(14)? + field(15)?)
}

/// The difference of two readings.
pub(super) fn between(before: [Duration; 2], after: [Duration; 2]) -> [Duration; 2] {
    [0, 1].map(|which| after[which].saturating_sub(before[which]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_found_behind_any_name() {
        let stat = "1 (a) b) S 1 1 1 0 -1 4194560 100 0 0 0 25 17 0 0 20 0 3 0 100 1 1";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("1 (a) S"), None);
        assert!(time("self").is_ok());
    }
}
