//! Announcing attachments, using them, and the URLs of their bytes.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use subtle::ConstantTimeEq as _;

use super::error::AttachmentError;
use super::images::ImageCodec;
use super::model::{Attachment, AttachmentKind, Thumbnail, UsedBy};
use super::objects::{ObjectBytes, ObjectKey, ObjectStore};
use super::store::{AttachmentStore, Kept};
use super::types::{ContentType, FileName, allowed};
use crate::access::Access;
use crate::clock::{Clock, Entropy, Timestamp};
use crate::error::{Invalid, PortError};
use crate::id::{self, AttachmentId, IdGenerator};
use crate::keyed_hash::KeyedHash;
use crate::limits::{Decision, RateLimiter, Rule};
use crate::messages::store::MessageStore;
use crate::users::store::UserStore;
use crate::viewer::Viewer;

/// The life of a URL is counted in these steps, in milliseconds, so that all who are told it within
/// one of them are told the same and browsers keep what they have.
const URL_STEP: i64 = 60 * 60 * 1_000;

/// How many bytes of a MAC a URL carries.
const SIGNATURE: usize = 16;

/// What may be attached, and for how long what is kept.
#[derive(Clone, Debug)]
pub struct AttachmentPolicy {
    /// How often a user may begin an upload.
    pub upload: Rule,
    /// The documents that may be attached, besides images.
    pub documents: Vec<ContentType>,
    /// The most bytes of an image as it is sent.
    pub max_image_bytes: u64,
    /// The most bytes of any other file.
    pub max_file_bytes: u64,
    /// The most bytes of all attachments of one user together.
    pub max_user_bytes: u64,
    /// How long the URL of an upload works.
    pub upload_timeout: Duration,
    /// How long an attachment is kept that nobody uses.
    pub unused_for: Duration,
    /// What URLs begin with: `https://chat.example.org`, or nothing for paths on this server.
    pub base_url: String,
}

/// An upload that is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// The attachment, which is of no use yet.
    pub attachment: Attachment,
    /// Where its bytes are to be put.
    pub url: String,
    /// Until when.
    pub expires_at: Timestamp,
}

/// The URLs of an attachment's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Urls {
    /// Of the attachment itself.
    pub original: String,
    /// Of an image that is small enough for a list; `None` where it is no image.
    pub thumbnail: Option<String>,
    /// Until when they work.
    pub expires_at: Timestamp,
}

/// What a URL says, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// The attachment's id.
    pub attachment: String,
    /// Which of its objects.
    pub variant: Variant,
    /// Until when the URL works, in seconds since 1970.
    pub expires: i64,
    /// The signature.
    pub signature: String,
}

/// What a URL is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Putting bytes.
    Upload,
    /// Getting the attachment.
    Original,
    /// Getting the smaller image.
    Thumbnail,
}

impl Variant {
    /// Its name in URLs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Original => "original",
            Self::Thumbnail => "thumbnail",
        }
    }

    /// What can be got under this name.
    pub fn readable(name: &str) -> Option<Self> {
        [Self::Original, Self::Thumbnail]
            .into_iter()
            .find(|variant| variant.name() == name)
    }
}

/// What a URL leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The object.
    pub key: ObjectKey,
    /// What it is.
    pub content_type: ContentType,
    /// Its length in bytes.
    pub byte_size: u64,
    /// What the file is called.
    pub file_name: FileName,
    /// Whether it is an image, which may be shown where it is.
    pub kind: AttachmentKind,
    /// Until when the URL works.
    pub expires_at: Timestamp,
}

/// Rules of attachments.
pub struct AttachmentService {
    /// What they are.
    pub(crate) store: Arc<dyn AttachmentStore>,
    /// Their bytes.
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// Images among them.
    pub(crate) images: Arc<dyn ImageCodec>,
    /// The messages that use them.
    pub(crate) messages: Arc<dyn MessageStore>,
    /// The users who use them.
    pub(crate) users: Arc<dyn UserStore>,
    /// Who may do what.
    pub(crate) access: Arc<Access>,
    /// Holds back who uploads too much.
    pub(crate) limiter: Arc<dyn RateLimiter>,
    /// What may be attached.
    pub(crate) policy: AttachmentPolicy,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Randomness.
    pub(crate) entropy: Arc<dyn Entropy>,
    /// New ids.
    pub(crate) ids: IdGenerator,
    /// Signs URLs.
    pub(crate) hash: KeyedHash,
}

impl AttachmentService {
    /// Announces an upload of the viewer, of so many bytes.
    ///
    /// # Errors
    /// Where such a file may not be attached, it is empty or too large, or the viewer uploads too much or
    /// has no room for it.
    pub async fn announce(
        &self,
        viewer: &Viewer,
        file_name: &str,
        content_type: &str,
        byte_size: i64,
    ) -> Result<Announced, AttachmentError> {
        let content_type = allowed(content_type, &self.policy.documents)?;
        let most = self.most(content_type);
        let byte_size = u64::try_from(byte_size).unwrap_or_default();
        if byte_size == 0 || byte_size > most {
            let rule = format!("must be 1 to {most}");
            return Err(Invalid::new("byteSize", rule).into());
        }
        self.admit(viewer).await?;
        let attachment = self
            .reserve(viewer, file_name, content_type, byte_size)
            .await?;
        let expires = self.clock.now() + self.policy.upload_timeout;
        // A URL counts in seconds.
        let seconds = expires.as_millis() / 1_000;
        Ok(Announced {
            url: self.url(attachment.id, Variant::Upload, seconds),
            expires_at: Timestamp::from_millis(seconds * 1_000),
            attachment,
        })
    }

    /// Counts an upload of the viewer.
    pub(crate) async fn admit(&self, viewer: &Viewer) -> Result<(), AttachmentError> {
        let user = viewer.user_id.to_string();
        match self.limiter.check(self.policy.upload, &user).await? {
            Decision::Denied(wait) => Err(AttachmentError::TooFast(wait)),
            Decision::Allowed => Ok(()),
        }
    }

    /// Keeps a new attachment of the viewer, whose bytes are awaited, where there is room for so many.
    pub(crate) async fn reserve(
        &self,
        viewer: &Viewer,
        file_name: &str,
        content_type: ContentType,
        byte_size: u64,
    ) -> Result<Attachment, AttachmentError> {
        let attachment = Attachment::announced(
            self.ids.next(),
            viewer.user_id,
            FileName::cleaned(file_name),
            content_type,
            byte_size,
            self.clock.now(),
        );
        let most = self.policy.max_user_bytes;
        match self.store.announce(&attachment, most).await? {
            Kept::Done => Ok(attachment),
            Kept::Full(used) => Err(AttachmentError::Full {
                most,
                left: most.saturating_sub(used),
            }),
        }
    }

    /// The most bytes of a file of this type.
    pub(crate) fn most(&self, content_type: ContentType) -> u64 {
        if content_type.is_image() {
            self.policy.max_image_bytes
        } else {
            self.policy.max_file_bytes
        }
    }

    /// The URLs of an attachment. Whoever has one can get the bytes until it expires; nobody can make
    /// one. All who ask within an hour are told the same.
    pub fn urls(&self, attachment: &Attachment) -> Urls {
        let now = self.clock.now().as_millis();
        let expires = (now / URL_STEP + 2) * URL_STEP;
        let url = |variant| self.url(attachment.id, variant, expires / 1_000);
        let original = url(Variant::Original);
        let thumbnail = match (attachment.kind(), attachment.thumbnail()) {
            (AttachmentKind::File, _) => None,
            // It is small enough itself.
            (AttachmentKind::Image, None) => Some(original.clone()),
            (AttachmentKind::Image, Some(_)) => Some(url(Variant::Thumbnail)),
        };
        Urls {
            original,
            thumbnail,
            expires_at: Timestamp::from_millis(expires),
        }
    }

    fn url(&self, attachment: AttachmentId, variant: Variant, expires: i64) -> String {
        let base = &self.policy.base_url;
        let signature = hex::encode(self.signature(attachment, variant, expires));
        let path = match variant {
            Variant::Upload => format!("uploads/{attachment}"),
            variant => format!("attachments/{attachment}/{}", variant.name()),
        };
        format!("{base}/{path}?expires={expires}&signature={signature}")
    }

    fn signature(
        &self,
        attachment: AttachmentId,
        variant: Variant,
        expires: i64,
    ) -> [u8; SIGNATURE] {
        let mac = self.hash.of(&[
            b"attachment url",
            variant.name().as_bytes(),
            &id::bytes(attachment),
            &expires.to_be_bytes(),
        ]);
        let mut signature = [0; SIGNATURE];
        signature.copy_from_slice(&mac[..SIGNATURE]);
        signature
    }

    /// The attachment that a URL names, where the URL is good.
    pub(crate) async fn presented(
        &self,
        presented: &Presented,
    ) -> Result<Attachment, AttachmentError> {
        let forged = AttachmentError::Forged;
        let Ok(attachment) = presented.attachment.parse::<AttachmentId>() else {
            return Err(forged);
        };
        let signature = self.signature(attachment, presented.variant, presented.expires);
        let given = hex::decode(&presented.signature).unwrap_or_default();
        if !bool::from(signature.as_slice().ct_eq(&given)) {
            return Err(forged);
        }
        if self.clock.now().as_millis() >= presented.expires.saturating_mul(1_000) {
            return Err(AttachmentError::Expired);
        }
        let found = self.store.attachments(&[attachment]).await?.pop();
        found.ok_or(AttachmentError::Gone)
    }

    /// What a URL leads to.
    ///
    /// # Errors
    /// Where the URL was altered or has expired, or nothing is there any more.
    pub async fn locate(&self, presented: &Presented) -> Result<Located, AttachmentError> {
        let attachment = self.presented(presented).await?;
        if !attachment.is_received() {
            return Err(AttachmentError::Gone);
        }
        let found = match presented.variant {
            Variant::Upload => None,
            Variant::Original => {
                let original = attachment.original();
                original.map(|(key, size)| (key, attachment.content_type, size))
            }
            Variant::Thumbnail => attachment.thumbnail().map(|(key, thumbnail)| {
                let Thumbnail {
                    content_type,
                    byte_size,
                } = thumbnail;
                (key, content_type, byte_size)
            }),
        };
        let (key, content_type, byte_size) = found.ok_or(AttachmentError::Gone)?;
        Ok(Located {
            key,
            content_type,
            byte_size,
            kind: attachment.kind(),
            file_name: attachment.file_name,
            expires_at: Timestamp::from_millis(presented.expires.saturating_mul(1_000)),
        })
    }

    /// This part of what was located.
    ///
    /// # Errors
    /// Where it is gone meanwhile, or the store fails.
    pub async fn read(
        &self,
        located: &Located,
        range: Range<u64>,
    ) -> Result<ObjectBytes, AttachmentError> {
        let found = self.objects.read(located.key, range).await?;
        found.ok_or(AttachmentError::Gone)
    }

    /// These attachments, for what refers to them, of which those are left out whose bytes are not
    /// there.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn referenced(&self, ids: &[AttachmentId]) -> Result<Vec<Attachment>, PortError> {
        let mut found = self.store.attachments(ids).await?;
        found.retain(Attachment::is_received);
        Ok(found)
    }

    /// Those of these attachments that the viewer may see: their own, and those of what they may read.
    ///
    /// # Errors
    /// Where a store fails.
    pub async fn visible(
        &self,
        viewer: &Viewer,
        ids: &[AttachmentId],
    ) -> Result<Vec<Attachment>, PortError> {
        let mut found = self.referenced(ids).await?;
        let (mut messages, mut users, mut chats) = (Vec::new(), Vec::new(), Vec::new());
        let others = found.iter().filter(|one| one.owner_id != viewer.user_id);
        for used_by in others.filter_map(|one| one.used_by) {
            match used_by {
                UsedBy::Message(id) => messages.push(id),
                UsedBy::User(id) => users.push(id),
                UsedBy::Chat(id) => chats.push(id),
            }
        }
        let messages = self.messages.messages(&messages).await?;
        let of_messages = messages.iter().map(|message| message.chat_id);
        let chats = chats.into_iter().chain(of_messages);
        let memberships = self.access.memberships_by_chat(viewer, chats).await?;
        let users = self.access.profiles(viewer, users).await?.into_users();
        let shows_message = |one: &Attachment, id| {
            let message = messages.iter().find(|message| message.id == id);
            message.is_some_and(|message| {
                let membership = memberships.get(&message.chat_id);
                membership.is_some_and(|membership| membership.may_read(message.seq))
                    // A deleted one has none, and one may be claimed that it never gets.
                    && message.attachments.contains(&one.id)
            })
        };
        found.retain(|one| {
            let is_shown = match one.used_by {
                Some(UsedBy::Message(id)) => shows_message(one, id),
                Some(UsedBy::User(id)) => users.contains(&id),
                Some(UsedBy::Chat(id)) => memberships.contains_key(&id),
                None => false,
            };
            is_shown || one.owner_id == viewer.user_id
        });
        Ok(found)
    }
}
