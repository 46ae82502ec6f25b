//! Where the database is, and the client that reaches it.

use std::fmt;
use std::time::Duration;

use futures_util::FutureExt as _;
use mongodb::Client;
use mongodb::options::{
    Acknowledgment, ClientOptions, ConnectionString, DatabaseOptions, ReadConcern, ReadPreference,
    SelectionCriteria, WriteConcern,
};
use secrecy::{ExposeSecret as _, SecretString};

use super::MongoOptions;
use super::fault::Fault;

/// The database where the URL names none.
const DEFAULT_DATABASE: &str = "talksy";

/// How often the state of each server is asked for. What a paused server leaves hanging is let go
/// after this and the time to reach it.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Why a URL was not accepted. Nothing of the URL is repeated, since a password may stand anywhere
/// in one that is malformed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MongoOpenError {
    /// The URL is of something else.
    #[error("the MongoDB URL must begin with `mongodb://` or `mongodb+srv://`")]
    Scheme,
    /// It has no host, or something in it must be percent-encoded.
    #[error(
        "the MongoDB URL must have the form `mongodb://user:password@host:port/database?options`, \
         with special characters of the user and password percent-encoded"
    )]
    Malformed,
    /// An option is unknown or has a value that it cannot have.
    #[error("an option of the MongoDB URL is unknown or has a wrong value")]
    Options,
    /// The database's name.
    #[error("the database that the MongoDB URL names must be 1 to 63 letters, digits, `-` and `_`")]
    Database,
}

/// A parsed URL.
pub(super) struct Location {
    address: Address,
    database: String,
    tuning: Tuning,
}

enum Address {
    /// The hosts are known.
    Hosts(Box<ClientOptions>),
    /// A `mongodb+srv` URL, whose hosts the domain name service is asked for.
    Service(Box<ConnectionString>),
}

/// The part of the options that the client needs.
struct Tuning {
    reach_timeout: Duration,
    connections: u32,
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Location")
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

impl Location {
    /// Parses a URL. Connects to nothing.
    pub(super) fn parse(
        url: &SecretString,
        options: &MongoOptions,
    ) -> Result<Self, MongoOpenError> {
        let url = url.expose_secret();
        let Some((scheme @ ("mongodb" | "mongodb+srv"), rest)) = url.split_once("://") else {
            return Err(MongoOpenError::Scheme);
        };
        // What stands ahead of the options tells which part is wrong.
        let (hosts, _) = rest.split_once('?').unwrap_or((rest, ""));
        let bare = ConnectionString::parse(format!("{scheme}://{hosts}"));
        bare.map_err(|_| MongoOpenError::Malformed)?;
        let parsed = ConnectionString::parse(url).map_err(|_| MongoOpenError::Options)?;
        let database = parsed.default_database.clone();
        let database = database.unwrap_or_else(|| DEFAULT_DATABASE.to_owned());
        if !is_name(&database) {
            return Err(MongoOpenError::Database);
        }
        let address = if scheme == "mongodb+srv" {
            Address::Service(Box::new(parsed))
        } else {
            // With the hosts in the URL there is nothing to wait for.
            let parsed = ClientOptions::parse(parsed).into_future().now_or_never();
            let parsed = parsed.and_then(Result::ok).ok_or(MongoOpenError::Options)?;
            Address::Hosts(Box::new(parsed))
        };
        Ok(Self {
            address,
            database,
            tuning: Tuning {
                reach_timeout: options.reach_timeout,
                connections: options.connections,
            },
        })
    }

    /// The database's name.
    pub(super) fn database(&self) -> &str {
        &self.database
    }

    /// A client, which connects by itself and again whenever it must. Its own tasks end with it.
    pub(super) async fn client(&self) -> Result<Client, Fault> {
        let mut options = match &self.address {
            Address::Hosts(options) => options.as_ref().clone(),
            Address::Service(service) => ClientOptions::parse(service.as_ref().clone()).await?,
        };
        options.app_name.get_or_insert_with(|| "talksy".to_owned());
        options.server_selection_timeout = Some(self.tuning.reach_timeout);
        options.connect_timeout = Some(self.tuning.reach_timeout);
        options.heartbeat_freq = Some(HEARTBEAT);
        options.max_pool_size.get_or_insert(self.tuning.connections);
        Ok(Client::with_options(options)?)
    }
}

fn is_name(database: &str) -> bool {
    (1..=63).contains(&database.len())
        && database
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// What every command is sent with. The server gives up waiting for the majority after
/// `confirmation`; a write that was not confirmed by then may yet be.
pub(super) fn durable(confirmation: Duration) -> DatabaseOptions {
    let write = WriteConcern::builder()
        .w(Acknowledgment::Majority)
        .journal(true)
        .w_timeout(confirmation)
        .build();
    DatabaseOptions::builder()
        .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
        .read_concern(ReadConcern::majority())
        .write_concern(write)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Location, MongoOpenError> {
        Location::parse(&url.to_owned().into(), &MongoOptions::default())
    }

    #[test]
    fn the_path_names_the_database() {
        for (url, database) in [
            ("mongodb://db.example.org", "talksy"),
            ("mongodb://db.example.org/", "talksy"),
            ("mongodb://db.example.org/?replicaSet=rs0", "talksy"),
            (
                "mongodb://u:p%40ss@a:1,b:2/chat-1?tls=true&authSource=admin",
                "chat-1",
            ),
            ("mongodb+srv://u:p@cluster.example.org/prod", "prod"),
        ] {
            assert_eq!(parse(url).unwrap().database(), database);
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        let cases = [
            ("postgres://secret@host", "must begin with"),
            ("mongodb:/secret", "must begin with"),
            ("mongodb://", "must have the form"),
            ("mongodb://u:sec/ret@host", "must have the form"),
            ("mongodb://u:secret%zz@host", "must have the form"),
            ("mongodb://u:secret@host:port", "must have the form"),
            (
                "mongodb://host/?readConcernLevel=majority&w=secret&w=",
                "an option",
            ),
            ("mongodb://u:p@host/?secret", "an option"),
            ("mongodb://host/secr%C3%A9t", "the database"),
        ];
        for (url, expected) in cases {
            let error = parse(url).expect_err(url).to_string();
            assert!(error.contains(expected), "{url}: {error}");
            assert!(!error.contains("secr"), "{error}");
            assert_eq!(error.lines().count(), 1);
        }
        let shown = format!("{:?}", parse("mongodb://u:secret@host").unwrap());
        assert!(!shown.contains("secret"), "{shown}");
    }
}
