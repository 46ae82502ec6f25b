//! Uploading attachments.

use async_graphql::{
    Context, ID, InputObject, InputValueError, InputValueResult, Object, Scalar, ScalarType,
    SimpleObject, Value,
};
use talksy_domain::attachments::FilePart;
use talksy_domain::error::Invalid;

use super::types::AttachmentNode;
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

/// A file part of a request by the
/// [GraphQL multipart request specification](https://github.com/jaydenseric/graphql-multipart-request-spec).
pub struct UploadScalar;

/// A file part of a request by the GraphQL multipart request specification.
#[Scalar(
    name = "Upload",
    specified_by_url = "https://github.com/jaydenseric/graphql-multipart-request-spec"
)]
impl ScalarType for UploadScalar {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) if text == FilePart::VARIABLE => Ok(Self),
            _ => Err(InputValueError::custom(
                "a file comes as a part of a `multipart/form-data` request",
            )),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(FilePart::VARIABLE.to_owned())
    }
}

/// A file, as a part of the request.
#[derive(InputObject)]
pub struct UploadAttachmentInput {
    /// The file. The part's `filename` says what it is called, its `Content-Type` what it is, as for
    /// `createUpload`.
    file: UploadScalar,
}

/// What was uploaded.
#[derive(SimpleObject)]
pub struct UploadAttachmentPayload {
    /// The attachment, which can be used.
    attachment: AttachmentNode,
}

/// Mutations of attachments.
#[derive(Default)]
pub struct AttachmentMutation;

#[Object]
impl AttachmentMutation {
    /// Uploads a file with the request itself, by the GraphQL multipart request specification: one file a
    /// request, which is read while it comes. What is not used within a day is deleted.
    async fn upload_attachment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The file.")] input: UploadAttachmentInput,
    ) -> Result<Option<UploadAttachmentPayload>> {
        let viewer = ctx.viewer()?;
        let UploadScalar = input.file;
        let file = ctx.data_opt::<FilePart>().and_then(FilePart::take);
        let file = file.ok_or_else(|| {
            let rule = "must be a file part of the request, which one field alone can take";
            Invalid::new("file", rule)
        })?;
        let attachments = &ctx.services().attachments;
        let received = attachments
            .receive_file(viewer, &file.file_name, &file.content_type, file.content)
            .await?;
        Ok(Some(UploadAttachmentPayload {
            attachment: AttachmentNode::new(received),
        }))
    }

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
