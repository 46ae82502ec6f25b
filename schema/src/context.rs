//! What resolvers find beside a request.

use async_graphql::Context;
use talksy_domain::error::ApiError;
use talksy_domain::services::Services;
use talksy_domain::viewer::{Authentication, ClientInfo, Viewer};

use crate::loaders::Loaders;

/// What a resolver finds beside the request.
pub(crate) trait ContextExt<'a> {
    /// The signed-in user.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, or why the credentials were refused.
    fn viewer(&self) -> Result<&'a Viewer, ApiError>;
    /// The services.
    fn services(&self) -> &'a Services;
    /// The request's loaders.
    fn loaders(&self) -> &'a Loaders;
    /// The client.
    fn client(&self) -> &'a ClientInfo;
}

impl<'a> ContextExt<'a> for Context<'a> {
    fn viewer(&self) -> Result<&'a Viewer, ApiError> {
        self.data_unchecked::<Authentication>().viewer()
    }

    fn services(&self) -> &'a Services {
        self.data_unchecked()
    }

    fn loaders(&self) -> &'a Loaders {
        self.data_unchecked()
    }

    fn client(&self) -> &'a ClientInfo {
        self.data_unchecked()
    }
}
