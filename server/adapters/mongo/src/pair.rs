//! Opening the direct chat of a pair.
//!
//! The insert of the chat under the unique index on the pair decides whose it is. Then its members
//! are inserted, each unique in the chat, then it is marked where one has blocked the other (see
//! `blocks`), and last it is marked ready, from when on it is shown.
//! Whoever finds it before that does the rest too, which is harmless twice: so a crash, or a caller
//! who gave up, leaves nothing that the next one does not repair. Its members are told by whoever
//! marks it.

use mongodb::bson::doc;
use talksy_domain::chats::Chat;
use talksy_domain::events::Announcement;
use talksy_domain::id::{self, UserId};

use super::call::Call;
use super::commands::{Inserted, Shape};
use super::documents::{CHATS, ChatDocument, MEMBERS, MemberDocument, key, pair_key};
use super::fault::Fault;
use super::{blocks, heads};

/// The direct chat of the pair, made from `candidate` where there is none. True when made.
pub(super) async fn open(
    call: &Call,
    candidate: &Chat,
    users: [UserId; 2],
) -> Result<(Chat, bool), Fault> {
    let spread = id::bytes(candidate.id)[15];
    for attempt in 1_u32.. {
        let filter = doc! { "directKey": pair_key(users) };
        let found = call.find_one::<ChatDocument>(filter, Shape::default());
        if let Some(kept) = found.await? {
            if !kept.ready {
                admit(call, &kept.chat, users).await?;
            }
            return Ok((heads::exact_one(call, kept.chat).await?, false));
        }
        let document = ChatDocument::direct(candidate, users);
        if call.insert(CHATS, document).await? == Inserted::Done {
            admit(call, candidate, users).await?;
            return Ok((candidate.clone(), true));
        }
        // Another was faster, and the majority does not know it yet.
        call.pause(attempt, spread.rotate_left(attempt)).await?;
    }
    Err(Fault::Contended)
}

/// Lets the members in and marks the chat ready.
async fn admit(call: &Call, chat: &Chat, users: [UserId; 2]) -> Result<(), Fault> {
    let [low, high] = users.map(|user| {
        // A member who is in already stays as they are.
        call.insert(MEMBERS, MemberDocument::new(chat, user))
    });
    tokio::try_join!(low, high)?;
    blocks::mark_new(call, chat, users).await?;
    let filter = doc! { "_id": key(id::bytes(chat.id)) };
    let update = doc! { "$set": { "ready": true } };
    let announce = call.announcing(Announcement::direct_chat(chat.id, users));
    let then = |changed: Option<bool>| {
        if changed == Some(true) {
            announce();
        }
    };
    call.update_one_then(CHATS, filter, update, then).await?;
    Ok(())
}
