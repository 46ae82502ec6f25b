//! An attachment, and the steps of its life.

use std::fmt;
use std::str::FromStr;

use super::objects::{ObjectKey, ObjectPart};
use super::types::{ContentType, FileName};
use crate::clock::Timestamp;
use crate::id::{AttachmentId, ChatId, MessageId, UserId};

/// The most attachments of a message.
pub const MAX_ATTACHMENTS: usize = 10;

/// What kind of attachment it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttachmentKind {
    /// An image, which clients may show.
    Image,
    /// Anything else, which clients offer to save.
    File,
}

/// Where an attachment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttachmentState {
    /// Its bytes have not been received and inspected.
    Awaited,
    /// They have. Nobody uses it.
    Ready,
    /// Somebody is about to use it, or to use it no longer.
    Claimed,
    /// It is used.
    Used,
    /// Its bytes are being erased.
    Erasing,
}

impl AttachmentState {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Awaited,
        Self::Ready,
        Self::Claimed,
        Self::Used,
        Self::Erasing,
    ];
}

/// Who uses an attachment, or is about to. Its text is the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UsedBy {
    /// A message.
    Message(MessageId),
    /// A user, as their picture.
    User(UserId),
    /// A group, as its picture.
    Chat(ChatId),
}

impl fmt::Display for UsedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(id) => id.fmt(f),
            Self::User(id) => id.fmt(f),
            Self::Chat(id) => id.fmt(f),
        }
    }
}

/// The text is no id of what can use an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is used by nothing that is known")]
pub struct UnknownUser;

impl FromStr for UsedBy {
    type Err = UnknownUser;

    fn from_str(text: &str) -> Result<Self, UnknownUser> {
        let message = text.parse().map(Self::Message);
        let user = message.or_else(|_| text.parse().map(Self::User));
        let chat = user.or_else(|_| text.parse().map(Self::Chat));
        chat.map_err(|_| UnknownUser)
    }
}

/// The smaller image of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// What it is.
    pub content_type: ContentType,
    /// Its length in bytes.
    pub byte_size: u64,
}

/// What is known of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageFacts {
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// The smaller one, where there is one.
    pub thumbnail: Option<Thumbnail>,
}

/// An attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Identifies the attachment.
    pub id: AttachmentId,
    /// Who has sent it.
    pub owner_id: UserId,
    /// What the file is called.
    pub file_name: FileName,
    /// What it is: as announced while it is awaited, then by its content.
    pub content_type: ContentType,
    /// Its length in bytes: as announced while it is awaited, then of what is given out.
    pub byte_size: u64,
    /// When it was announced.
    pub created_at: Timestamp,
    /// Where it stands.
    pub state: AttachmentState,
    /// Since when it stands there.
    pub changed_at: Timestamp,
    /// Rises with each change: who changes it names the version that they have seen.
    pub version: u32,
    /// Under which try its bytes were received.
    pub attempt: Option<[u8; 8]>,
    /// Of an image what is known of it.
    pub image: Option<ImageFacts>,
    /// Who uses it, or is about to.
    pub used_by: Option<UsedBy>,
}

impl Attachment {
    /// An attachment that is announced.
    pub const fn announced(
        id: AttachmentId,
        owner_id: UserId,
        file_name: FileName,
        content_type: ContentType,
        byte_size: u64,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            owner_id,
            file_name,
            content_type,
            byte_size,
            created_at: now,
            state: AttachmentState::Awaited,
            changed_at: now,
            version: 0,
            attempt: None,
            image: None,
            used_by: None,
        }
    }

    /// Its kind.
    pub fn kind(&self) -> AttachmentKind {
        if self.content_type.is_image() {
            AttachmentKind::Image
        } else {
            AttachmentKind::File
        }
    }

    /// Whether its bytes are there.
    pub const fn is_received(&self) -> bool {
        !matches!(
            self.state,
            AttachmentState::Awaited | AttachmentState::Erasing
        )
    }

    /// What is given out of it, and how many bytes that is.
    pub fn original(&self) -> Option<(ObjectKey, u64)> {
        let part = match self.kind() {
            AttachmentKind::Image => ObjectPart::Image,
            AttachmentKind::File => ObjectPart::Received,
        };
        Some((self.key(part)?, self.byte_size))
    }

    /// Its smaller image, where there is one.
    pub fn thumbnail(&self) -> Option<(ObjectKey, Thumbnail)> {
        let thumbnail = self.image?.thumbnail?;
        Some((self.key(ObjectPart::Thumbnail)?, thumbnail))
    }

    fn key(&self, part: ObjectPart) -> Option<ObjectKey> {
        Some(ObjectKey {
            attachment: self.id,
            attempt: self.attempt?,
            part,
        })
    }

    /// Its bytes were received, and found to be this.
    #[must_use]
    pub fn received(&self, received: Received, now: Timestamp) -> Self {
        let file_name = self.file_name.clone();
        Self {
            file_name: file_name.of_image(received.content_type),
            content_type: received.content_type,
            byte_size: received.byte_size,
            attempt: Some(received.attempt),
            image: received.image,
            ..self.changed(AttachmentState::Ready, None, now)
        }
    }

    /// Somebody is about to use it, or to use it no longer.
    #[must_use]
    pub fn claimed(&self, by: UsedBy, now: Timestamp) -> Self {
        self.changed(AttachmentState::Claimed, Some(by), now)
    }

    /// Whoever has claimed it uses it.
    #[must_use]
    pub fn used(&self, now: Timestamp) -> Self {
        self.changed(AttachmentState::Used, self.used_by, now)
    }

    /// Nobody uses it.
    #[must_use]
    pub fn released(&self, now: Timestamp) -> Self {
        self.changed(AttachmentState::Ready, None, now)
    }

    /// It stays as it is, but under a name that tells nothing of who has sent it.
    #[must_use]
    pub fn without_name(&self, now: Timestamp) -> Self {
        Self {
            file_name: FileName::cleaned("").of_image(self.content_type),
            ..self.changed(self.state, self.used_by, now)
        }
    }

    /// Its bytes are about to be erased.
    #[must_use]
    pub fn erasing(&self, now: Timestamp) -> Self {
        self.changed(AttachmentState::Erasing, self.used_by, now)
    }

    fn changed(&self, state: AttachmentState, used_by: Option<UsedBy>, now: Timestamp) -> Self {
        Self {
            state,
            used_by,
            changed_at: now,
            version: self.version.saturating_add(1),
            ..self.clone()
        }
    }
}

/// What was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Under which try.
    pub attempt: [u8; 8],
    /// What it is.
    pub content_type: ContentType,
    /// How many bytes are given out of it.
    pub byte_size: u64,
    /// Of an image what is known of it.
    pub image: Option<ImageFacts>,
}
