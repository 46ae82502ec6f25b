//! The user's own attachments, whatever uses them, and how the bytes of any stand in the archive.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;

use super::entry::{ArchivePart, Entry, ExportError, Out};
use super::lines::Lines;
use crate::attachments::model::{Attachment, AttachmentKind};
use crate::attachments::objects::ObjectStore;
use crate::attachments::store::AttachmentStore;
use crate::viewer::Viewer;

/// How many are read at a time.
const AT_ONCE: usize = 100;

/// `attachments/….jsonl`, and `files/…` with the bytes of each.
pub(crate) struct OwnAttachments {
    /// What they are.
    pub(crate) attachments: Arc<dyn AttachmentStore>,
    /// Their bytes.
    pub(crate) objects: Arc<dyn ObjectStore>,
}

/// What is known of an attachment.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AttachmentLine<'a> {
    id: String,
    kind: &'static str,
    file_name: &'a str,
    content_type: &'static str,
    byte_size: u64,
    width: Option<u32>,
    height: Option<u32>,
    created_at: String,
    /// The id of the message, the user or the chat that uses it.
    used_by: Option<String>,
    /// The entry with its bytes.
    file: String,
}

impl<'a> AttachmentLine<'a> {
    pub(super) fn of(attachment: &'a Attachment) -> Self {
        Self {
            id: attachment.id.to_string(),
            kind: match attachment.kind() {
                AttachmentKind::Image => "IMAGE",
                AttachmentKind::File => "FILE",
            },
            file_name: attachment.file_name.as_str(),
            content_type: attachment.content_type.as_str(),
            byte_size: attachment.byte_size,
            width: attachment.image.map(|image| image.width),
            height: attachment.image.map(|image| image.height),
            created_at: attachment.created_at.to_string(),
            used_by: attachment.used_by.map(|used_by| used_by.to_string()),
            file: path(attachment),
        }
    }
}

/// Where the bytes of an attachment stand. What the file is called may be anything, and is in its
/// line; here is no more of it than a plain ending.
fn path(attachment: &Attachment) -> String {
    let name = attachment.file_name.as_str();
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let is_plain =
        (1..=8).contains(&ending.len()) && ending.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_plain {
        let ending = ending.to_ascii_lowercase();
        format!("files/{}.{ending}", attachment.id)
    } else {
        format!("files/{}", attachment.id)
    }
}

/// Writes the bytes of an attachment: what it was received as, of an image what was made of it.
/// Nothing where they are gone meanwhile.
///
/// # Errors
/// Where they cannot be read, or are not taken.
pub(super) async fn write_file(
    objects: &dyn ObjectStore,
    attachment: &Attachment,
    out: &mut Out,
) -> Result<(), ExportError> {
    let Some((key, byte_size)) = attachment.original() else {
        return Ok(());
    };
    let Some(bytes) = objects.read(key, 0..byte_size).await? else {
        return Ok(());
    };
    out.count("files", 1);
    out.count("fileBytes", byte_size);
    let path = path(attachment);
    out.entry(Entry::File {
        path,
        byte_size,
        bytes,
    })
    .await
}

#[async_trait]
impl ArchivePart for OwnAttachments {
    fn name(&self) -> &'static str {
        "attachments"
    }

    async fn write(&self, viewer: &Viewer, out: &mut Out) -> Result<(), ExportError> {
        let mut lines = Lines::new("attachments");
        let mut after = None;
        loop {
            let owned = self.attachments.of_owner(viewer.user_id, after, AT_ONCE);
            let owned = owned.await?;
            for attachment in owned.iter().filter(|one| one.is_received()) {
                lines.push(out, &AttachmentLine::of(attachment)).await?;
                out.count("attachments", 1);
                write_file(&*self.objects, attachment, out).await?;
            }
            // What does not parse is left out of an answer, which may then be short.
            let Some(last) = owned.last() else {
                return lines.finish(out).await;
            };
            after = Some(last.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attachments::types::{ContentType, FileName};
    use crate::clock::Timestamp;
    use crate::id;

    #[test]
    fn a_path_has_nothing_of_a_name_but_a_plain_ending() {
        let path = |name: &str| {
            let name = FileName::cleaned(name);
            let now = Timestamp::from_millis(0);
            let (id, owner) = (id::from_bytes([1; 16]), id::from_bytes([2; 16]));
            let attachment = Attachment::announced(id, owner, name, ContentType::TEXT, 1, now);
            path(&attachment).replace(&id.to_string(), "ID")
        };
        assert_eq!(path("Grüße.PDF"), "files/ID.pdf");
        assert_eq!(path("a.tar.gz"), "files/ID.gz");
        for name in ["plain", "a.ü", "a.a b", "a.abcdefghi", ".."] {
            assert_eq!(path(name), "files/ID", "{name}");
        }
    }
}
