//! What an application keeps beside messages, users and groups: set, kept to the last byte, cleared.

use talksy_domain::chats::ChatTitle;
use talksy_domain::groups::{GroupAction, GroupOutcome, GroupUpdate, NewGroup};
use talksy_domain::id::ChatId;
use talksy_domain::messages::{
    ChangeAction, Message, MessageEdit, MetadataChange, SystemNoticeKind,
};
use talksy_domain::metadata::{Metadata, MetadataUpdate};
use talksy_domain::page::Window;
use talksy_domain::users::{ProfileChange, User};

use super::fixture::{Stores, candidate, draft, metadata, text_of};
use super::{ids, now};

/// JSON of which a store could make something else: an order of members, keys with a meaning in
/// BSON, numbers of all kinds, quotes.
const PECULIAR: &str =
    r#"{"b":1,"a":[1.0,-0.0,9007199254740993,1e300,null],"$a.b":{},"":"\"\\ \u0000 é"}"#;

fn edit(text: Option<&str>, metadata: MetadataUpdate) -> ChangeAction {
    ChangeAction::Edit {
        edit: MessageEdit {
            text: text.map(text_of),
            metadata,
            ..MessageEdit::default()
        },
        expected: None,
    }
}

/// Checks that every way to read the message gives this one.
async fn assert_read(stores: &Stores, message: &Message) {
    let found = stores.messages.messages(&[message.id]).await.unwrap();
    assert_eq!(found, std::slice::from_ref(message));
    let all = stores.all_messages(message.chat_id).await;
    assert!(all.contains(message), "{all:?}");
}

/// A message keeps its metadata as it was sent. An edit replaces it, leaves it or clears it, and is
/// one change; so is a deletion, which empties it.
pub async fn a_message_keeps_metadata(stores: &Stores) {
    let (ada, _, chat) = stores.pair().await;
    let with = Message {
        metadata: Some(metadata(PECULIAR)),
        ..draft(chat.id, ada.id)
    };
    let sent = stores.append(&with).await.message;
    assert_eq!(sent.metadata, with.metadata);
    assert_read(stores, &sent).await;

    let steps = [
        (edit(Some("other"), None), with.metadata.clone(), true),
        (
            edit(None, Some(Some(metadata("[]")))),
            Some(metadata("[]")),
            true,
        ),
        (
            edit(None, Some(Some(metadata("[]")))),
            Some(metadata("[]")),
            false,
        ),
        (edit(None, Some(None)), None, true),
        (edit(Some("other"), Some(None)), None, false),
        (
            edit(Some("third"), Some(Some(metadata("7")))),
            Some(metadata("7")),
            true,
        ),
    ];
    for (action, expected, is_new) in steps {
        let changed = stores.change(&sent, ada.id, action.clone()).await;
        assert_eq!(changed.message.metadata, expected, "{action:?}");
        assert_eq!(changed.is_new, is_new, "{action:?}");
        assert_read(stores, &changed.message).await;
    }
    let deleted = stores.change(&sent, ada.id, ChangeAction::Delete).await;
    assert_eq!(
        (
            deleted.message.text.as_ref(),
            deleted.message.metadata.as_ref()
        ),
        (None, None)
    );
    assert_read(stores, &deleted.message).await;
}

/// A user keeps metadata from the start, beside other changes, until it is cleared.
pub async fn a_user_keeps_metadata(stores: &Stores) {
    let made = User {
        metadata: Some(metadata(PECULIAR)),
        ..candidate("Ada")
    };
    stores.users.find_or_create_user(&made).await.unwrap();
    let mut expected = made;
    for change in [None, Some(Some(metadata("{}"))), None, Some(None), None] {
        if let Some(metadata) = &change {
            expected.metadata.clone_from(metadata);
        }
        let change = ProfileChange {
            metadata: change,
            ..ProfileChange::default()
        };
        let answer = stores.users.update_profile(expected.id, &change).await;
        assert_eq!(answer.unwrap().as_ref(), Some(&expected));
        let found = stores.users.users(&[expected.id]).await.unwrap();
        assert_eq!(found, std::slice::from_ref(&expected));
    }
}

/// What the chat says is kept about it: that of the system message which it names.
async fn of_group(stores: &Stores, chat: ChatId) -> Option<Metadata> {
    let seq = stores.chat(chat).await.metadata_seq;
    let before = seq.checked_sub(1)?;
    let window = Window {
        after: Some(before),
        before: None,
        limit: 1,
        from_end: false,
    };
    let mut page = stores.messages.page(chat, &window).await.unwrap();
    let message = page.items.pop().unwrap();
    assert_eq!(message.seq, seq);
    let set = message.notice.unwrap().set_metadata().cloned();
    Some(set.unwrap())
}

/// A group keeps metadata: its first message says it, and each that changes it. Other changes leave
/// it; the same again is no change.
pub async fn a_group_keeps_metadata(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let group = NewGroup {
        chat_id: ids().next(),
        message_id: ids().next(),
        creator_id: ada.id,
        member_ids: vec![bob.id],
        title: ChatTitle::parse("Looms").unwrap(),
        metadata: Some(metadata(PECULIAR)),
        avatar_id: None,
        client_chat_id: None,
        at: now(),
    };
    let made = stores.groups.create_group(&group).await.unwrap();
    let GroupOutcome::Done { chat, .. } = made else {
        panic!("refused: {made:?}");
    };
    assert_eq!(chat.metadata_seq, 1);
    assert_eq!(of_group(stores, chat.id).await, group.metadata);

    let set = |metadata: Option<Metadata>| {
        GroupAction::Update(GroupUpdate {
            title: None,
            metadata: Some(metadata),
            avatar_id: None,
        })
    };
    let title = ChatTitle::parse("Engines").unwrap();
    let renamed = stores
        .notice(chat.id, ada.id, GroupAction::rename(title.clone()))
        .await;
    assert_eq!(renamed.notice.unwrap().metadata, None);
    assert_eq!(of_group(stores, chat.id).await, group.metadata);

    let notice = stores
        .notice(chat.id, ada.id, set(Some(metadata("1"))))
        .await;
    let said = notice.notice.unwrap();
    assert_eq!(said.kind, SystemNoticeKind::SettingsChanged);
    assert_eq!(
        said.metadata,
        Some(MetadataChange {
            to: Some(metadata("1"))
        })
    );
    assert_eq!(of_group(stores, chat.id).await, Some(metadata("1")));

    // Both at once are one message; what is so already makes none.
    let both = |text: &str, json: &str| {
        GroupAction::Update(GroupUpdate {
            title: Some(ChatTitle::parse(text).unwrap()),
            metadata: Some(Some(metadata(json))),
            avatar_id: None,
        })
    };
    let notice = stores.notice(chat.id, ada.id, both("Pumps", "2")).await;
    let said = notice.notice.unwrap();
    assert_eq!(said.kind, SystemNoticeKind::TitleChanged);
    assert_eq!(
        said.metadata,
        Some(MetadataChange {
            to: Some(metadata("2"))
        })
    );
    for same in [both("Pumps", "2"), set(Some(metadata("2")))] {
        let again = stores.change_group(chat.id, ada.id, same).await;
        assert!(
            matches!(again, GroupOutcome::Done { message: None, .. }),
            "{again:?}"
        );
    }

    let notice = stores.notice(chat.id, ada.id, set(None)).await;
    assert_eq!(
        notice.notice.unwrap().metadata,
        Some(MetadataChange { to: None })
    );
    let now = stores.chat(chat.id).await;
    assert_eq!((now.metadata_seq, now.last_seq), (0, 5));
    let again = stores.change_group(chat.id, ada.id, set(None)).await;
    assert!(
        matches!(again, GroupOutcome::Done { message: None, .. }),
        "{again:?}"
    );
    // A plain member changes nothing.
    let refused = stores
        .change_group(chat.id, bob.id, set(Some(metadata("3"))))
        .await;
    assert!(matches!(refused, GroupOutcome::Refused(_)), "{refused:?}");
    assert_eq!(stores.chat(chat.id).await, now);
}

super::suite::rules! {
    content_rules:
    a_message_keeps_metadata,
    a_user_keeps_metadata,
    a_group_keeps_metadata,
}
