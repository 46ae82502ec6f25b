//! `server`: what this server is and can do.

use async_graphql::resolver_utils::EnumType as _;
use async_graphql::{Context, Object, SimpleObject};
use sha2::{Digest as _, Sha256};

use crate::error::ErrorCodeEnum;

/// What there is beyond what every server has. Names are never changed or given another meaning;
/// `docs/CLIENTS.md` says what each stands for.
const FEATURES: [&str; 27] = [
    "accountDeletion",
    "accountEvents",
    "attachments",
    "avatars",
    "batching",
    "blocking",
    "changes",
    "directChats",
    "export",
    "graphqlMultipart",
    "graphqlSse",
    "graphqlTransportWs",
    "graphqlWs",
    "groups",
    "markUnread",
    "mentions",
    "metadata",
    "moderation",
    "muteChat",
    "pins",
    "presence",
    "reactions",
    "readReceipts",
    "replies",
    "resume",
    "search",
    "typing",
];

/// What this server is and can do, for clients that meet older or newer ones.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(name = "Server")]
pub struct ServerObject {
    /// The server's version, as in its releases.
    version: &'static str,
    /// Changes with the schema: the first 16 hex digits of the SHA-256 of `/schema.graphql`.
    schema_hash: String,
    /// Stable names of what this server can do. A name that you do not know does no harm.
    features: Vec<&'static str>,
    /// All codes that `errors[].extensions.code` may have; listed here so that introspection shows
    /// them. A newer server may have more.
    error_codes: Vec<ErrorCodeEnum>,
}

impl ServerObject {
    /// This server, with this schema.
    pub(crate) fn new(sdl: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(sdl).into();
        let (start, _) = digest.split_first_chunk().unwrap_or((&[0; 8], &[]));
        let codes = ErrorCodeEnum::items().iter().map(|item| item.value);
        Self {
            version: env!("CARGO_PKG_VERSION"),
            schema_hash: format!("{:016x}", u64::from_be_bytes(*start)),
            features: FEATURES.to_vec(),
            error_codes: codes.collect(),
        }
    }
}

/// The query on the server itself.
#[derive(Default)]
pub struct ServerQuery;

#[Object]
impl ServerQuery {
    /// What this server is and can do. Needs no token.
    async fn server<'a>(&self, ctx: &Context<'a>) -> &'a ServerObject {
        ctx.data_unchecked()
    }
}
