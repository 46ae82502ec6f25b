//! Idempotent sends: one message for each `clientMessageId` of a sender in a chat.

use std::time::Duration;

use talksy_domain::access::Denied;
use talksy_domain::messages::{Append, ClientMessageId, Message};

use super::fixture::{Stores, draft, draft_with_id, seqs, text_of};
use super::{at_once, ids, now, word};

/// A retry, however late and whatever it says, is answered with the first message, takes no
/// number and leaves nothing behind.
pub async fn a_retry_is_answered_with_the_first_message(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let own_id = word();
    let first = stores
        .append(&draft_with_id(chat.id, ada.id, &own_id))
        .await;
    assert!(!first.is_duplicate);
    for round in 1..=3_u32 {
        stores.send(chat.id, bob.id, 1).await;
        let before = stores.chat(chat.id).await;
        let retry = Message {
            text: Some(text_of("something else")),
            created_at: now() + Duration::from_hours(24) * round,
            ..draft_with_id(chat.id, ada.id, &own_id)
        };
        let again = stores.append(&retry).await;
        assert!(again.is_duplicate);
        assert_eq!(again.message, first.message);
        assert_eq!(again.chat, before, "the chat as it is");
        assert_eq!(stores.chat(chat.id).await, before, "and as it was");
        let made = stores.messages.messages(&[retry.id]).await.unwrap();
        assert_eq!(made, []);
    }
    assert_eq!(seqs(&stores.all_messages(chat.id).await), [1, 2, 3, 4]);
}

/// A retry with the very same draft is answered the same way.
pub async fn the_same_draft_twice_is_one_message(stores: &Stores) {
    let (ada, _, chat) = stores.pair().await;
    let draft = draft_with_id(chat.id, ada.id, &word());
    let first = stores.append(&draft).await;
    let again = stores.append(&draft).await;
    assert!(!first.is_duplicate && again.is_duplicate);
    assert_eq!(first.message, again.message);
    assert_eq!(stores.all_messages(chat.id).await, [first.message]);
}

/// Of many retries at the same time one makes the message, and all are answered with it.
pub async fn concurrent_retries_make_one_message(stores: &Stores) {
    let (ada, _, chat) = stores.pair().await;
    let own_id = word();
    let answers = at_once((0..16).map(|_| {
        let stores = stores.clone();
        let draft = draft_with_id(chat.id, ada.id, &own_id);
        async move { stores.append(&draft).await }
    }))
    .await;
    let made: Vec<_> = answers.iter().filter(|one| !one.is_duplicate).collect();
    assert_eq!(made.len(), 1);
    assert!(answers.iter().all(|one| one.message == made[0].message));
    assert_eq!(
        stores.all_messages(chat.id).await,
        [made[0].message.clone()]
    );
    assert_eq!(stores.chat(chat.id).await.last_seq, 1);
}

/// Retries among other messages, as after a lost connection, take no numbers.
pub async fn retries_among_other_sends_make_no_hole(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let own_ids: Vec<String> = (0..20).map(|_| word()).collect();
    let answers = at_once((0..8).map(|n| {
        let (stores, own_ids, chat) = (stores.clone(), own_ids.clone(), chat.id);
        let sender = if n % 2 == 0 { ada.id } else { bob.id };
        async move {
            let mut made = Vec::new();
            for own_id in &own_ids {
                let answer = stores.append(&draft_with_id(chat, sender, own_id)).await;
                if !answer.is_duplicate {
                    made.push(answer.message.seq);
                }
                made.extend(seqs(&stores.send(chat, sender, 1).await));
            }
            made
        }
    }))
    .await;
    // Each of the two senders has 20 messages with an id; each of the 8 tasks 20 without.
    let numbers = super::fixture::sorted(answers.into_iter().flatten());
    assert_eq!(numbers, (1..=2 * 20 + 8 * 20).collect::<Vec<_>>());
    assert_eq!(seqs(&stores.all_messages(chat.id).await), numbers);
}

/// An id is the sender's own and the chat's: others may use the same.
pub async fn an_id_belongs_to_its_sender_and_chat(stores: &Stores) {
    let [ada, bob, eve] = stores.users().await;
    let with_bob = stores.direct(&ada, &bob).await.id;
    let with_eve = stores.direct(&ada, &eve).await.id;
    let own_id = word();
    let drafts = [
        draft_with_id(with_bob, ada.id, &own_id),
        draft_with_id(with_bob, bob.id, &own_id),
        draft_with_id(with_eve, ada.id, &own_id),
    ];
    for (draft, seq) in drafts.iter().zip([1, 2, 1]) {
        let appended = stores.append(draft).await;
        assert!(!appended.is_duplicate);
        assert_eq!(
            appended.message,
            Message {
                seq,
                ..draft.clone()
            }
        );
    }
    for (draft, seq) in drafts.iter().zip([1, 2, 1]) {
        let again = stores.append(draft).await;
        assert!(again.is_duplicate);
        assert_eq!((again.message.id, again.message.seq), (draft.id, seq));
    }
}

/// Ids are compared character by character.
pub async fn ids_are_compared_exactly(stores: &Stores) {
    let (ada, _, chat) = stores.pair().await;
    let longest = "😀".repeat(64);
    let own_ids = ["a", "A", "a ", " a", "á", "a\u{301}", "1", "01", &longest];
    for (n, own_id) in (1..).zip(own_ids) {
        let appended = stores.append(&draft_with_id(chat.id, ada.id, own_id)).await;
        assert_eq!(
            (appended.message.seq, appended.is_duplicate),
            (n, false),
            "{own_id:?} was taken for another"
        );
        let kept = appended.message.client_message_id;
        assert_eq!(kept, Some(ClientMessageId::parse(own_id).unwrap()));
    }
}

/// Messages without such an id are different messages, also where all else is the same.
pub async fn messages_without_an_id_are_never_duplicates(stores: &Stores) {
    let (ada, _, chat) = stores.pair().await;
    let draft = draft(chat.id, ada.id);
    for seq in 1..=3 {
        let same = Message {
            id: ids().next(),
            ..draft.clone()
        };
        let appended = stores.append(&same).await;
        assert_eq!((appended.message.seq, appended.is_duplicate), (seq, false));
    }
}

/// An id that a stranger or a message to no chat came with is not used up.
pub async fn a_refused_send_does_not_use_its_id(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let early = draft_with_id(ids().next(), ada.id, &word());
    let refused = stores.messages.append(&early).await.unwrap();
    assert_eq!(refused, Append::Denied(Denied::NoChat));
    let candidate = talksy_domain::chats::Chat {
        id: early.chat_id,
        ..super::fixture::direct_candidate(now())
    };
    let opened = stores.chats.open_direct(&candidate, [ada.id, bob.id]).await;
    assert!(opened.unwrap().1);
    let appended = stores.append(&early).await;
    assert_eq!((appended.message.seq, appended.is_duplicate), (1, false));
}

super::suite::rules! {
    retries_rules:
    a_retry_is_answered_with_the_first_message,
    the_same_draft_twice_is_one_message,
    concurrent_retries_make_one_message,
    retries_among_other_sends_make_no_hole,
    an_id_belongs_to_its_sender_and_chat,
    ids_are_compared_exactly,
    messages_without_an_id_are_never_duplicates,
    a_refused_send_does_not_use_its_id,
}
