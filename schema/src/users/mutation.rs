//! `updateProfile`.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use talksy_domain::id;
use talksy_domain::users::{About, DisplayName, ProfileChange};

use super::types::UserNode;
use crate::context::ContextExt as _;
use crate::error::Result;
use crate::metadata::{Json, metadata_change};

/// What to change of the viewer's profile. What is absent stays as it is.
#[derive(InputObject)]
pub struct UpdateProfileInput {
    /// The new name: 1 to 64 characters on one line, at most 4 combining marks on one character.
    name: Option<String>,
    /// The new text, up to 500 characters; null or blank clears it.
    about: MaybeUndefined<String>,
    /// What the application is to keep about the viewer, which all users can read; null clears it.
    metadata: MaybeUndefined<Json>,
    /// The new picture, an image of the viewer that was uploaded and is not used yet; null for none.
    avatar_id: MaybeUndefined<ID>,
}

/// The changed profile.
#[derive(SimpleObject)]
pub struct UpdateProfilePayload {
    /// The viewer.
    user: UserNode,
}

/// Mutations of users.
#[derive(Default)]
pub struct UserMutation;

#[Object]
impl UserMutation {
    /// Changes the viewer's profile.
    async fn update_profile(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateProfileInput,
    ) -> Result<Option<UpdateProfilePayload>> {
        let viewer = ctx.viewer()?;
        let about = match input.about {
            MaybeUndefined::Undefined => None,
            MaybeUndefined::Null => Some(None),
            MaybeUndefined::Value(text) => Some(About::parse(&text)?),
        };
        let name = input.name.as_deref().map(DisplayName::parse).transpose()?;
        let avatar = match input.avatar_id {
            MaybeUndefined::Undefined => None,
            MaybeUndefined::Null => Some(None),
            MaybeUndefined::Value(avatar) => Some(Some(id::parse(&avatar, "avatarId")?)),
        };
        let change = ProfileChange {
            name,
            about,
            metadata: metadata_change(&input.metadata)?,
            avatar,
        };
        let user = ctx.services().users.update_profile(viewer, &change).await?;
        Ok(Some(UpdateProfilePayload {
            user: UserNode::new(user),
        }))
    }
}
