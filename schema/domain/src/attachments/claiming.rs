//! Who uses an attachment: a claim ahead of the write that uses it, so that of two who would use one
//! attachment one succeeds, and so that no crash between the two leaves bytes that nobody erases.

use super::error::AttachmentError;
use super::model::{Attachment, AttachmentKind, AttachmentState, MAX_ATTACHMENTS, UsedBy};
use super::service::AttachmentService;
use crate::error::{Invalid, PortError};
use crate::id::{AttachmentId, MessageId};
use crate::viewer::Viewer;

/// How often a claim that has met another is tried anew.
const CLAIM_TRIES: usize = 4;

/// What came of claiming attachments.
#[derive(Clone, Debug)]
pub(crate) enum Claim {
    /// They are claimed.
    Done(Vec<Attachment>),
    /// All of them were claimed for this message before: somebody tries again.
    Before(MessageId, Vec<Attachment>),
}

impl AttachmentService {
    /// Claims attachments of the viewer, all or none, so that nobody else uses them.
    ///
    /// # Errors
    /// Where one is named twice, is not the viewer's, was not received or is used; or there are too
    /// many.
    pub(crate) async fn claim(
        &self,
        viewer: &Viewer,
        wanted: &[AttachmentId],
        by: UsedBy,
        field: &(dyn Fn(usize) -> String + Sync),
    ) -> Result<Claim, AttachmentError> {
        for _ in 0..CLAIM_TRIES {
            let found = self.store.attachments(wanted).await?;
            let mut claimed = Vec::with_capacity(wanted.len());
            let mut before = Vec::new();
            for (place, id) in wanted.iter().enumerate() {
                let one = found
                    .iter()
                    .find(|one| one.id == *id && one.owner_id == viewer.user_id)
                    .ok_or_else(|| AttachmentError::Unknown(field(place)))?;
                match (one.state, one.used_by) {
                    (AttachmentState::Awaited, _) => {
                        return Err(AttachmentError::Awaited(field(place)));
                    }
                    (AttachmentState::Erasing, _) => {
                        return Err(AttachmentError::Unknown(field(place)));
                    }
                    (AttachmentState::Ready, _) => claimed.push(one.claimed(by, self.clock.now())),
                    (_, Some(UsedBy::Message(message))) => before.push((message, one.clone())),
                    (_, _) => return Err(AttachmentError::InUse(field(place))),
                }
            }
            if let Some((message, _)) = before.first() {
                let message = *message;
                let is_same = before.iter().all(|(other, _)| *other == message);
                if !is_same || !claimed.is_empty() {
                    return Err(AttachmentError::InUse(field(0)));
                }
                let before = before.into_iter().map(|(_, one)| one).collect();
                return Ok(Claim::Before(message, before));
            }
            let taken = self.store.advance(&claimed).await?;
            if taken.len() == claimed.len() {
                return Ok(Claim::Done(claimed));
            }
            // Somebody else was faster with one of them.
            claimed.retain(|one| taken.contains(&one.id));
            self.release(&claimed).await?;
        }
        Err(AttachmentError::InUse(field(0)))
    }

    /// Claims for a message once more what a first try has claimed for it, so that the first one, should it
    /// still run and be refused, gives none of it back. False where that has happened, or they are used
    /// already.
    pub(crate) async fn claim_again(&self, claimed: &[Attachment]) -> Result<bool, PortError> {
        let now = self.clock.now();
        let again = |one: &Attachment| {
            let is_claimed = one.state == AttachmentState::Claimed;
            Some(one.claimed(one.used_by.filter(|_| is_claimed)?, now))
        };
        let Some(again) = claimed.iter().map(again).collect::<Option<Vec<_>>>() else {
            return Ok(false);
        };
        Ok(self.store.advance(&again).await?.len() == again.len())
    }

    /// Whoever has claimed attachments uses them. It may fail: what is only claimed is looked at later.
    pub(crate) async fn settle(&self, claimed: &[Attachment]) {
        let now = self.clock.now();
        let used: Vec<_> = claimed.iter().map(|one| one.used(now)).collect();
        if used.is_empty() {
            return;
        }
        if let Err(error) = self.store.advance(&used).await {
            tracing::debug!(%error, "the use of attachments was not noted");
        }
    }

    /// Nobody uses what was claimed.
    pub(crate) async fn release(&self, claimed: &[Attachment]) -> Result<(), PortError> {
        let now = self.clock.now();
        let free: Vec<_> = claimed.iter().map(|one| one.released(now)).collect();
        if !free.is_empty() {
            self.store.advance(&free).await?;
        }
        Ok(())
    }

    /// Claims a picture of the viewer in the place of `present`, and claims that one too, so that an hour
    /// later the sweep erases whichever of them is not the picture. What was claimed anew is to be
    /// released where the picture is not changed.
    ///
    /// # Errors
    /// As [`Self::claim`], and where it is no image.
    pub(crate) async fn claim_picture(
        &self,
        viewer: &Viewer,
        wanted: Option<AttachmentId>,
        present: Option<AttachmentId>,
        by: UsedBy,
    ) -> Result<Vec<Attachment>, AttachmentError> {
        const FIELD: &str = "avatarId";
        if wanted == present {
            return Ok(Vec::new());
        }
        let mut claimed = Vec::new();
        if let Some(wanted) = wanted {
            let field = |_| FIELD.to_owned();
            claimed = match self.claim(viewer, &[wanted], by, &field).await? {
                Claim::Done(claimed) => claimed,
                Claim::Before(..) => return Err(AttachmentError::InUse(FIELD.to_owned())),
            };
            if claimed
                .iter()
                .any(|one| one.kind() != AttachmentKind::Image)
            {
                self.release(&claimed).await?;
                return Err(Invalid::new(FIELD, "must be an image").into());
            }
        }
        if let Some(present) = present {
            let now = self.clock.now();
            let found = self.store.attachments(&[present]).await?.into_iter();
            let former: Vec<_> = found
                .filter(|one| one.used_by == Some(by))
                .map(|one| one.claimed(by, now))
                .collect();
            self.store.advance(&former).await?;
        }
        Ok(claimed)
    }
}

/// At most [`MAX_ATTACHMENTS`], each once.
///
/// # Errors
/// [`Invalid`], which names the field `attachmentIds`, or the place in it.
pub(crate) fn check_list(wanted: &[AttachmentId]) -> Result<(), Invalid> {
    if wanted.len() > MAX_ATTACHMENTS {
        let rule = format!("must name at most {MAX_ATTACHMENTS} attachments");
        return Err(Invalid::new("attachmentIds", rule));
    }
    let is_again = |(place, id): &(usize, &AttachmentId)| wanted[..*place].contains(*id);
    match wanted.iter().enumerate().find(is_again) {
        Some((place, _)) => Err(Invalid::new(
            format!("attachmentIds.{place}"),
            "must not name an attachment a second time",
        )),
        None => Ok(()),
    }
}
