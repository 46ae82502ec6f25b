//! The `talksy` binary as a process of its own, to be stopped, killed and started again.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::app::must;
use crate::client::{Client, User};
use crate::servers::free_port;
use crate::{eventually, soon};

/// A binary of this workspace, which Cargo built beside the running test.
///
/// # Panics
/// Where it is not there: `cargo test --workspace` builds it.
pub fn binary(name: &str) -> PathBuf {
    let test = must(std::env::current_exe());
    let path = test
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|path| path.exists());
    match path {
        Some(path) => path,
        None => panic!("{name} is not built: run `cargo build --workspace` first"),
    }
}

/// `talksy` with arguments, cut off from the environment's settings.
pub fn talksy(data: &Path) -> Command {
    cut_off(Command::new(binary("talksy")), data)
}

fn cut_off(mut command: Command, data: &Path) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TALKSY_") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(data)
        .arg("--data-dir")
        .arg(data)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs `talksy` to its end.
pub async fn run_talksy(data: &Path, arguments: &[&str]) -> Output {
    let output = talksy(data).args(arguments).output();
    must(soon("the command's end", output).await)
}

/// The most memory that a process has held at one time since the last [`forget_peak`], in KiB (proc(5)).
/// The kernel's counters are a little behind.
///
/// # Panics
/// Where the system does not tell.
pub fn peak(process: u32) -> u64 {
    let status = must(std::fs::read_to_string(format!("/proc/{process}/status")));
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    match line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()) {
        Some(kilobytes) => kilobytes,
        None => panic!("no peak: {status}"),
    }
}

/// Has that most be what the process holds now.
///
/// # Panics
/// Where the system does not let it.
pub fn forget_peak(process: u32) {
    must(std::fs::write(format!("/proc/{process}/clear_refs"), "5"));
}

/// A server process.
pub struct ServerProcess {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
    log: mpsc::UnboundedReceiver<String>,
}

impl ServerProcess {
    /// Starts a server on a free port and waits until it serves.
    ///
    /// # Panics
    /// Where it ends instead.
    pub async fn start(data: &Path, arguments: &[&str]) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), data, arguments).await
    }

    /// Starts a server at this address and waits until it serves: where clients know it by its
    /// address, whatever becomes of it.
    ///
    /// # Panics
    /// Where it ends instead.
    pub async fn start_at(address: SocketAddr, data: &Path, arguments: &[&str]) -> Self {
        Self::run(talksy(data), address, arguments).await
    }

    /// The same of a server whose files may be limited in size by [`ServerProcess::limit_files`]:
    /// it gets an error, as of a full disk, and no signal.
    pub async fn start_limitable(data: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new("sh");
        let script = "trap '' XFSZ; exec \"$0\" \"$@\"";
        command.arg("-c").arg(script).arg(binary("talksy"));
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::run(cut_off(command, data), address, arguments).await
    }

    /// The same of a server that may have so many files open, its connections among them.
    pub async fn start_with_open_files(most: u32, data: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {most}; exec \"$0\" \"$@\"");
        command.arg("-c").arg(script).arg(binary("talksy"));
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::run(cut_off(command, data), address, arguments).await
    }

    /// Lets the process write no file beyond so many bytes, or `unlimited`.
    pub async fn limit_files(&self, bytes: &str) {
        let Some(id) = self.id() else { return };
        let mut limit = Command::new("prlimit");
        limit.args(["--pid", &id.to_string(), &format!("--fsize={bytes}:")]);
        assert!(must(limit.status().await).success(), "prlimit");
    }

    async fn run(mut command: Command, address: SocketAddr, arguments: &[&str]) -> Self {
        command
            .args(["--listen", &address.to_string()])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = must(command.spawn());
        let Some(stderr) = child.stderr.take() else {
            unreachable!("it is piped");
        };
        let (sender, mut log) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                // Read to the end, also when the test no longer listens: the pipe must not fill.
                let _ = sender.send(line);
            }
        });
        let mut seen = Vec::new();
        let address = soon("the server's address", async {
            while let Some(line) = log.recv().await {
                if let Some(address) = address_in(&line) {
                    return address;
                }
                seen.push(line);
            }
            panic!("the server ended: {seen:#?}");
        });
        Self {
            address: address.await,
            child,
            log,
        }
    }

    /// A client without credentials.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// How much memory the process holds, in megabytes.
    ///
    /// # Panics
    /// Where the system does not tell.
    pub fn resident_megabytes(&self) -> u64 {
        let id = self.id().unwrap_or_default();
        let status = must(std::fs::read_to_string(format!("/proc/{id}/status")));
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes =
            line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        match kilobytes {
            Some(kilobytes) => kilobytes / 1_000,
            None => panic!("no resident size: {status}"),
        }
    }

    /// The process's id.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills the process with SIGKILL, and waits until it is gone.
    pub async fn kill(mut self) {
        must(self.child.kill().await);
    }

    /// Sends a signal by its name, such as `TERM`.
    pub async fn signal(&self, name: &str) {
        let Some(id) = self.id() else { return };
        let mut kill = Command::new("kill");
        kill.args(["-s", name, &id.to_string()]);
        must(kill.status().await);
    }

    /// Waits for the process's end.
    pub async fn ended(&mut self) -> ExitStatus {
        must(soon("the process's end", self.child.wait()).await)
    }

    /// The next line of the log that holds the text.
    pub async fn log_line(&mut self, text: &str) -> String {
        soon("a line of the log", async {
            loop {
                match self.log.recv().await {
                    Some(line) if line.contains(text) => return line,
                    Some(_) => {}
                    None => panic!("the log ended without `{text}`"),
                }
            }
        })
        .await
    }

    /// All that is left of the log, once the process has ended.
    pub async fn rest_of_log(&mut self) -> Vec<String> {
        soon("the log's end", async {
            let mut lines = Vec::new();
            while let Some(line) = self.log.recv().await {
                lines.push(line);
            }
            lines
        })
        .await
    }

    /// Signs somebody in with the code that lies in the outbox of `data`.
    ///
    /// # Panics
    /// Where that is refused.
    pub async fn sign_in(&self, data: &Path, name: &str) -> User {
        let email = format!("{name}@example.org");
        let client = self.client();
        client.login(&email).await.data();
        let code = outbox_code(&data.join("outbox"), &email).await;
        let auth = client.verify(&email, &code).await.data();
        User::of(&client, &auth["verifyOtp"])
    }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("serves http://")?;
    rest.split_once('/')?.0.parse().ok()
}

/// Waits for a mail to the address and reads its code.
pub async fn outbox_code(outbox: &Path, email: &str) -> String {
    eventually("a mail in the outbox", async || {
        let mut mails: Vec<_> = std::fs::read_dir(outbox)
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
            .collect();
        mails.sort();
        mails.iter().rev().find_map(|path| {
            let mail = std::fs::read_to_string(path).ok()?;
            mail.contains(&format!("To: {email}")).then_some(())?;
            code_in(&mail)
        })
    })
    .await
}

/// The six digits that stand alone in a mail's body.
fn code_in(mail: &str) -> Option<String> {
    let (_, body) = mail.split_once("\r\n\r\n")?;
    body.split(|c: char| !c.is_ascii_alphanumeric())
        .find(|word| word.len() == 6 && word.bytes().all(|byte| byte.is_ascii_digit()))
        .map(str::to_owned)
}

/// A mail worker process.
pub struct WorkerProcess {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl WorkerProcess {
    /// Starts a worker on this broker that writes its mails to an outbox, and waits until it takes
    /// jobs.
    pub async fn start(amqp_url: &SecretString, outbox: &Path) -> Self {
        Self::start_with(amqp_url, &["--outbox".as_ref(), outbox.as_os_str()], &[]).await
    }

    /// Starts a worker on this broker with these arguments and this environment, and waits until
    /// it takes jobs.
    pub async fn start_with(
        amqp_url: &SecretString,
        arguments: &[&OsStr],
        environment: &[(&str, &str)],
    ) -> Self {
        let port = free_port();
        let mut command = Command::new(binary("talksy-mail-worker"));
        command
            .env("TALKSY_AMQP_URL", amqp_url.expose_secret())
            .envs(environment.iter().copied())
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = must(command.spawn());
        let Some(stderr) = child.stderr.take() else {
            unreachable!("it is piped");
        };
        let log = Arc::<Mutex<String>>::default();
        let kept = Arc::clone(&log);
        tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let mut kept = kept.lock();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        eventually("a mail worker that is ready", async || {
            let url = format!("http://127.0.0.1:{port}/readyz");
            let response = crate::http_client().get(url).send().await.ok()?;
            response.status().is_success().then_some(())
        })
        .await;
        Self { child, log }
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().clone()
    }

    /// Kills the process with SIGKILL, and waits until it is gone.
    pub async fn kill(mut self) {
        must(self.child.kill().await);
    }
}
