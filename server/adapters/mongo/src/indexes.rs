//! The indexes, each with the queries that need it. `_id` has its own, by which documents are
//! found by id.

use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;

use super::call::Call;
use super::documents::{
    ATTACHMENTS, BLOCKS, CHATS, JOBS, MEMBERS, MESSAGES, REACTIONS, REPORTS, SESSIONS, SUSPENSIONS,
    USERS,
};
use super::fault::Fault;

/// The unique index that numbers a chat's messages.
pub(super) const MESSAGES_BY_SEQ: &str = "by_seq";

/// The index that finds a chat's messages by their words.
pub(super) const MESSAGES_BY_WORD: &str = "by_word";

/// Every collection's own.
const BY_ID: &str = "_id_";

/// An index.
#[derive(Clone, Copy, Debug)]
pub struct IndexSpec {
    /// Of which collection.
    pub collection: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its fields, in order; each ascending.
    pub fields: &'static [&'static str],
    /// Whether no two documents may have the same values.
    pub unique: bool,
    /// The field that a document must have to be in the index; `None` where all are.
    pub only_with: Option<&'static str>,
    /// Whether it leaves out documents that have none of its fields.
    pub sparse: bool,
    /// What needs it.
    pub purpose: &'static str,
}

const fn index(
    collection: &'static str,
    name: &'static str,
    fields: &'static [&'static str],
    purpose: &'static str,
) -> IndexSpec {
    IndexSpec {
        collection,
        name,
        fields,
        unique: false,
        only_with: None,
        sparse: false,
        purpose,
    }
}

const fn unique(spec: IndexSpec) -> IndexSpec {
    IndexSpec {
        unique: true,
        ..spec
    }
}

const fn only_with(field: &'static str, spec: IndexSpec) -> IndexSpec {
    IndexSpec {
        only_with: Some(field),
        ..spec
    }
}

const fn sparse(spec: IndexSpec) -> IndexSpec {
    IndexSpec {
        sparse: true,
        ..spec
    }
}

const INDEXES: &[IndexSpec] = &[
    unique(index(
        USERS,
        "by_email",
        &["email"],
        "sign-in: the account of an address, one each",
    )),
    index(
        USERS,
        "by_name",
        &["nameKey", "_id"],
        "search: names that start with a prefix, in the list's order",
    ),
    index(
        SESSIONS,
        "by_user",
        &["userId", "lastUsedAt"],
        "a user's devices, last used first",
    ),
    index(
        SESSIONS,
        "by_expiry",
        &["expiresAt"],
        "the purge of what has expired",
    ),
    unique(index(
        CHATS,
        "by_pair",
        &["directKey"],
        "the one direct chat of a pair, also of whether there is one; the one group of its creator's own id for it",
    )),
    unique(index(
        MEMBERS,
        "by_chat",
        &["chatId", "userId"],
        "one document for a user in a chat, also after they have left; whether a user is a member",
    )),
    index(
        MEMBERS,
        "by_active",
        &["chatId", "active", "userId"],
        "the first members by id of each of many chats, and those behind one of them",
    ),
    index(
        MEMBERS,
        "by_member",
        &["userId", "active", "chatId"],
        "a user's chats, without their documents; memberships of a page of chats; who shares a chat",
    ),
    index(
        MEMBERS,
        "by_version",
        &["userId", "v"],
        "whether anything that a user alone has was changed, without documents",
    ),
    index(
        MEMBERS,
        "by_mark",
        &["chatId", "active", "lastReadSeq", "userId"],
        "the members who have read least of each of many chats; who has read a message that few have",
    ),
    index(
        MEMBERS,
        "by_role",
        &["chatId", "active", "role", "joinedSeq", "userId"],
        "a group's owners, and who takes over from the last one",
    ),
    unique(index(
        MESSAGES,
        MESSAGES_BY_SEQ,
        &["chatId", "seq"],
        "the dense sequence; pages in either direction; a chat's newest message and what lies above its recorded end",
    )),
    unique(index(
        MESSAGES,
        "by_dedup",
        &["chatId", "dedup"],
        "idempotent sends: the earlier message with the sender's own id",
    )),
    index(
        MESSAGES,
        "by_known",
        &["chatId", "knownTo", "seq"],
        "unread counts: what above a read mark is no news, counted in the index alone",
    ),
    index(
        MESSAGES,
        "by_change",
        &["chatId", "changeSeq"],
        "changed messages by their latest change; a chat's newest change",
    ),
    index(
        MESSAGES,
        MESSAGES_BY_WORD,
        &["chatId", "words", "createdAt", "seq"],
        "the search: messages of a chat with a word, newest first; how many have a word, or one with a prefix",
    ),
    only_with(
        "replyTo",
        index(
            MESSAGES,
            "by_reply",
            &["chatId", "replyTo", "seq"],
            "how many replies a message has, and their pages",
        ),
    ),
    only_with(
        "mentionIds",
        index(
            MESSAGES,
            "by_mention",
            &["chatId", "mentionIds", "seq"],
            "unread mentions above a read mark",
        ),
    ),
    sparse(index(
        MESSAGES,
        "by_pin",
        &["pinnedIn", "pinnedSeq", "seq"],
        "a chat's pinned messages, and how many there are, without documents",
    )),
    sparse(index(
        MESSAGES,
        "by_toggle",
        &["toggles.userId"],
        "what a user has reacted to, and an instance that died has not noted elsewhere",
    )),
    index(
        REACTIONS,
        "by_reactor",
        &["userId", "messageId", "emoji"],
        "what a user has reacted to, when the account is erased",
    ),
    unique(index(
        REACTIONS,
        "by_user",
        &["chatId", "messageId", "userId", "emoji"],
        "one document for a user's reaction; which reactions to a page of messages are the viewer's; all of a deleted message",
    )),
    index(
        REACTIONS,
        "by_emoji",
        &["chatId", "messageId", "emoji", "on", "place"],
        "those who have reacted to a message with an emoji, in their order",
    ),
    index(
        ATTACHMENTS,
        "by_state",
        &["state", "changedAt"],
        "what has stood somewhere for long: attachments that nobody uses",
    ),
    index(
        ATTACHMENTS,
        "by_owner",
        &["ownerId", "_id"],
        "what a user has sent, by id: to give it out, and when the account is erased",
    ),
    index(
        ATTACHMENTS,
        "by_size",
        &["ownerId", "byteSize"],
        "how many bytes a user's attachments come to, without documents",
    ),
    index(
        BLOCKS,
        "by_blocked",
        &["blocked.user"],
        "who has blocked a user whose account is deleted",
    ),
    index(
        JOBS,
        "by_state",
        &["state", "kind", "dueAt"],
        "what is due of a kind; what runs; what has failed",
    ),
    unique(index(
        REPORTS,
        "by_slot",
        &["slot"],
        "one open report for a user and a message",
    )),
    index(
        REPORTS,
        "by_state",
        &["state", "_id"],
        "pages of reports in a state, newest first",
    ),
    index(
        REPORTS,
        "by_reporter",
        &["reportedBy"],
        "what a user has reported, which goes with their account",
    ),
    index(
        REPORTS,
        "by_sender",
        &["senderId"],
        "what was reported of a user's, which goes with their account",
    ),
    index(
        SUSPENSIONS,
        "by_age",
        &["since", "_id"],
        "pages of those who are suspended, last suspended first",
    ),
    sparse(index(
        SUSPENSIONS,
        "by_end",
        &["until"],
        "suspensions that have run out",
    )),
];

/// Indexes of earlier releases, which others have taken the place of.
const FORMER: [(&str, &str); 2] = [(MEMBERS, "by_user"), (MEMBERS, "by_read")];

/// The server's code for an index that is not there.
const INDEX_NOT_FOUND: i32 = 27;

/// All indexes.
pub fn index_specs() -> &'static [IndexSpec] {
    INDEXES
}

/// The unique index that a server calls so: by the name that we gave it, or the one that servers
/// make of its fields.
pub(super) fn unique_by_name(name: &str) -> Option<&'static str> {
    let is_called = |spec: &&IndexSpec| spec.name == name || name_of_fields(spec) == name;
    let unique = || INDEXES.iter().filter(|spec| spec.unique);
    let found = unique().find(is_called).map(|spec| spec.name);
    found.or_else(|| (name == BY_ID).then_some(BY_ID))
}

/// What servers call an index that is given no name.
fn name_of_fields(spec: &IndexSpec) -> String {
    let parts = spec.fields.iter().map(|field| format!("{field}_1"));
    parts.collect::<Vec<_>>().join("_")
}

/// Makes the indexes that are missing.
pub(super) async fn create(call: &Call) -> Result<(), Fault> {
    for collection in [
        USERS,
        SESSIONS,
        CHATS,
        MEMBERS,
        MESSAGES,
        REACTIONS,
        ATTACHMENTS,
        BLOCKS,
        JOBS,
        REPORTS,
        SUSPENSIONS,
    ] {
        call.inner
            .preparing
            .note(format!("indexes of `{collection}`"));
        let specs = INDEXES.iter().filter(|spec| spec.collection == collection);
        call.create_indexes(collection, specs.map(model).collect())
            .await?;
    }
    Ok(())
}

/// Drops the indexes that are no longer needed.
pub(super) async fn drop_former(call: &Call) -> Result<(), Fault> {
    for (collection, name) in FORMER {
        let dropped = call.command(doc! { "dropIndexes": collection, "index": name });
        match dropped.await {
            Err(fault) if fault.code() != Some(INDEX_NOT_FOUND) => return Err(fault),
            _ => {}
        }
    }
    Ok(())
}

fn model(spec: &IndexSpec) -> IndexModel {
    let keys: Document = spec
        .fields
        .iter()
        .map(|&field| (field.to_owned(), 1.into()))
        .collect();
    let mut options = IndexOptions::default();
    options.name = Some(spec.name.to_owned());
    options.unique = spec.unique.then_some(true);
    let exists = |field: &str| doc! { field: { "$exists": true } };
    options.partial_filter_expression = spec.only_with.map(exists);
    options.sparse = spec.sparse.then_some(true);
    IndexModel::builder().keys(keys).options(options).build()
}
