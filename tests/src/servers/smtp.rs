//! A mail server of the test's own: `tests/smtp/server.py`, made of aiosmtpd from Debian's packages,
//! with a certificate of an authority that is made for it.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use tokio::process::Command;

use super::Managed;
use crate::app::must;
use crate::eventually;

/// The Python that Debian's packages are for, and whatever else there is.
const PYTHONS: [&str; 2] = ["/usr/bin/python3", "python3"];

/// What it wants from clients, where it wants any.
pub const USER: &str = "talksy";
/// The password that goes with it. Some of its characters are special in a URL.
pub const PASSWORD: &str = "pass/word:@hunter2";

/// How a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// In the clear; it knows no TLS.
    Plain,
    /// In TLS after STARTTLS, and not without.
    StartTls,
    /// In TLS from the first byte.
    Tls,
}

/// A running mail server. See `tests/smtp/server.py` for whom it accepts and refuses.
pub struct SmtpServer {
    /// The process.
    pub server: Managed,
    security: Security,
    with_password: bool,
}

/// Something that happened at the server.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// An EHLO.
    Greeting(Where),
    /// An AUTH.
    Password(Where),
    /// A MAIL FROM.
    Sender(Where),
    /// A recipient that was refused.
    Refusal {
        /// The recipient.
        to: String,
        /// The reply.
        code: u16,
    },
    /// A mail that was accepted.
    Mail(Mail),
}

/// Over what something was said.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Where {
    /// The connection.
    pub connection: String,
    /// Whether it was encrypted.
    pub tls: bool,
}

/// A mail as another mail program reads it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Mail {
    /// The envelope's sender.
    pub sender: String,
    /// The envelope's recipients.
    pub recipients: Vec<String>,
    /// The headers, decoded.
    pub headers: Vec<(String, String)>,
    /// The texts, decoded, each with its type.
    pub parts: Vec<(String, String)>,
    /// Who handed it over.
    pub user: Option<String>,
    /// Over what.
    #[serde(flatten)]
    pub over: Where,
}

impl Mail {
    /// All values of a header.
    pub fn header(&self, name: &str) -> Vec<&str> {
        let named = |(own, _): &&(String, String)| own.eq_ignore_ascii_case(name);
        let headers = self.headers.iter().filter(named);
        headers.map(|(_, value)| value.as_str()).collect()
    }

    /// The text of a type.
    pub fn part(&self, kind: &str) -> Option<&str> {
        let part = self.parts.iter().find(|(own, _)| own == kind);
        part.map(|(_, text)| text.as_str())
    }
}

impl SmtpServer {
    /// Starts one that takes mail from everybody.
    pub async fn start(security: Security) -> Self {
        Self::run(security, false, "localhost").await
    }

    /// Starts one that wants [`USER`] and [`PASSWORD`].
    pub async fn with_password(security: Security) -> Self {
        Self::run(security, true, "localhost").await
    }

    /// Starts one whose certificate is for another host than the one it runs on.
    pub async fn with_name(security: Security, host: &str) -> Self {
        Self::run(security, false, host).await
    }

    async fn run(security: Security, with_password: bool, host: &str) -> Self {
        let mut server = Managed::new("the mail server of aiosmtpd", command);
        let mut settings = json!({
            "security": match security {
                Security::Plain => "plain",
                Security::StartTls => "starttls",
                Security::Tls => "tls",
            },
        });
        if with_password {
            settings["user"] = USER.into();
            settings["password"] = PASSWORD.into();
        }
        let write = |name: &str, text: &str| must(std::fs::write(server.folder().join(name), text));
        write("smtp.json", &settings.to_string());
        let authority = authority();
        write("ca.pem", &authority.pem());
        let key = must(KeyPair::generate());
        let certificate = must(CertificateParams::new([host.to_owned()]));
        let certificate = must(certificate.signed_by(&key, &authority));
        write("certificate.pem", &certificate.pem());
        write("key.pem", &key.serialize_pem());
        server.start().await;
        Self {
            server,
            security,
            with_password,
        }
    }

    /// Its URL, with the password where it wants one.
    pub fn url(&self) -> SecretString {
        self.url_with(PASSWORD)
    }

    /// Its URL with a password of one's own choice.
    pub fn url_with(&self, password: &str) -> SecretString {
        let port = self.server.port;
        let (scheme, query) = match self.security {
            Security::Plain => ("smtp", ""),
            Security::StartTls => ("smtp", "?tls=required"),
            Security::Tls => ("smtps", ""),
        };
        let password = password.replace('/', "%2F").replace(':', "%3A");
        let password = password.replace('@', "%40");
        let credentials = if self.with_password {
            format!("{USER}:{password}@")
        } else {
            String::new()
        };
        format!("{scheme}://{credentials}localhost:{port}{query}").into()
    }

    /// The authority that its certificate comes from.
    pub fn ca_file(&self) -> PathBuf {
        self.server.folder().join("ca.pem")
    }

    /// All that has happened, over all its starts.
    ///
    /// # Panics
    /// Where its journal cannot be understood.
    pub fn events(&self) -> Vec<Event> {
        let journal = std::fs::read_to_string(self.server.folder().join("journal.jsonl"));
        let journal = journal.unwrap_or_default();
        let lines = journal.split_inclusive('\n');
        let whole = lines.filter(|line| line.ends_with('\n'));
        whole.map(|line| must(serde_json::from_str(line))).collect()
    }

    /// All mails that it has taken.
    pub fn mails(&self) -> Vec<Mail> {
        let mails = self.events().into_iter().filter_map(|event| match event {
            Event::Mail(mail) => Some(mail),
            _ => None,
        });
        mails.collect()
    }

    /// The codes that a recipient was refused with.
    pub fn refusals(&self, recipient: &str) -> Vec<u16> {
        let refusals = self.events().into_iter().filter_map(|event| match event {
            Event::Refusal { to, code } if to == recipient => Some(code),
            _ => None,
        });
        refusals.collect()
    }

    /// Waits for so many mails.
    pub async fn received(&self, count: usize) -> Vec<Mail> {
        eventually("the mails", async || {
            let mails = self.mails();
            (mails.len() >= count).then_some(mails)
        })
        .await
    }
}

/// An authority that nobody else knows.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = must(KeyPair::generate());
    must(CertifiedIssuer::self_signed(authority, key))
}

/// Makes the file of an authority that has signed nothing.
pub fn write_other_ca(folder: &Path) -> PathBuf {
    let path = folder.join("other-ca.pem");
    must(std::fs::write(&path, authority().pem()));
    path
}

/// A Python that has aiosmtpd.
fn python() -> &'static str {
    let has = |python: &&&str| {
        let mut python = std::process::Command::new(python);
        let imported = python.args(["-c", "import aiosmtpd"]).output();
        imported.is_ok_and(|output| output.status.success())
    };
    match PYTHONS.iter().find(has) {
        Some(python) => python,
        None => panic!(
            "aiosmtpd is not installed: `make test` installs it (apt-get install python3-aiosmtpd)"
        ),
    }
}

fn command(port: u16, folder: &Path) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("smtp/server.py");
    let mut command = Command::new(python());
    command.arg(script).arg(port.to_string()).arg(folder);
    command
}
