//! Where objects are, and how they are read and deleted.

use std::io;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, Error, GetOptions, GetRange, ObjectStore as Driver,
    ObjectStoreExt as _, RetryConfig,
};
use secrecy::{ExposeSecret as _, SecretString};
use talksy_domain::attachments::{ObjectBytes, ObjectKey, ObjectStore, ObjectWriter};
use talksy_domain::error::PortError;
use talksy_domain::id::AttachmentId;
use tokio::time::timeout;
use url::Url;

use crate::writer::Writer;

/// The name of the store in errors.
const BACKEND: &str = "store of attachments";

/// How many bytes are written to a file at once.
const FILE_PIECE: usize = 256 * 1024;

/// How many bytes are sent to S3 at once: the least that it takes of an object in parts.
const S3_PIECE: usize = 5 * 1024 * 1024;

/// How long a call may take, of a read until its first bytes.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a piece may take to be written, which may have a thin line to S3.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How often S3 is asked again after it was down or too busy.
const RETRIES: usize = 2;

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// The folder cannot be made or used.
    #[error("cannot use the folder {}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The URL names no bucket.
    #[error("it is no URL such as `s3://bucket` or `s3://bucket/prefix`")]
    Url,
    /// The driver does not take the settings.
    #[error(transparent)]
    Driver(#[from] Error),
}

/// How a store that speaks the protocol of S3 is reached.
#[derive(Clone, Debug)]
pub struct S3Options {
    /// Its URL; `None` for Amazon's.
    pub endpoint: Option<String>,
    /// The bucket's region.
    pub region: String,
    /// The key's id and its secret; `None` for what the machine's role gives.
    pub credentials: Option<(String, SecretString)>,
    /// Whether the bucket's name is a part of the host's.
    pub is_virtual_hosted: bool,
}

/// Where the objects of attachments are. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Objects {
    driver: Arc<dyn Driver>,
    /// What all names begin with.
    prefix: Path,
    /// The folder, where they are in one.
    folder: Option<PathBuf>,
    /// How many bytes are written at once.
    piece: usize,
}

impl Objects {
    /// In a folder, made where there is none, for the server's user alone.
    ///
    /// # Errors
    /// [`ObjectsError::Folder`].
    pub fn in_folder(folder: &FilePath) -> Result<Self, ObjectsError> {
        let failed = |source| ObjectsError::Folder {
            path: folder.to_owned(),
            source,
        };
        make_private(folder).map_err(failed)?;
        let folder = folder.canonicalize().map_err(failed)?;
        // What is answered is on the disk.
        let driver = LocalFileSystem::new_with_prefix(&folder)?.with_fsync(true);
        Ok(Self {
            driver: Arc::new(driver),
            prefix: Path::default(),
            folder: Some(folder),
            piece: FILE_PIECE,
        })
    }

    /// In the bucket of a URL: `s3://bucket`, or `s3://bucket/prefix`. Nothing is connected yet.
    ///
    /// # Errors
    /// [`ObjectsError::Url`], or where the options do not fit.
    pub fn in_bucket(url: &str, options: &S3Options) -> Result<Self, ObjectsError> {
        // The driver takes the process's default; another part of it may have set the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = Url::parse(url).map_err(|_| ObjectsError::Url)?;
        let bucket = url.host_str().filter(|_| url.scheme() == "s3");
        let bucket = bucket.ok_or(ObjectsError::Url)?;
        let prefix = Path::from_url_path(url.path()).map_err(|_| ObjectsError::Url)?;
        let client = ClientOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_read_timeout(WRITE_TIMEOUT)
            .with_timeout_disabled();
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(&options.region)
            .with_virtual_hosted_style_request(options.is_virtual_hosted)
            .with_retry(RetryConfig {
                backoff: BackoffConfig::default(),
                max_retries: RETRIES,
                retry_timeout: CALL_TIMEOUT / 2,
            });
        let mut is_plain = false;
        if let Some(endpoint) = &options.endpoint {
            is_plain = endpoint.starts_with("http://");
            builder = builder.with_endpoint(endpoint);
        }
        if let Some((id, secret)) = &options.credentials {
            builder = builder
                .with_access_key_id(id)
                .with_secret_access_key(secret.expose_secret());
        }
        let driver = builder
            .with_client_options(client.with_allow_http(is_plain))
            .build()?;
        Ok(Self {
            driver: Arc::new(driver),
            prefix,
            folder: None,
            piece: S3_PIECE,
        })
    }

    fn path(&self, inside: &str) -> Path {
        let parts = inside.split('/');
        parts.fold(self.prefix.clone(), Path::join)
    }
}

#[cfg(unix)]
fn make_private(folder: &FilePath) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

#[cfg(not(unix))]
fn make_private(folder: &FilePath) -> io::Result<()> {
    std::fs::create_dir_all(folder)
}

/// A call of the driver within its time. `None` where there is no such object.
pub(crate) async fn call<T>(
    work: impl Future<Output = Result<T, Error>>,
) -> Result<Option<T>, PortError> {
    within(CALL_TIMEOUT, work).await
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<Option<T>, PortError> {
    match timeout(limit, work).await {
        Ok(Ok(value)) => Ok(Some(value)),
        Ok(Err(Error::NotFound { .. })) => Ok(None),
        Ok(Err(error)) => Err(unavailable(error)),
        Err(elapsed) => Err(PortError::unavailable(BACKEND, elapsed)),
    }
}

/// The same, of what cannot be missing.
pub(crate) async fn write<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, PortError> {
    let missing = || PortError::unavailable(BACKEND, "what was being written is gone");
    within(WRITE_TIMEOUT, work).await?.ok_or_else(missing)
}

fn unavailable(error: Error) -> PortError {
    PortError::unavailable(BACKEND, error)
}

#[async_trait]
impl ObjectStore for Objects {
    async fn create(&self, key: ObjectKey) -> Result<Box<dyn ObjectWriter>, PortError> {
        let path = self.path(&key.to_string());
        Ok(Box::new(Writer::new(
            Arc::clone(&self.driver),
            path,
            self.piece,
        )))
    }

    async fn read(
        &self,
        key: ObjectKey,
        range: Range<u64>,
    ) -> Result<Option<ObjectBytes>, PortError> {
        let path = self.path(&key.to_string());
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let found = call(self.driver.get_opts(&path, options)).await?;
        Ok(found.map(|found| found.into_stream().map_err(unavailable).boxed()))
    }

    async fn delete(&self, key: ObjectKey) -> Result<(), PortError> {
        let path = self.path(&key.to_string());
        call(self.driver.delete(&path)).await?;
        Ok(())
    }

    async fn erase(&self, attachment: AttachmentId) -> Result<(), PortError> {
        if let Some(folder) = &self.folder {
            // With what a process that died has left unfinished, which the driver does not show.
            return match tokio::fs::remove_dir_all(folder.join(attachment.to_string())).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(PortError::unavailable(BACKEND, error))
                }
                _ => Ok(()),
            };
        }
        let below = self.path(&attachment.to_string());
        let mut found = self.driver.list(Some(&below));
        while let Some(object) = call(found.try_next()).await?.flatten() {
            call(self.driver.delete(&object.location)).await?;
        }
        Ok(())
    }
}
