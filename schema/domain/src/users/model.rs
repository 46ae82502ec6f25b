//! A user, and what a user shows.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::Invalid;
use crate::id::{AttachmentId, UserId};
use crate::mail::EmailAddress;
use crate::metadata::{Metadata, MetadataUpdate};
use crate::search::fold::fold_key;
use crate::text::{TextRule, is_blank};

/// The name a user shows: 1 to 64 characters on one line, no control characters, at most four
/// combining marks on one character.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DisplayName {
    shown: String,
    /// By what a store sorts it, where that is not what it shows, folded.
    key: Option<Box<str>>,
}

impl DisplayName {
    /// What is shown where there is nothing to show.
    const UNKNOWN: &str = "?";
    /// What a deleted account is called.
    const DELETED: &str = "Deleted user";
    /// The most characters that it may have.
    pub const MAX_CHARS: usize = 64;
    const RULE: TextRule = TextRule {
        field: "name",
        max_chars: Self::MAX_CHARS,
        multi_line: false,
    };

    /// Parses a name; spaces around it are dropped.
    ///
    /// # Errors
    /// [`Invalid`] for the field `name`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let name = text.trim();
        if is_blank(name) {
            return Err(Invalid::new("name", "must not be empty"));
        }
        Self::RULE.check(name)?;
        Ok(Self {
            shown: name.to_owned(),
            key: None,
        })
    }

    /// The name of a new account: the local part of its address.
    pub fn of_address(address: &EmailAddress) -> Self {
        let local = address.local_part();
        Self::parse(local).unwrap_or_else(|_| Self {
            key: None,
            ..Self::stand_in(local, "")
        })
    }

    /// Stands in for a name that a store keeps and that does not parse: as much of it as may be
    /// shown, `?` where that is nothing. `key` is the stored sort key, so that the pages of a list
    /// go on behind the user.
    pub fn stand_in(text: &str, key: &str) -> Self {
        let visible = Self::RULE.visible_part(text);
        let shown = match visible.trim() {
            blank if is_blank(blank) => Self::UNKNOWN,
            visible => visible,
        };
        Self {
            shown: shown.to_owned(),
            key: Some(key.into()),
        }
    }

    /// The name of a deleted account. No search finds it, so that it sorts as nothing.
    pub fn of_deleted() -> Self {
        Self {
            shown: Self::DELETED.to_owned(),
            key: Some("".into()),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.shown
    }

    /// The name as lists order and search it ([`fold_key`]).
    pub fn sort_key(&self) -> String {
        match &self.key {
            Some(key) => key.to_string(),
            None => fold_key(&self.shown),
        }
    }
}

impl TryFrom<String> for DisplayName {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<DisplayName> for String {
    fn from(name: DisplayName) -> Self {
        name.shown
    }
}

/// What a user says of themself: 1 to 500 characters, line breaks allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct About(String);

impl About {
    /// The most characters that it may have.
    pub const MAX_CHARS: usize = 500;
    const RULE: TextRule = TextRule {
        field: "about",
        max_chars: Self::MAX_CHARS,
        multi_line: true,
    };

    /// Parses the text; `None` where it is blank.
    ///
    /// # Errors
    /// [`Invalid`] for the field `about`.
    pub fn parse(text: &str) -> Result<Option<Self>, Invalid> {
        let about = text.trim();
        Self::RULE.check(about)?;
        Ok((!is_blank(about)).then(|| Self(about.to_owned())))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for About {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)?.ok_or_else(|| Invalid::new("about", "must not be empty"))
    }
}

impl From<About> for String {
    fn from(about: About) -> Self {
        about.0
    }
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Identifies the user.
    pub id: UserId,
    /// Where sign-in codes go. One account an address; of a deleted one it is no address.
    pub email: EmailAddress,
    /// The name shown to others.
    pub name: DisplayName,
    /// What the user says of themself.
    pub about: Option<About>,
    /// What the application keeps about the user.
    pub metadata: Option<Metadata>,
    /// Their picture.
    pub avatar_id: Option<AttachmentId>,
    /// When the account was made.
    pub created_at: Timestamp,
    /// When the user's last connection ended; `None` before the first one did.
    pub last_seen_at: Option<Timestamp>,
    /// Rises with every change of whom the user has blocked, so that several devices of the user
    /// find out about it.
    pub block_version: u32,
    /// When the account was deleted. All else is empty then, and the name a stand-in.
    pub deleted_at: Option<Timestamp>,
}

impl User {
    /// Whether the account was deleted: it stands for whoever has taken part in chats, and nobody
    /// signs in to it, finds it or writes to it.
    pub const fn is_deleted(&self) -> bool {
        self.deleted_at.is_some()
    }

    /// What stands in the place of a deleted account's address: its id, which is no address, so that
    /// the address is free and no two accounts have the same.
    pub fn email_of_deleted(id: UserId) -> EmailAddress {
        EmailAddress::stored(id.to_string())
    }
}

/// Whom the directory shows to a user. Whoever knows an exact address finds its user in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Directory {
    /// All users.
    #[default]
    Everyone,
    /// Who shares a chat with the user.
    SharedChats,
    /// Nobody.
    Off,
}

/// What `updateProfile` changes. `None` leaves a part as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileChange {
    /// The new name.
    pub name: Option<DisplayName>,
    /// The new text, or `Some(None)` to clear it.
    pub about: Option<Option<About>>,
    /// What the application is to keep about the user, or `Some(None)` to clear it.
    pub metadata: MetadataUpdate,
    /// The new picture, or `Some(None)` for none.
    pub avatar: Option<Option<AttachmentId>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_rules() {
        assert_eq!(DisplayName::parse("  Ada  ").unwrap().as_str(), "Ada");
        for text in [
            "",
            "  ",
            "\u{200B} \u{FEFF}",
            "a\nb",
            "a\u{0}b",
            "a\u{202E}b",
            "a\u{2028}b",
            "a\u{2029}b",
            &"x".repeat(65),
            &format!("a{}", "\u{301}".repeat(5)),
            // Marks of several kinds count together, also where nothing stands under them.
            "Ada \u{489}\u{301}\u{E34}\u{20DD}\u{302}",
        ] {
            assert_eq!(
                DisplayName::parse(text).unwrap_err().field,
                "name",
                "{text:?}"
            );
        }
        assert!(DisplayName::parse(&"ö".repeat(64)).is_ok());
        let stacked = "e\u{323}\u{302}\u{301}\u{304}".repeat(12);
        assert!(DisplayName::parse(&stacked).is_ok(), "four on each");
    }

    #[test]
    fn a_name_that_would_paint_over_others_says_which_rule_it_breaks() {
        let error = DisplayName::parse(&format!("Z{}", "\u{30D}".repeat(60))).unwrap_err();
        assert_eq!(error.field, "name");
        let rule = "must have at most 4 combining marks on one character";
        assert_eq!(error.rule, rule);
    }

    /// Names as people write them, whole and with their marks apart.
    #[test]
    fn names_of_all_scripts_are_taken() {
        for name in [
            "Nguyễn Thị Thu Hiền",
            "Nguye\u{302}\u{303}n",
            "שָׁלוֹם כֹּהֵן",
            "ทศพร นุ่มนวล",
            "संस्कृति शर्मा",
            "தமிழ்ச்செல்வி",
            "བསོད་ནམས་བསྟན་འཛིན",
            "მარიამ",
            "👩🏽\u{200D}💻 Ada",
            "1\u{FE0F}\u{20E3} Ada",
        ] {
            assert!(DisplayName::parse(name).is_ok(), "{name}");
        }
    }

    /// Every character in the local part, alone and behind another, in either case.
    #[test]
    fn every_address_gives_a_name_that_can_be_read_back() {
        let mut accepted = 0;
        for c in '\0'..=char::MAX {
            for local in [
                format!("{c}"),
                format!("a{c}"),
                format!("{c}.{c}"),
                format!("Σ{c}Σ"),
                format!("a{}", String::from(c).repeat(8)),
            ] {
                let Ok(address) = EmailAddress::parse(&format!("{local}@example.org")) else {
                    continue;
                };
                let name = DisplayName::of_address(&address);
                assert_eq!(DisplayName::parse(name.as_str()), Ok(name), "{local:?}");
                accepted += 1;
            }
        }
        assert!(accepted > 100_000, "{accepted}");
        let longest = EmailAddress::parse(&format!("{}@example.org", "ö".repeat(32))).unwrap();
        let name = DisplayName::of_address(&longest);
        assert_eq!(DisplayName::parse(name.as_str()), Ok(name));
    }

    #[test]
    fn a_deleted_account_has_a_name_that_can_be_shown_and_no_address() {
        let name = DisplayName::of_deleted();
        assert_eq!(
            (name.as_str(), name.sort_key()),
            ("Deleted user", String::new())
        );
        assert!(DisplayName::parse(name.as_str()).is_ok());
        let email = User::email_of_deleted(crate::id::from_bytes([7; 16]));
        assert!(EmailAddress::parse(email.as_str()).is_err());
    }

    #[test]
    fn a_name_that_breaks_the_rules_is_stood_in_for_under_its_own_sort_key() {
        for (text, shown) in [
            ("\u{3164}", "?"),
            ("", "?"),
            ("two\nlines\u{202E}", "two lines"),
            (&"x".repeat(70), &"x".repeat(64)),
            (
                &format!("a{}b", "\u{301}".repeat(60)),
                "a\u{301}\u{301}\u{301}\u{301}b",
            ),
        ] {
            let name = DisplayName::stand_in(text, "key");
            assert_eq!((name.as_str(), name.sort_key()), (shown, "key".into()));
            assert!(DisplayName::parse(name.as_str()).is_ok());
        }
    }
}
