//! Attachments: kept as they were written, changed by who has seen them last, found when nobody has
//! touched them for long; and the messages, users and groups that name them.

use std::time::Duration;

use talksy_domain::attachments::{
    Attachment, AttachmentState, ContentType, FileName, ImageFacts, Received, Thumbnail, UsedBy,
};
use talksy_domain::clock::Timestamp;
use talksy_domain::groups::{GroupAction, GroupOutcome};
use talksy_domain::id::AttachmentId;
use talksy_domain::messages::{ChangeAction, Message, MessageKind, SystemNoticeKind};
use talksy_domain::users::ProfileChange;

use super::fixture::Stores;
use super::{at_once, ids, now};

const SECOND: Duration = Duration::from_secs(1);

fn announced(at: Timestamp) -> Attachment {
    let name = FileName::cleaned("Grüße “Ω”.jpg");
    Attachment::announced(ids().next(), ids().next(), name, ContentType::JPEG, 7, at)
}

async fn kept(stores: &Stores) -> Attachment {
    let attachment = announced(now());
    stores.attachments.announce(&attachment).await.unwrap();
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
            store.announce(&own).await.unwrap();
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
        stores.attachments.announce(&attachment).await.unwrap();
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

super::suite::rules! {
    attachments_rules:
    an_attachment_is_kept_as_it_was_written,
    many_are_found_at_once,
    of_many_who_claim_an_attachment_one_succeeds,
    what_has_stood_for_long_is_found,
    a_message_keeps_its_attachments_until_it_is_deleted,
    a_user_has_the_picture_that_was_set_last,
    a_group_has_the_picture_that_was_set_last,
}
