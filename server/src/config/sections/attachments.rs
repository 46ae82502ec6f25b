//! What may be attached, and how the store of its bytes is used. Where that is says `objects_url`.

use std::time::Duration;

use secrecy::SecretString;
use talksy_domain::attachments::ContentType;

use crate::config::duration::{DAY, HOUR, MINUTE};
use crate::config::section::section;
use crate::config::values::{is_document_type, is_endpoint};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

section! {
    /// Attachments: images and files that users give to messages, and pictures of themselves and groups.
    pub struct AttachmentsConfig {
        /// The documents that may be attached besides images (JPEG, PNG, GIF and WebP, which always
        /// may), by their media type. What a file is, is told by its content. Besides the default ones
        /// these are recognised: office documents (ODF and OOXML), `audio/mpeg`,
        /// `audio/ogg`, `video/mp4` and `video/webm`.
        documents: Vec<String> = ["application/pdf", "application/zip", "text/plain"]
                .map(str::to_owned).to_vec(),
            must "be media types that are recognised, such as `application/pdf`" =>
                |config| config.documents.iter().all(|name| is_document_type(name));
        /// Largest image, as it is sent, in bytes.
        max_image_bytes: u64 = 5 * MIB, in KIB..=100 * MIB;
        /// Largest file of another kind, in bytes.
        max_file_bytes: u64 = 25 * MIB, in KIB..=5 * 1024 * MIB;
        /// Most bytes of all attachments of one user together, which messages or profiles use or which
        /// were just uploaded. Deleting a message makes room. One upload more is refused with
        /// `CONFLICT`, which says how many bytes are left.
        max_user_bytes: u64 = 10 * 1024 * MIB, in MIB..=1 << 50;
        /// Most pixels of an image. One that is decoded takes up to 24 bytes for each of them.
        max_image_pixels: u64 = 25_000_000, in 10_000..=500_000_000;
        /// How many images are decoded at the same time. Further ones wait.
        image_workers: usize = 2, in 1..=64;
        /// How long an upload may take, and how long the URL works at which it is put.
        upload_timeout: Duration = 15 * MINUTE, in MINUTE..=DAY;
        /// How long an attachment is kept that no message and no profile uses.
        unused_for: Duration = DAY, in HOUR..=365 * DAY,
            must "not be shorter than `attachments.upload_timeout`" =>
                |config| config.unused_for >= config.upload_timeout;
    }
}

impl AttachmentsConfig {
    /// The documents that may be attached.
    pub(crate) fn document_types(&self) -> Vec<ContentType> {
        let names = self.documents.iter();
        names.filter_map(|name| ContentType::parse(name)).collect()
    }
}

section! {
    /// How a store that speaks the protocol of Amazon S3 is used, where `objects_url` names one.
    pub struct ObjectsConfig {
        /// The URL of the store. Without it: Amazon's.
        endpoint: Option<String> = None, such as "https://s3.example.org",
            must "be a URL such as `https://s3.example.org`" =>
                |objects| objects.endpoint.as_deref().is_none_or(is_endpoint);
        /// The region of the bucket.
        region: String = "us-east-1".to_owned(),
            must "not be empty" => |objects| !objects.region.is_empty();
        /// The id of the key that opens the bucket. Without it: what the role of the machine gives.
        access_key_id: Option<String> = None, such as "AKIAIOSFODNN7EXAMPLE",
            must "be set together with `objects.secret_access_key`" =>
                |objects| objects.access_key_id.is_some() == objects.secret_access_key.is_some();
        /// The secret of that key. Consider giving it as `TALKSY_OBJECTS__SECRET_ACCESS_KEY`.
        secret_access_key: Option<SecretString> = None, such as "the secret of the key";
        /// Whether the bucket's name is a part of the host's (`bucket.s3.example.org`) and not of the
        /// path.
        virtual_hosted: bool = false;
    }
}
