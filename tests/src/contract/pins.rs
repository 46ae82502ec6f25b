//! Pinned messages.

use talksy_domain::access::Denied;
use talksy_domain::chats::MemberRole;
use talksy_domain::groups::GroupAction;
use talksy_domain::id::ChatId;
use talksy_domain::messages::{ChangeAction, ChangeRefusal, HistoryFrom, MAX_PINS, Message};
use talksy_domain::page::Page;
use talksy_domain::seq::Seq;

use super::fixture::{Stores, ask, forward, seqs, text_of};
use super::{at_once, ids};

const PIN: ChangeAction = ChangeAction::Pin { is_pinned: true };
const UNPIN: ChangeAction = ChangeAction::Pin { is_pinned: false };

async fn page(
    stores: &Stores,
    chat: ChatId,
    from: Seq,
    after: Option<Seq>,
    limit: usize,
) -> Page<Message> {
    let wanted = [(chat, from, forward(after, limit))];
    let mut pages = stores.messages.pinned_pages(&wanted).await.unwrap();
    assert_eq!(pages.len(), 1);
    pages.remove(0)
}

/// All pinned messages, read in pages of this size.
async fn all(stores: &Stores, chat: ChatId, size: usize) -> Vec<Message> {
    let mut found: Vec<Message> = Vec::new();
    loop {
        let after = found.last().map(|message| message.pinned_seq);
        let page = page(stores, chat, 1, after, size).await;
        found.extend(page.items);
        if !page.has_next {
            return found;
        }
    }
}

/// A pin is a change of the message; the newest one comes first, also where it came again.
pub async fn the_newest_pin_comes_first(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let sent = stores.send(chat.id, ada.id, 3).await;
    let first = ask(stores, &sent[2], bob.id, PIN).await.unwrap();
    assert!(first.is_new);
    let pinned = &first.message;
    assert_eq!(
        (pinned.pinned_seq, pinned.change_seq, pinned.content_seq),
        (1, 1, 0)
    );
    assert_eq!(pinned.text, sent[2].text);
    assert_eq!(first.chat, stores.chat(chat.id).await);
    ask(stores, &sent[0], ada.id, PIN).await.unwrap();
    ask(stores, &sent[1], ada.id, PIN).await.unwrap();
    for size in [1, 2, 10] {
        assert_eq!(seqs(&all(stores, chat.id, size).await), [2, 1, 3]);
    }
    let again = ask(stores, &sent[2], ada.id, PIN).await.unwrap();
    assert_eq!((&again.message, again.is_new), (pinned, false));
    let gone = ask(stores, &sent[2], ada.id, UNPIN).await.unwrap();
    assert_eq!((gone.message.pinned_seq, gone.message.change_seq), (0, 4));
    let none = ask(stores, &sent[2], ada.id, UNPIN).await.unwrap();
    assert_eq!((none.message, none.is_new), (gone.message, false));
    assert_eq!(seqs(&all(stores, chat.id, 10).await), [2, 1]);
    ask(stores, &sent[2], ada.id, PIN).await.unwrap();
    let found = all(stores, chat.id, 2).await;
    assert_eq!(seqs(&found), [3, 2, 1]);
    let ids: Vec<_> = found.iter().map(|message| message.id).collect();
    let mut now = stores.messages.messages(&ids).await.unwrap();
    now.sort_by_key(|message| std::cmp::Reverse(message.pinned_seq));
    assert_eq!(found, now);
    // What is changed otherwise stays where it is.
    let edit = ChangeAction::Edit {
        edit: text_of("better").into(),
        expected: Some(0),
    };
    let edited = ask(stores, &sent[0], ada.id, edit).await.unwrap().message;
    assert_eq!(edited.pinned_seq, 2);
    assert_eq!(seqs(&all(stores, chat.id, 10).await), [3, 2, 1]);
}

/// In a group its owners and admins pin, in a direct chat both; nobody what happened to the group.
pub async fn who_may_pin(stores: &Stores) {
    let [ada, bob, cyd, dan] = stores.users().await;
    let chat = stores.group(&[&ada, &bob, &cyd]).await;
    let role = GroupAction::SetRole {
        user: bob.id,
        role: MemberRole::Admin,
    };
    stores.notice(chat.id, ada.id, role).await;
    let notice = stores.all_messages(chat.id).await.remove(0);
    let sent = stores.send(chat.id, cyd.id, 1).await.remove(0);
    for action in [PIN, UNPIN] {
        for (message, by, refusal) in [
            (&sent, &cyd, ChangeRefusal::MayNotPin),
            (&sent, &dan, Denied::NotMember.into()),
            (&notice, &ada, ChangeRefusal::System),
        ] {
            let refused = ask(stores, message, by.id, action.clone()).await;
            assert_eq!(refused.unwrap_err(), refusal);
        }
    }
    ask(stores, &sent, bob.id, PIN).await.unwrap();
    ask(stores, &sent, ada.id, UNPIN).await.unwrap();
    let unknown = Message {
        id: ids().next(),
        ..sent
    };
    let refused = ask(stores, &unknown, ada.id, PIN).await;
    assert_eq!(refused.unwrap_err(), ChangeRefusal::NoMessage);
    let direct = stores.direct(&ada, &bob).await;
    let theirs = stores.send(direct.id, bob.id, 1).await.remove(0);
    ask(stores, &theirs, ada.id, PIN).await.unwrap();
    ask(stores, &theirs, bob.id, UNPIN).await.unwrap();
}

/// A message that is deleted is pinned no longer, and never again.
pub async fn a_deleted_message_is_unpinned(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let sent = stores.send(chat.id, ada.id, 2).await;
    for message in &sent {
        ask(stores, message, bob.id, PIN).await.unwrap();
    }
    let deleted = ask(stores, &sent[0], ada.id, ChangeAction::Delete).await;
    let deleted = deleted.unwrap().message;
    assert_eq!(deleted.pinned_seq, 0);
    assert_eq!(seqs(&all(stores, chat.id, 10).await), [2]);
    let refused = ask(stores, &sent[0], bob.id, PIN).await;
    assert_eq!(refused.unwrap_err(), ChangeRefusal::Deleted);
    let none = ask(stores, &sent[0], bob.id, UNPIN).await.unwrap();
    assert_eq!((none.message, none.is_new), (deleted, false));
}

/// Who joins later is shown what they may read; pages of many chats are those of each.
pub async fn pages_of_many_chats_are_those_of_each(stores: &Stores) {
    let mut wanted = Vec::new();
    for pins in 0..4 {
        let (ada, _, chat) = stores.pair().await;
        let sent = stores.send(chat.id, ada.id, 4).await;
        for message in &sent[..pins] {
            ask(stores, message, ada.id, PIN).await.unwrap();
        }
        for (from, after, limit) in [
            (1, None, 10),
            (1, None, 1),
            (2, None, 10),
            (1, Some(3), 1),
            (1, None, 0),
        ] {
            wanted.push((chat.id, from, forward(after, limit)));
        }
    }
    let pages = stores.messages.pinned_pages(&wanted).await.unwrap();
    assert_eq!(pages.len(), wanted.len());
    for (found, (chat, from, window)) in pages.iter().zip(&wanted) {
        let alone = page(stores, *chat, *from, window.after, window.limit).await;
        assert_eq!(*found, alone, "{chat} {from} {window:?}");
    }
    let numbers: Vec<_> = pages[15..].iter().map(|page| seqs(&page.items)).collect();
    let expected: [&[u32]; 5] = [&[3, 2, 1], &[3], &[3, 2], &[2], &[]];
    assert_eq!(numbers, expected);
    let next: Vec<_> = pages[15..].iter().map(|page| page.has_next).collect();
    assert_eq!(next, [false, true, false, true, true]);
    let unknown = page(stores, ids().next(), 1, None, 10).await;
    assert_eq!(unknown.items, []);
    assert_eq!(stores.messages.pinned_pages(&[]).await.unwrap(), []);

    let [ada, bob] = stores.users().await;
    let group = stores.group(&[&ada]).await;
    let old = stores.send(group.id, ada.id, 1).await.remove(0);
    ask(stores, &old, ada.id, PIN).await.unwrap();
    let join = GroupAction::Add {
        users: vec![bob.id],
        history: HistoryFrom::Join,
    };
    stores.notice(group.id, ada.id, join).await;
    let refused = ask(stores, &old, bob.id, PIN).await;
    assert_eq!(refused.unwrap_err(), ChangeRefusal::NoMessage);
}

/// However many pin at once, a chat has at most so many pinned messages, and exactly so many where
/// enough were asked for.
pub async fn a_chat_has_so_many_pins(stores: &Stores) {
    const MORE: usize = 12;
    let (ada, bob, chat) = stores.pair().await;
    let sent = stores.send(chat.id, ada.id, MAX_PINS + MORE).await;
    for message in &sent[..MAX_PINS - MORE / 2] {
        ask(stores, message, ada.id, PIN).await.unwrap();
    }
    let racing = sent[MAX_PINS - MORE / 2..].iter().cloned().enumerate();
    let racing = racing.map(|(n, message)| {
        let stores = stores.clone();
        let by = if n % 2 == 0 { ada.id } else { bob.id };
        async move { ask(&stores, &message, by, PIN).await }
    });
    let outcomes = at_once(racing).await;
    let refused = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(ChangeRefusal::TooManyPins)));
    assert_eq!(refused.count(), MORE);
    assert_eq!(
        outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
        MORE / 2
    );
    assert_eq!(all(stores, chat.id, 100).await.len(), MAX_PINS);
    // One that is pinned is so already, and one that goes makes a place for one.
    let again = ask(stores, &sent[0], bob.id, PIN).await.unwrap();
    assert!(!again.is_new);
    ask(stores, &sent[1], bob.id, UNPIN).await.unwrap();
    let free: Vec<_> = sent.iter().rev().take(4).cloned().collect();
    let racing = free.into_iter().chain([sent[1].clone()]).map(|message| {
        let (stores, by) = (stores.clone(), ada.id);
        async move { ask(&stores, &message, by, PIN).await }
    });
    let new = at_once(racing).await;
    let new = new
        .iter()
        .filter(|outcome| matches!(outcome, Ok(changed) if changed.is_new));
    assert_eq!(new.count(), 1);
    assert_eq!(all(stores, chat.id, 100).await.len(), MAX_PINS);
    ask(stores, &sent[0], ada.id, ChangeAction::Delete)
        .await
        .unwrap();
    assert_eq!(all(stores, chat.id, 30).await.len(), MAX_PINS - 1);
}

super::suite::rules! {
    pins_rules:
    the_newest_pin_comes_first,
    who_may_pin,
    a_deleted_message_is_unpinned,
    pages_of_many_chats_are_those_of_each,
    a_chat_has_so_many_pins,
}
