//! Lists of users that somebody names.

use std::collections::HashSet;

use crate::error::Invalid;
use crate::id::UserId;

/// At most `most` users, each once.
///
/// # Errors
/// [`Invalid`] for `field`, or for the place in it of who is named a second time.
pub(crate) fn check(field: &'static str, users: &[UserId], most: usize) -> Result<(), Invalid> {
    if users.len() > most {
        let rule = format!("must name at most {most} users");
        return Err(Invalid::new(field, rule));
    }
    let mut seen = HashSet::with_capacity(users.len());
    match users.iter().position(|user| !seen.insert(*user)) {
        Some(place) => Err(Invalid::new(
            format!("{field}.{place}"),
            "must not name a user a second time",
        )),
        None => Ok(()),
    }
}
