//! Why the keys cannot be used, with what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is no key file yet.
    #[error("{} does not exist: the server makes it on its first start", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file or its directory cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried: `read`, `write`, `lock` …
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Other users of the machine may read the file.
    #[error(
        "{} holds signing keys and is open to others (mode {mode:03o}): run `chmod 600 {}`, and \
         `talksy keys rotate --now` where somebody may have read it",
        path.display(), path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not a key file, or one of a later version. It is left as it is.
    #[error(
        "{} is not a key file this version can use: {reason}. It was left untouched. Bring it back \
         from a backup; or move it away to start with new keys, which makes every client refresh \
         its session and every sign-in code void",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it. Holds nothing secret.
        reason: String,
    },
}

impl KeyError {
    pub(super) fn missing(path: &Path) -> Self {
        Self::Missing {
            path: path.to_owned(),
        }
    }

    pub(super) fn corrupt(path: &Path, reason: impl Into<String>) -> Self {
        Self::Corrupt {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }

    /// Whether the place can be read and not written.
    pub(super) fn is_read_only(&self) -> bool {
        matches!(self, Self::Io { source, .. } if matches!(
            source.kind(),
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied
        ))
    }

    /// Whether the same file may be read the next time, as where the process has too many files open.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Io { source, .. } if !matches!(
            source.kind(),
            io::ErrorKind::PermissionDenied
                | io::ErrorKind::NotFound
                | io::ErrorKind::IsADirectory
                | io::ErrorKind::NotADirectory
        ))
    }

    /// For `map_err`: an I/O error of `action` on `path`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}
