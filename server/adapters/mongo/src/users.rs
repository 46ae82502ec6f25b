//! Users, by id, address and name.

use std::time::Duration;

use async_trait::async_trait;
use mongodb::bson::{Bson, Document, Uuid, doc};
use talksy_domain::clock::{Clock as _, SystemClock, Timestamp};
use talksy_domain::cursor::UserCursor;
use talksy_domain::error::PortError;
use talksy_domain::events::Announcement;
use talksy_domain::id::{self, UserId};
use talksy_domain::jobs::Task;
use talksy_domain::mail::EmailAddress;
use talksy_domain::page::{Page, Window};
use talksy_domain::search::fold_key;
use talksy_domain::users::{DisplayName, MAX_KNOWN, ProfileChange, User, UserStore};

use super::call::Call;
use super::commands::{Inserted, Shape};
use super::documents::{self, MEMBERS, USERS, UserDocument, date, key, keys, overread};
use super::fault::Fault;
use super::{MongoStore, blocks, jobs, names, search, sessions};

/// How long the job that erases an account waits for the mark, which it is written ahead of.
const HEAD_START: Duration = Duration::from_secs(2);

/// How many sessions of a deleted account are ended together.
const SESSIONS_STEP: usize = 100;

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

    /// 1 command.
    async fn user_of_email(&self, email: &EmailAddress) -> Result<Option<User>, PortError> {
        let filter = doc! { "email": email.as_str() };
        let call = self.call();
        let found = call.find_one::<UserDocument>(filter, Shape::default());
        Ok(found.await?)
    }

    async fn update_profile(
        &self,
        id: UserId,
        change: &ProfileChange,
    ) -> Result<Option<User>, PortError> {
        Ok(update_profile(&self.call(), id, change).await?)
    }

    /// Users, blocks: 2. Where many of a page are left out, again.
    async fn users_by_name(
        &self,
        prefix: &str,
        viewer: UserId,
        window: &Window<UserCursor>,
    ) -> Result<Page<User>, PortError> {
        let mut filter = named(prefix, window);
        filter.insert("_id", doc! { "$ne": key(id::bytes(viewer)) });
        let shape = Shape {
            sort: Some(doc! { "nameKey": 1, "_id": 1 }),
            ..Shape::default()
        };
        let (call, wanted) = (self.call(), overread(window));
        let mut most = wanted;
        loop {
            let found = call.find_first::<UserDocument>(filter.clone(), shape.clone(), most);
            let found = found.await?;
            let count = found.len();
            let mut users = blocks::without_blocked(&call, viewer, found).await?;
            if users.len() >= wanted || count < most {
                users.truncate(wanted);
                return Ok(Page::from_overread(users, window));
            }
            // Grows each time, since more were left out than were read beyond the wanted ones.
            most = wanted + 2 * (count - users.len());
        }
    }

    /// Users, blocks: 2. Where many of a page are left out, again.
    async fn known_users_by_name(
        &self,
        prefix: &str,
        viewer: UserId,
        window: &Window<UserCursor>,
    ) -> Result<Page<User>, PortError> {
        let users = known(
            &self.call(),
            viewer,
            named(prefix, window),
            overread(window),
        )
        .await?;
        Ok(Page::from_overread(users, window))
    }

    /// Users, update of those that are not folded: 1 to 2.
    async fn fold_names(
        &self,
        after: Option<UserId>,
        most: usize,
    ) -> Result<Option<UserId>, PortError> {
        Ok(search::fold_names(&Call::of_store(&self.inner), after, most).await?)
    }

    /// Job, mark; of its sessions each hundred, and their deletion: 4.
    async fn delete_user(&self, id: UserId, at: Timestamp) -> Result<bool, PortError> {
        let call = self.call();
        // Whoever waits for it may go away in the middle: the sessions end all the same.
        let deleting = tokio::spawn(async move { delete(&call, id, at).await });
        Ok(deleting.await.map_err(|_panic| Fault::Panicked)??)
    }

    /// What the server keeps beside its data, it forgets by itself.
    async fn flush_erased(&self) -> Result<(), PortError> {
        Ok(())
    }

    async fn set_last_seen(&self, users: &[UserId], at: Timestamp) -> Result<(), PortError> {
        let call = self.call();
        if users.is_empty() {
            return Ok(());
        }
        let filter = doc! {
            "_id": { "$in": keys(users, id::bytes) },
            "deletedAt": { "$exists": false },
        };
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

/// Users whose name starts with the prefix, behind the window's cursor.
fn named(prefix: &str, window: &Window<UserCursor>) -> Document {
    let mut filter = doc! { "nameKey": names::starting_with(&fold_key(prefix)) };
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
    filter
}

/// The first `wanted` users of the filter who share a chat with the viewer, by name.
///
/// The memberships come first, in the order of indexes and no more of them than are looked at; then
/// the users, whom the filter is held against. None of them is returned but those of the page.
async fn known(
    call: &Call,
    viewer: UserId,
    filter: Document,
    wanted: usize,
) -> Result<Vec<User>, Fault> {
    let viewer_key = key(id::bytes(viewer));
    let members = [
        doc! { "$match": { "$expr": { "$and": [
            { "$eq": ["$chatId", "$$chat"] },
            { "$eq": ["$active", true] },
        ] } } },
        doc! { "$sort": { "userId": 1 } },
        doc! { "$limit": MAX_KNOWN },
        doc! { "$project": { "_id": 0, "userId": 1 } },
    ];
    let pipeline = [
        doc! { "$match": { "userId": viewer_key, "active": true } },
        doc! { "$sort": { "chatId": 1 } },
        doc! { "$lookup": {
            "from": MEMBERS,
            "let": { "chat": "$chatId" },
            "pipeline": members.to_vec(),
            "as": "other",
        } },
        doc! { "$unwind": "$other" },
        doc! { "$match": { "other.userId": { "$ne": viewer_key } } },
        doc! { "$limit": MAX_KNOWN },
        doc! { "$group": { "_id": "$other.userId" } },
        doc! { "$lookup": {
            "from": USERS,
            "localField": "_id",
            "foreignField": "_id",
            "as": "user",
        } },
        doc! { "$unwind": "$user" },
        doc! { "$replaceRoot": { "newRoot": "$user" } },
        doc! { "$match": filter },
        doc! { "$sort": { "nameKey": 1, "_id": 1 } },
    ];
    let mut most = wanted;
    loop {
        let limit = Bson::Int64(i64::try_from(most).unwrap_or(i64::MAX));
        let page = pipeline.iter().cloned().chain([doc! { "$limit": limit }]);
        let found = call.aggregate(MEMBERS, page).await?;
        let users = documents::parse_all::<UserDocument>(&found);
        let mut users = blocks::without_blocked(call, viewer, users).await?;
        if users.len() >= wanted || found.len() < most {
            users.truncate(wanted);
            return Ok(users);
        }
        // Grows each time, since more were left out than were read beyond the wanted ones.
        most = wanted + 2 * (found.len() - users.len());
    }
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

/// An account that is not deleted.
fn not_deleted(user: UserId) -> Document {
    doc! { "_id": key(id::bytes(user)), "deletedAt": { "$exists": false } }
}

/// Marks an account as deleted. The job that erases the rest is written ahead of that, and waits for it;
/// it ends the sessions too, where this instance dies before it has.
async fn delete(call: &Call, user: UserId, at: Timestamp) -> Result<bool, Fault> {
    let task = Task::EraseAccount { user_id: user };
    let now = SystemClock.now();
    // One of its own for each try: one that comes too early may be done with.
    let job = task.job(id::from_bytes(Uuid::new().bytes()), now, now + HEAD_START);
    let job = job.map_err(|error| Fault::document("a job", error.into()))?;
    jobs::insert(call, &job).await?;
    let update = doc! {
        "$set": {
            "email": User::email_of_deleted(user).as_str(),
            "name": DisplayName::of_deleted().as_str(),
            "deletedAt": date(at),
        },
        "$unset": { "nameKey": "", "about": "", "metadata": "", "avatarId": "", "lastSeenAt": "" },
    };
    if !call.update_one(USERS, not_deleted(user), update).await? {
        return Ok(false);
    }
    while sessions::end_of(call, user, SESSIONS_STEP).await? >= SESSIONS_STEP {}
    Ok(true)
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
    match &change.metadata {
        Some(Some(metadata)) => {
            set.insert("metadata", metadata.as_str());
        }
        Some(None) => {
            unset.insert("metadata", "");
        }
        None => {}
    }
    match change.avatar {
        Some(Some(avatar)) => {
            set.insert("avatarId", key(id::bytes(avatar)));
        }
        Some(None) => {
            unset.insert("avatarId", "");
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
        let user = user.filter(|user| !user.is_deleted());
        if user.is_some() {
            call.announce(changed);
        }
        return Ok(user);
    }
    let filter = not_deleted(id);
    let before = call.find_and_update::<UserDocument>(filter, update, call.announcing(changed));
    let before = before.await?;
    Ok(before.map(|mut user| {
        if let Some(name) = &change.name {
            user.name = name.clone();
        }
        if let Some(about) = &change.about {
            user.about.clone_from(about);
        }
        if let Some(metadata) = &change.metadata {
            user.metadata.clone_from(metadata);
        }
        if let Some(avatar) = change.avatar {
            user.avatar_id = avatar;
        }
        user
    }))
}
