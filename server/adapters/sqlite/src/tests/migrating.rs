//! A database that an earlier version has written.

use talksy_domain::chats::{MemberFilter, MemberPage, ReadMark};
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
    let wanted = MemberPage {
        chat: chat_id,
        filter: MemberFilter::default(),
        window,
    };
    let members = store.member_pages(&[wanted]).await.unwrap().remove(0);
    assert_eq!(members.items.len(), 2);
    for member in members.items {
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
            edit: text.into(),
            expected: None,
        },
    };
    let changed = store.change(&edit).await.unwrap();
    assert!(matches!(changed, Changed::Done(_)), "{changed:?}");
    let mark = store
        .mark_read(chat_id, bob, 2, NOW, LargeGroups::NONE)
        .await
        .unwrap();
    assert!(matches!(mark, Some(ReadMark { moved: true, .. })));
    let heads = store.heads(&[chat_id]).await.unwrap();
    assert_eq!((heads[0].last_seq, heads[0].last_change_seq), (2, 1));
}

/// Refresh tokens of before version 6 are not read any more, so that their sessions are gone and no
/// table of retired tokens is left.
#[tokio::test]
async fn sessions_of_version_5_are_over_and_new_ones_begin() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("talksy.db");
    let (_, [ada, _]) = version_4(&path, 3);
    let outside = Connection::open(&path).unwrap();
    outside
        .execute_batch(include_str!("../migrations/0005_reading.sql"))
        .unwrap();
    outside.pragma_update(None, "user_version", 5).unwrap();
    let session = Session {
        id: ids().next(),
        user_id: ada,
        created_at: NOW,
        last_used_at: NOW,
        expires_at: NOW + Duration::from_hours(1),
        user_agent: None,
        ip_address: None,
    };
    let key = id::bytes(session.id);
    let insert =
        "INSERT INTO sessions (id, user_id, created_at, last_used_at, expires_at, token_hash)
        VALUES (?1, ?2, ?3, ?3, ?4, ?5)";
    let (at, end) = (NOW.as_millis(), session.expires_at.as_millis());
    let values = (key, id::bytes(ada), at, end, [1_u8; 32]);
    outside.execute(insert, values).unwrap();
    let retired = "INSERT INTO retired_tokens VALUES (?1, ?2)";
    outside.execute(retired, (key, [2_u8; 32])).unwrap();
    outside.close().unwrap();

    let store = super::open(&path, &options()).unwrap();
    assert_eq!(store.session(session.id).await.unwrap(), None);
    let outside = Connection::open(&path).unwrap();
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'retired_tokens'";
    let left: u32 = outside.query_row(tables, [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
    let created = store.create_session(&session, TokenHash([1; 32]));
    created.await.unwrap();
    let kept = store.session(session.id).await.unwrap();
    assert_eq!(kept.as_ref(), Some(&session));
}

/// The chat of version 1 with so many messages as version 4 left them: Ada's and Bob's in turns of
/// five, each seventh of nobody, each eleventh deleted.
fn version_4(path: &Path, last: u32) -> (ChatId, [UserId; 2]) {
    let (chat, users, _) = version_1(path);
    let conn = Connection::open(path).unwrap();
    conn.execute_batch(concat!(
        include_str!("../migrations/0002_lines.sql"),
        include_str!("../migrations/0003_jobs.sql"),
        include_str!("../migrations/0004_incarnation.sql"),
    ))
    .unwrap();
    conn.pragma_update(None, "user_version", 4).unwrap();
    let key = id::bytes(chat);
    for seq in 3..=last {
        let sender = users[seq as usize / 5 % 2];
        let sender = (seq % 7 > 0).then(|| id::bytes(sender));
        let deleted = (seq % 11 == 0 && sender.is_some()).then_some(NOW.as_millis());
        let message: MessageId = ids().next();
        let insert = "INSERT INTO messages (chat_id, seq, id, kind, sender_id, created_at,
            deleted_at, text) VALUES (?1, ?2, ?3, iif(?4 IS NULL, 3, 0), ?4, ?5, ?6,
            iif(?6 IS NULL, 'hello', NULL))";
        let values = (
            key,
            seq,
            id::bytes(message),
            sender,
            NOW.as_millis(),
            deleted,
        );
        conn.execute(insert, values).unwrap();
    }
    let update = "UPDATE chats SET last_seq = ?2 WHERE id = ?1";
    conn.execute(update, (key, last)).unwrap();
    (chat, users)
}

#[tokio::test]
async fn messages_of_version_4_are_counted_exactly_together_with_new_ones() {
    // In the middle of a block, which new messages then fill.
    const OLD: u32 = 150;
    const ALL: u32 = OLD + 60;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("talksy.db");
    let (chat, [ada, bob]) = version_4(&path, OLD);
    let store = super::open(&path, &options()).unwrap();
    let text = MessageText::parse("new").unwrap();
    for seq in OLD + 1..=ALL {
        let sender = [ada, bob][seq as usize % 2];
        let draft = Message::draft(ids().next(), chat, sender, text.clone(), NOW);
        assert_eq!(done(store.append(&draft).await.unwrap()).message.seq, seq);
    }
    let window = Window {
        limit: ALL as usize,
        ..Window::forward(None, None).unwrap()
    };
    let messages = store.page(chat, &window).await.unwrap().items;
    assert_eq!(messages.len(), ALL as usize);
    for user in [ada, bob] {
        let is_news = |message: &&Message| {
            let of_others = message.sender_id.is_some_and(|sender| sender != user);
            of_others && message.deleted_at.is_none()
        };
        for read in 0..=ALL {
            store
                .mark_read(chat, user, read, NOW, LargeGroups::NONE)
                .await
                .unwrap();
            // Bob has read the first message in version 1.
            let base = if user == bob { read.max(1) } else { read };
            let expected = messages[base as usize..].iter().filter(is_news).count();
            let counts = store.unread_counts(user, &[chat]).await.unwrap();
            assert_eq!(counts.len(), 1);
            assert_eq!(counts[0].1 as usize, expected, "of {user:?} behind {base}");
        }
    }
}
