//! The seam between the transports and what they serve. Implementations know the schema and the
//! adapters; the transports know only this.

use std::any::Any;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use talksy_domain::attachments::{Located, ObjectBytes, Presented, Upload};
use talksy_domain::clock::Timestamp;
use talksy_domain::error::ApiError;
use talksy_domain::exports::Entries;
use talksy_domain::viewer::Viewer;

use crate::graphql::{Answer, Payload, Prepared, Start};

/// How often keys had been revoked at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyEpoch(pub u64);

/// What the transports need from the application behind them.
#[async_trait]
pub trait Application: Send + Sync + 'static {
    /// How often keys were revoked so far. Asked ahead of a proof, and told to
    /// [`revoked`](Self::revoked), so that none is missed in between.
    fn key_epoch(&self) -> KeyEpoch;

    /// Proves a bearer token.
    ///
    /// # Errors
    /// `TOKEN_EXPIRED`, `UNAUTHENTICATED`, or `UNAVAILABLE` where a backend is down.
    async fn authenticate(&self, token: &str) -> Result<Viewer, ApiError>;

    /// Why an operation of any kind cannot be executed, as its document does not fit the schema;
    /// `None` where it does, or where executing it is refused for what it costs.
    async fn refusal(&self, prepared: &mut Prepared) -> Option<Answer>;

    /// Executes a query or mutation, once its user has a turn for it. `None` where it was given up before
    /// it began.
    async fn execute(&self, prepared: Prepared, start: Start) -> Option<Answer>;

    /// Runs a subscription: its serialized payloads, in order.
    fn subscribe(&self, prepared: Prepared) -> BoxStream<'static, Payload>;

    /// Receives what is put at the URL of an upload. `length` is what the client says of it.
    ///
    /// # Errors
    /// Where the URL is not good, or what comes is not what was announced.
    async fn receive_upload(
        &self,
        presented: Presented,
        length: Option<u64>,
        upload: Upload,
    ) -> Result<(), ApiError>;

    /// How long an upload may take.
    fn upload_timeout(&self) -> Duration;

    /// The most bytes of an upload, of whatever type.
    fn largest_upload(&self) -> u64;

    /// What the URL of an attachment leads to.
    ///
    /// # Errors
    /// Where the URL is not good, or nothing is there.
    async fn locate_attachment(&self, presented: Presented) -> Result<Located, ApiError>;

    /// This part of what was located.
    ///
    /// # Errors
    /// Where nothing is there any more, or a backend is down.
    async fn read_attachment(
        &self,
        located: &Located,
        range: Range<u64>,
    ) -> Result<ObjectBytes, ApiError>;

    /// Begins the archive of all that is the viewer's own. It is made as it is taken.
    ///
    /// # Errors
    /// Where the viewer has had too many, or a backend is down.
    async fn export(&self, viewer: &Viewer) -> Result<Entries, ApiError>;

    /// Called once a socket or event stream is acknowledged for a viewer: the user is online
    /// until the guard is dropped.
    fn connected(&self, viewer: &Viewer) -> Box<dyn Any + Send>;

    /// Resolves when the viewer's session has been revoked.
    ///
    /// # Errors
    /// `TOKEN_EXPIRED` where keys were revoked since the epoch ahead of the viewer's proof.
    /// `UNAVAILABLE` where its end would not be heard, because a backend is down. The session goes
    /// on.
    fn revoked(&self, viewer: &Viewer, since: KeyEpoch)
    -> BoxFuture<'static, Result<(), ApiError>>;

    /// Which parts keep requests from being served, as far as strangers are told; none where they
    /// can be. Asks nobody.
    fn unready(&self) -> Vec<String>;

    /// The public keys of access tokens, as a JSON Web Key Set.
    fn jwks(&self) -> String;

    /// The schema in the GraphQL schema language. Read once, when the router is built.
    fn sdl(&self) -> String;

    /// A new id for a request: letters and digits, never the same twice.
    fn request_id(&self) -> String;

    /// A new secret, which nobody guesses: letters and digits.
    fn secret(&self) -> String;

    /// The present time, by the application's clock.
    fn now(&self) -> Timestamp;
}
