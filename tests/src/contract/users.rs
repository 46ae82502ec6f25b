//! Users: one an address, changed in part, and when they were last seen.

use std::time::Duration;

use talksy_domain::id::UserId;
use talksy_domain::users::{About, ProfileChange, User};

use super::fixture::{Stores, candidate, metadata, name_of, sorted};
use super::{at_once, ids, now};

async fn user(stores: &Stores, id: UserId) -> User {
    let mut found = stores.users.users(&[id]).await.unwrap();
    assert_eq!(found.len(), 1, "the user is there, once");
    found.remove(0)
}

fn about(text: &str) -> About {
    About::parse(text).unwrap().unwrap()
}

/// A user is read back with every part as it was made.
pub async fn a_user_is_kept_as_it_was_made(stores: &Stores) {
    let made = User {
        about: Some(about("Zoë “Ω” 🦀\nsecond line")),
        metadata: Some(metadata(r#"{"b":1,"$a.":[null,"é"]}"#)),
        ..candidate("Åsa O'Neil-日本 😀")
    };
    let answer = stores.users.find_or_create_user(&made).await.unwrap();
    assert_eq!(answer, (made.clone(), true));
    assert_eq!(user(stores, made.id).await, made);
}

/// The second who comes with an address is given the first one's user.
pub async fn an_address_has_one_user(stores: &Stores) {
    let first = stores.user("First").await;
    let second = User {
        email: first.email.clone(),
        ..candidate("Second")
    };
    let answer = stores.users.find_or_create_user(&second).await.unwrap();
    assert_eq!(answer, (first.clone(), false), "the first one, unchanged");
    let found = stores.users.users(&[first.id, second.id]).await.unwrap();
    assert_eq!(found, [first]);
}

/// Many who come with one address at the same time make one user.
pub async fn concurrent_first_sign_ins_make_one_user(stores: &Stores) {
    let email = candidate("Ada").email;
    let answers = at_once((0..16).map(|_| {
        let users = stores.users.clone();
        let candidate = User {
            email: email.clone(),
            ..candidate("Ada")
        };
        async move { users.find_or_create_user(&candidate).await.unwrap() }
    }))
    .await;
    assert_eq!(answers.iter().filter(|(_, made)| *made).count(), 1);
    let (first, _) = &answers[0];
    assert!(answers.iter().all(|(user, _)| user == first));
    assert_eq!(user(stores, first.id).await, *first);
}

/// Addresses that resemble each other are different addresses.
pub async fn similar_addresses_have_users_of_their_own(stores: &Stores) {
    let base = super::word();
    let mut made = Vec::new();
    for local in ["{}", "{}.x", "{}+x", "{}_x", "{}%x", "{}é", "{}e"] {
        let local = local.replace("{}", &base);
        let email = format!("{local}@contract.example");
        let candidate = User {
            email: talksy_domain::mail::EmailAddress::parse(&email).unwrap(),
            ..candidate("Ada")
        };
        let (user, is_new) = stores.users.find_or_create_user(&candidate).await.unwrap();
        assert!(is_new, "{email} was taken for another");
        made.push(user.id);
    }
    let found = stores.users.users(&made).await.unwrap();
    assert_eq!(sorted(found.iter().map(|user| user.id)), sorted(made));
}

/// Users who do not exist are left out, however many are asked for.
pub async fn unknown_users_are_left_out(stores: &Stores) {
    assert_eq!(stores.users.users(&[]).await.unwrap(), []);
    let [ada, bob] = stores.users().await;
    let mut wanted: Vec<UserId> = (0..1_000).map(|_| ids().next()).collect();
    wanted.insert(0, ada.id);
    wanted.push(bob.id);
    let found = stores.users.users(&wanted).await.unwrap();
    assert_eq!(
        sorted(found.iter().map(|user| user.id)),
        sorted([ada.id, bob.id])
    );
}

/// What a change does not name stays as it is.
pub async fn a_profile_changes_in_part(stores: &Stores) {
    let mut expected = stores.user("Ada").await;
    let steps = [
        (None, Some(Some(about("Counts.")))),
        (Some(name_of("Ada L.")), None),
        (None, None),
        (Some(name_of("Augusta")), Some(None)),
        (None, Some(Some(about("Poetical science.")))),
    ];
    for (name, about) in steps {
        if let Some(name) = &name {
            expected.name = name.clone();
        }
        if let Some(about) = &about {
            expected.about.clone_from(about);
        }
        let change = ProfileChange {
            name,
            about,
            ..ProfileChange::default()
        };
        let answer = stores
            .users
            .update_profile(expected.id, &change)
            .await
            .unwrap();
        assert_eq!(answer.as_ref(), Some(&expected), "after {change:?}");
        assert_eq!(user(stores, expected.id).await, expected);
    }
}

/// Two who change different parts at the same time both succeed.
pub async fn concurrent_changes_of_different_parts_both_stay(stores: &Stores) {
    let ada = stores.user("Ada").await;
    let changes = (0..8).flat_map(|round| {
        let name = ProfileChange {
            name: Some(name_of(&format!("Ada {round}"))),
            about: None,
            metadata: None,
            avatar: None,
        };
        let text = ProfileChange {
            name: None,
            about: Some(Some(about(&format!("Round {round}")))),
            metadata: None,
            avatar: None,
        };
        [name, text]
    });
    let answers = at_once(changes.map(|change| {
        let (users, id) = (stores.users.clone(), ada.id);
        async move { (users.update_profile(id, &change).await.unwrap(), change) }
    }))
    .await;
    for (answer, change) in answers {
        let answer = answer.unwrap();
        assert!(change.name.is_none_or(|name| answer.name == name));
        assert!(change.about.is_none_or(|about| answer.about == about));
    }
    let left = user(stores, ada.id).await;
    assert!(left.name.as_str().starts_with("Ada "), "{:?}", left.name);
    assert!(left.about.is_some());
}

/// There is nothing to change of a user who does not exist.
pub async fn a_missing_user_has_no_profile(stores: &Stores) {
    let change = ProfileChange {
        name: Some(name_of("Nobody")),
        about: None,
        metadata: None,
        avatar: None,
    };
    let nobody = ids().next();
    let answer = stores.users.update_profile(nobody, &change).await.unwrap();
    assert_eq!(answer, None);
    assert_eq!(stores.users.users(&[nobody]).await.unwrap(), []);
}

/// When a user was last seen moves forward alone, each user for themself.
pub async fn last_seen_never_goes_back(stores: &Stores) {
    let [ada, bob, eve] = stores.users().await;
    let (early, later) = (now(), now() + Duration::from_mins(1));
    let users = &stores.users;
    users.set_last_seen(&[], later).await.unwrap();
    users.set_last_seen(&[ada.id], later).await.unwrap();
    let everybody = [ada.id, ids().next(), bob.id];
    users.set_last_seen(&everybody, early).await.unwrap();
    assert_eq!(user(stores, ada.id).await.last_seen_at, Some(later));
    assert_eq!(user(stores, bob.id).await.last_seen_at, Some(early));
    assert_eq!(user(stores, eve.id).await, eve, "was not named");
    users.set_last_seen(&everybody, later).await.unwrap();
    assert_eq!(user(stores, bob.id).await.last_seen_at, Some(later));
}

/// Of many reports at the same time the latest stays.
pub async fn concurrent_reports_leave_the_latest_last_seen(stores: &Stores) {
    let ada = stores.user("Ada").await;
    let start = now();
    let at = |n: u64| start + Duration::from_secs(n * 7 % 16);
    at_once((0..16).map(|n| {
        let (users, id, at) = (stores.users.clone(), ada.id, at(n));
        async move { users.set_last_seen(&[id], at).await.unwrap() }
    }))
    .await;
    let latest = start + Duration::from_secs(15);
    assert_eq!(user(stores, ada.id).await.last_seen_at, Some(latest));
}

super::suite::rules! {
    users_rules:
    a_user_is_kept_as_it_was_made,
    an_address_has_one_user,
    concurrent_first_sign_ins_make_one_user,
    similar_addresses_have_users_of_their_own,
    unknown_users_are_left_out,
    a_profile_changes_in_part,
    concurrent_changes_of_different_parts_both_stay,
    a_missing_user_has_no_profile,
    last_seen_never_goes_back,
    concurrent_reports_leave_the_latest_last_seen,
}
