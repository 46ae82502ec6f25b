//! What a store hands over to be published: what it has committed, ahead of its answer, in the order
//! of the numbers, and nothing else.

use std::sync::Arc;

use futures_util::FutureExt as _;
use talksy_domain::auth::{Session, TokenHash};
use talksy_domain::chats::LargeGroups;
use talksy_domain::events::{Event, Topic};
use talksy_domain::groups::{ClientChatId, GroupAction, GroupOutcome, NewGroup};
use talksy_domain::id::{ChatId, UserId};
use talksy_domain::messages::{Append, ChangeAction, Changed, HistoryFrom, Message, MessageChange};
use talksy_domain::users::ProfileChange;

use super::fixture::{Stores, direct_candidate, draft, draft_with_id, name_of, seqs, text_of};
use super::{at_once, ids, now, random};

impl Stores {
    /// What was handed over of the chat, in its order.
    fn told_of(&self, chat: ChatId) -> Vec<Event> {
        self.events.on(Topic::Chat(chat))
    }

    /// What was handed over for the user alone.
    fn told_to(&self, user: UserId) -> Vec<Event> {
        self.events.on(Topic::User(user))
    }

    /// The messages that were handed over as new.
    fn told_messages(&self, chat: ChatId) -> Vec<Message> {
        let events = self.told_of(chat).into_iter();
        let messages = events.filter_map(|event| match event {
            Event::MessageAdded { message } => Some(message),
            _ => None,
        });
        messages.collect()
    }
}

/// Of messages that are sent at once, each is handed over once, in the order of their numbers.
pub async fn messages_are_told_once_and_in_their_order(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let chat = chat.id;
    let sends = (0..40).map(|n| {
        let sender = if n % 2 == 0 { ada.id } else { bob.id };
        let stores = stores.clone();
        async move { stores.append(&draft(chat, sender)).await }
    });
    at_once(sends).await;
    let all = stores.all_messages(chat).await;
    assert_eq!(all.len(), 40);
    assert_eq!(stores.told_messages(chat), all);
}

/// Whoever sends may go away in the middle: what was kept is handed over, and what was not is not.
pub async fn what_nobody_waits_for_is_told(stores: &Stores) {
    let (ada, _, chat) = stores.pair().await;
    for step in 0..30 {
        let (messages, draft) = (Arc::clone(&stores.messages), draft(chat.id, ada.id));
        let sending = tokio::spawn(async move { messages.append(&draft).await });
        for _ in 0..step % 10 {
            tokio::task::yield_now().await;
        }
        sending.abort();
        let _ = sending.await;
        // Polled once, and dropped.
        let draft = super::fixture::draft(chat.id, ada.id);
        let _ = stores.messages.append(&draft).now_or_never();
    }
    // What is on its way still comes, and is handed over in order all the same.
    let told_all = async || {
        let last = stores.send(chat.id, ada.id, 1).await.remove(0).seq;
        let told = seqs(&stores.told_messages(chat.id));
        assert_eq!(told, (1..).take(told.len()).collect::<Vec<_>>());
        assert!(told.contains(&last));
        (told.len() == stores.all_messages(chat.id).await.len()).then_some(())
    };
    crate::eventually("an end", told_all).await;
}

/// What was told of the first attempt may be lost.
pub async fn a_retry_is_told_again(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let draft = draft_with_id(chat.id, ada.id, "once");
    let first = stores.append(&draft).await.message;
    stores.append(&draft).await;
    assert_eq!(stores.told_messages(chat.id), vec![first.clone(); 2]);

    let text = text_of("changed");
    let edit = ChangeAction::Edit {
        edit: text.into(),
        expected: None,
    };
    let changed = stores.change(&first, ada.id, edit.clone()).await;
    let again = stores.change(&first, ada.id, edit).await;
    assert!(changed.is_new && !again.is_new);
    let event = Event::MessageChanged {
        message: changed.message.clone(),
        mseq: 0,
    };
    assert_eq!(stores.told_of(chat.id)[2..], vec![event; 2]);
    assert_eq!(stores.told_to(bob.id).len(), 1, "the chat alone");
}

/// A message that was never changed is on no line of changes, also where a change found it so.
pub async fn a_change_that_changes_nothing_is_not_told(stores: &Stores) {
    let (ada, _, chat) = stores.pair().await;
    let sent = stores.send(chat.id, ada.id, 1).await.remove(0);
    let edit = ChangeAction::Edit {
        edit: sent.text.clone().unwrap().into(),
        expected: None,
    };
    let same = stores.change(&sent, ada.id, edit).await;
    assert!(!same.is_new);
    assert_eq!(stores.told_of(chat.id).len(), 1);
}

/// Nothing was committed.
pub async fn what_was_refused_is_not_told(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let stranger = stores.user("Eve").await;
    let sent = stores.send(chat.id, ada.id, 1).await.remove(0);
    let told = |stores: &Stores| {
        let users = [ada.id, bob.id, stranger.id].map(|user| stores.told_to(user));
        (stores.told_of(chat.id), users)
    };
    let before = told(stores);

    let refused = stores.messages.append(&draft(chat.id, stranger.id)).await;
    assert!(matches!(refused, Ok(Append::Denied(_))));
    let change = MessageChange {
        message_id: sent.id,
        chat_id: chat.id,
        actor_id: stranger.id,
        at: now(),
        action: ChangeAction::Delete,
    };
    let refused = stores.messages.change(&change).await;
    assert!(matches!(refused, Ok(Changed::Refused(_))));
    let refused = stores.change_group(chat.id, ada.id, GroupAction::Leave);
    assert!(matches!(refused.await, GroupOutcome::Refused(_)));
    let chats = &stores.chats;
    let refused = chats
        .mark_read(chat.id, stranger.id, 1, now(), LargeGroups::NONE)
        .await;
    assert_eq!(refused.unwrap(), None);
    let refused = chats.set_muted(chat.id, stranger.id, true).await;
    assert_eq!(refused.unwrap(), None);
    let refused = stores.sessions.delete_session(ids().next(), ada.id).await;
    assert!(!refused.unwrap());

    assert_eq!(told(stores), before);
}

/// Both are told of their chat, by whoever made it; finding it is no news.
pub async fn a_direct_chat_is_told_to_both(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let opens = (0..8).map(|n| {
        let (chats, candidate) = (Arc::clone(&stores.chats), direct_candidate(now()));
        let pair = match n % 2 {
            0 => [ada.id, bob.id],
            _ => [bob.id, ada.id],
        };
        async move { chats.open_direct(&candidate, pair).await.unwrap() }
    });
    let opened = at_once(opens).await;
    let chat_id = opened[0].0.id;
    for user in [ada.id, bob.id] {
        assert_eq!(stores.told_to(user), [Event::ChatJoined { chat_id }]);
    }
}

/// Everybody whose membership begins or ends is told, and the chat the message that says so.
pub async fn a_group_is_told_to_all_whom_it_concerns(stores: &Stores) {
    let [ada, bob, cid] = stores.users().await;
    let group = NewGroup {
        chat_id: ids().next(),
        message_id: ids().next(),
        creator_id: ada.id,
        member_ids: vec![bob.id],
        title: talksy_domain::chats::ChatTitle::parse("A group").unwrap(),
        metadata: None,
        avatar_id: None,
        client_chat_id: Some(ClientChatId::parse("own").unwrap()),
        at: now(),
    };
    let made = stores.groups.create_group(&group).await.unwrap();
    stores.groups.create_group(&group).await.unwrap();
    let GroupOutcome::Done { chat, .. } = made else {
        panic!("a group was refused: {made:?}");
    };
    let chat_id = chat.id;
    let joined = Event::ChatJoined { chat_id };
    for user in [ada.id, bob.id] {
        assert_eq!(stores.told_to(user), std::slice::from_ref(&joined));
    }

    let add = GroupAction::Add {
        users: vec![cid.id],
        history: HistoryFrom::Join,
    };
    stores.notice(chat_id, ada.id, add.clone()).await;
    // It is so already.
    stores.change_group(chat_id, ada.id, add).await;
    stores.send(chat_id, cid.id, 1).await;
    let remove = GroupAction::Remove(cid.id);
    let left_seq = stores.notice(chat_id, ada.id, remove).await.seq;
    let left = Event::ChatLeft { chat_id, left_seq };
    assert_eq!(stores.told_to(cid.id), [joined, left]);
    assert_eq!(
        stores.told_messages(chat_id),
        stores.all_messages(chat_id).await
    );
    let edit = text_of("changed").into();
    let own = stores.send(chat_id, bob.id, 1).await.remove(0);
    let expected = None;
    let edit = ChangeAction::Edit { edit, expected };
    let changed = stores.change(&own, bob.id, edit).await;
    let event = Event::MessageChanged {
        message: changed.message,
        mseq: left_seq,
    };
    assert_eq!(stores.told_of(chat_id).last(), Some(&event));
}

/// A mark is told where it has moved.
pub async fn a_read_mark_is_told_where_it_moved(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let chat = stores.group(&[&ada, &bob]).await;
    stores.send(chat.id, ada.id, 2).await;
    let mut receipts = Vec::new();
    for seq in [2, 2, 1, 3] {
        let marked = stores
            .chats
            .mark_read(chat.id, bob.id, seq, now(), LargeGroups::NONE)
            .await;
        let mark = marked.unwrap().unwrap();
        assert_eq!((mark.chat.id, mark.chat.last_seq), (chat.id, 3));
        if mark.moved {
            receipts.push(Event::ReadReceipt {
                receipt: mark.member.receipt().unwrap(),
                chat_kind: chat.kind,
                mseq: 1,
            });
        }
    }
    assert_eq!(receipts.len(), 2);
    assert_eq!(stores.told_of(chat.id)[3..], receipts);
}

/// In a large group a mark is told to its owner alone; which groups are large, their members say when
/// it moves.
pub async fn a_read_mark_in_a_large_group_is_told_to_its_owner(stores: &Stores) {
    let [ada, bob, cyd] = stores.users().await;
    let chat = stores.group(&[&ada, &bob, &cyd]).await;
    stores.send(chat.id, ada.id, 3).await;
    let (told, told_bob) = (stores.told_of(chat.id).len(), stores.told_to(bob.id).len());
    let read = async |seq, above| {
        let large = LargeGroups { above };
        let marked = stores.chats.mark_read(chat.id, bob.id, seq, now(), large);
        let mark = marked.await.unwrap().unwrap();
        Event::ReadReceipt {
            receipt: mark.member.receipt().unwrap(),
            chat_kind: chat.kind,
            mseq: 1,
        }
    };
    let own = read(2, 2).await;
    let of_all = read(3, 3).await;
    read(3, 2).await;
    stores
        .notice(chat.id, ada.id, GroupAction::Remove(cyd.id))
        .await;
    let head = stores.messages.heads(&[chat.id]).await.unwrap();
    assert_eq!(head[0].member_count, 2);
    let large = LargeGroups { above: 2 };
    let marked = stores.chats.mark_read(chat.id, bob.id, 5, now(), large);
    assert!(!marked.await.unwrap().unwrap().is_large, "it has shrunk");
    let is_receipt = |event: &Event| matches!(event, Event::ReadReceipt { .. });
    let receipts: Vec<_> = stores.told_of(chat.id)[told..].to_vec();
    let receipts: Vec<_> = receipts.into_iter().filter(is_receipt).collect();
    assert_eq!(receipts.len(), 2);
    assert_eq!(receipts[0], of_all);
    assert_eq!(stores.told_to(bob.id)[told_bob..], [own]);
    let others = [stores.told_to(ada.id), stores.told_to(cyd.id)].concat();
    assert!(!others.iter().any(is_receipt), "{others:?}");
}

/// What is a user's own is told to them alone.
pub async fn what_is_a_users_own_is_told_to_them(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let session = Session {
        id: ids().next(),
        user_id: ada.id,
        created_at: now(),
        last_used_at: now(),
        expires_at: now() + std::time::Duration::from_hours(1),
        user_agent: None,
        ip_address: None,
    };
    let sessions = &stores.sessions;
    let token = TokenHash(random());
    sessions.create_session(&session, token).await.unwrap();
    let (muted, change) = (
        stores.chats.set_muted(chat.id, ada.id, true),
        ProfileChange {
            name: Some(name_of("Ada L.")),
            about: None,
            metadata: None,
            avatar: None,
        },
    );
    assert!(muted.await.unwrap().unwrap().is_muted);
    let changed = stores.users.update_profile(ada.id, &change).await;
    assert_eq!(changed.unwrap().unwrap().name, name_of("Ada L."));
    for is_first in [true, false] {
        let ended = sessions.delete_session(session.id, ada.id).await;
        assert_eq!(ended.unwrap(), is_first);
    }
    let (chat_id, session_id) = (chat.id, session.id);
    let expected = [
        Event::ChatJoined { chat_id },
        Event::ViewerChatChanged { chat_id },
        Event::ViewerChanged,
        Event::SessionRevoked { session_id },
    ];
    assert_eq!(stores.told_to(ada.id), expected);
    assert_eq!(stores.told_to(bob.id).len(), 1);
}

super::suite::rules! {
    announcing_rules:
    messages_are_told_once_and_in_their_order,
    what_nobody_waits_for_is_told,
    a_retry_is_told_again,
    a_change_that_changes_nothing_is_not_told,
    what_was_refused_is_not_told,
    a_direct_chat_is_told_to_both,
    a_group_is_told_to_all_whom_it_concerns,
    a_read_mark_is_told_where_it_moved,
    a_read_mark_in_a_large_group_is_told_to_its_owner,
    what_is_a_users_own_is_told_to_them,
}
