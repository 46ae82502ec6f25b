//! Finding users otherwise than by name alone: by their address, and among those whom one knows.

use talksy_domain::cursor::UserCursor;
use talksy_domain::groups::GroupAction;
use talksy_domain::id::UserId;
use talksy_domain::messages::HistoryFrom;
use talksy_domain::users::User;

use super::fixture::{Stores, candidate, forward, name_of};
use super::{ids, word};

fn place(user: &User) -> UserCursor {
    UserCursor {
        name_key: user.name.sort_key(),
        user_id: user.id,
    }
}

/// The names of all whom the viewer knows, of those with the prefix.
async fn known(stores: &Stores, prefix: &str, viewer: UserId) -> Vec<String> {
    let window = forward(None, 100);
    let page = stores.users.known_users_by_name(prefix, viewer, &window);
    let page = page.await.unwrap();
    assert!(!page.has_next && !page.has_previous);
    let names = page.items.into_iter().map(|user| user.name.into());
    names.collect()
}

/// Users of these names behind a word of their own.
async fn named<const N: usize>(stores: &Stores, word: &str, names: [&str; N]) -> [User; N] {
    let mut users = Vec::with_capacity(N);
    for name in names {
        users.push(stores.user(&format!("{word} {name}")).await);
    }
    users
        .try_into()
        .unwrap_or_else(|_| unreachable!("as many were made"))
}

/// An address finds its user, and one that nobody has finds nobody.
pub async fn an_address_finds_its_user(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    for user in [&ada, &bob] {
        let found = stores.users.user_of_email(&user.email).await.unwrap();
        assert_eq!(found.as_ref(), Some(user));
    }
    let nobody = candidate("Nobody").email;
    assert_eq!(stores.users.user_of_email(&nobody).await.unwrap(), None);
}

/// Who shares a direct chat or a group is known, once; a stranger and the viewer are not.
pub async fn who_shares_a_chat_is_known(stores: &Stores) {
    let word = word();
    let [ada, bob, cyd, dan, eve] = named(stores, &word, ["Ada", "bob", "Cyd", "Dan", "Eve"]).await;
    stores.direct(&ada, &bob).await;
    stores.group(&[&cyd, &ada, &bob]).await;
    stores.group(&[&ada, &dan]).await;
    // A stranger to Ada, though they share somebody.
    stores.group(&[&eve, &cyd]).await;
    let name = |name: &str| format!("{word} {name}");
    let found = known(stores, &word, ada.id).await;
    assert_eq!(found, [name("bob"), name("Cyd"), name("Dan")]);
    assert_eq!(known(stores, &word, eve.id).await, [name("Cyd")]);
    assert_eq!(known(stores, &word, ids().next()).await, [""; 0]);
}

/// The name counts as in the search of all users.
pub async fn known_users_are_found_by_the_start_of_their_name(stores: &Stores) {
    let word = word();
    let [ada, bob, bobby, rob] = named(stores, &word, ["Ada", "Bob", "bobby", "Rob"]).await;
    stores.group(&[&ada, &bob, &bobby, &rob]).await;
    let name = |name: &str| format!("{word} {name}");
    let found = known(stores, &name("BOB"), ada.id).await;
    assert_eq!(found, [name("Bob"), name("bobby")]);
    assert_eq!(known(stores, &name("bobb"), ada.id).await, [name("bobby")]);
    assert_eq!(known(stores, &name("b.b"), ada.id).await, [""; 0]);
    assert_eq!(known(stores, "bob", ada.id).await, [""; 0]);
}

/// Who has left is known no longer, neither to those who stay nor the other way; who is back is.
pub async fn who_has_left_is_not_known(stores: &Stores) {
    let word = word();
    let [ada, bob, cyd] = named(stores, &word, ["Ada", "Bob", "Cyd"]).await;
    let chat = stores.group(&[&ada, &bob, &cyd]).await.id;
    let name = |name: &str| format!("{word} {name}");
    stores.notice(chat, bob.id, GroupAction::Leave).await;
    assert_eq!(known(stores, &word, ada.id).await, [name("Cyd")]);
    assert_eq!(known(stores, &word, bob.id).await, [""; 0]);
    let again = GroupAction::Add {
        users: vec![bob.id],
        history: HistoryFrom::Join,
    };
    stores.notice(chat, ada.id, again).await;
    let found = known(stores, &word, ada.id).await;
    assert_eq!(found, [name("Bob"), name("Cyd")]);
}

/// Pages follow each other without a double or a hole, also within the same name.
pub async fn known_users_are_read_in_pages(stores: &Stores) {
    let word = word();
    let ada = stores.user(&format!("{word} Ada")).await;
    let mut users = Vec::new();
    for n in 0..7 {
        let user = stores.user(&format!("{word} x{}", n / 3)).await;
        // Some in two chats, who are listed once.
        stores.direct(&ada, &user).await;
        users.push(user);
    }
    stores.group(&[&ada, &users[0], &users[4]]).await;
    // Among the names, and a stranger.
    stores.user(&format!("{word} x1")).await;
    users.sort_by_key(|user| (user.name.sort_key(), user.id));
    let mut read: Vec<User> = Vec::new();
    loop {
        let window = forward(read.last().map(place), 2);
        let page = stores.users.known_users_by_name(&word, ada.id, &window);
        let page = page.await.unwrap();
        assert_eq!(page.has_previous, !read.is_empty());
        read.extend(page.items);
        assert_eq!(page.has_next, read.len() < users.len());
        if !page.has_next {
            break;
        }
        assert_eq!(read.len() % 2, 0, "a page but the last is full");
    }
    assert_eq!(read, users);
    let window = forward(None, 0);
    let none = stores.users.known_users_by_name(&word, ada.id, &window);
    let none = none.await.unwrap();
    assert_eq!((none.items.len(), none.has_next), (0, true));
}

/// What a user is called now is what they are found by.
pub async fn a_known_user_s_new_name_is_found(stores: &Stores) {
    let (old, new) = (word(), word());
    let (ada, bob) = (stores.user(&old).await, stores.user(&old).await);
    stores.direct(&ada, &bob).await;
    let change = talksy_domain::users::ProfileChange {
        name: Some(name_of(&new)),
        about: None,
        metadata: None,
        avatar: None,
    };
    stores.users.update_profile(bob.id, &change).await.unwrap();
    assert_eq!(known(stores, &old, ada.id).await, [""; 0]);
    assert_eq!(known(stores, &new, ada.id).await, [new]);
}

super::suite::rules! {
    directory_rules:
    an_address_finds_its_user,
    who_shares_a_chat_is_known,
    known_users_are_found_by_the_start_of_their_name,
    who_has_left_is_not_known,
    known_users_are_read_in_pages,
    a_known_user_s_new_name_is_found,
}
