//! The erasing of an account, where it is broken off, and where something comes in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use talksy_domain::access::Denied;
use talksy_domain::auth::{SessionStore, SessionStoreLayer};
use talksy_domain::blocks::{BlockStore, BlockStoreLayer};
use talksy_domain::chats::{ChatStore, ChatStoreLayer};
use talksy_domain::deletion::{AccountEraser, EraseAccount as _};
use talksy_domain::error::PortError;
use talksy_domain::groups::{GroupAction, GroupStore, GroupStoreLayer};
use talksy_domain::id::ChatId;
use talksy_domain::messages::{
    Append, ChangeAction, Emoji, HistoryFrom, Message, MessageStore, MessageStoreLayer, Reactions,
};
use talksy_domain::moderation::{ModerationStore, ModerationStoreLayer};
use talksy_domain::port::{Call, Layer, Layered};
use talksy_domain::search::MessageSearch;
use talksy_domain::users::{User, UserStore, UserStoreLayer};

use super::deletion::{delete, eraser, react};
use super::fixture::{Stores, ask, draft, forward, text_of};
use super::moderation::kept;
use super::now;
use super::search::{all, say, search};
use super::sessions::{new_session, token};

/// Fails one of the calls that are counted, ahead of it or behind it.
struct Flaky<P: ?Sized> {
    inner: Arc<P>,
    calls: Arc<AtomicUsize>,
    failing: usize,
    is_behind: bool,
}

impl<P: Send + Sync + ?Sized> Layer<P> for Flaky<P> {
    fn inner(&self) -> &Arc<P> {
        &self.inner
    }

    async fn around<T: Send>(
        &self,
        call: Call,
        answer: impl Future<Output = Result<T, PortError>> + Send,
    ) -> Result<T, PortError> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        if number != self.failing {
            return answer.await;
        }
        if self.is_behind {
            answer.await?;
        }
        Err(PortError::unavailable(call.port, "died for the test"))
    }
}

impl UserStoreLayer for Flaky<dyn UserStore> {}
impl SessionStoreLayer for Flaky<dyn SessionStore> {}
impl ChatStoreLayer for Flaky<dyn ChatStore> {}
impl MessageStoreLayer for Flaky<dyn MessageStore> {}
impl GroupStoreLayer for Flaky<dyn GroupStore> {}
impl BlockStoreLayer for Flaky<dyn BlockStore> {}
impl ModerationStoreLayer for Flaky<dyn ModerationStore> {}

/// The eraser over ports of which one call fails.
fn flaky(
    stores: &Stores,
    calls: &Arc<AtomicUsize>,
    failing: usize,
    is_behind: bool,
) -> AccountEraser {
    macro_rules! layer {
        ($port:ident) => {
            Arc::new(Layered(Flaky {
                inner: Arc::clone(&stores.$port),
                calls: Arc::clone(calls),
                failing,
                is_behind,
            }))
        };
    }
    AccountEraser {
        users: layer!(users),
        sessions: layer!(sessions),
        chats: layer!(chats),
        groups: layer!(groups),
        messages: layer!(messages),
        blocks: layer!(blocks),
        moderation: layer!(moderation),
        ..eraser(stores)
    }
}

/// Somebody to be erased, with something of everything.
async fn lived(stores: &Stores) -> (User, [ChatId; 3]) {
    let [ada, bob, cleo] = stores.users().await;
    let group = stores.group(&[&ada, &bob]).await;
    let left = stores.group(&[&bob, &ada]).await;
    let direct = stores.direct(&ada, &cleo).await;
    for chat in [group.id, left.id] {
        stores.send(chat, ada.id, 1).await;
        let theirs = stores.send(chat, bob.id, 1).await.remove(0);
        stores.change(&theirs, ada.id, react("👍")).await;
    }
    stores.send(direct.id, ada.id, 1).await;
    stores.notice(left.id, ada.id, GroupAction::Leave).await;
    assert!(stores.users.delete_user(ada.id, now()).await.unwrap());
    let session = new_session(ada.id, now());
    let kept = stores.sessions.create_session(&session, token());
    kept.await.unwrap();
    (ada, [group.id, left.id, direct.id])
}

/// How it stands, without what differs from one to another.
async fn standing(stores: &Stores, ada: &User, chats: &[ChatId]) -> String {
    let mut lines = Vec::new();
    for chat in chats {
        let now = stores.chat(*chat).await;
        lines.push(format!(
            "{:?} {} {} {}",
            now.kind, now.last_seq, now.member_count, now.is_closed
        ));
        let mut numbers = BTreeMap::new();
        for message in stores.all_messages(*chat).await {
            if message.change_seq > 0 {
                assert_eq!(numbers.insert(message.change_seq, message.seq), None);
            }
            let is_hers = message.sender_id == Some(ada.id);
            let kind = message.notice.as_ref().map(|notice| notice.kind);
            lines.push(format!(
                "{} {is_hers} {} {:?} {:?} {} {kind:?}",
                message.seq,
                message.deleted_at.is_some(),
                message.text.as_ref().map(|text| text.as_str().to_owned()),
                message.reactions,
                message.change_seq > 0,
            ));
        }
    }
    let left = stores.chats.chat_ids_of(ada.id).await.unwrap().len();
    let window = forward(None, 10);
    let sessions = stores.sessions.sessions_of(ada.id, now(), &window);
    lines.push(format!("{left} {}", sessions.await.unwrap().items.len()));
    lines.join("\n")
}

/// Wherever the erasing is broken off, and whether or not the last call was carried out, it comes to
/// the same when it is done again.
pub async fn broken_off_anywhere_it_comes_to_the_same(stores: &Stores) {
    let (ada, chats) = lived(stores).await;
    let calls = Arc::default();
    let whole = flaky(stores, &calls, usize::MAX, false);
    assert!(whole.erase(ada.id).await.unwrap());
    let expected = standing(stores, &ada, &chats).await;
    assert!(!expected.contains(" true false Some("), "{expected}");
    let all = calls.load(Ordering::SeqCst);
    assert!(all > 15, "{all}");
    for failing in 0..all {
        for is_behind in [false, true] {
            let (ada, chats) = lived(stores).await;
            let broken = flaky(stores, &Arc::default(), failing, is_behind);
            broken.erase(ada.id).await.unwrap_err();
            assert!(eraser(stores).erase(ada.id).await.unwrap());
            let stands = standing(stores, &ada, &chats).await;
            assert_eq!(stands, expected, "call {failing}, behind it: {is_behind}");
        }
    }
}

/// Somebody adds the user, and a message of theirs comes, while the account is erased: the next
/// erasing finds both.
pub async fn what_comes_late_is_erased_by_the_next(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let group = stores.group(&[&bob]).await;
    delete(stores, ada.id).await;
    let join = GroupAction::Add {
        users: vec![ada.id],
        history: HistoryFrom::All,
    };
    stores.notice(group.id, bob.id, join).await;
    let late = Message {
        text: Some(text_of("late")),
        ..draft(group.id, ada.id)
    };
    stores.append(&late).await;
    assert!(eraser(stores).erase(ada.id).await.unwrap());
    assert_eq!(stores.chat(group.id).await.member_count, 1);
    let all = stores.all_messages(group.id).await;
    assert!(all.iter().all(|message| message.text.is_none()), "{all:?}");
}

/// Blocks by and of the user end, also where they keep them from taking a reaction back, and so do
/// reports by them and of their messages. What is closed stays closed.
pub async fn blocks_and_reports_go_with_the_account(stores: &Stores) {
    let [ada, bob, cyd] = stores.users().await;
    let chat = stores.direct(&ada, &bob).await;
    let of_ada = stores.send(chat.id, ada.id, 1).await.remove(0);
    let of_bob = stores.send(chat.id, bob.id, 1).await.remove(0);
    stores.change(&of_bob, ada.id, react("👍")).await;
    let mut reports = Vec::new();
    for (message, by) in [(&of_ada, bob.id), (&of_bob, ada.id), (&of_bob, cyd.id)] {
        reports.push(kept(stores, message, by).await.id);
    }
    for (blocker, other) in [(bob.id, ada.id), (ada.id, cyd.id)] {
        let set = stores.blocks.set_blocked(blocker, other, true);
        set.await.unwrap();
    }
    let refused = stores.messages.append(&draft(chat.id, ada.id)).await;
    assert_eq!(refused.unwrap(), Append::Denied(Denied::NotWritable));
    let without = ChangeAction::React {
        emoji: Emoji::parse("👍").unwrap(),
        is_added: false,
    };
    let refused = ask(stores, &of_bob, ada.id, without).await;
    assert_eq!(refused.unwrap_err(), Denied::NotWritable.into());

    delete(stores, ada.id).await;
    let found = stores.messages.messages(&[of_bob.id]).await.unwrap();
    assert_eq!(found[0].reactions, Reactions::default());
    let found = stores.messages.messages(&[of_ada.id]).await.unwrap();
    assert!(found[0].deleted_at.is_some());
    let pairs = [(bob.id, ada.id), (ada.id, cyd.id)];
    assert_eq!(stores.blocks.blocks_among(&pairs).await.unwrap(), []);
    let left = stores.moderation.reports(&reports).await.unwrap();
    let left: Vec<_> = left.iter().map(|report| report.id).collect();
    assert_eq!(left, reports[2..]);
    let refused = stores.messages.append(&draft(chat.id, bob.id)).await;
    assert_eq!(refused.unwrap(), Append::Denied(Denied::Closed));
}

/// Nobody finds a message of the user any more, by any of its words, of its former words or by its
/// sender, wherever it stands; others' are found as before.
pub async fn no_word_of_it_is_found(stores: &Stores) {
    let [ada, bob, cyd] = stores.users().await;
    let chats = [
        stores.group(&[&ada, &bob]).await.id,
        stores.group(&[&bob, &ada, &cyd]).await.id,
        stores.direct(&ada, &bob).await.id,
    ];
    for chat in chats {
        for n in 0..70 {
            let of_ada = format!("common of{n} 東京");
            let sent = say(stores, chat, ada.id, &of_ada, now()).await;
            if n % 10 == 0 {
                let edit = ChangeAction::Edit {
                    edit: text_of("common edited").into(),
                    expected: None,
                };
                stores.change(&sent, ada.id, edit).await;
            }
            if n % 7 == 0 {
                say(stores, chat, bob.id, "common kept 東京", now()).await;
            }
        }
    }
    stores.notice(chats[1], ada.id, GroupAction::Leave).await;
    let parts = chats.map(|chat| (chat, 1));
    let found = async |query: &str, sender| {
        let wanted = MessageSearch {
            sender,
            ..search(query, &parts)
        };
        all(stores, &wanted, 50).await.len()
    };
    let own = ["of11", "of", "edi", "edited common"];
    for query in own {
        assert!(found(query, None).await > 0, "{query}");
    }
    assert_eq!(found("common", Some(ada.id)).await, 210);
    let of_bob = found("common", Some(bob.id)).await;
    delete(stores, ada.id).await;
    // Also behind the job that indexes what has no words.
    for _ in 0..2 {
        for query in own {
            assert_eq!(found(query, None).await, 0, "{query}");
        }
        assert_eq!(found("common", Some(ada.id)).await, 0);
        for query in ["common", "kept", "東京", "comm"] {
            assert_eq!(found(query, None).await, of_bob, "{query}");
        }
        let mut after = None;
        while let Some(last) = stores.messages.index_messages(after, 100).await.unwrap() {
            after = Some(last);
        }
    }
}

/// Folding names gives a deleted account none to find it by.
pub async fn folding_names_gives_a_deleted_account_none(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    delete(stores, ada.id).await;
    let mut after = None;
    while let Some(last) = stores.users.fold_names(after, 200).await.unwrap() {
        after = Some(last);
    }
    let window = forward(None, 100);
    let found = stores.users.users_by_name("deleted user", bob.id, &window);
    assert!(
        found
            .await
            .unwrap()
            .items
            .iter()
            .all(|one| one.id != ada.id)
    );
    let newest = stores.moderation.newest_users(&forward(None, 100)).await;
    assert!(newest.unwrap().items.iter().all(|one| one.id != ada.id));
}

super::suite::rules! {
    erasing_rules:
    broken_off_anywhere_it_comes_to_the_same,
    what_comes_late_is_erased_by_the_next,
    blocks_and_reports_go_with_the_account,
    no_word_of_it_is_found,
    folding_names_gives_a_deleted_account_none,
}
