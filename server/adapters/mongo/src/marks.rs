//! What a member sets for themself: how far they have read, and whether they are muted. Each is one
//! update of the member's document, which raises its version.

use mongodb::bson::{Bson, Document, doc};
use talksy_domain::chats::{Member, ReadMark};
use talksy_domain::clock::Timestamp;
use talksy_domain::id::{self, ChatId, UserId};
use talksy_domain::seq::Seq;

use super::call::Call;
use super::commands::Shape;
use super::documents::{MemberDocument, date, key};
use super::fault::Fault;
use super::heads;

/// Moves a read mark. The filter lets each place be moved to once, whoever asks how often.
pub(super) async fn mark_read(
    call: &Call,
    chat: ChatId,
    user: UserId,
    seq: Seq,
    now: Timestamp,
) -> Result<Option<ReadMark>, Fault> {
    let seq = seq.min(heads::last_place(call, chat).await?.seq);
    let who = member(chat, user);
    if seq > 0 {
        let mut behind = who.clone();
        behind.insert("lastReadSeq", doc! { "$lt": i64::from(seq) });
        let mark = doc! { "lastReadSeq": i64::from(seq), "lastReadAt": Bson::from(date(now)) };
        if let Some(before) = update(call, behind, mark).await? {
            let member = Member {
                last_read_seq: seq,
                last_read_at: Some(now),
                version: before.version.saturating_add(1),
                ..before
            };
            return Ok(Some(ReadMark {
                member,
                moved: true,
            }));
        }
    }
    let member = call.find_one::<MemberDocument>(who, Shape::default());
    Ok(member.await?.map(|member| ReadMark {
        member,
        moved: false,
    }))
}

/// Says whether the member is muted.
pub(super) async fn set_muted(
    call: &Call,
    chat: ChatId,
    user: UserId,
    is_muted: bool,
) -> Result<Option<Member>, Fault> {
    let who = member(chat, user);
    let mut other = who.clone();
    other.insert("muted", doc! { "$ne": is_muted });
    match update(call, other, doc! { "muted": is_muted }).await? {
        Some(before) => Ok(Some(Member {
            is_muted,
            version: before.version.saturating_add(1),
            ..before
        })),
        None => call.find_one::<MemberDocument>(who, Shape::default()).await,
    }
}

fn member(chat: ChatId, user: UserId) -> Document {
    doc! {
        "chatId": key(id::bytes(chat)),
        "userId": key(id::bytes(user)),
        "active": true,
    }
}

/// Sets fields and raises the version. The member as it was before, where it matches.
async fn update(call: &Call, filter: Document, set: Document) -> Result<Option<Member>, Fault> {
    let update = doc! { "$set": set, "$inc": { "v": 1_i64 } };
    call.find_and_update::<MemberDocument>(filter, update).await
}
