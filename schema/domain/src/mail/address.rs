//! An e-mail address, parsed once.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Invalid;
use crate::text::is_invisible;

/// An e-mail address in its canonical form: trimmed and lower-cased, so that one mailbox is one
/// account. The syntax is the dot-atom form of RFC 5321: no quoted local part, no address
/// literal; at most 64 bytes before the `@` and 254 in all. Nothing of it is invisible: such an
/// address would look like another, or make the name of a new account that nobody can see.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(String);

impl EmailAddress {
    /// Parses what a person typed.
    ///
    /// # Errors
    /// [`Invalid`] for the field `email`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let address = text.trim().to_lowercase();
        let problem = match address.rsplit_once('@') {
            None => Some("must contain an `@`"),
            Some(_) if address.len() > 254 => Some("must be at most 254 characters long"),
            Some((local, _)) if local.len() > 64 => {
                Some("must have at most 64 characters before the `@`")
            }
            Some(_) if address.chars().any(is_invisible) => {
                Some("must not contain characters that cannot be seen")
            }
            Some((local, domain)) if !is_dot_atom(local) || !is_domain(domain) => {
                Some("must be an address like `name@example.org`")
            }
            Some(_) => None,
        };
        match problem {
            Some(rule) => Err(Invalid::new("email", rule)),
            None => Ok(Self(address)),
        }
    }

    /// The address of an account that exists, as a store keeps it. Not checked again: the rules
    /// may be stricter now than when the account was made.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address without a `+tag`: what limits count as one mailbox. Most servers deliver all tags
    /// of an address to one person.
    pub fn mailbox(&self) -> String {
        let (local, domain) = self.0.rsplit_once('@').unwrap_or((&self.0, ""));
        let untagged = local.split('+').next().unwrap_or_default();
        let local = if untagged.is_empty() { local } else { untagged };
        format!("{local}@{domain}")
    }

    /// The part behind the `@`.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// The part before the `@`.
    pub fn local_part(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(local, _)| local)
    }
}

fn is_dot_atom(text: &str) -> bool {
    text.split('.').all(|atom| {
        !atom.is_empty()
            && atom
                .chars()
                .all(|c| c.is_alphanumeric() || (c.is_ascii() && "!#$%&'*+-/=?^_`{|}~".contains(c)))
    })
}

fn is_domain(text: &str) -> bool {
    text.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    })
}

impl TryFrom<String> for EmailAddress {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<EmailAddress> for String {
    fn from(address: EmailAddress) -> Self {
        address.0
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Personal data: shows the first letter alone.
impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmailAddress({}…)", self.0.chars().next().unwrap_or('?'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_and_canonicalises() {
        assert_eq!(
            EmailAddress::parse(" Ada.L+x@Example.ORG ")
                .unwrap()
                .as_str(),
            "ada.l+x@example.org"
        );
        assert_eq!(
            EmailAddress::parse("ada@localhost").unwrap().local_part(),
            "ada"
        );
    }

    #[test]
    fn tags_of_an_address_are_one_mailbox() {
        let mailbox = |text| EmailAddress::parse(text).unwrap().mailbox();
        for text in ["ada@x.org", "ada+a@x.org", "Ada+b+c@x.org"] {
            assert_eq!(mailbox(text), "ada@x.org");
        }
        assert_eq!(mailbox("+a@x.org"), "+a@x.org");
        assert_ne!(mailbox("ada@x.org"), mailbox("ada@y.org"));
    }

    #[test]
    fn refuses_what_is_no_address() {
        for text in [
            "",
            "ada",
            "@x.org",
            "ada@",
            "a b@x.org",
            "a..b@x.org",
            "a@-x.org",
            "a@x..org",
            "a\n@x.org",
            "a@x.org\r\nBcc: b@x.org",
            "\u{3164}@x.org",
            "ada\u{3164}@x.org",
            "ada@x\u{FFA0}.org",
            "\u{115F}.\u{1160}@x.org",
            "\"a\"@x.org",
        ] {
            assert_eq!(
                EmailAddress::parse(text).unwrap_err().field,
                "email",
                "{text:?}"
            );
        }
        assert!(EmailAddress::parse(&format!("{}@x.org", "a".repeat(65))).is_err());
        assert!(EmailAddress::parse(&format!("a@{}.org", "b.".repeat(130))).is_err());
    }
}
