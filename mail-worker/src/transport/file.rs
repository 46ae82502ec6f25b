//! An outbox folder: each mail becomes a file `<job id>.eml`. Job ids sort by time.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use lettre::Message;
use talksy_domain::id::MailJobId;

use super::{SendError, Transport};

/// Writes mails to a folder.
#[derive(Clone, Debug)]
pub struct FileTransport(PathBuf);

impl FileTransport {
    /// A transport into this folder, which is made if it is not there, for its owner alone.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn new(outbox: impl Into<PathBuf>) -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let outbox = outbox.into();
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&outbox)?;
        Ok(Self(outbox))
    }
}

#[async_trait]
impl Transport for FileTransport {
    async fn send(&self, job: MailJobId, mail: &Message) -> Result<(), SendError> {
        let (folder, bytes) = (self.0.clone(), mail.formatted());
        let written = tokio::task::spawn_blocking(move || write(&folder, job, &bytes)).await;
        written
            .unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
            .map_err(|error| SendError::Transient(error.into()))
    }
}

/// Whoever sees the file sees all of it: it is written under another name and then renamed. The
/// same job writes the same file.
fn write(folder: &Path, job: MailJobId, bytes: &[u8]) -> std::io::Result<()> {
    let partial = folder.join(format!("{job}.partial"));
    // The mail holds a sign-in code, and the folder may have been made by somebody else.
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&partial, folder.join(format!("{job}.eml")))?;
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lettre::message::header::ContentType;

    #[tokio::test]
    async fn a_mail_becomes_one_file_however_often_it_is_sent() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = FileTransport::new(folder.path().join("outbox")).unwrap();
        let mail = Message::builder()
            .from("a@example.org".parse().unwrap())
            .to("b@example.org".parse().unwrap())
            .header(ContentType::TEXT_PLAIN)
            .body("hi".to_owned())
            .unwrap();
        let job = MailJobId::from_uuid(Default::default());
        outbox.send(job, &mail).await.unwrap();
        outbox.send(job, &mail).await.unwrap();
        let files: Vec<_> = std::fs::read_dir(folder.path().join("outbox"))
            .unwrap()
            .collect();
        assert_eq!(files.len(), 1);
        let text = std::fs::read_to_string(files[0].as_ref().unwrap().path()).unwrap();
        assert!(text.contains("To: b@example.org") && text.ends_with("hi"));
    }
}
