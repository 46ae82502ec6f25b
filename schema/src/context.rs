//! What resolvers find beside a request.

use async_graphql::Context;
use talksy_domain::error::ApiError;
use talksy_domain::events::Hole;
use talksy_domain::services::Services;
use talksy_domain::viewer::{Authentication, ClientInfo, Viewer};

use crate::loaders::Loaders;
use crate::sharing::Recorder;

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
    /// Whether this is executed for all viewers. Then the field is noted as a hole, and any value
    /// stands in for the viewer's own.
    fn is_hole(&self, hole: Hole) -> bool;
    /// Whether this is executed for all viewers: then the object's fields are noted as holes.
    fn is_for_all(&self) -> bool;
}

impl<'a> ContextExt<'a> for Context<'a> {
    fn viewer(&self) -> Result<&'a Viewer, ApiError> {
        if let Some(recorder) = self.data_opt::<Recorder>() {
            recorder.give_up();
        }
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

    fn is_hole(&self, hole: Hole) -> bool {
        let recorder = self.data_opt::<Recorder>();
        if let Some(recorder) = recorder {
            recorder.note(self.path_node.as_ref(), hole);
        }
        recorder.is_some()
    }

    fn is_for_all(&self) -> bool {
        self.data_opt::<Recorder>().is_some()
    }
}
