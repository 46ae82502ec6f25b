//! A database that an earlier version has written.

use talksy_domain::chats::{MemberFilter, ReadMark};
use talksy_domain::id::{ChatId, MessageId, UserId};
use talksy_domain::messages::{ChangeAction, Changed, MessageChange};

use super::*;

/// The database as version 1 made it: two users, their chat, two messages of Ada, of which Bob has
/// read one.
fn version_1(path: &Path) -> (ChatId, [UserId; 2], [MessageId; 2]) {
    let conn = Connection::open(path).unwrap();
    conn.execute_batch(include_str!("../migrations/0001_initial.sql"))
        .unwrap();
    conn.pragma_update(None, "application_id", i32::from_be_bytes(*b"Tlks"))
        .unwrap();
    conn.pragma_update(None, "user_version", 1).unwrap();
    let (chat, users, messages): (ChatId, [UserId; 2], [MessageId; 2]) = (
        ids().next(),
        [ids().next(), ids().next()],
        [ids().next(), ids().next()],
    );
    let at = NOW.as_millis();
    for (user, name) in users.iter().zip(["ada", "bob"]) {
        let email = format!("{name}@example.org");
        let values = (id::bytes(*user), email, name, name, at);
        let insert = "INSERT INTO users (id, email, name, name_key, created_at)
            VALUES (?1, ?2, ?3, ?4, ?5)";
        conn.execute(insert, values).unwrap();
    }
    let key = id::bytes(chat);
    conn.execute(
        "INSERT INTO chats VALUES (?1, 0, ?2, ?2, 2, 2, 1)",
        (key, at),
    )
    .unwrap();
    let mut pair = users.map(id::bytes);
    pair.sort_unstable();
    conn.execute(
        "INSERT INTO direct_chats VALUES (?1, ?2, ?3)",
        (pair[0], pair[1], key),
    )
    .unwrap();
    for (user, read) in users.iter().zip([0, 1]) {
        let values = (key, id::bytes(*user), at, read);
        conn.execute(
            "INSERT INTO members VALUES (?1, ?2, 2, ?3, ?4, NULL)",
            values,
        )
        .unwrap();
    }
    for (message, seq) in messages.iter().zip(1..) {
        let values = (key, seq, id::bytes(*message), id::bytes(users[0]), at);
        let insert = "INSERT INTO messages (chat_id, seq, id, kind, sender_id, created_at,
            client_message_id, text) VALUES (?1, ?2, ?3, 0, ?4, ?5, 'own ' || ?2, 'hello')";
        conn.execute(insert, values).unwrap();
    }
    (chat, users, messages)
}

#[tokio::test]
async fn a_database_of_version_1_is_as_it_was_and_takes_what_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("talksy.db");
    let (chat_id, [ada, bob], [first, second]) = version_1(&path);
    let store = super::open(&path, &options()).unwrap();

    let chat = store.chats(&[chat_id]).await.unwrap().remove(0);
    assert_eq!((chat.kind, chat.last_seq), (ChatKind::Direct, 2));
    assert_eq!((chat.title.as_ref(), chat.member_count), (None, 2));
    assert_eq!((chat.last_change_seq, chat.applied_seq), (0, 0));
    let window = Window::forward(None, None).unwrap();
    let all = MemberFilter::default();
    let members = store.members(chat_id, &all, &window).await.unwrap().items;
    assert_eq!(members.len(), 2);
    for member in members {
        assert_eq!((member.joined_seq, member.visible_from_seq), (0, 1));
        assert_eq!((member.is_muted, member.version), (false, 1));
    }
    let unread = store.unread_counts(bob, &[chat_id]).await.unwrap();
    assert_eq!(unread, [(chat_id, 1)]);
    let kept = store.messages(&[first, second]).await.unwrap();
    assert!(kept.iter().all(|message| message.change_seq == 0
        && message.mseq == 0
        && message.text.is_some()
        && message.fingerprint.is_none()));

    // A retry of what was sent before finds it, whatever it says.
    let text = MessageText::parse("something else").unwrap();
    let retry = Message {
        client_message_id: Some(ClientMessageId::parse("own 1").unwrap()),
        ..Message::draft(ids().next(), chat_id, ada, text.clone(), NOW)
    };
    let answer = store.append(&retry).await.unwrap();
    let Append::Done(before) = answer else {
        panic!("refused: {answer:?}");
    };
    assert_eq!((before.message.id, before.is_duplicate), (first, true));
    let edit = MessageChange {
        message_id: second,
        chat_id,
        actor_id: ada,
        at: NOW,
        action: ChangeAction::Edit {
            text,
            expected: None,
        },
    };
    let changed = store.change(&edit).await.unwrap();
    assert!(matches!(changed, Changed::Done(_)), "{changed:?}");
    let mark = store.mark_read(chat_id, bob, 2, NOW).await.unwrap();
    assert!(matches!(mark, Some(ReadMark { moved: true, .. })));
    let heads = store.heads(&[chat_id]).await.unwrap();
    assert_eq!((heads[0].last_seq, heads[0].last_change_seq), (2, 1));
}
