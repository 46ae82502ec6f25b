//! The erasing of an account, where it is broken off, and where something comes in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use talksy_domain::auth::{SessionStore, SessionStoreLayer};
use talksy_domain::chats::{ChatStore, ChatStoreLayer};
use talksy_domain::deletion::{AccountEraser, EraseAccount as _};
use talksy_domain::error::PortError;
use talksy_domain::groups::{GroupAction, GroupStore, GroupStoreLayer};
use talksy_domain::id::ChatId;
use talksy_domain::messages::{HistoryFrom, Message, MessageStore, MessageStoreLayer};
use talksy_domain::port::{Call, Layer, Layered};
use talksy_domain::users::{User, UserStore, UserStoreLayer};

use super::deletion::{delete, eraser, react};
use super::fixture::{Stores, draft, forward, text_of};
use super::now;
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
    assert!(!expected.contains("hello\") Reactions"), "{expected}");
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

super::suite::rules! {
    erasing_rules:
    broken_off_anywhere_it_comes_to_the_same,
    what_comes_late_is_erased_by_the_next,
}
