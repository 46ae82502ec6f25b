//! `Attachment`.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object};
use talksy_domain::attachments::{Attachment, Urls};
use talksy_domain::id::AttachmentId;

use crate::context::ContextExt as _;
use crate::error::Result;
use crate::scalars::{DateTime, global_id, int};
use crate::sharing::{SharedField, SharedType};

/// What kind of attachment it is.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(
    name = "AttachmentKind",
    remote = "talksy_domain::attachments::AttachmentKind"
)]
pub enum AttachmentKindEnum {
    /// An image, to be shown.
    Image,
    /// Anything else, to be saved.
    File,
}

/// What viewers share of attachments: URLs are signed for the attachment and the hour, not for the
/// viewer.
pub(crate) const SHARED: &[SharedType] = &[SharedType {
    name: "Attachment",
    interfaces: &["Node"],
    fields: &[
        SharedField::event("id"),
        SharedField::event("kind"),
        SharedField::event("fileName"),
        SharedField::event("contentType"),
        SharedField::event("byteSize"),
        SharedField::event("width"),
        SharedField::event("height"),
        SharedField::event("url"),
        SharedField::event("thumbnailUrl"),
        SharedField::event("urlExpiresAt"),
    ],
}];

/// An image or another file.
#[derive(Clone)]
pub struct AttachmentNode(Arc<Attachment>);

/// An image or another file, of a message, or as the picture of a user or a group.
#[Object(name = "Attachment")]
impl AttachmentNode {
    /// The attachment's global id.
    pub(crate) async fn id(&self) -> ID {
        global_id(self.0.id)
    }

    /// What kind of attachment it is.
    async fn kind(&self) -> AttachmentKindEnum {
        self.0.kind().into()
    }

    /// What the file is called, at most 200 characters on one line.
    async fn file_name(&self) -> &str {
        self.0.file_name.as_str()
    }

    /// What the file is, as a media type: told by its content.
    async fn content_type(&self) -> &str {
        self.0.content_type.as_str()
    }

    /// How many bytes the file has.
    async fn byte_size(&self) -> i32 {
        i32::try_from(self.0.byte_size).unwrap_or(i32::MAX)
    }

    /// The width in pixels, of an image.
    async fn width(&self) -> Option<i32> {
        self.0.image.map(|image| int(image.width))
    }

    /// The height in pixels, of an image.
    async fn height(&self) -> Option<i32> {
        self.0.image.map(|image| int(image.height))
    }

    /// Where the file is. It needs no header, so that an `<img>` can show it. A path on this server
    /// where the server does not know its own address (`public_url`).
    async fn url(&self, ctx: &Context<'_>) -> String {
        self.urls(ctx).original
    }

    /// Where a smaller image is, of at most 800 × 600 pixels; null where it is no image.
    async fn thumbnail_url(&self, ctx: &Context<'_>) -> Option<String> {
        self.urls(ctx).thumbnail
    }

    /// Until when the URLs work. Ask again then.
    async fn url_expires_at(&self, ctx: &Context<'_>) -> DateTime {
        self.urls(ctx).expires_at.into()
    }
}

impl AttachmentNode {
    /// The node of an attachment.
    pub(crate) fn new(attachment: impl Into<Arc<Attachment>>) -> Self {
        Self(attachment.into())
    }

    fn urls(&self, ctx: &Context<'_>) -> Urls {
        ctx.services().attachments.urls(&self.0)
    }
}

/// The attachment that a record refers to; `None` where it is gone.
pub(crate) async fn load_attachment(
    ctx: &Context<'_>,
    attachment: Option<AttachmentId>,
) -> Result<Option<AttachmentNode>> {
    let Some(attachment) = attachment else {
        return Ok(None);
    };
    let found = ctx.loaders().load_one(attachment).await?;
    Ok(found.map(AttachmentNode::new))
}

/// The attachments that a record refers to, in their order. Those that are gone are left out.
pub(crate) async fn load_attachments(
    ctx: &Context<'_>,
    attachments: &[AttachmentId],
) -> Result<Vec<AttachmentNode>> {
    if attachments.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = ctx.loaders().load_many(attachments.to_vec()).await?;
    let in_order = attachments.iter().filter_map(|one| found.remove(one));
    Ok(in_order.map(AttachmentNode::new).collect())
}
