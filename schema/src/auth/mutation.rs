//! Signing in and out.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use secrecy::ExposeSecret as _;
use talksy_domain::auth::SignedIn;
use talksy_domain::id;
use talksy_domain::mail::EmailAddress;

use super::types::SessionNode;
use crate::context::ContextExt as _;
use crate::error::Result;
use crate::scalars::{DateTime, global_id};
use crate::users::UserNode;

/// Whom to send a sign-in code.
#[derive(InputObject)]
pub struct LoginInput {
    /// The mail address. Case and spaces around it do not matter.
    email: String,
    /// From an earlier sign-in on this device: strangers cannot use up its share of the limits. One
    /// that is not valid, or another address's, counts as none.
    device_token: Option<String>,
}

/// A code is on its way. The answer is the same whether or not there is an account.
#[derive(SimpleObject)]
pub struct LoginPayload {
    /// For `verifyOtp`. Keep it secret: the mailed code is good only together with it. Others that
    /// were asked for before stay good, each with its own code.
    challenge: String,
    /// How many digits the code has: 6, more where an address is under attack.
    code_length: i32,
    /// Seconds until the code expires.
    expires_in: i32,
    /// Seconds until another code may be asked for.
    resend_after: i32,
}

/// A sign-in code to exchange for a session.
#[derive(InputObject)]
pub struct VerifyOtpInput {
    /// What `login` has answered.
    challenge: String,
    /// The digits that were mailed. Spaces do not matter.
    code: String,
}

/// A refresh token to exchange for fresh tokens.
#[derive(InputObject)]
pub struct RefreshSessionInput {
    /// The session's current refresh token. It is good for one use. Where the answer was lost, it is
    /// answered with the same new one again, for a minute and while that is unused; using it later
    /// ends the session.
    refresh_token: String,
}

/// A session with fresh tokens.
pub struct AuthPayload(SignedIn);

/// A session with fresh tokens.
#[Object]
impl AuthPayload {
    /// For `login`. Keep it on the device, also after signing out. It gives no access.
    async fn device_token(&self) -> &str {
        self.0.device_token.expose_secret()
    }

    /// Send it as `Authorization: Bearer …`, and as `authorization` in a socket's
    /// `connection_init`. An EdDSA JWT; its keys are at `/.well-known/jwks.json`.
    async fn access_token(&self) -> &str {
        &self.0.access_token
    }

    /// When the access token expires.
    async fn expires_at(&self) -> DateTime {
        self.0.expires_at.into()
    }

    /// For `refreshSession`. Keep it secret; it replaces the one before.
    async fn refresh_token(&self) -> &str {
        self.0.refresh_token.expose()
    }

    /// The session that the tokens belong to.
    async fn session(&self) -> SessionNode {
        SessionNode::signing_in(self.0.session.clone())
    }

    /// The user who signed in.
    async fn user(&self) -> UserNode {
        UserNode::signing_in(self.0.user.clone())
    }

    /// Whether the account was made by this sign-in.
    async fn is_new_user(&self) -> bool {
        self.0.is_new_user
    }
}

/// A session to end.
#[derive(InputObject)]
pub struct RevokeSessionInput {
    /// One of the viewer's sessions.
    session_id: ID,
}

/// The session has ended and its sockets are closed.
#[derive(SimpleObject)]
pub struct RevokeSessionPayload {
    /// The session.
    session_id: ID,
}

/// The viewer's session has ended and its sockets are closed.
#[derive(SimpleObject)]
pub struct LogoutPayload {
    /// The session.
    session_id: ID,
}

/// Mutations of signing in.
#[derive(Default)]
pub struct AuthMutation;

#[Object]
impl AuthMutation {
    /// Mails a sign-in code to an address, at most one a minute from one network.
    async fn login(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom.")] input: LoginInput,
    ) -> Result<Option<LoginPayload>> {
        let address = EmailAddress::parse(&input.email)?;
        let sent = ctx
            .services()
            .auth
            .request_code(address, input.device_token.as_deref(), ctx.client())
            .await?;
        let seconds = |span: std::time::Duration| i32::try_from(span.as_secs()).unwrap_or(i32::MAX);
        Ok(Some(LoginPayload {
            challenge: sent.challenge.expose_secret().to_owned(),
            code_length: sent.code_length.into(),
            expires_in: seconds(sent.expires_in),
            resend_after: seconds(sent.resend_after),
        }))
    }

    /// Exchanges a challenge and its sign-in code for a session. The first sign-in of an address
    /// makes its account, named after the part before the `@`; where the server makes none for it, the
    /// letter says so and has no code.
    async fn verify_otp(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The challenge and its code.")] input: VerifyOtpInput,
    ) -> Result<Option<AuthPayload>> {
        let auth = &ctx.services().auth;
        Ok(Some(AuthPayload(
            auth.verify_code(&input.challenge, &input.code, ctx.client())
                .await?,
        )))
    }

    /// Exchanges a refresh token for fresh tokens. Works without a valid access token. Over a socket
    /// that the session has opened, the socket stays open until the new access token expires.
    async fn refresh_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token.")] input: RefreshSessionInput,
    ) -> Result<Option<AuthPayload>> {
        let auth = &ctx.services().auth;
        Ok(Some(AuthPayload(
            auth.refresh(&input.refresh_token, ctx.client()).await?,
        )))
    }

    /// Ends the viewer's present session.
    async fn logout(&self, ctx: &Context<'_>) -> Result<Option<LogoutPayload>> {
        let viewer = ctx.viewer()?;
        ctx.services()
            .auth
            .revoke(viewer, viewer.session_id)
            .await?;
        Ok(Some(LogoutPayload {
            session_id: global_id(viewer.session_id),
        }))
    }

    /// Ends one of the viewer's sessions, for example of a lost device.
    async fn revoke_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which.")] input: RevokeSessionInput,
    ) -> Result<Option<RevokeSessionPayload>> {
        let viewer = ctx.viewer()?;
        let session = id::parse(&input.session_id, "sessionId")?;
        ctx.services().auth.revoke(viewer, session).await?;
        Ok(Some(RevokeSessionPayload {
            session_id: input.session_id,
        }))
    }
}
