//! Uploading attachments.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use crate::context::ContextExt as _;
use crate::error::Result;
use crate::scalars::{DateTime, global_id};

/// A file that is to be uploaded.
#[derive(InputObject)]
pub struct CreateUploadInput {
    /// What the file is called. Folders, control characters and invisible ones are left out.
    file_name: String,
    /// What the file is, as a media type: `image/jpeg`, `image/png`, `image/gif`, `image/webp`, or a
    /// document that the server allows. Its content has to be that.
    content_type: String,
    /// How many bytes it has: at most 5 MiB of an image and 25 MiB of another file, unless the server
    /// is configured otherwise.
    byte_size: i32,
}

/// Where to put the bytes of the file.
#[derive(SimpleObject)]
pub struct CreateUploadPayload {
    /// Send the bytes there by `PUT`, as they are and without credentials. The answer comes when they
    /// have been inspected.
    url: String,
    /// Until when the URL works.
    expires_at: DateTime,
    /// The attachment's global id: it can be used once its bytes have been inspected.
    attachment_id: ID,
}

/// Mutations of attachments.
#[derive(Default)]
pub struct AttachmentMutation;

#[Object]
impl AttachmentMutation {
    /// Announces a file that is to be uploaded. What is not used within a day is deleted.
    async fn create_upload(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The file.")] input: CreateUploadInput,
    ) -> Result<Option<CreateUploadPayload>> {
        let viewer = ctx.viewer()?;
        let attachments = &ctx.services().attachments;
        let announced = attachments
            .announce(
                viewer,
                &input.file_name,
                &input.content_type,
                input.byte_size.into(),
            )
            .await?;
        Ok(Some(CreateUploadPayload {
            url: announced.url,
            expires_at: announced.expires_at.into(),
            attachment_id: global_id(announced.attachment.id),
        }))
    }
}
