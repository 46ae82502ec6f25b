//! The search of users by name.

use talksy_domain::cursor::UserCursor;
use talksy_domain::id::UserId;
use talksy_domain::users::{ProfileChange, User};

use super::fixture::{Stores, forward, name_of};
use super::{ids, word};

fn place(user: &User) -> UserCursor {
    UserCursor {
        name_key: user.name.sort_key(),
        user_id: user.id,
    }
}

async fn found(stores: &Stores, prefix: &str, except: UserId) -> Vec<String> {
    let page = stores
        .users
        .users_by_name(prefix, except, &forward(None, 100))
        .await
        .unwrap();
    assert!(!page.has_next && !page.has_previous);
    page.items
        .into_iter()
        .map(|user| user.name.into())
        .collect()
}

fn nobody() -> UserId {
    ids().next()
}

/// A prefix is the start of the name, in any case; what stands further in does not count.
pub async fn a_name_is_found_by_its_start_in_any_case(stores: &Stores) {
    let word = word();
    let names = [format!("{word}a"), format!("{}B", word.to_uppercase())];
    for name in &names {
        stores.user(name).await;
    }
    stores.user(&format!("x{word}")).await;
    for prefix in [word.clone(), word.to_uppercase()] {
        assert_eq!(found(stores, &prefix, nobody()).await, names);
    }
    assert_eq!(
        found(stores, &format!("{word}b"), nobody()).await,
        names[1..]
    );
    assert_eq!(found(stores, &format!("{word}bb"), nobody()).await, [""; 0]);
}

/// Letters beyond ASCII have a case too.
pub async fn case_is_more_than_ascii(stores: &Stores) {
    let word = word();
    for name in ["Åsa", "ÉLODIE", "Жанна", "ΩMEGA"] {
        // The word stands behind the letters in question, lest other data be found.
        let name = format!("{name} {word}");
        stores.user(&name).await;
        for prefix in [name.to_lowercase(), name.to_uppercase()] {
            assert_eq!(found(stores, &prefix, nobody()).await, [name.as_str()]);
        }
    }
}

/// Neither accents nor forms of letters count: who types without them finds who writes with them.
pub async fn accents_do_not_count(stores: &Stores) {
    let word = word();
    for (name, prefix) in [
        ("José", "jose"),
        ("Jose\u{301}e", "JOSÉE"),
        ("Łukasz Ångström", "łukasz ang"),
        ("Größe", "gross"),
        ("Ｆｕｌｌ", "full"),
    ] {
        // The word stands ahead, lest other data be found.
        let name = format!("{word} {name}");
        stores.user(&name).await;
        let hits = found(stores, &format!("{word} {prefix}"), nobody()).await;
        assert!(hits.contains(&name), "{prefix}: {hits:?}");
    }
    assert_eq!(
        found(stores, &format!("{word} josé"), nobody()).await.len(),
        2
    );
}

/// What patterns, expressions and escapes are made of stands for itself.
pub async fn wildcards_in_a_prefix_mean_themselves(stores: &Stores) {
    let word = word();
    stores.user(&format!("{word}plain")).await;
    for wild in [
        "%", "_", "\\", "*", "?", ".", "^", "$", "[a-z]", "(p", "p|", "'", "\"", "\\E", "{1}",
    ] {
        let name = format!("{word}{wild}x");
        stores.user(&name).await;
        let prefix = format!("{word}{wild}");
        assert_eq!(found(stores, &prefix, nobody()).await, [name.as_str()]);
    }
}

/// A prefix may end with any character, also with the last before the surrogates and the last
/// of all, behind which a range has no plain end.
pub async fn a_prefix_may_end_with_any_character(stores: &Stores) {
    let word = word();
    for last in [
        'z',
        '\u{7F}',
        '\u{7FF}',
        '\u{D7FF}',
        '\u{FFFD}',
        '\u{10FFFF}',
    ] {
        if last.is_control() {
            continue;
        }
        let name = format!("{word}{last}x");
        stores.user(&name).await;
        let prefix = format!("{word}{last}");
        assert_eq!(found(stores, &prefix, nobody()).await, [name.as_str()]);
    }
}

/// The list is ordered by the lower-cased name, and by id where names are the same but for case.
pub async fn names_are_in_order_then_ids(stores: &Stores) {
    let word = word();
    let mut users = Vec::new();
    for name in ["Bo", "bO", "a", "Zed", "BO", "C", "b", "bo b", "B-o"] {
        users.push(stores.user(&format!("{word}{name}")).await);
    }
    users.sort_by_key(|user| (user.name.sort_key(), user.id));
    let page = stores
        .users
        .users_by_name(&word, nobody(), &forward(None, 100))
        .await
        .unwrap();
    assert_eq!(page.items, users);
}

/// Whoever asks does not find themself.
pub async fn the_one_who_asks_is_left_out(stores: &Stores) {
    let word = word();
    let ada = stores.user(&format!("{word} Ada")).await;
    let bob = stores.user(&format!("{word} Bob")).await;
    let names = |user: &User| [user.name.as_str().to_owned()];
    assert_eq!(found(stores, &word, ada.id).await, names(&bob));
    assert_eq!(found(stores, &word, bob.id).await, names(&ada));
    let page = stores
        .users
        .users_by_name(&word, bob.id, &forward(None, 1))
        .await
        .unwrap();
    assert!(!page.has_next, "the one left out is no next one");
}

/// Pages follow each other without a double or a hole, also within the same name.
pub async fn names_are_read_in_pages(stores: &Stores) {
    let word = word();
    let mut users = Vec::new();
    for n in 0..9 {
        // Three of each name.
        users.push(stores.user(&format!("{word} {}", n / 3)).await);
    }
    users.sort_by_key(|user| (user.name.sort_key(), user.id));
    let mut read: Vec<User> = Vec::new();
    loop {
        let window = forward(read.last().map(place), 2);
        let page = stores
            .users
            .users_by_name(&word, nobody(), &window)
            .await
            .unwrap();
        assert_eq!(page.has_previous, !read.is_empty());
        read.extend(page.items);
        assert_eq!(page.has_next, read.len() < users.len());
        if !page.has_next {
            break;
        }
        assert_eq!(read.len() % 2, 0, "a page but the last is full");
    }
    assert_eq!(read, users);
}

/// A page of no items says whether there are any; one that is exactly full has no next.
pub async fn the_edges_of_a_page_of_names(stores: &Stores) {
    let word = word();
    let ask = async |after, limit| {
        let window = forward(after, limit);
        let page = stores.users.users_by_name(&word, nobody(), &window);
        let page = page.await.unwrap();
        (page.items.len(), page.has_next)
    };
    assert_eq!(ask(None, 0).await, (0, false));
    let ada = stores.user(&word).await;
    assert_eq!(ask(None, 0).await, (0, true));
    assert_eq!(ask(None, 1).await, (1, false));
    assert_eq!(ask(Some(place(&ada)), 1).await, (0, false));
}

/// A user is found by the name they have now, and by no other.
pub async fn a_new_name_is_found_and_the_old_one_is_not(stores: &Stores) {
    let (old, new) = (word(), word());
    let ada = stores.user(&old).await;
    let change = ProfileChange {
        name: Some(name_of(&new.to_uppercase())),
        about: None,
        metadata: None,
        avatar: None,
    };
    stores.users.update_profile(ada.id, &change).await.unwrap();
    assert_eq!(found(stores, &old, nobody()).await, [""; 0]);
    assert_eq!(found(stores, &new, nobody()).await, [new.to_uppercase()]);
}

super::suite::rules! {
    names_rules:
    a_name_is_found_by_its_start_in_any_case,
    case_is_more_than_ascii,
    accents_do_not_count,
    wildcards_in_a_prefix_mean_themselves,
    a_prefix_may_end_with_any_character,
    names_are_in_order_then_ids,
    the_one_who_asks_is_left_out,
    names_are_read_in_pages,
    the_edges_of_a_page_of_names,
    a_new_name_is_found_and_the_old_one_is_not,
}
