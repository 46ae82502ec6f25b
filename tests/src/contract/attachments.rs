//! Attachments: kept as they were written, changed by who has seen them last, found when nobody has
//! touched them for long; and the messages, users and groups that name them.

use std::time::Duration;

use talksy_domain::attachments::{
    Attachment, AttachmentState, ContentType, FileName, ImageFacts, Kept, Received, Thumbnail,
    UsedBy,
};
use talksy_domain::chats::ChatTitle;
use talksy_domain::clock::Timestamp;
use talksy_domain::groups::{ClientChatId, GroupAction, GroupOutcome, GroupUpdate, NewGroup};
use talksy_domain::id::AttachmentId;
use talksy_domain::messages::{
    ChangeAction, ClientMessageId, Message, MessageKind, SystemNoticeKind,
};
use talksy_domain::users::ProfileChange;

use super::fixture::{Stores, metadata, new_group};
use super::{at_once, ids, now, word};

/// More bytes than any test needs.
const MOST: u64 = 1 << 40;
const SECOND: Duration = Duration::from_secs(1);

fn announced(at: Timestamp) -> Attachment {
    let name = FileName::cleaned("Grüße “Ω”.jpg");
    Attachment::announced(ids().next(), ids().next(), name, ContentType::JPEG, 7, at)
}

async fn kept(stores: &Stores) -> Attachment {
    let attachment = announced(now());
    stores
        .attachments
        .announce(&attachment, MOST)
        .await
        .unwrap();
    attachment
}

async fn found(stores: &Stores, id: AttachmentId) -> Option<Attachment> {
    stores.attachments.attachments(&[id]).await.unwrap().pop()
}

/// Takes a step that must be taken.
async fn advanced(stores: &Stores, to: Attachment) -> Attachment {
    let taken = stores.attachments.advance(std::slice::from_ref(&to)).await;
    assert_eq!(taken.unwrap(), [to.id]);
    to
}

fn image() -> Received {
    Received {
        attempt: [1, 2, 3, 4, 5, 6, 7, 255],
        content_type: ContentType::PNG,
        byte_size: 3_000_000_000,
        image: Some(ImageFacts {
            width: 4_000_000_000,
            height: 2,
            thumbnail: Some(Thumbnail {
                content_type: ContentType::PNG,
                byte_size: 9,
            }),
        }),
    }
}

/// An attachment is kept as it was written, at each step of its life.
pub async fn an_attachment_is_kept_as_it_was_written(stores: &Stores) {
    let mut attachment = kept(stores).await;
    assert_eq!(found(stores, attachment.id).await, Some(attachment.clone()));
    let later = now() + SECOND;
    let uses = [
        UsedBy::Message(ids().next()),
        UsedBy::User(ids().next()),
        UsedBy::Chat(ids().next()),
    ];
    attachment = advanced(stores, attachment.received(image(), later)).await;
    assert_eq!(attachment.file_name.as_str(), "Grüße “Ω”.png");
    assert_eq!(found(stores, attachment.id).await, Some(attachment.clone()));
    for used_by in uses {
        for step in [0, 1, 2] {
            let next = match step {
                0 => attachment.claimed(used_by, later),
                1 => attachment.used(later),
                _ => attachment.released(later),
            };
            attachment = advanced(stores, next).await;
            assert_eq!(found(stores, attachment.id).await, Some(attachment.clone()));
        }
    }
    attachment = advanced(stores, attachment.erasing(later)).await;
    assert_eq!(found(stores, attachment.id).await, Some(attachment.clone()));
    let gone = [attachment.id, ids().next()];
    stores.attachments.forget(&gone).await.unwrap();
    assert_eq!(found(stores, attachment.id).await, None);
}

/// Many are found at once, each once, and what does not exist is left out.
pub async fn many_are_found_at_once(stores: &Stores) {
    let (one, other) = (kept(stores).await, kept(stores).await);
    let wanted = [other.id, ids().next(), one.id, other.id];
    let mut found = stores.attachments.attachments(&wanted).await.unwrap();
    found.sort_by_key(|attachment| attachment.id);
    let mut expected = vec![one, other];
    expected.sort_by_key(|attachment| attachment.id);
    assert_eq!(found, expected);
    assert_eq!(stores.attachments.attachments(&[]).await.unwrap(), []);
}

/// Of many who would use one attachment one succeeds, and what the others wanted with it does not
/// happen; with others of theirs it does.
pub async fn of_many_who_claim_an_attachment_one_succeeds(stores: &Stores) {
    let shared = kept(stores).await;
    let shared = advanced(stores, shared.received(image(), now())).await;
    let claims = (0..8).map(|_| {
        let (store, shared) = (stores.attachments.clone(), shared.clone());
        let own = announced(now());
        async move {
            store.announce(&own, MOST).await.unwrap();
            let by = UsedBy::Message(ids().next());
            let claims = [shared.claimed(by, now()), own.received(image(), now())];
            let taken = store.advance(&claims).await.unwrap();
            assert!(taken.contains(&own.id));
            (by, taken.contains(&shared.id))
        }
    });
    let claimed: Vec<UsedBy> = at_once(claims)
        .await
        .into_iter()
        .filter_map(|(by, is_claimed)| is_claimed.then_some(by))
        .collect();
    assert_eq!(claimed.len(), 1);
    let found = found(stores, shared.id).await.unwrap();
    assert_eq!(
        (found.state, found.used_by),
        (AttachmentState::Claimed, Some(claimed[0]))
    );
}

/// Those that have stood in a state for long are found, the longest first, and no others.
pub async fn what_has_stood_for_long_is_found(stores: &Stores) {
    // Older than what any other rule keeps, and at a time of its own.
    let apart = SECOND * (u32::from_be_bytes(super::random()) >> 4);
    let then = now() - Duration::from_hours(24 * 365) - apart;
    let mut old = Vec::new();
    for seconds in [3, 1, 2, 9] {
        let attachment = announced(then + SECOND * seconds);
        stores
            .attachments
            .announce(&attachment, MOST)
            .await
            .unwrap();
        old.push(attachment);
    }
    let standing = async |state, seconds, limit| {
        let before = then + SECOND * seconds;
        let found = stores.attachments.standing(state, before, limit);
        let found = found.await.unwrap();
        found.iter().map(|one| one.id).collect::<Vec<_>>()
    };
    let awaited = AttachmentState::Awaited;
    let expected = [old[1].id, old[2].id, old[0].id];
    assert_eq!(standing(awaited, 3, 100).await, expected);
    assert_eq!(standing(awaited, 3, 2).await, expected[..2]);
    // It counts since when they stand there, not how old they are.
    let moved = advanced(stores, old[1].received(image(), then + SECOND * 5)).await;
    assert_eq!(standing(awaited, 3, 100).await, expected[1..]);
    assert_eq!(standing(AttachmentState::Ready, 4, 100).await, []);
    assert_eq!(standing(AttachmentState::Ready, 5, 100).await, [moved.id]);
    let ids: Vec<_> = old.iter().map(|one| one.id).collect();
    stores.attachments.forget(&ids).await.unwrap();
    assert_eq!(standing(awaited, 9, 100).await, []);
}

/// A message keeps the attachments that it was sent with, in their order, through an edit, and loses
/// them when it is deleted.
pub async fn a_message_keeps_its_attachments_until_it_is_deleted(stores: &Stores) {
    let (ada, _, chat) = stores.pair().await;
    let attachments = vec![ids().next(), ids().next(), ids().next()];
    let draft = Message {
        kind: MessageKind::Image,
        attachments: attachments.clone(),
        ..Message::empty(ids().next_message(chat.id), chat.id, ada.id, now())
    };
    let sent = stores.append(&draft).await.message;
    assert_eq!(
        (sent.kind, &sent.attachments),
        (MessageKind::Image, &attachments)
    );
    assert_eq!(sent.text, None);
    let found = async || {
        stores
            .messages
            .messages(&[sent.id])
            .await
            .unwrap()
            .remove(0)
    };
    assert_eq!(found().await, sent);
    let caption = talksy_domain::messages::MessageText::parse("a caption").unwrap();
    let edit = ChangeAction::Edit {
        edit: caption.into(),
        expected: None,
    };
    let edited = stores.change(&sent, ada.id, edit).await.message;
    assert_eq!(edited.attachments, attachments);
    assert_eq!(found().await, edited);
    let deleted = stores.change(&edited, ada.id, ChangeAction::Delete).await;
    assert_eq!(deleted.message.attachments, []);
    assert_eq!(found().await, deleted.message);
}

/// A user's picture is set, left as it is, and taken away.
pub async fn a_user_has_the_picture_that_was_set_last(stores: &Stores) {
    let ada = stores.user("Ada").await;
    let (one, other): (AttachmentId, AttachmentId) = (ids().next(), ids().next());
    for (avatar, expected) in [
        (None, None),
        (Some(Some(one)), Some(one)),
        (None, Some(one)),
        (Some(Some(other)), Some(other)),
        (Some(None), None),
    ] {
        let change = ProfileChange {
            avatar,
            ..ProfileChange::default()
        };
        let changed = stores.users.update_profile(ada.id, &change).await.unwrap();
        assert_eq!(changed.unwrap().avatar_id, expected);
        let found = stores.users.users(&[ada.id]).await.unwrap();
        assert_eq!(found[0].avatar_id, expected);
    }
}

/// A group's picture is set by its admins, told by a system message, and taken away.
pub async fn a_group_has_the_picture_that_was_set_last(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let chat = stores.group(&[&ada, &bob]).await;
    assert_eq!(chat.avatar_id, None);
    let (one, other): (AttachmentId, AttachmentId) = (ids().next(), ids().next());
    let set = async |avatar| {
        let action = GroupAction::set_avatar(avatar);
        match stores.change_group(chat.id, ada.id, action).await {
            GroupOutcome::Done { chat, message } => (*chat, message),
            refused @ GroupOutcome::Refused(_) => panic!("{refused:?}"),
        }
    };
    for avatar in [Some(one), Some(other), None] {
        let (changed, message) = set(avatar).await;
        assert_eq!(changed.avatar_id, avatar);
        let notice = message.unwrap().notice.unwrap();
        assert_eq!(notice.kind, SystemNoticeKind::AvatarChanged);
        assert_eq!(notice.avatar_id, avatar);
        let found = stores.chats.chats(&[chat.id]).await.unwrap();
        assert_eq!((found[0].avatar_id, &found[0].title), (avatar, &chat.title));
        let (same, message) = set(avatar).await;
        assert_eq!((same.avatar_id, message), (avatar, None));
    }
    let refused = stores.change_group(chat.id, bob.id, GroupAction::set_avatar(Some(one)));
    assert!(matches!(refused.await, GroupOutcome::Refused(_)));
}

/// A title and a picture that are set together are one system message, and both are there.
pub async fn details_that_are_set_together_are_one_message(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let chat = stores.group(&[&ada, &bob]).await;
    let one: AttachmentId = ids().next();
    let title = ChatTitle::parse("Engines").unwrap();
    let kept = Some(Some(metadata("{\"a\":1}")));
    for (update, kind) in [
        (
            GroupUpdate {
                title: Some(title.clone()),
                metadata: None,
                avatar_id: Some(Some(one)),
            },
            SystemNoticeKind::TitleChanged,
        ),
        (
            GroupUpdate {
                title: Some(title.clone()),
                metadata: kept.clone(),
                avatar_id: Some(None),
            },
            SystemNoticeKind::AvatarChanged,
        ),
        (
            GroupUpdate {
                title: Some(ChatTitle::parse("Looms").unwrap()),
                metadata: Some(None),
                avatar_id: Some(Some(one)),
            },
            SystemNoticeKind::TitleChanged,
        ),
    ] {
        let before = stores.chat(chat.id).await;
        let action = GroupAction::Update(update.clone());
        let done = stores.change_group(chat.id, ada.id, action.clone()).await;
        let GroupOutcome::Done {
            chat: changed,
            message,
        } = done
        else {
            panic!("{done:?}");
        };
        let notice = message.unwrap().notice.unwrap();
        assert_eq!((notice.kind, notice.sets_avatar()), (kind, true));
        assert_eq!(changed.last_seq, before.last_seq + 1);
        assert_eq!(changed.title, update.title);
        assert_eq!(Some(changed.avatar_id), update.avatar_id);
        assert_eq!(stores.chat(chat.id).await, *changed);
        // A title alone leaves the picture.
        let again = stores.change_group(chat.id, ada.id, action).await;
        assert!(matches!(again, GroupOutcome::Done { message: None, .. }));
    }
    let action = GroupAction::rename(title);
    stores.change_group(chat.id, ada.id, action).await;
    assert_eq!(stores.chat(chat.id).await.avatar_id, Some(one));
}

/// What a sender has sent under an id of their own is found by it, also when it was deleted; and so is
/// a group by that of its creator.
pub async fn what_was_made_before_is_found_by_its_makers_own_id(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let own_id = ClientMessageId::parse(word()).unwrap();
    let draft = Message {
        kind: MessageKind::File,
        attachments: vec![ids().next()],
        client_message_id: Some(own_id.clone()),
        ..Message::empty(ids().next_message(chat.id), chat.id, ada.id, now())
    };
    let repeated = async |draft: &Message| stores.messages.repeated(draft).await.unwrap();
    assert_eq!(repeated(&draft).await, None);
    let sent = stores.append(&draft).await.message;
    let retry = Message {
        id: ids().next_message(chat.id),
        ..draft.clone()
    };
    assert_eq!(repeated(&retry).await.as_ref(), Some(&sent));
    let deleted = stores.change(&sent, ada.id, ChangeAction::Delete).await;
    assert_eq!(repeated(&retry).await, Some(deleted.message));
    for other in [
        Message {
            sender_id: Some(bob.id),
            ..retry.clone()
        },
        Message {
            chat_id: stores.group(&[&ada]).await.id,
            ..retry.clone()
        },
        Message {
            client_message_id: None,
            ..sent
        },
    ] {
        assert_eq!(repeated(&other).await, None);
    }

    let mut group = new_group(&[&ada, &bob]);
    let found = async |group: &NewGroup| stores.groups.repeated_group(group).await.unwrap();
    assert_eq!(found(&group).await, None);
    group.client_chat_id = Some(ClientChatId::parse(word()).unwrap());
    assert_eq!(found(&group).await, None);
    stores.groups.create_group(&group).await.unwrap();
    let made = stores.chat(group.chat_id).await;
    let mut again = NewGroup {
        chat_id: ids().next(),
        ..group
    };
    assert_eq!(found(&again).await.map(|chat| chat.id), Some(made.id));
    again.creator_id = bob.id;
    assert_eq!(found(&again).await, None);
}

/// An attachment is kept where there is room for it among those of its owner, in whatever state they are;
/// what is forgotten makes room, and what turns out to be smaller does.
pub async fn a_user_keeps_no_more_bytes_than_they_may(stores: &Stores) {
    let owner = ids().next();
    let of_size = |owner, byte_size| Attachment {
        owner_id: owner,
        byte_size,
        ..announced(now())
    };
    let announce = async |attachment: &Attachment| {
        let kept = stores.attachments.announce(attachment, 100).await;
        kept.unwrap()
    };
    let first = of_size(owner, 60);
    assert_eq!(announce(&first).await, Kept::Done);
    let refused = of_size(owner, 41);
    assert_eq!(announce(&refused).await, Kept::Full(60));
    assert_eq!(found(stores, refused.id).await, None);
    assert_eq!(announce(&of_size(owner, 40)).await, Kept::Done);
    assert_eq!(announce(&of_size(owner, 1)).await, Kept::Full(100));
    // Others have room of their own.
    assert_eq!(announce(&of_size(ids().next(), 100)).await, Kept::Done);
    let smaller = Attachment {
        byte_size: 50,
        state: AttachmentState::Ready,
        version: 1,
        ..first.clone()
    };
    advanced(stores, smaller).await;
    assert_eq!(announce(&of_size(owner, 11)).await, Kept::Full(90));
    assert_eq!(announce(&of_size(owner, 10)).await, Kept::Done);
    stores.attachments.forget(&[first.id]).await.unwrap();
    assert_eq!(announce(&of_size(owner, 51)).await, Kept::Full(50));
    assert_eq!(announce(&of_size(owner, 50)).await, Kept::Done);
}

/// Of many at once no more are kept than have room.
pub async fn of_many_attachments_at_once_no_more_are_kept_than_have_room(stores: &Stores) {
    let owner = ids().next();
    let outcomes = at_once((0..16).map(|_| {
        let attachments = std::sync::Arc::clone(&stores.attachments);
        let attachment = Attachment {
            owner_id: owner,
            byte_size: 10,
            ..announced(now())
        };
        async move { attachments.announce(&attachment, 55).await.unwrap() }
    }))
    .await;
    let kept = outcomes.iter().filter(|kept| **kept == Kept::Done).count();
    assert!(kept <= 5, "{outcomes:?}");
    // What was not kept takes no room.
    let mut more = 0;
    let one_more = || Attachment {
        owner_id: owner,
        byte_size: 10,
        ..announced(now())
    };
    while stores.attachments.announce(&one_more(), 55).await.unwrap() == Kept::Done {
        more += 1;
    }
    assert_eq!(kept + more, 5);
}

super::suite::rules! {
    attachments_rules:
    an_attachment_is_kept_as_it_was_written,
    many_are_found_at_once,
    a_user_keeps_no_more_bytes_than_they_may,
    of_many_attachments_at_once_no_more_are_kept_than_have_room,
    of_many_who_claim_an_attachment_one_succeeds,
    what_has_stood_for_long_is_found,
    a_message_keeps_its_attachments_until_it_is_deleted,
    a_user_has_the_picture_that_was_set_last,
    a_group_has_the_picture_that_was_set_last,
    details_that_are_set_together_are_one_message,
    what_was_made_before_is_found_by_its_makers_own_id,
}
