//! Users, by id, address and name.

use async_trait::async_trait;
use mongodb::bson::{Document, doc};
use talksy_domain::clock::Timestamp;
use talksy_domain::cursor::UserCursor;
use talksy_domain::error::PortError;
use talksy_domain::events::Announcement;
use talksy_domain::id::{self, UserId};
use talksy_domain::page::{Page, Window};
use talksy_domain::users::{ProfileChange, User, UserStore};

use super::call::Call;
use super::commands::{Inserted, Shape};
use super::documents::{USERS, UserDocument, date, key, keys, overread};
use super::fault::Fault;
use super::{MongoStore, names};

#[async_trait]
impl UserStore for MongoStore {
    /// 1 command.
    async fn users(&self, ids: &[UserId]) -> Result<Vec<User>, PortError> {
        Ok(users(&self.call(), ids).await?)
    }

    /// User; for a new one insert: 1 to 2.
    async fn find_or_create_user(&self, candidate: &User) -> Result<(User, bool), PortError> {
        Ok(find_or_create(&self.call(), candidate).await?)
    }

    async fn update_profile(
        &self,
        id: UserId,
        change: &ProfileChange,
    ) -> Result<Option<User>, PortError> {
        Ok(update_profile(&self.call(), id, change).await?)
    }

    /// 1 command.
    async fn users_by_name(
        &self,
        prefix: &str,
        except: UserId,
        window: &Window<UserCursor>,
    ) -> Result<Page<User>, PortError> {
        let mut filter = doc! {
            "nameKey": names::starting_with(&prefix.to_lowercase()),
            "_id": { "$ne": key(id::bytes(except)) },
        };
        if let Some(after) = &window.after {
            let behind = [
                doc! { "nameKey": { "$gt": &after.name_key } },
                doc! {
                    "nameKey": &after.name_key,
                    "_id": { "$gt": key(id::bytes(after.user_id)) },
                },
            ];
            filter.insert("$or", behind.to_vec());
        }
        let shape = Shape {
            sort: Some(doc! { "nameKey": 1, "_id": 1 }),
            ..Shape::default()
        };
        let call = self.call();
        let users = call.find_first::<UserDocument>(filter, shape, overread(window));
        let users = users.await?;
        Ok(Page::from_overread(users, window))
    }

    async fn set_last_seen(&self, users: &[UserId], at: Timestamp) -> Result<(), PortError> {
        let call = self.call();
        if users.is_empty() {
            return Ok(());
        }
        let filter = doc! { "_id": { "$in": keys(users, id::bytes) } };
        let update = doc! { "$max": { "lastSeenAt": date(at) } };
        Ok(call.update_many(USERS, filter, update).await?)
    }
}

async fn users(call: &Call, ids: &[UserId]) -> Result<Vec<User>, Fault> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let filter = doc! { "_id": { "$in": keys(ids, id::bytes) } };
    call.find::<UserDocument>(filter, Shape::default()).await
}

/// Looks, then inserts under the unique index on the address: whoever is refused looks again.
async fn find_or_create(call: &Call, candidate: &User) -> Result<(User, bool), Fault> {
    let spread = id::bytes(candidate.id)[15];
    for attempt in 1_u32.. {
        let filter = doc! { "email": candidate.email.as_str() };
        let found = call.find_one::<UserDocument>(filter, Shape::default());
        if let Some(found) = found.await? {
            return Ok((found, false));
        }
        let document = UserDocument::from(candidate);
        if call.insert(USERS, document).await? == Inserted::Done {
            return Ok((candidate.clone(), true));
        }
        // Another was faster, and the majority does not know it yet.
        call.pause(attempt, spread.rotate_left(attempt)).await?;
    }
    Err(Fault::Contended)
}

async fn update_profile(
    call: &Call,
    id: UserId,
    change: &ProfileChange,
) -> Result<Option<User>, Fault> {
    let (mut set, mut unset) = (Document::new(), Document::new());
    if let Some(name) = &change.name {
        set.insert("name", name.as_str());
        set.insert("nameKey", name.sort_key());
    }
    match &change.about {
        Some(Some(about)) => {
            set.insert("about", about.as_str());
        }
        Some(None) => {
            unset.insert("about", "");
        }
        None => {}
    }
    let mut update = Document::new();
    for (operator, fields) in [("$set", set), ("$unset", unset)] {
        if !fields.is_empty() {
            update.insert(operator, fields);
        }
    }
    let changed = vec![Announcement::viewer_changed(id)];
    if update.is_empty() {
        let user = users(call, &[id]).await?.pop();
        if user.is_some() {
            call.announce(changed);
        }
        return Ok(user);
    }
    let filter = doc! { "_id": key(id::bytes(id)) };
    let before = call.find_and_update::<UserDocument>(filter, update, call.announcing(changed));
    let before = before.await?;
    Ok(before.map(|mut user| {
        if let Some(name) = &change.name {
            user.name = name.clone();
        }
        if let Some(about) = &change.about {
            user.about.clone_from(about);
        }
        user
    }))
}
