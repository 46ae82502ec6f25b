//! The types of settings that are more than a number or a text, and what makes a text fit.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use talksy_domain::attachments::ContentType;
use talksy_domain::mail::EmailAddress;
use tracing_subscriber::EnvFilter;
use url::{Host, Url};

/// A sender: `Talksy <no-reply@example.org>`, or an address alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mailbox {
    /// The name that mail programs show.
    pub name: Option<String>,
    /// The address.
    pub address: EmailAddress,
}

impl Mailbox {
    /// A sender that no mail server takes answers at.
    #[expect(
        clippy::expect_used,
        reason = "a literal, and every test that loads the defaults reads it"
    )]
    pub(super) fn placeholder() -> Self {
        Self {
            name: Some("Talksy".to_owned()),
            address: EmailAddress::parse("no-reply@localhost").expect("an address"),
        }
    }
}

impl FromStr for Mailbox {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str = "must be a mailbox such as `Talksy <no-reply@example.org>`";
        let (name, address) = match text.trim().strip_suffix('>') {
            None => ("", text),
            Some(rest) => rest.rsplit_once('<').ok_or(RULE)?,
        };
        let name = name.trim().trim_matches('"').trim();
        if name.chars().any(|c| c.is_control() || "<>\"".contains(c)) || name.len() > 100 {
            return Err(RULE);
        }
        let address = EmailAddress::parse(address).map_err(|_| RULE)?;
        Ok(Self {
            name: (!name.is_empty()).then(|| name.to_owned()),
            address,
        })
    }
}

impl TryFrom<String> for Mailbox {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Mailbox> for String {
    fn from(mailbox: Mailbox) -> Self {
        mailbox.to_string()
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} <{}>", self.address),
            None => self.address.fmt(f),
        }
    }
}

/// Where the store is, as `store_url` names it.
#[derive(Clone, Debug)]
pub enum StoreLocation {
    /// An SQLite database in this file.
    Sqlite(PathBuf),
    /// A MongoDB at this URL.
    Mongo(SecretString),
}

/// Why a URL names no store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoStore {
    /// There is no adapter for its scheme.
    Scheme,
    /// SQLite is named, but no file, or more than a file.
    File,
}

/// Parses `sqlite:path`, `sqlite://path` and MongoDB's URLs.
pub(super) fn store_location(secret: &SecretString) -> Result<StoreLocation, NoStore> {
    let url = secret.expose_secret();
    if url.starts_with("mongodb://") || url.starts_with("mongodb+srv://") {
        return Ok(StoreLocation::Mongo(secret.clone()));
    }
    let path = url.strip_prefix("sqlite:").ok_or(NoStore::Scheme)?;
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.starts_with(':') || path.contains(['?', '#']) {
        return Err(NoStore::File);
    }
    Ok(StoreLocation::Sqlite(path.into()))
}

/// How often something may happen: `burst` at once, refilled evenly over `period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// How many may happen at once.
    pub burst: u32,
    /// The time in which a spent burst is whole again.
    #[serde(with = "super::value")]
    pub period: Duration,
}

impl Quota {
    pub(super) const fn new(burst: u32, period: Duration) -> Self {
        Self { burst, period }
    }
}

/// Whether the schema may be asked for by introspection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Introspection {
    /// Where others than this machine do not reach the server.
    Auto,
    /// By everybody.
    On,
    /// By nobody.
    Off,
}

impl Introspection {
    /// What it comes to for a server that others reach, or not.
    #[must_use]
    pub const fn of(self, is_public: bool) -> Self {
        match self {
            Self::Auto if is_public => Self::Off,
            Self::Auto => Self::On,
            said => said,
        }
    }

    /// Whether it was said, or come to, that it is on.
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `pretty` on a terminal, `json` elsewhere.
    Auto,
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Whose first sign-in makes an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignUp {
    /// Everybody's.
    Open,
    /// That of addresses of certain domains.
    Domains,
    /// Nobody's.
    Closed,
}

/// Whom the list of users shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Directory {
    /// All users.
    Everyone,
    /// Who shares a chat with the one who asks.
    SharedChats,
    /// Nobody.
    Off,
}

/// Whether the text is the part of a mail address behind the `@`, as addresses are compared.
pub(super) fn is_mail_domain(text: &str) -> bool {
    EmailAddress::parse(&format!("x@{text}")).is_ok_and(|address| address.domain() == text)
}

/// Whether the text is a mail address.
pub(super) fn is_mail_address(text: &str) -> bool {
    EmailAddress::parse(text).is_ok()
}

/// Whether the URL's host is another machine, as others see it.
pub(super) fn is_elsewhere(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| match url.host() {
        Some(Host::Domain(name)) => name != "localhost",
        Some(Host::Ipv4(ip)) => !ip.is_loopback(),
        Some(Host::Ipv6(ip)) => !ip.is_loopback(),
        None => false,
    })
}

/// A name on a backend: 1 to 100 letters, digits, `.`, `-`, `_` or `:`.
pub(super) fn is_name(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte))
}

/// An issuer or audience of access tokens: 1 to 255 visible ASCII characters.
pub(super) fn is_token_party(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(super) fn is_cors_origin(text: &str) -> bool {
    let is_origin = text.starts_with("http://") || text.starts_with("https://");
    text == "*" || (is_origin && !text.ends_with('/'))
}

pub(super) fn is_log_filter(text: &str) -> bool {
    EnvFilter::builder().parse(text).is_ok()
}

pub(super) fn is_collector_url(text: &str) -> bool {
    Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.query().is_none())
}

pub(super) fn is_public_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    })
}

pub(super) fn is_smtp_url(text: &SecretString) -> bool {
    names_host(text, &["smtp", "smtps"])
}

pub(super) fn is_amqp_url(text: &SecretString) -> bool {
    names_host(text, &["amqp", "amqps"])
}

/// Whether the URL's scheme is Redis's, with any kind of deployment behind a `+`. The adapter
/// knows the rest of it.
pub(super) fn is_redis_url(text: &SecretString) -> bool {
    let scheme = text.expose_secret().split_once("://");
    scheme.is_some_and(|(scheme, _)| {
        let family = scheme.split_once('+').map_or(scheme, |(family, _)| family);
        ["redis", "rediss"].contains(&family)
    })
}

/// Whether the URL names a bucket, and maybe a prefix in it.
pub(super) fn is_bucket_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        url.scheme() == "s3"
            && url.host_str().is_some_and(|bucket| !bucket.is_empty())
            && url.username().is_empty()
            && url.port().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    })
}

/// Whether the URL is one of a server, without anything that is asked of it.
pub(super) fn is_endpoint(text: &str) -> bool {
    is_public_url(text)
}

/// Whether it is the name of a document's type that is recognised.
pub(super) fn is_document_type(text: &str) -> bool {
    ContentType::parse(text).is_some_and(|known| !known.is_image() && known.as_str() == text)
}

fn names_host(text: &SecretString, schemes: &[&str]) -> bool {
    Url::parse(text.expose_secret()).is_ok_and(|url| {
        schemes.contains(&url.scheme()) && url.host_str().is_some_and(|host| !host.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_parses_with_and_without_a_name() {
        let full: Mailbox = " Talksy Chat <No-Reply@Example.org> ".parse().unwrap();
        assert_eq!(full.name.as_deref(), Some("Talksy Chat"));
        assert_eq!(full.to_string(), "Talksy Chat <no-reply@example.org>");
        let bare: Mailbox = "no-reply@example.org".parse().unwrap();
        assert_eq!(
            (bare.name.as_deref(), bare.to_string().as_str()),
            (None, "no-reply@example.org")
        );
    }

    #[test]
    fn a_mailbox_refuses_what_would_break_a_header() {
        for text in [
            "",
            "Talksy",
            "<>",
            "A <b>c <d@e.org>",
            "A\r\nBcc: x <a@b.org>",
            "a@b.org>",
        ] {
            assert!(text.parse::<Mailbox>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_store_url_names_a_file() {
        let at = |url: &str| store_location(&url.to_owned().into());
        assert!(matches!(
            at("sqlite:x/y.db"),
            Ok(StoreLocation::Sqlite(path)) if path == std::path::Path::new("x/y.db")
        ));
        assert!(matches!(
            at("sqlite:///var/y.db"),
            Ok(StoreLocation::Sqlite(path)) if path == std::path::Path::new("/var/y.db")
        ));
        assert!(matches!(
            at("mongodb://u:p@h/db"),
            Ok(StoreLocation::Mongo(_))
        ));
        for (url, why) in [
            ("", NoStore::Scheme),
            ("postgres://h", NoStore::Scheme),
            ("sqlite:", NoStore::File),
            ("sqlite::memory:", NoStore::File),
            ("sqlite:a.db?mode=ro", NoStore::File),
        ] {
            assert_eq!(at(url).unwrap_err(), why, "{url}");
        }
    }
}
