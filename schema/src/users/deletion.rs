//! `requestAccountDeletion` and `deleteAccount`.

use std::time::Duration;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use secrecy::ExposeSecret as _;

use crate::context::ContextExt as _;
use crate::error::Result;
use crate::scalars::global_id;

/// A code of its own is on its way: sign-in codes never delete.
#[derive(SimpleObject)]
pub struct RequestAccountDeletionPayload {
    /// For `deleteAccount`. Keep it secret: the mailed code is good only together with it, and only for
    /// this account.
    challenge: String,
    /// Seconds until the code expires.
    expires_in: i32,
    /// Seconds until another code may be asked for.
    resend_after: i32,
}

/// The proof that it is the user who deletes the account.
#[derive(InputObject)]
pub struct DeleteAccountInput {
    /// What `requestAccountDeletion` has answered.
    challenge: String,
    /// The digits that were mailed. Spaces do not matter.
    code: String,
}

/// The account is deleted.
#[derive(SimpleObject)]
pub struct DeleteAccountPayload {
    /// Whose it was. The id stays that of a deleted user.
    user_id: ID,
}

/// Mutations that end an account.
#[derive(Default)]
pub struct DeletionMutation;

#[Object]
impl DeletionMutation {
    /// Mails a code to delete the viewer's account with, to its address, at most one a minute.
    async fn request_account_deletion(
        &self,
        ctx: &Context<'_>,
    ) -> Result<Option<RequestAccountDeletionPayload>> {
        let sent = ctx.services().deletion.request(ctx.viewer()?).await?;
        let seconds = |span: Duration| i32::try_from(span.as_secs()).unwrap_or(i32::MAX);
        Ok(Some(RequestAccountDeletionPayload {
            challenge: sent.challenge.expose_secret().to_owned(),
            expires_in: seconds(sent.expires_in),
            resend_after: seconds(sent.resend_after),
        }))
    }

    /// Deletes the viewer's account for good. All its sessions end, its address is free at once, the
    /// user leaves all groups, and what they have written, reacted and uploaded is erased soon
    /// after; others see the changes on the lines of their chats.
    async fn delete_account(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The challenge and its code.")] input: DeleteAccountInput,
    ) -> Result<Option<DeleteAccountPayload>> {
        let viewer = ctx.viewer()?;
        let deletion = &ctx.services().deletion;
        let user = deletion
            .delete(viewer, &input.challenge, &input.code, ctx.client())
            .await?;
        Ok(Some(DeleteAccountPayload {
            user_id: global_id(user),
        }))
    }
}
