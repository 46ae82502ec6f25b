//! Attachments.

use mongodb::bson::raw::RawDocument;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, DateTime, Document, Uuid, doc};
use serde::{Deserialize, Serialize};
use talksy_domain::attachments::{
    Attachment, AttachmentState, ContentType, FileName, ImageFacts, Thumbnail,
};
use talksy_domain::id::{self, AttachmentId};

use super::{ATTACHMENTS, Stored, date, id_text, instant, key};
use crate::fault::Why;

/// An attachment.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttachmentDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    owner_id: Uuid,
    file_name: String,
    content_type: String,
    byte_size: i64,
    created_at: DateTime,
    state: String,
    changed_at: DateTime,
    version: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<Binary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<ImageDocument>,
    /// The id of a message, a user or a chat, as a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    used_by: Option<String>,
}

/// What is known of an image.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImageDocument {
    width: i64,
    height: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbnail_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbnail_size: Option<i64>,
}

/// The state as it stands in documents, queries and updates.
pub(crate) const fn attachment_state(state: AttachmentState) -> &'static str {
    match state {
        AttachmentState::Awaited => "awaited",
        AttachmentState::Ready => "ready",
        AttachmentState::Claimed => "claimed",
        AttachmentState::Used => "used",
        AttachmentState::Erasing => "erasing",
    }
}

fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn bytes_of(attempt: [u8; 8]) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes: attempt.to_vec(),
    }
}

fn content_type(text: &str) -> ContentType {
    ContentType::parse(text).unwrap_or(ContentType::UNKNOWN)
}

impl From<&Attachment> for AttachmentDocument {
    fn from(attachment: &Attachment) -> Self {
        Self {
            id: key(id::bytes(attachment.id)),
            owner_id: key(id::bytes(attachment.owner_id)),
            file_name: attachment.file_name.as_str().to_owned(),
            content_type: attachment.content_type.as_str().to_owned(),
            byte_size: size(attachment.byte_size),
            created_at: date(attachment.created_at),
            state: attachment_state(attachment.state).to_owned(),
            changed_at: date(attachment.changed_at),
            version: attachment.version.into(),
            attempt: attachment.attempt.map(bytes_of),
            image: attachment.image.map(|image| ImageDocument {
                width: image.width.into(),
                height: image.height.into(),
                thumbnail_type: image
                    .thumbnail
                    .map(|thumbnail| thumbnail.content_type.as_str().to_owned()),
                thumbnail_size: image.thumbnail.map(|thumbnail| size(thumbnail.byte_size)),
            }),
            used_by: attachment.used_by.map(|used_by| used_by.to_string()),
        }
    }
}

/// The update that takes the step to this.
pub(crate) fn advance_of(after: &Attachment) -> Document {
    let mut set = doc! {
        "fileName": after.file_name.as_str(),
        "contentType": after.content_type.as_str(),
        "byteSize": size(after.byte_size),
        "state": attachment_state(after.state),
        "changedAt": date(after.changed_at),
        "version": i64::from(after.version),
    };
    if let Some(attempt) = after.attempt {
        set.insert("attempt", bytes_of(attempt));
    }
    if let Some(image) = after.image {
        let mut facts = doc! {
            "width": i64::from(image.width),
            "height": i64::from(image.height),
        };
        if let Some(thumbnail) = image.thumbnail {
            facts.insert("thumbnailType", thumbnail.content_type.as_str());
            facts.insert("thumbnailSize", size(thumbnail.byte_size));
        }
        set.insert("image", facts);
    }
    if let Some(used_by) = after.used_by {
        set.insert("usedBy", used_by.to_string());
        doc! { "$set": set }
    } else {
        doc! { "$set": set, "$unset": { "usedBy": "" } }
    }
}

impl Stored for AttachmentDocument {
    type Value = Attachment;
    const COLLECTION: &'static str = ATTACHMENTS;

    fn name(raw: &RawDocument) -> String {
        let id = id_text(raw, "_id", |bytes| {
            let id: AttachmentId = id::from_bytes(bytes);
            id.to_string()
        });
        format!("attachment {id}")
    }

    fn value(self) -> Result<Attachment, Why> {
        let mut states = AttachmentState::ALL.into_iter();
        let state = states.find(|state| attachment_state(*state) == self.state);
        let image = |image: ImageDocument| -> Result<ImageFacts, Why> {
            let thumbnail = match (image.thumbnail_type, image.thumbnail_size) {
                (Some(text), Some(bytes)) => Some(Thumbnail {
                    content_type: content_type(&text),
                    byte_size: bytes.try_into()?,
                }),
                _ => None,
            };
            Ok(ImageFacts {
                width: image.width.try_into()?,
                height: image.height.try_into()?,
                thumbnail,
            })
        };
        let attempt = self
            .attempt
            .map(|attempt| <[u8; 8]>::try_from(attempt.bytes.as_slice()));
        Ok(Attachment {
            id: id::from_bytes(self.id.bytes()),
            owner_id: id::from_bytes(self.owner_id.bytes()),
            file_name: FileName::cleaned(&self.file_name),
            content_type: content_type(&self.content_type),
            byte_size: self.byte_size.try_into()?,
            created_at: instant(self.created_at),
            state: state.ok_or_else(|| format!("`{}` is no state", self.state))?,
            changed_at: instant(self.changed_at),
            version: self.version.try_into()?,
            attempt: attempt.transpose()?,
            image: self.image.map(image).transpose()?,
            used_by: self.used_by.map(|text| text.parse()).transpose()?,
        })
    }
}
