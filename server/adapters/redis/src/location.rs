//! Where Redis is, as the configuration writes it. Parses; connects to nothing.
//!
//! | URL | meaning |
//! |---|---|
//! | `redis://[user:password@]host[:6379][/db]` | one server |
//! | `redis+sentinel://[user:password@]host[:26379][,host…]/master-name[/db]` | the primary that these Sentinels name |
//! | `redis+cluster://[user:password@]host[:6379][,host…]` | a Cluster; some of its nodes are enough |
//!
//! `rediss://`, `rediss+sentinel://` and `rediss+cluster://` are the same over TLS; certificates
//! are checked against the system's trusted ones (`SSL_CERT_FILE` names others). A password alone
//! is written `:password@`. Where Sentinels want credentials of their own, they are the query's
//! `sentinel_username` and `sentinel_password`. What is not a letter or a digit in a name or a
//! password is percent-encoded.

use redis::io::tcp::TcpSettings;
use redis::{
    ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion, RedisConnectionInfo,
};
use secrecy::{ExposeSecret as _, SecretString};

use super::address::Address;

/// Redis' port, and that of Sentinels.
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// Why a Redis URL is refused. Never quotes it: what looks like a host may be half a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedisOpenError {
    /// No scheme that we know.
    #[error(
        "the Redis URL must begin with redis://, redis+sentinel:// or redis+cluster:// (rediss… for TLS)"
    )]
    Scheme,
    /// A host is missing or malformed.
    #[error(
        "the Redis URL must name hosts as host or host:port; percent-encode `@ : / ? #` in a password"
    )]
    Host,
    /// Several hosts where one is meant.
    #[error(
        "a redis:// URL names one host; several are written redis+cluster:// or redis+sentinel://"
    )]
    ManyHosts,
    /// A name or password is not percent-encoded.
    #[error("the user name or password in the Redis URL is not percent-encoded")]
    Credentials,
    /// No database number.
    #[error("the Redis URL's database must be a number, as in redis://host/0")]
    Database,
    /// A Cluster has one database.
    #[error("a Redis Cluster has no numbered databases: leave the path of the URL out")]
    ClusterDatabase,
    /// Sentinels know several primaries, each by name.
    #[error("a Sentinel URL must name the primary, as in redis+sentinel://host:26379/master-name")]
    MasterName,
    /// A query that we do not know, or a fragment.
    #[error(
        "the Redis URL has a query or fragment that is not known (sentinel_username and sentinel_password are)"
    )]
    Query,
    /// The key prefix would defeat the hash tags of keys.
    #[error("the Redis key prefix must not hold braces, spaces or control characters")]
    Prefix,
}

/// Who somebody is for a server.
#[derive(Clone, Debug, Default)]
pub(super) struct Credentials {
    username: Option<String>,
    password: Option<SecretString>,
}

impl Credentials {
    fn parse(text: &str) -> Option<Self> {
        let (username, password) = match text.split_once(':') {
            Some((username, password)) => (username, Some(password)),
            None => (text, None),
        };
        let username = decode(username)?;
        Some(Self {
            username: (!username.is_empty()).then_some(username),
            password: match password {
                Some(password) => Some(SecretString::from(decode(password)?)),
                None => None,
            },
        })
    }
}

/// How many servers there are, and who knows which of them to talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// One server.
    Standalone,
    /// The primary that Sentinels know by this name.
    Sentinel(String),
    /// A Cluster.
    Cluster,
}

/// Where Redis is.
#[derive(Clone, Debug)]
pub(super) struct Location {
    pub(super) layout: Layout,
    /// The server; the Sentinels; some of the Cluster's nodes.
    pub(super) addresses: Vec<Address>,
    pub(super) database: i64,
    tls: bool,
    credentials: Credentials,
    sentinel_credentials: Credentials,
}

impl Location {
    /// Parses a URL of one of the forms above.
    pub(super) fn parse(url: &SecretString) -> Result<Self, RedisOpenError> {
        let (scheme, rest) = url
            .expose_secret()
            .trim()
            .split_once("://")
            .ok_or(RedisOpenError::Scheme)?;
        let (tls, kind) = match scheme.strip_prefix("rediss") {
            Some(kind) => (true, kind),
            None => (
                false,
                scheme.strip_prefix("redis").ok_or(RedisOpenError::Scheme)?,
            ),
        };
        if rest.contains('#') {
            return Err(RedisOpenError::Query);
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let credentials = Credentials::parse(credentials).ok_or(RedisOpenError::Credentials)?;
        let default_port = if kind == "+sentinel" {
            SENTINEL_PORT
        } else {
            PORT
        };
        // Before the path: a password that is not encoded is told of by what looks like a host.
        let addresses = hosts
            .split(',')
            .map(|host| Address::parse(host, default_port).ok_or(RedisOpenError::Host))
            .collect::<Result<Vec<_>, _>>()?;
        let (layout, database) = match kind {
            "" => (Layout::Standalone, database(path)?),
            "+cluster" => match database(path) {
                Ok(0) => (Layout::Cluster, 0),
                _ => return Err(RedisOpenError::ClusterDatabase),
            },
            "+sentinel" => {
                let (name, path) = path.split_once('/').unwrap_or((path, ""));
                match decode(name) {
                    Some(name) if !name.is_empty() => (Layout::Sentinel(name), database(path)?),
                    _ => return Err(RedisOpenError::MasterName),
                }
            }
            _ => return Err(RedisOpenError::Scheme),
        };
        if layout == Layout::Standalone && addresses.len() > 1 {
            return Err(RedisOpenError::ManyHosts);
        }
        Ok(Self {
            sentinel_credentials: sentinel_credentials(query, &layout)?,
            layout,
            addresses,
            database,
            tls,
            credentials,
        })
    }

    /// Whether connections are encrypted.
    pub(super) const fn is_tls(&self) -> bool {
        self.tls
    }

    /// How to connect to a server of this deployment.
    pub(super) fn server(&self, address: &Address) -> Result<ConnectionInfo, redis::RedisError> {
        self.connection(address, &self.credentials, self.database)
    }

    /// How to connect to a Sentinel.
    pub(super) fn sentinel(&self, address: &Address) -> Result<ConnectionInfo, redis::RedisError> {
        self.connection(address, &self.sentinel_credentials, 0)
    }

    fn connection(
        &self,
        address: &Address,
        credentials: &Credentials,
        database: i64,
    ) -> Result<ConnectionInfo, redis::RedisError> {
        let (host, port) = (address.host.clone(), address.port);
        let address = if self.tls {
            ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let mut settings = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_db(database)
            .set_lib_name("talksy", env!("CARGO_PKG_VERSION"));
        if let Some(username) = &credentials.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &credentials.password {
            settings = settings.set_password(password.expose_secret());
        }
        Ok(address
            .into_connection_info()?
            .set_tcp_settings(TcpSettings::default().set_nodelay(true))
            .set_redis_settings(settings))
    }
}

fn database(path: &str) -> Result<i64, RedisOpenError> {
    match path.trim_end_matches('/') {
        "" => Ok(0),
        number => number
            .parse::<u16>()
            .map(i64::from)
            .map_err(|_| RedisOpenError::Database),
    }
}

fn sentinel_credentials(query: &str, layout: &Layout) -> Result<Credentials, RedisOpenError> {
    let mut credentials = Credentials::default();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').ok_or(RedisOpenError::Query)?;
        let value = decode(value).ok_or(RedisOpenError::Credentials)?;
        match name {
            "sentinel_username" => credentials.username = Some(value),
            "sentinel_password" => credentials.password = Some(SecretString::from(value)),
            _ => return Err(RedisOpenError::Query),
        }
    }
    let any = credentials.username.is_some() || credentials.password.is_some();
    if any && !matches!(layout, Layout::Sentinel(_)) {
        return Err(RedisOpenError::Query);
    }
    Ok(credentials)
}

/// Undoes percent-encoding (RFC 3986, section 2.1).
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (digits, tail) = rest.split_at_checked(2)?;
        let value = digit(digits[0])? * 16 + digit(digits[1])?;
        bytes.push(u8::try_from(value).ok()?);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
#[path = "location_tests.rs"]
mod tests;
