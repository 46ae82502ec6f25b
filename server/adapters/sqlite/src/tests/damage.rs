//! Rows that do not parse: each harms itself alone.

use talksy_domain::chats::{MemberFilter, MemberPage, MemberRole};
use talksy_domain::cursor::{ChatCursor, UserCursor};
use talksy_domain::id::{SessionId, UserId};

use super::*;

fn forward<C>(after: Option<C>, limit: usize) -> Window<C> {
    Window {
        after,
        before: None,
        limit,
        from_end: false,
    }
}

impl Fixture {
    fn damage(&self, sql: &str, key: [u8; 16]) {
        assert_eq!(self.outside().execute(sql, [key]).unwrap(), 1, "{sql}");
    }

    async fn add(&self, address: &str) -> User {
        let user = user(address);
        assert!(self.store.find_or_create_user(&user).await.unwrap().1);
        user
    }

    /// A direct chat of the first user with a new one, active at `at`.
    async fn chat_with(&self, address: &str, at: i64) -> Chat {
        let other = self.add(address).await;
        let candidate = Chat {
            id: ids().next(),
            active_at: Timestamp::from_millis(at),
            ..self.chat.clone()
        };
        let pair = [self.users[0].id, other.id];
        self.store.open_direct(&candidate, pair).await.unwrap().0
    }
}

/// What a name that cannot be read back has done to every list with its user.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_whose_name_does_not_parse_is_listed_under_a_stand_in() {
    let fixture = Fixture::new().await;
    let [ada, bob] = &fixture.users;
    let eve = fixture.add("eve@example.org").await;
    let unseen = "UPDATE users SET name = char(0x3164), name_key = char(0x3164),
        email = char(0x3164) || '@example.org' WHERE id = ?1";
    fixture.damage(unseen, id::bytes(bob.id));

    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let window = forward(after, 1);
        let nobody: UserId = ids().next();
        let page = fixture.store.users_by_name("", nobody, &window).await;
        let page = page.unwrap();
        let user = page.items.first().unwrap();
        names.push(user.name.as_str().to_owned());
        after = Some(UserCursor {
            name_key: user.name.sort_key(),
            user_id: user.id,
        });
        assert!(names.len() <= 3, "the list goes on for ever: {names:?}");
        if !page.has_next {
            break;
        }
    }
    assert_eq!(names, ["ada", "eve", "?"]);

    let found = fixture
        .store
        .users(&[ada.id, bob.id, eve.id])
        .await
        .unwrap();
    assert_eq!(found.len(), 3);
    let found = fixture.store.users(&[bob.id]).await.unwrap();
    assert_eq!(found[0].email.as_str(), "\u{3164}@example.org");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_wrote_is_left_out_where_it_does_not_parse() {
    let fixture = Fixture::new().await;
    let [ada, _] = &fixture.users;
    fixture.damage(
        "UPDATE users SET about = 'a' || char(7), name = 'two' || char(10) || 'lines' WHERE id = ?1",
        id::bytes(ada.id),
    );
    let found = fixture.store.users(&[ada.id]).await.unwrap();
    assert_eq!(
        (found[0].name.as_str(), &found[0].about),
        ("two lines", &None)
    );

    let session = Session {
        id: ids().next(),
        user_id: ada.id,
        created_at: NOW,
        last_used_at: NOW,
        expires_at: Timestamp::from_millis(i64::MAX),
        user_agent: Some("curl".into()),
        ip_address: Some([127, 0, 0, 1].into()),
    };
    let made = fixture.store.create_session(&session, TokenHash([1; 32]));
    made.await.unwrap();
    fixture.damage(
        "UPDATE sessions SET ip_address = 'here' WHERE id = ?1",
        id::bytes::<_>(session.id),
    );
    let bare = Session {
        ip_address: None,
        ..session
    };
    let kept = fixture.store.session(bare.id).await.unwrap();
    assert_eq!(kept.as_ref(), Some(&bare));
    let window = forward(None, 10);
    let listed = fixture.store.sessions_of(ada.id, NOW, &window);
    assert_eq!(listed.await.unwrap().items, [bare]);
    let unknown: SessionId = ids().next();
    assert_eq!(fixture.store.session(unknown).await.unwrap(), None);
}

/// A hole in the numbers would hold up every feed of the chat.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_message_keeps_its_place() {
    let fixture = Fixture::new().await;
    let mut sent = Vec::new();
    for text in ["good", "of no kind", "with a bell", "of nobody", "good"] {
        let appended = fixture.store.append(&fixture.draft(text)).await.unwrap();
        sent.push(done(appended).message);
    }
    for (place, set) in [
        (0, "reactions = 'some'"),
        (1, "kind = 99"),
        (2, "text = 'a' || char(7)"),
        (3, "sender_id = x'07', client_message_id = ''"),
    ] {
        let sql = format!("UPDATE messages SET {set} WHERE id = ?1");
        fixture.damage(&sql, id::bytes(sent[place].id));
    }
    sent[2].text = None;
    sent[3].sender_id = None;
    let page = fixture
        .store
        .page(fixture.chat.id, &forward(None, 10))
        .await;
    assert_eq!(page.unwrap().items, sent);
    let ids: Vec<_> = sent.iter().map(|message| message.id).collect();
    assert_eq!(fixture.store.messages(&ids).await.unwrap().len(), 5);

    fixture.damage(
        "UPDATE messages SET id = x'0102' WHERE id = ?1",
        id::bytes(sent[4].id),
    );
    let page = fixture
        .store
        .page(fixture.chat.id, &forward(None, 10))
        .await;
    let seqs: Vec<_> = page.unwrap().items.iter().map(|m| m.seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5]);
    let last = fixture.store.last_messages(&[fixture.chat.id]).await;
    assert_eq!(last.unwrap()[0].seq, 5);
    let next = fixture.store.append(&fixture.draft("on")).await.unwrap();
    assert_eq!(done(next).message.seq, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_chat_is_left_out_and_its_page_is_full() {
    let fixture = Fixture::new().await;
    let ada = fixture.users[0].id;
    let mut chats = Vec::new();
    for (place, name) in ["c", "d", "e", "f", "g"].into_iter().enumerate() {
        let at = NOW.as_millis() + 10 - i64::try_from(place).unwrap();
        let chat = fixture.chat_with(&format!("{name}@example.org"), at).await;
        chats.push(chat.id);
    }
    for damaged in [0, 1, 3] {
        let sql = "UPDATE chats SET kind = 99 WHERE id = ?1";
        fixture.damage(sql, id::bytes(chats[damaged]));
    }
    for search in [None, Some("")] {
        let page = fixture.store.chats_of(ada, search, &forward(None, 2)).await;
        let page = page.unwrap();
        let listed: Vec<_> = page.items.iter().map(|chat| chat.id).collect();
        assert_eq!((listed, page.has_next), (vec![chats[2], chats[4]], true));
        let last = page.items.last().unwrap();
        let after = ChatCursor {
            active_at: last.active_at,
            chat_id: last.id,
        };
        let window = forward(Some(after), 2);
        let page = fixture.store.chats_of(ada, search, &window).await;
        let page = page.unwrap();
        assert_eq!((page.items[0].id, page.has_next), (fixture.chat.id, false));
    }
    let found = fixture.store.chats(&[chats[0], chats[2]]).await.unwrap();
    assert_eq!(found.len(), 1);

    fixture.damage(
        "UPDATE chats SET last_seq = -1 WHERE id = ?1",
        id::bytes(chats[4]),
    );
    let heads = fixture.store.heads(&[chats[2], chats[4]]).await.unwrap();
    assert_eq!(heads.len(), 1);
}

/// Whoever's role cannot be read has the fewest rights, and stays a member.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_member_stays_a_member() {
    let fixture = Fixture::new().await;
    let [ada, bob] = [fixture.users[0].id, fixture.users[1].id];
    let chat = fixture.chat.id;
    fixture.damage(
        "UPDATE members SET role = 7, last_read_seq = -1 WHERE user_id = ?1",
        id::bytes(bob),
    );
    let found = fixture.store.memberships(bob, &[chat]).await.unwrap();
    assert_eq!(
        (found[0].role, found[0].last_read_seq),
        (MemberRole::Member, 0)
    );
    let wanted = MemberPage {
        chat,
        filter: MemberFilter::default(),
        window: forward(None, 10),
    };
    let pages = fixture.store.member_pages(&[wanted]).await.unwrap();
    assert_eq!(pages[0].items.len(), 2);
    let first = fixture.store.first_members(&[chat], 3).await.unwrap();
    assert!(first.iter().any(|member| member.user_id == ada));
}
