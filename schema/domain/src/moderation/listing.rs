//! The accounts of the server, as operators see them.

use std::collections::{HashMap, HashSet};

use super::model::{ModeratedUserCursor, Suspension};
use super::service::{ModeratedUser, ModerationError, ModerationService};
use crate::access::Operator;
use crate::clock::Timestamp;
use crate::cursor::UserCursor;
use crate::error::{Invalid, PortError};
use crate::id::{self, UserId};
use crate::mail::EmailAddress;
use crate::page::{MAX_PAGE, Page, Window};
use crate::search::fold::fold_key;
use crate::text::check_search;
use crate::users::model::User;

/// A cursor of another order.
fn other_order() -> Invalid {
    let rule = "must be a cursor that this list has returned for the same arguments";
    Invalid::new("after", rule)
}

/// Some users of a list, with the place of each, in its order.
struct Batch {
    users: Vec<(ModeratedUserCursor, ModeratedUser)>,
    /// The place of the last that was looked at, whether it is among them or not.
    last: Option<ModeratedUserCursor>,
    has_next: bool,
}

/// Which users are wanted.
enum Filter<'a> {
    /// Those who are suspended, whose name, folded, begins with this.
    Suspended(&'a str),
    /// Those whose name begins with this.
    Named(&'a str),
    /// All.
    All,
}

impl ModerationService {
    /// The accounts of the server, each with its suspension. Those who are suspended come last
    /// suspended first; of others those whose name begins with `search` by name, and without it the
    /// newest account first. A search that is an address finds the user of that address alone.
    ///
    /// # Errors
    /// Where `search` is too long, or the window's cursor belongs to another order.
    pub async fn users(
        &self,
        _operator: Operator,
        search: Option<&str>,
        is_suspended: Option<bool>,
        window: &Window<ModeratedUserCursor>,
    ) -> Result<Page<(ModeratedUserCursor, ModeratedUser)>, ModerationError> {
        check_search(search)?;
        let prefix = search.map(str::trim).unwrap_or_default();
        if let Ok(address) = EmailAddress::parse(prefix) {
            return self.of_address(&address, is_suspended, window).await;
        }
        let folded = fold_key(prefix);
        let filter = match (is_suspended, prefix) {
            (Some(true), _) => Filter::Suspended(&folded),
            (_, "") => Filter::All,
            (_, prefix) => Filter::Named(prefix),
        };
        let now = self.clock.now();
        let wanted = window.limit.saturating_add(1);
        let (mut found, mut after) = (Vec::new(), window.after.clone());
        // Reads on until the page is full, since those are left out that are not asked for.
        loop {
            let batch = self.batch(&filter, now, after).await?;
            let fits = |user: &ModeratedUser| {
                is_suspended.is_none_or(|wanted| wanted == user.suspension.is_some())
            };
            found.extend(batch.users.into_iter().filter(|(_, user)| fits(user)));
            after = batch.last;
            if found.len() >= wanted || !batch.has_next || after.is_none() {
                found.truncate(wanted);
                return Ok(Page::from_overread(found, window));
            }
        }
    }

    /// The next users of a list, as many as one call reads.
    async fn batch(
        &self,
        filter: &Filter<'_>,
        now: Timestamp,
        after: Option<ModeratedUserCursor>,
    ) -> Result<Batch, ModerationError> {
        match filter {
            Filter::Suspended(prefix) => self.suspended(prefix, now, after).await,
            Filter::Named(prefix) => {
                let after = match after {
                    None => None,
                    Some(ModeratedUserCursor::Named(name_key, user_id)) => {
                        Some(UserCursor { name_key, user_id })
                    }
                    Some(_) => return Err(other_order().into()),
                };
                // Nobody has this id, so that nobody is left out.
                let nobody = id::from_bytes([0; 16]);
                let window = window(after);
                let named = self.users.users_by_name(prefix, nobody, &window).await?;
                let place = |user: &User| ModeratedUserCursor::Named(user.name.sort_key(), user.id);
                self.with_suspensions(named, now, place).await
            }
            Filter::All => {
                let after = match after {
                    None => None,
                    Some(ModeratedUserCursor::Newest(user)) => Some(user),
                    Some(_) => return Err(other_order().into()),
                };
                let newest = self.store.newest_users(&window(after)).await?;
                let place = |user: &User| ModeratedUserCursor::Newest(user.id);
                self.with_suspensions(newest, now, place).await
            }
        }
    }

    async fn suspended(
        &self,
        prefix: &str,
        now: Timestamp,
        after: Option<ModeratedUserCursor>,
    ) -> Result<Batch, ModerationError> {
        let after = match after {
            None => None,
            Some(ModeratedUserCursor::Suspended(place)) => Some(place),
            Some(_) => return Err(other_order().into()),
        };
        let page = self.store.suspension_page(now, &window(after)).await?;
        let ids: Vec<_> = page.items.iter().map(|one| one.user_id).collect();
        let users = self.users.users(&ids).await?;
        let mut users: HashMap<UserId, User> =
            users.into_iter().map(|user| (user.id, user)).collect();
        let place = |one: &Suspension| ModeratedUserCursor::Suspended((one.since, one.user_id));
        let last = page.items.last().map(place);
        let user = |suspension: Suspension| {
            let user = users.remove(&suspension.user_id)?;
            let is_named = user.name.sort_key().starts_with(prefix);
            let place = place(&suspension);
            let suspension = Some(suspension);
            is_named.then_some((place, ModeratedUser { user, suspension }))
        };
        Ok(Batch {
            users: page.items.into_iter().filter_map(user).collect(),
            last,
            has_next: page.has_next,
        })
    }

    async fn with_suspensions(
        &self,
        page: Page<User>,
        now: Timestamp,
        place: impl Fn(&User) -> ModeratedUserCursor,
    ) -> Result<Batch, ModerationError> {
        let (last, has_next) = (page.items.last().map(&place), page.has_next);
        let users = self.moderated(page.items, now).await?;
        let users = users.into_iter();
        Ok(Batch {
            users: users.map(|one| (place(&one.user), one)).collect(),
            last,
            has_next,
        })
    }

    /// These users, in their order, each with its suspension.
    pub(super) async fn moderated(
        &self,
        users: Vec<User>,
        now: Timestamp,
    ) -> Result<Vec<ModeratedUser>, PortError> {
        let ids: HashSet<_> = users.iter().map(|user| user.id).collect();
        let ids: Vec<_> = ids.into_iter().collect();
        let suspensions = self.store.suspensions(&ids).await?.into_iter();
        let suspensions = suspensions.filter(|one| one.is_active(now));
        let mut suspensions: HashMap<UserId, Suspension> =
            suspensions.map(|one| (one.user_id, one)).collect();
        let moderated = |user: User| ModeratedUser {
            suspension: suspensions.remove(&user.id),
            user,
        };
        Ok(users.into_iter().map(moderated).collect())
    }

    /// The user of an address as a page, of which others are empty.
    async fn of_address(
        &self,
        address: &EmailAddress,
        is_suspended: Option<bool>,
        window: &Window<ModeratedUserCursor>,
    ) -> Result<Page<(ModeratedUserCursor, ModeratedUser)>, ModerationError> {
        let found = self.users.user_of_email(address).await?;
        let found: Vec<_> = found.into_iter().collect();
        let found = self.moderated(found, self.clock.now()).await?.into_iter();
        let fits = |one: &ModeratedUser| {
            is_suspended.is_none_or(|wanted| wanted == one.suspension.is_some())
        };
        let place = |one: ModeratedUser| (ModeratedUserCursor::Newest(one.user.id), one);
        let mut found: Vec<_> = found.filter(fits).map(place).collect();
        if window.after.is_some() {
            found.clear();
        }
        Ok(Page::from_overread(found, window))
    }
}

fn window<C>(after: Option<C>) -> Window<C> {
    Window {
        after,
        before: None,
        limit: MAX_PAGE,
        from_end: false,
    }
}
