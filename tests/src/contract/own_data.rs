//! What is a user's own, by pages: the chats that they are or were in, with what they could read
//! there, and what they have sent.

use talksy_domain::attachments::{Attachment, ContentType, FileName};
use talksy_domain::groups::GroupAction;
use talksy_domain::id::{AttachmentId, ChatId, UserId};
use talksy_domain::messages::HistoryFrom;

use super::fixture::{Stores, sorted};
use super::{ids, now};

async fn ever_of(stores: &Stores, user: UserId, size: usize) -> Vec<ChatId> {
    let mut found: Vec<ChatId> = Vec::new();
    loop {
        let after = found.last().copied();
        let page = stores.chats.chats_ever_of(user, after, size).await.unwrap();
        assert!(page.len() <= size);
        if page.is_empty() {
            return found;
        }
        found.extend(page);
    }
}

/// All chats come by id, in pages of any size, whatever became of the membership.
pub async fn chats_that_one_is_or_was_in_come_by_id(stores: &Stores) {
    let [ada, bob, cyd] = stores.users().await;
    let mut all = vec![stores.direct(&ada, &bob).await.id];
    for n in 0..5 {
        let group = stores.group(&[&bob, &ada]).await.id;
        if n % 2 == 0 {
            stores
                .notice(group, bob.id, GroupAction::Remove(ada.id))
                .await;
        }
        all.push(group);
    }
    stores.group(&[&bob, &cyd]).await;
    let all = sorted(all);
    for size in [1, 2, 4, 100] {
        assert_eq!(ever_of(stores, ada.id, size).await, all, "pages of {size}");
    }
    assert_eq!(ever_of(stores, ids().next(), 10).await, []);
}

/// A membership that has ended says what could be read until then; one that was begun again says what
/// can be read now.
pub async fn a_membership_that_has_ended_keeps_its_range(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let chat = stores.group(&[&ada]).await.id;
    stores.send(chat, ada.id, 2).await;
    let add = || GroupAction::Add {
        users: vec![bob.id],
        history: HistoryFrom::Join,
    };
    let joined = stores.notice(chat, ada.id, add()).await.seq;
    let own = async || {
        let found = stores.chats.participations(bob.id, &[chat]).await;
        found.unwrap().pop()
    };
    let member = stores.chats.memberships(bob.id, &[chat]).await.unwrap();
    let present = own().await.unwrap();
    assert_eq!((present.left_seq, &present.member), (None, &member[0]));
    let muted = stores.chats.set_muted(chat, bob.id, true).await.unwrap();
    stores.send(chat, ada.id, 1).await;
    let left = stores
        .notice(chat, ada.id, GroupAction::Remove(bob.id))
        .await;
    stores.send(chat, ada.id, 3).await;
    let ended = own().await.unwrap();
    assert_eq!(ended.left_seq, Some(left.seq));
    assert_eq!(ended.member.visible_from_seq, joined);
    assert!(ended.member.is_muted && muted.is_some());
    assert!(ended.member.version > present.member.version);
    let again = stores.notice(chat, ada.id, add()).await.seq;
    let present = own().await.unwrap();
    assert_eq!(
        (present.left_seq, present.member.visible_from_seq),
        (None, again)
    );
}

/// Many are found at once, each once; what does not exist is left out.
pub async fn memberships_of_many_chats_are_found_at_once(stores: &Stores) {
    let [ada, bob, cyd] = stores.users().await;
    let with_bob = stores.direct(&ada, &bob).await.id;
    let group = stores.group(&[&ada, &bob]).await.id;
    let others = stores.direct(&bob, &cyd).await.id;
    stores.notice(group, ada.id, GroupAction::Leave).await;
    let wanted = [group, with_bob, others, ids().next(), group];
    let found = stores.chats.participations(ada.id, &wanted).await.unwrap();
    let chats = found.iter().map(|one| one.member.chat_id);
    assert_eq!(sorted(chats), sorted([group, with_bob]));
    assert!(found.iter().all(|one| one.member.user_id == ada.id));
    let none = stores.chats.participations(ada.id, &[]).await;
    assert_eq!(none.unwrap(), []);
}

/// What a user has sent comes by id, whatever its state, and nothing of others.
pub async fn what_one_has_sent_comes_by_id(stores: &Stores) {
    let (ada, bob): (UserId, UserId) = (ids().next(), ids().next());
    let mut sent = Vec::new();
    for n in 0..6 {
        let owner = if n == 3 { bob } else { ada };
        let name = FileName::cleaned("a.pdf");
        let one = Attachment::announced(ids().next(), owner, name, ContentType::TEXT, 1, now());
        stores.attachments.announce(&one, 1 << 20).await.unwrap();
        if owner == ada {
            sent.push(one);
        }
    }
    let erasing = sent[1].erasing(now());
    let step = std::slice::from_ref(&erasing);
    assert_eq!(
        stores.attachments.advance(step).await.unwrap(),
        [erasing.id]
    );
    sent[1] = erasing;
    sent.sort_by_key(|one| one.id);
    for size in [1, 2, 100] {
        let mut found: Vec<Attachment> = Vec::new();
        loop {
            let after: Option<AttachmentId> = found.last().map(|last| last.id);
            let page = stores.attachments.of_owner(ada, after, size).await.unwrap();
            assert!(page.len() <= size);
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        assert_eq!(found, sent, "pages of {size}");
    }
}

super::suite::rules! {
    own_data_rules:
    chats_that_one_is_or_was_in_come_by_id,
    a_membership_that_has_ended_keeps_its_range,
    memberships_of_many_chats_are_found_at_once,
    what_one_has_sent_comes_by_id,
}
