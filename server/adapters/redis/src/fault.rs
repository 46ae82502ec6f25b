//! What can go wrong with Redis, and the one place where it becomes a [`PortError`].

use std::error::Error as StdError;

use redis::{ErrorKind, RedisError, ServerErrorKind};
use talksy_domain::error::{PortError, chain};

/// A failure inside the adapters.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The driver's or the server's own error.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// The answer did not come in time.
    #[error("Redis did not answer in time")]
    TimedOut,
    /// A moment ago the server could not be reached. Callers are not made to wait for it each.
    #[error("Redis could not be reached a moment ago")]
    Down(#[source] Box<Fault>),
    /// Nobody serves this key.
    #[error("no node of the Redis Cluster serves slot {0}")]
    NoNode(u16),
    /// What answers at a primary's address follows another server.
    #[error("this Redis is a replica, on which nothing can be written")]
    Replica,
    /// Not one Sentinel knows a primary of that name.
    #[error("no Sentinel names a primary that can be reached")]
    NoPrimary,
    /// Redis sent the client from node to node.
    #[error("the Redis Cluster is moving slots")]
    Moving,
    /// The server answered what no version of it should.
    #[error("Redis answered {0}")]
    Answer(&'static str),
    /// The adapters were closed, or have not been started.
    #[error("the bus is closed")]
    Closed,
}

impl Fault {
    /// As the port's error.
    pub(super) fn port(self, backend: &'static str) -> PortError {
        match self.kind() {
            Some(ErrorKind::UnexpectedReturnType | ErrorKind::Parse) => {
                PortError::corrupt(backend, self)
            }
            // A key of ours that holds something else.
            Some(ErrorKind::Extension) if self.code() == Some("WRONGTYPE") => {
                PortError::corrupt(backend, self)
            }
            _ if matches!(self, Self::Answer(_)) => PortError::corrupt(backend, self),
            _ => PortError::unavailable(backend, self),
        }
    }

    /// The driver's kind of error.
    pub(super) fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Redis(error) => Some(error.kind()),
            Self::Down(cause) => cause.kind(),
            _ => None,
        }
    }

    /// The server's error code.
    pub(super) fn code(&self) -> Option<&str> {
        match self {
            Self::Redis(error) => error.code(),
            Self::Down(cause) => cause.code(),
            _ => None,
        }
    }

    pub(super) fn is(&self, kind: ServerErrorKind) -> bool {
        matches!(self, Self::Redis(error) if error.kind() == ErrorKind::Server(kind))
    }

    /// Whether the connection it came over is of no use any more.
    pub(super) fn breaks_connection(&self) -> bool {
        match self {
            Self::Redis(error) => {
                error.is_unrecoverable_error() || error.is_io_error() || self.is_of_replica()
            }
            Self::TimedOut | Self::Replica => true,
            _ => false,
        }
    }

    /// Whether the server has become a replica, or was one. Its name may be another server's by now, to
    /// which a new connection leads.
    pub(super) fn is_of_replica(&self) -> bool {
        matches!(self, Self::Replica) || self.is(ServerErrorKind::ReadOnly)
    }

    /// Whether the answer was waited for in vain.
    pub(super) fn is_timeout(&self) -> bool {
        match self {
            Self::Redis(error) => error.is_timeout(),
            Self::TimedOut => true,
            _ => false,
        }
    }

    /// Whether there was no answer at all.
    pub(super) fn is_absence(&self) -> bool {
        self.breaks_connection() || matches!(self, Self::Down(_))
    }

    /// Whether another server may be the right one by now.
    pub(super) fn doubts_map(&self) -> bool {
        self.is_absence()
            || matches!(self, Self::NoNode(_))
            || [
                ServerErrorKind::Moved,
                ServerErrorKind::ClusterDown,
                ServerErrorKind::MasterDown,
            ]
            .into_iter()
            .any(|kind| self.is(kind))
    }
}

/// Why Redis cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// It is not there yet, or not ready. Trying again may succeed.
    #[error("Redis is not available")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
    /// The user name or password is refused.
    #[error("Redis refuses the user name or password")]
    Credentials(#[source] Box<dyn StdError + Send + Sync>),
    /// The user may not do what is needed.
    #[error(
        "the Redis user needs the commands of @scripting, @sortedset, @hash, @string, @pubsub, @keyspace and @connection on the keys and channels of the prefix"
    )]
    Permission(#[source] Box<dyn StdError + Send + Sync>),
    /// The server is too old.
    #[error("Redis 7 or newer is needed; this is version {0}")]
    TooOld(String),
    /// The URL's form is of another kind of deployment.
    #[error("the Redis URL does not fit the server: {0}")]
    Layout(&'static str),
    /// The server's certificate is not trusted.
    #[error("the Redis server's certificate is not trusted")]
    Certificate(#[source] Box<dyn StdError + Send + Sync>),
}

impl PrepareError {
    /// Whether trying again later may succeed without anybody changing anything.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<Fault> for PrepareError {
    fn from(fault: Fault) -> Self {
        let kind = fault.kind();
        if matches!(kind, Some(ErrorKind::AuthenticationFailed))
            || matches!(fault.code(), Some("WRONGPASS" | "NOAUTH"))
        {
            return Self::Credentials(fault.into());
        }
        if kind == Some(ErrorKind::Server(ServerErrorKind::NoPerm)) {
            return Self::Permission(fault.into());
        }
        if kind == Some(ErrorKind::RESP3NotSupported) {
            return Self::TooOld("5 or older".to_owned());
        }
        // The driver hides what it is but in its text.
        if chain(&fault).contains("invalid peer certificate") {
            return Self::Certificate(fault.into());
        }
        Self::Unavailable(fault.into())
    }
}
