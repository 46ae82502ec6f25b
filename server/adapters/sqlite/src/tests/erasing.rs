//! What is left of a deleted account in the files.

use std::path::Path;

use talksy_domain::access::Denied;
use talksy_domain::deletion::{AccountEraser, EraseAccount as _};
use talksy_domain::groups::{GroupOutcome, GroupStore as _, NewGroup};
use talksy_domain::jobs::JobStore as _;
use talksy_domain::messages::{ChangeAction, Changed, Emoji, MessageChange, MessageEdit};
use talksy_domain::users::{About, ProfileChange};

use super::*;

const TEXTS: [&str; 7] = [
    "zanzibar-secret",
    "zanzibar-edited",
    "zanzibar-about",
    "zanzibar-agent",
    "zanzibar-own",
    "Zanzibar Name",
    "ada@example.org",
];

fn eraser(store: &SqliteStore) -> AccountEraser {
    AccountEraser {
        users: Arc::new(store.clone()),
        sessions: Arc::new(store.clone()),
        chats: Arc::new(store.clone()),
        groups: Arc::new(store.clone()),
        messages: Arc::new(store.clone()),
        blocks: Arc::new(store.clone()),
        moderation: Arc::new(store.clone()),
        attachments: Arc::new(()),
        clock: Arc::new(SystemClock),
        ids: ids(),
    }
}

/// Which of these texts the database and its log hold.
fn held(path: &Path, texts: &[&'static str]) -> Vec<&'static str> {
    let mut found = Vec::new();
    for end in ["", "-wal"] {
        let bytes = std::fs::read(format!("{}{end}", path.display())).unwrap_or_default();
        let is_held = |text: &&&str| {
            let text = text.as_bytes();
            bytes.windows(text.len()).any(|window| window == text)
        };
        found.extend(texts.iter().filter(is_held));
    }
    found
}

async fn change(fixture: &Fixture, message: &Message, actor: &User, action: ChangeAction) {
    let change = MessageChange {
        message_id: message.id,
        chat_id: message.chat_id,
        actor_id: actor.id,
        at: NOW,
        action,
    };
    let changed = fixture.store.change(&change).await.unwrap();
    assert!(matches!(changed, Changed::Done(_)), "{changed:?}");
}

/// Leaves traces of all kinds; a group of hers with somebody else.
async fn live(fixture: &Fixture) -> Chat {
    let [ada, bob] = &fixture.users;
    let profile = ProfileChange {
        name: Some(DisplayName::parse("Zanzibar Name").unwrap()),
        about: Some(About::parse("zanzibar-about").unwrap()),
        ..ProfileChange::default()
    };
    fixture
        .store
        .update_profile(ada.id, &profile)
        .await
        .unwrap();
    let session = Session {
        id: ids().next(),
        user_id: ada.id,
        created_at: NOW,
        last_used_at: NOW,
        expires_at: NOW + Duration::from_hours(1),
        user_agent: Some("zanzibar-agent".to_owned()),
        ip_address: None,
    };
    let token = TokenHash([7; 32]);
    fixture.store.create_session(&session, token).await.unwrap();
    let group = NewGroup {
        chat_id: ids().next(),
        message_id: ids().next(),
        creator_id: ada.id,
        member_ids: vec![bob.id],
        title: talksy_domain::chats::ChatTitle::parse("Engines").unwrap(),
        metadata: None,
        avatar_id: None,
        client_chat_id: Some(talksy_domain::groups::ClientChatId::parse("zanzibar-own").unwrap()),
        at: NOW,
    };
    let GroupOutcome::Done { chat: group, .. } = fixture.store.create_group(&group).await.unwrap()
    else {
        panic!("no group was made");
    };
    for chat in [fixture.chat.id, group.id] {
        for number in 0..90_usize {
            // Some that need pages of their own.
            let text = format!("zanzibar-secret {number} {}", "long ".repeat(number * 8));
            let draft = Message {
                chat_id: chat,
                ..fixture.draft(&text)
            };
            let sent = done(fixture.store.append(&draft).await.unwrap()).message;
            if number % 10 == 0 {
                let text = MessageText::parse("zanzibar-edited").unwrap();
                let edit = ChangeAction::Edit {
                    edit: MessageEdit::from(text),
                    expected: None,
                };
                change(fixture, &sent, ada, edit).await;
            }
            if number % 30 == 0 {
                let theirs = Message {
                    chat_id: chat,
                    sender_id: Some(bob.id),
                    ..fixture.draft("kept by bob")
                };
                let theirs = done(fixture.store.append(&theirs).await.unwrap()).message;
                let react = ChangeAction::React {
                    emoji: Emoji::parse("👍").unwrap(),
                    is_added: true,
                };
                change(fixture, &theirs, ada, react).await;
            }
        }
    }
    *group
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_deleted_account_is_left_in_the_files() {
    let fixture = Fixture::new().await;
    let [ada, bob] = &fixture.users;
    let group = live(&fixture).await;
    assert!(!held(&fixture.path(), &["zanzibar-secret"]).is_empty());
    assert!(count(&fixture.outside(), "search_nodes WHERE word = 'zanzibar'") > 0);
    assert!(fixture.store.delete_user(ada.id, NOW).await.unwrap());
    assert!(!fixture.store.delete_user(ada.id, NOW).await.unwrap());
    assert_eq!(count(&fixture.outside(), "sessions"), 0);
    let due = fixture
        .store
        .due(&["eraseAccount.1"], NOW, 10)
        .await
        .unwrap();
    assert_eq!(due.len(), 1);
    // Twice: the second finds nothing to do.
    for _ in 0..2 {
        assert!(eraser(&fixture.store).erase(ada.id).await.unwrap());
    }
    // The log is emptied behind the next commit.
    fixture.store.ping().await.unwrap();
    fixture.store.ping().await.unwrap();
    assert_eq!(held(&fixture.path(), &TEXTS), Vec::<&str>::new());

    let outside = fixture.outside();
    for word in ["zanzibar", "edited", "long"] {
        let nodes = format!("search_nodes WHERE word = '{word}'");
        assert_eq!(count(&outside, &nodes), 0, "{word}");
    }
    let of_ada = format!("@{:x}", u128::from_be_bytes(id::bytes(ada.id)));
    let nodes = format!("search_nodes WHERE word = '{of_ada}'");
    assert_eq!(count(&outside, &nodes), 0);
    assert_eq!(count(&outside, "messages WHERE words LIKE '%zanzibar%'"), 0);
    assert_eq!(count(&outside, "reactions"), 0);
    assert_eq!(count(&outside, "messages WHERE text IS NOT NULL"), 6);
    assert_eq!(count(&outside, "members WHERE left_seq IS NOT NULL"), 1);
    let heads = fixture
        .store
        .heads(&[fixture.chat.id, group.id])
        .await
        .unwrap();
    for head in heads {
        let is_group = head.chat_id == group.id;
        // In the group its first message, and that she has left.
        assert_eq!(head.last_seq, 93 + 2 * u32::from(is_group));
        // 9 edits, 3 reactions, each of these taken back, 90 deletions.
        assert_eq!(head.last_change_seq, 9 + 3 + 3 + 90);
    }
    let refused = Message {
        sender_id: Some(bob.id),
        ..fixture.draft("to nobody")
    };
    let refused = fixture.store.append(&refused).await.unwrap();
    assert_eq!(refused, Append::Denied(Denied::Closed));
    let new = user("ada@example.org");
    assert!(fixture.store.find_or_create_user(&new).await.unwrap().1);

    fixture.store.close().await;
    assert_eq!(held(&fixture.path(), &TEXTS[..6]), Vec::<&str>::new());
    assert_eq!(held(&fixture.path(), &["kept by bob"]), ["kept by bob"]);
}

/// What a server that was killed has left in its log of what it had erased is gone once the next one has
/// begun.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_killed_server_is_emptied() {
    let fixture = Fixture::new().await;
    let draft = fixture.draft("zanzibar-secret");
    let sent = done(fixture.store.append(&draft).await.unwrap()).message;
    change(&fixture, &sent, &fixture.users[0], ChangeAction::Delete).await;
    // As it lies there where it is killed now.
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("talksy.db");
    for end in ["", "-wal"] {
        let from = format!("{}{end}", fixture.path().display());
        std::fs::copy(from, format!("{}{end}", copy.display())).unwrap();
    }
    assert_eq!(held(&copy, &["zanzibar-secret"]), ["zanzibar-secret"]);
    let store = open(&copy, &options()).unwrap();
    store.ping().await.unwrap();
    store.ping().await.unwrap();
    assert_eq!(held(&copy, &["zanzibar-secret"]), Vec::<&str>::new());
    store.close().await;
}
