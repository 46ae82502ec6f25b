//! Groups: the port, and how a change is judged.
//!
//! A change is a system message on the chat's line, numbered in the chat's queue like any other
//! (see `commit`), and its insert is the commit. Around it stand: a repair job ahead of it
//! (`repair`), its effect on the documents behind it (`notices`), the job's end.
//!
//! A change that is to follow message n is judged at the documents with all system messages up to
//! m(n) applied. What another instance commits meanwhile may be in some of them already; but then
//! n + 1 is taken, the insert is refused, and the change is judged again. Where nothing is to be
//! inserted, because it was refused or is so already, the line's end is read once more, and the
//! judgement stands only if there is no newer system message.
//!
//! A group is made by the insert of its document, which is unique for its creator's own id; then
//! comes message 1, and with its effect the chat is ready, from when on it is shown. Whoever makes
//! it again before that does the rest too: of two first messages the unique index takes one, whose
//! effect it is that counts.

use async_trait::async_trait;
use mongodb::bson::{RawDocumentBuf, doc};
use talksy_domain::access::Denied;
use talksy_domain::chats::{Chat, Member, MemberRole};
use talksy_domain::error::PortError;
use talksy_domain::groups::{GroupChange, GroupOutcome, GroupState, GroupStore, NewGroup};
use talksy_domain::id::{self, ChatId, MessageId, UserId};
use talksy_domain::messages::Message;
use talksy_domain::metadata::Metadata;

use super::call::Call;
use super::commands::{Inserted, Shape};
use super::documents::{
    self, CHATS, ChatDocument, KeptChat, MESSAGES, MessageDocument, Place, UserOfMember, group_key,
    key, keys,
};
use super::fault::Fault;
use super::waiting::{Committed, Work};
use super::{MongoStore, commit, heads, members, notices, repair};

#[async_trait]
impl GroupStore for MongoStore {
    /// Of before; \[job, chat\], job, message, members, chat, the job's end: 7.
    async fn create_group(&self, group: &NewGroup) -> Result<GroupOutcome, PortError> {
        let (call, group) = (self.call(), group.clone());
        // Whoever waits for it may go away in the middle: the rest is done all the same.
        let making = tokio::spawn(async move { create(&call, &group).await });
        Ok(making.await.map_err(|_panic| Fault::Panicked)??)
    }

    /// 1 command.
    async fn repeated_group(&self, group: &NewGroup) -> Result<Option<Chat>, PortError> {
        let found = match group.client_chat_id {
            Some(_) => of_own_id(&self.call(), group).await?,
            None => None,
        };
        Ok(found.filter(|kept| kept.ready).map(|kept| kept.chat))
    }

    /// Newest place, chat, \[members, owners, successor, with other metadata the message that says what it is\], job, message, members, chat, the job's end: 8.
    async fn change_group(&self, change: &GroupChange) -> Result<GroupOutcome, PortError> {
        let (call, change) = (self.call(), change.clone());
        let changing = tokio::spawn(async move { change_group(&call, change).await });
        Ok(changing.await.map_err(|_panic| Fault::Panicked)??)
    }

    /// 2 commands, of which the second is left out where there are none.
    async fn forget_client_ids(&self, user: UserId, limit: usize) -> Result<usize, PortError> {
        Ok(forget_client_ids(&Call::of_store(&self.inner), user, limit).await?)
    }

    /// Message, chat; where it was not applied, of each system message itself, members, chat, and the
    /// chat again.
    async fn complete_change(&self, chat: ChatId, message: MessageId) -> Result<bool, PortError> {
        let call = Call::of_store(&self.inner);
        Ok(repair::complete(&call, chat, message).await?)
    }
}

/// Gives some of the groups that the user has made under ids of their own the keys of others. The
/// creator's id is the beginning of a group's key; see `group_key`.
async fn forget_client_ids(call: &Call, user: UserId, most: usize) -> Result<usize, Fault> {
    // The character behind the colon is the semicolon.
    let own = doc! { "$gte": format!("{user}:"), "$lt": format!("{user};") };
    let shape = Shape {
        limit: Some(documents::limit(most)),
        fields: Some(doc! { "_id": 1 }),
        ..Shape::default()
    };
    let of_user = doc! { "directKey": own.clone() };
    let found = call.find_raw(CHATS, of_user, shape).await?;
    let chat = |raw: &RawDocumentBuf| -> Option<ChatId> {
        let bytes = raw.get_binary("_id").ok()?.bytes;
        Some(id::from_bytes(bytes.try_into().ok()?))
    };
    let updates = found.iter().filter_map(chat).map(|chat| {
        let q = doc! { "_id": key(id::bytes(chat)), "directKey": own.clone() };
        doc! { "q": q, "u": { "$set": { "directKey": chat.to_string() } } }
    });
    call.update_each(CHATS, updates.collect()).await?;
    Ok(found.len())
}

async fn create(call: &Call, group: &NewGroup) -> Result<GroupOutcome, Fault> {
    let spread = id::bytes(group.chat_id)[15];
    for attempt in 1_u32.. {
        let found = match group.client_chat_id {
            Some(_) => of_own_id(call, group).await?,
            None => None,
        };
        if let Some(kept) = found {
            return if kept.ready {
                Ok(done(heads::exact_one(call, kept.chat).await?, None))
            } else {
                complete(call, kept.chat, group).await
            };
        }
        let announced = repair::announce(call, group.message_id, group.chat_id);
        let chat = call.insert(CHATS, ChatDocument::group(group));
        let ((), inserted) = tokio::try_join!(announced, chat)?;
        if inserted == Inserted::Done {
            return complete(call, group.chat(), group).await;
        }
        // Another was faster, and the majority does not know it yet.
        call.pause(attempt, spread.rotate_left(attempt)).await?;
    }
    Err(Fault::Contended)
}

async fn of_own_id(call: &Call, group: &NewGroup) -> Result<Option<KeptChat>, Fault> {
    let filter = doc! { "directKey": group_key(group) };
    call.find_one::<ChatDocument>(filter, Shape::default())
        .await
}

/// Gives a chat its first message, and lets its members in.
async fn complete(call: &Call, chat: Chat, group: &NewGroup) -> Result<GroupOutcome, Fault> {
    let first = Place { seq: 1, mseq: 1 };
    let message = Message {
        seq: first.seq,
        mseq: first.mseq,
        ..Message::system(group.message_id, chat.id, group.notice(), group.at)
    };
    repair::announce(call, message.id, chat.id).await?;
    let document = MessageDocument::new(&message, first);
    if call.insert(MESSAGES, document).await? == Inserted::Done {
        notices::apply(call, &message).await?;
        repair::done(call, message.id).await;
        let chat = Chat {
            id: chat.id,
            created_at: chat.created_at,
            ..group.chat()
        };
        return Ok(done(chat, Some(message)));
    }
    // Another has made it.
    repair::done(call, message.id).await;
    match notices::catch_up(call, chat.id, first.mseq).await? {
        Some(kept) => Ok(done(heads::exact_one(call, kept.chat).await?, None)),
        None => Ok(GroupOutcome::Refused(Denied::NoChat.into())),
    }
}

async fn change_group(call: &Call, change: GroupChange) -> Result<GroupOutcome, Fault> {
    let (chat, message) = (change.chat_id, change.message_id);
    let work = Work::Change {
        change: Box::new(change),
        is_announced: false,
    };
    match commit::commit(call, chat, work).await? {
        Committed::Group(outcome) => {
            if let GroupOutcome::Done {
                message: Some(_), ..
            } = *outcome
            {
                repair::done(call, message).await;
            }
            Ok(*outcome)
        }
        // A change is answered as one.
        _ => Err(Fault::Panicked),
    }
}

/// How a change was judged.
pub(super) enum Judged {
    /// This system message, with its number, makes the change, and leaves the chat so.
    Decided(Box<(Message, Chat)>),
    /// Nothing is to be written.
    Answered(Box<GroupOutcome>),
    /// There are newer messages than `last`.
    Stale,
}

/// Judges a change that is to follow `last`.
pub(super) async fn judge(call: &Call, change: &GroupChange, last: Place) -> Result<Judged, Fault> {
    let kept = notices::catch_up(call, change.chat_id, last.mseq).await?;
    let Some(kept) = kept.filter(|kept| kept.ready) else {
        let refusal = GroupOutcome::Refused(Denied::NoChat.into());
        return Ok(Judged::Answered(Box::new(refusal)));
    };
    if kept.chat.applied_seq > last.mseq {
        return Ok(Judged::Stale);
    }
    let chat = Chat {
        last_seq: last.seq,
        ..kept.chat
    };
    // Behind the chat: what is read here has all that the chat says was applied.
    let mut concerned = change.subjects();
    concerned.push(change.actor_id);
    let (found, owners, successor, metadata) = tokio::try_join!(
        members::among(call, chat.id, &concerned),
        owners(call, &chat),
        successor(call, &chat, change),
        metadata(call, &chat, change),
    )?;
    let actor = |member: &&Member| member.user_id == change.actor_id;
    let state = GroupState {
        chat: &chat,
        actor: found.iter().find(actor),
        subjects: &found,
        owners,
        successor,
        metadata: metadata.as_ref(),
    };
    let outcome = match change.decide(state) {
        Ok(Some(notice)) => {
            let message = Message::system(change.message_id, chat.id, notice, change.at);
            return Ok(Judged::Decided(Box::new(numbered(message, chat))));
        }
        Ok(None) => done(chat, None),
        Err(refusal) => GroupOutcome::Refused(refusal),
    };
    let now = heads::last_place(call, change.chat_id).await?;
    if now.mseq != last.mseq {
        return Ok(Judged::Stale);
    }
    Ok(Judged::Answered(Box::new(outcome)))
}

/// The system message with the number behind the chat's last, and the chat behind it.
fn numbered(message: Message, chat: Chat) -> (Message, Chat) {
    let number = chat.last_seq + 1;
    let mut chat = Chat {
        last_seq: number,
        applied_seq: number,
        active_at: chat.active_at.max(message.created_at),
        ..chat
    };
    if let Some(notice) = &message.notice {
        chat.member_count = notice.member_count;
        chat.metadata_seq = notice.metadata_seq(number, chat.metadata_seq);
        chat.title = notice.title.clone().or(chat.title);
        if notice.sets_avatar() {
            chat.avatar_id = notice.avatar_id;
        }
    }
    let message = Message {
        seq: number,
        mseq: number,
        ..message
    };
    (message, chat)
}

/// How many owners the group has, as far as it matters: none, one, or more.
async fn owners(call: &Call, chat: &Chat) -> Result<u32, Fault> {
    let filter = doc! {
        "chatId": key(id::bytes(chat.id)),
        "active": true,
        "role": documents::bson(&MemberRole::Owner)?,
    };
    let shape = Shape {
        limit: Some(2),
        fields: Some(doc! { "_id": 0, "userId": 1 }),
        ..Shape::default()
    };
    let found = call.find::<UserOfMember>(filter, shape).await?;
    Ok(u32::try_from(found.len()).unwrap_or(u32::MAX))
}

/// Who takes over where a last owner leaves. In the index, admins stand ahead of members.
async fn successor(
    call: &Call,
    chat: &Chat,
    change: &GroupChange,
) -> Result<Option<UserId>, Fault> {
    if !change.may_need_successor() {
        return Ok(None);
    }
    let roles = [
        documents::bson(&MemberRole::Admin)?,
        documents::bson(&MemberRole::Member)?,
    ];
    let filter = doc! {
        "chatId": key(id::bytes(chat.id)),
        "active": true,
        "role": { "$in": roles.to_vec() },
        "userId": { "$nin": keys(&change.subjects(), id::bytes) },
    };
    let shape = Shape {
        sort: Some(doc! { "role": 1, "joinedSeq": 1, "userId": 1 }),
        fields: Some(doc! { "_id": 0, "userId": 1 }),
        ..Shape::default()
    };
    call.find_one::<UserOfMember>(filter, shape).await
}

/// What the application keeps about the group.
async fn metadata(
    call: &Call,
    chat: &Chat,
    change: &GroupChange,
) -> Result<Option<Metadata>, Fault> {
    if !change.sets_metadata() || chat.metadata_seq == 0 {
        return Ok(None);
    }
    let place = doc! { "chatId": key(id::bytes(chat.id)), "seq": i64::from(chat.metadata_seq) };
    let said = call.find_one::<MessageDocument>(place, Shape::default());
    let said = said.await?.and_then(|message| message.notice);
    Ok(said.and_then(|notice| notice.set_metadata().cloned()))
}

/// The group is as it was asked for.
pub(super) fn done(chat: Chat, message: Option<Message>) -> GroupOutcome {
    GroupOutcome::Done {
        chat: Box::new(chat),
        message: message.map(Box::new),
    }
}
