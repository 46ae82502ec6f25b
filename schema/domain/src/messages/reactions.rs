//! Reactions to messages: single emoji, of each user each one at most once. A message holds how many
//! there are of each; who has reacted is kept beside it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cursor::Cursor;
use crate::error::Invalid;
use crate::id::{self, ChatId, MessageId, UserId};
use crate::page::Window;
use crate::seq::Seq;

/// One emoji of Unicode's list (RGI, <https://www.unicode.org/reports/tr51/>): a character, or a
/// sequence that is one sign, with skin tones, flags, keycaps and joiners. In its fully-qualified
/// form, so that two ways of writing one sign are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Emoji(Arc<str>);

impl Emoji {
    /// The most bytes that one has in UTF-8. The longest of today has 35.
    pub const MAX_BYTES: usize = 64;

    /// Parses an emoji. Presentation selectors may be missing.
    ///
    /// # Errors
    /// [`Invalid`] for the field `emoji` where the text is no single emoji of Unicode's list.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let found = emojis::get(text).filter(|found| {
            // Some keycaps are also found without their key, which is no emoji then.
            is_same_sign(found.as_str(), text)
        });
        let found = found.ok_or_else(|| Invalid::new("emoji", "must be a single emoji"))?;
        Ok(Self(found.as_str().into()))
    }

    /// One that a store or another instance has parsed, which may know more of them.
    pub fn stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The emoji.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Of a store, or another instance, which may know more of them; but no longer ones.
impl TryFrom<String> for Emoji {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        if text.is_empty() || text.len() > Self::MAX_BYTES {
            return Err(Invalid::new("emoji", "must be a single emoji"));
        }
        Ok(Self::stored(&text))
    }
}

impl From<Emoji> for String {
    fn from(emoji: Emoji) -> Self {
        emoji.as_str().to_owned()
    }
}

/// Whether two sequences differ in presentation selectors alone.
fn is_same_sign(one: &str, other: &str) -> bool {
    const PRESENTATION: char = '\u{FE0F}';
    let signs =
        |text: &'_ str| -> Vec<char> { text.chars().filter(|c| *c != PRESENTATION).collect() };
    signs(one) == signs(other)
}

/// How many users have reacted with an emoji.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReactionCount {
    /// The emoji.
    pub emoji: Emoji,
    /// How many users, at least 1.
    pub count: u32,
}

/// How many reactions a message has, by emoji, in the order in which each came first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reactions(Vec<ReactionCount>);

/// The message has as many different emoji as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyEmoji;

impl Reactions {
    /// The most different emoji that a message may have.
    pub const MAX_EMOJI: usize = 50;

    /// The counts.
    pub fn counts(&self) -> &[ReactionCount] {
        &self.0
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// With one more of this emoji.
    ///
    /// # Errors
    /// [`TooManyEmoji`] where it is a new one, and there are [`Reactions::MAX_EMOJI`].
    pub fn with(mut self, emoji: &Emoji) -> Result<Self, TooManyEmoji> {
        if let Some(known) = self.0.iter_mut().find(|known| known.emoji == *emoji) {
            known.count = known.count.saturating_add(1);
        } else if self.0.len() < Self::MAX_EMOJI {
            self.0.push(ReactionCount {
                emoji: emoji.clone(),
                count: 1,
            });
        } else {
            return Err(TooManyEmoji);
        }
        Ok(self)
    }

    /// With one less of this emoji, which goes with its last one.
    #[must_use]
    pub fn without(mut self, emoji: &Emoji) -> Self {
        if let Some(known) = self.0.iter_mut().find(|known| known.emoji == *emoji) {
            known.count = known.count.saturating_sub(1);
        }
        self.0.retain(|known| known.count > 0);
        self
    }
}

impl FromIterator<ReactionCount> for Reactions {
    fn from_iter<I: IntoIterator<Item = ReactionCount>>(counts: I) -> Self {
        Self(counts.into_iter().collect())
    }
}

/// That a user has reacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reaction {
    /// Who.
    pub user_id: UserId,
    /// The number of the change of the message that it came with; others may have come with the same.
    pub change_seq: Seq,
}

/// A reaction of a user who is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReactionOf {
    /// The message's chat.
    pub chat_id: ChatId,
    /// The message.
    pub message_id: MessageId,
    /// With what.
    pub emoji: Emoji,
}

/// The place of a reaction among those with the same emoji to the same message: by change, then by
/// user.
pub type ReactionPlace = (Seq, UserId);

impl Reaction {
    /// Its place.
    pub const fn place(&self) -> ReactionPlace {
        (self.change_seq, self.user_id)
    }
}

/// A page of those who have reacted to a message with an emoji, in the order of [`ReactionPlace`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReactionPage {
    /// The message.
    pub message_id: MessageId,
    /// Its chat.
    pub chat_id: ChatId,
    /// The emoji.
    pub emoji: Emoji,
    /// Which part; forward.
    pub window: Window<ReactionPlace>,
}

/// A [`ReactionPlace`] as clients hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReactionCursor {
    /// The message.
    pub message_id: MessageId,
    /// The emoji.
    pub emoji: Emoji,
    /// The place among those who have reacted so.
    pub place: ReactionPlace,
}

impl ReactionCursor {
    /// Parses a cursor and checks that it belongs to this list.
    ///
    /// # Errors
    /// [`Invalid`] naming `field` where it is no cursor of those who have reacted so.
    pub fn decode_in(
        text: &str,
        message: MessageId,
        emoji: &Emoji,
        field: &'static str,
    ) -> Result<Self, Invalid> {
        let cursor = Self::decode(text, field)?;
        if cursor.message_id == message && cursor.emoji == *emoji {
            Ok(cursor)
        } else {
            let rule = "must be a cursor of this list, but is one of other reactions";
            Err(Invalid::new(field, rule))
        }
    }
}

impl Cursor for ReactionCursor {
    const TAG: u8 = b'r';

    fn write(&self, bytes: &mut Vec<u8>) {
        let (change_seq, user) = self.place;
        bytes.extend(id::bytes(self.message_id));
        bytes.extend(change_seq.to_be_bytes());
        bytes.extend(id::bytes(user));
        bytes.extend(self.emoji.as_str().as_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (message_id, rest) = bytes.split_first_chunk()?;
        let (change_seq, rest) = rest.split_first_chunk()?;
        let (user, emoji) = rest.split_first_chunk()?;
        Some(Self {
            message_id: id::from_bytes(*message_id),
            emoji: String::from_utf8(emoji.to_vec()).ok()?.try_into().ok()?,
            place: (Seq::from_be_bytes(*change_seq), id::from_bytes(*user)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_single_emoji_of_unicode_is_one() {
        for text in [
            "👍",
            "❤️",
            "👍🏽",
            "🇩🇪",
            "👨‍👩‍👧",
            "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
            "1️⃣",
            "#️⃣",
            "🧑🏽‍❤️‍💋‍🧑🏾",
            "©️",
            "🏳️‍🌈",
            "👁️‍🗨️",
        ] {
            assert_eq!(Emoji::parse(text).unwrap().as_str(), text);
        }
        for known in emojis::iter() {
            let emoji = Emoji::parse(known.as_str()).unwrap();
            assert_eq!(emoji.as_str(), known.as_str());
            assert!(emoji.as_str().len() <= Emoji::MAX_BYTES);
            for tone in known.skin_tones().into_iter().flatten() {
                assert_eq!(Emoji::parse(tone.as_str()).unwrap().as_str(), tone.as_str());
            }
        }
    }

    #[test]
    fn two_ways_of_writing_one_sign_are_one_emoji() {
        for (one, other) in [
            ("\u{2764}", "\u{2764}\u{FE0F}"),
            ("1\u{20E3}", "1\u{FE0F}\u{20E3}"),
            ("\u{1F44D}\u{FE0F}", "\u{1F44D}"),
            (
                "\u{1F441}\u{200D}\u{1F5E8}",
                "\u{1F441}\u{FE0F}\u{200D}\u{1F5E8}\u{FE0F}",
            ),
            (
                "\u{1F3F3}\u{200D}\u{1F308}",
                "\u{1F3F3}\u{FE0F}\u{200D}\u{1F308}",
            ),
        ] {
            assert_eq!(Emoji::parse(one).unwrap(), Emoji::parse(other).unwrap());
        }
    }

    #[test]
    fn what_is_no_single_emoji_is_refused() {
        let long = "👍".repeat(10_000);
        let joined = vec!["👩"; 40].join("\u{200D}");
        for text in [
            "",
            " ",
            "a",
            "1",
            "1\u{FE0F}",
            "#",
            "👍👍",
            "👍 ",
            " 👍",
            "❤️a",
            "🇩",
            "🇽🇽",
            "🏽",
            "\u{FE0F}",
            "\u{200D}",
            "👍\u{200D}",
            "\u{200D}👍",
            "👍🏽🏽",
            "🐈🏽",
            "👍\u{FE0E}",
            "❤\u{FE0E}",
            "👍\u{301}",
            "👍\u{202E}",
            "\u{20E3}",
            "👨\u{200D}👨\u{200D}👨",
            "🏴\u{E0067}\u{E0062}",
            "👍\0",
            long.as_str(),
            joined.as_str(),
        ] {
            let refused = Emoji::parse(text).unwrap_err();
            assert_eq!(refused.to_string(), "`emoji` must be a single emoji.");
        }
    }

    #[test]
    fn counts_follow_the_reactions() {
        let [thumb, heart] = ["👍", "❤️"].map(|text| Emoji::parse(text).unwrap());
        let of = |counts: &[(&Emoji, u32)]| -> Reactions {
            let counts = counts.iter().map(|(emoji, count)| ReactionCount {
                emoji: (*emoji).clone(),
                count: *count,
            });
            counts.collect()
        };
        let one = Reactions::default()
            .with(&thumb)
            .unwrap()
            .with(&heart)
            .unwrap();
        let two = one.clone().with(&thumb).unwrap();
        assert_eq!(two, of(&[(&thumb, 2), (&heart, 1)]));
        assert_eq!(two.without(&thumb), one);
        assert_eq!(one.clone().without(&thumb), of(&[(&heart, 1)]));
        assert!(one.without(&thumb).without(&heart).is_empty());
    }

    #[test]
    fn a_message_has_so_many_different_emoji() {
        let mut all = emojis::iter().map(|emoji| Emoji::stored(emoji.as_str()));
        let mut reactions = Reactions::default();
        for emoji in all.by_ref().take(Reactions::MAX_EMOJI) {
            reactions = reactions.with(&emoji).unwrap();
        }
        let known = reactions.counts()[0].emoji.clone();
        assert_eq!(
            reactions.clone().with(&all.next().unwrap()),
            Err(TooManyEmoji)
        );
        assert_eq!(reactions.with(&known).unwrap().counts()[0].count, 2);
    }

    #[test]
    fn a_cursor_belongs_to_one_list() {
        let [thumb, heart] = ["👍", "❤️"].map(Emoji::stored);
        let message: MessageId = id::from_bytes([1; 16]);
        let cursor = ReactionCursor {
            message_id: message,
            emoji: thumb.clone(),
            place: (7, id::from_bytes([2; 16])),
        };
        let text = cursor.encode();
        let decode = |message, emoji| ReactionCursor::decode_in(&text, message, emoji, "after");
        assert_eq!(decode(message, &thumb), Ok(cursor.clone()));
        assert_eq!(decode(message, &heart).unwrap_err().field, "after");
        let other = id::from_bytes([3; 16]);
        assert_eq!(decode(other, &thumb).unwrap_err().field, "after");
    }
}
