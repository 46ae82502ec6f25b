//! The values of settings that are more than a number: they parse, and hide what is secret.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use talksy_domain::mail::EmailAddress;

/// A sender: `Talksy <no-reply@example.org>`, or an address alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mailbox {
    /// The name that mail programs show.
    pub name: Option<String>,
    /// The address.
    pub address: EmailAddress,
}

impl FromStr for Mailbox {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str = "must be a mailbox such as `Talksy <no-reply@example.org>`";
        let (name, address) = match text.trim().strip_suffix('>') {
            None => ("", text),
            Some(rest) => rest.rsplit_once('<').ok_or(RULE)?,
        };
        let name = name.trim().trim_matches('"');
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

/// Parses `sqlite:path`, `sqlite://path` and MongoDB's URLs.
///
/// # Errors
/// The rule that the URL breaks, as the end of a sentence.
pub(super) fn store_location(secret: &SecretString) -> Result<StoreLocation, &'static str> {
    let url = secret.expose_secret();
    if url.starts_with("mongodb://") || url.starts_with("mongodb+srv://") {
        return Ok(StoreLocation::Mongo(secret.clone()));
    }
    let path = url
        .strip_prefix("sqlite:")
        .ok_or("must begin with `sqlite:` or `mongodb://`")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.starts_with(':') {
        return Err("must name a file, as in `sqlite:./data/talksy.db`");
    }
    if path.contains(['?', '#']) {
        return Err("must be a file alone: `sqlite:` takes no parameters");
    }
    Ok(StoreLocation::Sqlite(path.into()))
}

/// Serialises a secret URL as its scheme and no more. An SQLite path is no secret.
#[expect(
    clippy::ref_option,
    reason = "the signature that `serialize_with` wants"
)]
pub(super) fn redacted<S: Serializer>(
    secret: &Option<SecretString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match secret.as_ref().map(ExposeSecret::expose_secret) {
        None => serializer.serialize_none(),
        Some(url) if url.starts_with("sqlite:") => serializer.serialize_str(url),
        Some(url) => match url.split_once("://") {
            Some((scheme, _)) => serializer.serialize_str(&format!("{scheme}://[redacted]")),
            None => serializer.serialize_str("[redacted]"),
        },
    }
}

/// Deserialises through `FromStr`, with `rule` as the error.
pub(super) fn parsed<'de, T, D>(deserializer: D, rule: &'static str) -> Result<T, D::Error>
where
    T: FromStr,
    D: Deserializer<'de>,
{
    String::deserialize(deserializer)?
        .parse()
        .map_err(|_| de::Error::custom(rule))
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
        for url in [
            "",
            "postgres://h",
            "sqlite:",
            "sqlite::memory:",
            "sqlite:a.db?mode=ro",
        ] {
            assert!(at(url).is_err(), "{url}");
        }
    }
}
