//! Typed, globally unique ids: a UUID v7 with a prefix that names the kind, in the text form of
//! the [TypeID spec](https://github.com/jetify-com/typeid) (`usr_01h455vb4pex5vsknk084sn02q`).

use std::borrow::Cow;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use type_safe_id::{StaticType, TypeSafeId};
use uuid::Uuid;

use crate::clock::{Clock, Entropy};
use crate::error::Invalid;

macro_rules! id_kinds {
    ($($kind:ident, $alias:ident, $prefix:literal, $doc:literal;)*) => {$(
        #[doc = concat!("Marks the id of ", $doc, ".")]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $kind;
        impl StaticType for $kind {
            const TYPE: &'static str = $prefix;
        }
        #[doc = concat!("The id of ", $doc, " (`", $prefix, "_…`).")]
        pub type $alias = TypeSafeId<$kind>;
    )*};
}

id_kinds! {
    UserKind, UserId, "usr", "a user";
    SessionKind, SessionId, "ses", "a session";
    ChatKindTag, ChatId, "cht", "a chat";
    MessageKindTag, MessageId, "msg", "a message";
    MailJobKind, MailJobId, "mail", "a mail job";
    JobKind, JobId, "job", "a durable job";
    AttachmentKindTag, AttachmentId, "att", "an attachment";
    ReportKind, ReportId, "rep", "a report";
    AuditKind, AuditId, "aud", "an entry in the log of operators' acts";
}

/// Parses the id given in argument `field`.
///
/// # Errors
/// [`Invalid`] naming `field` where the text is no id or one of another kind.
pub fn parse<T: StaticType>(
    text: &str,
    field: impl Into<Cow<'static, str>>,
) -> Result<TypeSafeId<T>, Invalid> {
    text.parse()
        .map_err(|_| Invalid::new(field, format!("is not an id of the form `{}_…`", T::TYPE)))
}

/// Parses the ids given in the list argument `field`.
///
/// # Errors
/// [`Invalid`] naming the first item (`userIds.3`) that is no id or one of another kind.
pub fn parse_all<T: StaticType>(
    texts: &[impl AsRef<str>],
    field: &'static str,
) -> Result<Vec<TypeSafeId<T>>, Invalid> {
    let item = |(index, text): (usize, &_)| {
        let text: &str = AsRef::as_ref(text);
        parse(text, field).map_err(|invalid| Invalid {
            field: format!("{field}.{index}").into(),
            ..invalid
        })
    };
    texts.iter().enumerate().map(item).collect()
}

/// Makes new ids from the clock and entropy ports, so that tests own both.
#[derive(Clone)]
pub struct IdGenerator {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl IdGenerator {
    /// A generator over the given ports.
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clock, entropy }
    }

    /// A new id; ids sort by creation time to the millisecond (RFC 9562, version 7). A message gets
    /// its id from [`Self::next_message`].
    pub fn next<T: StaticType>(&self) -> TypeSafeId<T> {
        let mut random = [0; 10];
        self.entropy.fill(&mut random);
        self.now_with(random)
    }

    /// A new id for a message of the chat. Its last two bytes are the chat's [`bucket`], so that who
    /// has the id alone knows where the message is kept; 58 bits of it are random.
    pub fn next_message(&self, chat: ChatId) -> MessageId {
        let mut random = [0; 10];
        self.entropy.fill(&mut random);
        random[8..].copy_from_slice(&bucket(chat).to_be_bytes());
        self.now_with(random)
    }

    /// The same, with what is random of it made of `print`: two ids for one chat with the same print
    /// differ by the time alone, and [`are_of_one_try`].
    pub(crate) fn next_message_of(&self, chat: ChatId, print: [u8; 8]) -> MessageId {
        let mut random = [0; 10];
        random[..8].copy_from_slice(&print);
        random[8..].copy_from_slice(&bucket(chat).to_be_bytes());
        self.now_with(random)
    }

    fn now_with<T: StaticType>(&self, random: [u8; 10]) -> TypeSafeId<T> {
        let millis = u64::try_from(self.clock.now().as_millis()).unwrap_or_default();
        TypeSafeId::from_uuid(
            uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid(),
        )
    }
}

/// Which of 65,536 parts of a divided store the chat belongs to, with everything in it: the first two
/// bytes, as a big-endian number, of the SHA-256 of the id's 16 bytes.
pub fn bucket(chat: ChatId) -> u16 {
    let digest = Sha256::digest(bytes(chat));
    u16::from_be_bytes([digest[0], digest[1]])
}

/// The [`bucket`] of the message's chat, read from the message's id.
pub fn bucket_of_message(message: MessageId) -> u16 {
    let bytes = bytes(message);
    u16::from_be_bytes([bytes[14], bytes[15]])
}

/// Whether two ids of messages differ by the time at most: see [`IdGenerator::next_message_of`].
pub(crate) fn are_of_one_try(one: MessageId, other: MessageId) -> bool {
    bytes(one)[6..] == bytes(other)[6..]
}

/// The id's 16 bytes, as stores keep it.
pub fn bytes<T: StaticType>(id: TypeSafeId<T>) -> [u8; 16] {
    id.uuid().into_bytes()
}

/// The id of these 16 bytes.
pub fn from_bytes<T: StaticType>(bytes: [u8; 16]) -> TypeSafeId<T> {
    TypeSafeId::from_uuid(Uuid::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{SystemClock, SystemEntropy};

    #[test]
    fn an_id_survives_its_text_form_and_refuses_another_kind() {
        let ids = IdGenerator::new(Arc::new(SystemClock), Arc::new(SystemEntropy));
        let id: UserId = ids.next();
        assert_eq!(parse::<UserKind>(&id.to_string(), "id").unwrap(), id);
        let wrong = parse::<ChatKindTag>(&id.to_string(), "chatId").unwrap_err();
        assert_eq!(wrong.field, "chatId");
        assert_eq!(from_bytes::<UserKind>(bytes(id)), id);
    }

    #[test]
    fn the_id_of_a_message_tells_where_its_chat_is_kept() {
        let ids = IdGenerator::new(Arc::new(SystemClock), Arc::new(SystemEntropy));
        let chat: ChatId = ids.next();
        let (one, two) = (ids.next_message(chat), ids.next_message(chat));
        assert_ne!(one, two);
        assert_eq!(bucket_of_message(one), bucket(chat));
        assert_eq!(bucket_of_message(two), bucket(chat));
        assert_eq!(one.uuid().get_version_num(), 7);
        assert_eq!(one.uuid().get_variant(), uuid::Variant::RFC4122);
        let of = |chat, print| ids.next_message_of(chat, print);
        let (one, other) = (of(chat, [1; 8]), of(chat, [1; 8]));
        assert!(are_of_one_try(one, other));
        assert_eq!(bucket_of_message(one), bucket(chat));
        assert_eq!(one.uuid().get_version_num(), 7);
        assert!(!are_of_one_try(one, of(chat, [2; 8])));
        assert!(!are_of_one_try(one, of(ids.next(), [1; 8])));
        // Kept by stores, and so never to change.
        assert_eq!(bucket(from_bytes([7; 16])), 55137);
    }

    #[test]
    fn ids_of_a_list_are_refused_by_their_place_in_it() {
        let ids = IdGenerator::new(Arc::new(SystemClock), Arc::new(SystemEntropy));
        let (one, two): (UserId, UserId) = (ids.next(), ids.next());
        let mut texts = vec![one.to_string(), two.to_string()];
        assert_eq!(parse_all(&texts, "userIds"), Ok(vec![one, two]));
        texts.push("usr_".into());
        let wrong = parse_all::<UserKind>(&texts, "userIds").unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "`userIds.2` is not an id of the form `usr_…`."
        );
    }
}
