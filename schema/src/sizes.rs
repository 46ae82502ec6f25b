//! How large the values of the schema's fields may be: what the cost of an operation is counted by.
//!
//! A field of a text that is missing here counts as one without a bound, and a list as a whole page,
//! so that what is forgotten costs too much, not too little.

use talksy_domain::attachments::{FileName, MAX_ATTACHMENTS};
use talksy_domain::chats::MAX_SUMMED;
use talksy_domain::feeds::MAX_POSITION;
use talksy_domain::groups::MAX_SUBJECTS;
use talksy_domain::messages::{ClientMessageId, Emoji, MAX_MENTIONS, MessageText, Reactions};
use talksy_domain::metadata::Metadata;
use talksy_domain::moderation::Reason;
use talksy_domain::page::MAX_PAGE;
use talksy_domain::users::{About, DisplayName};

/// The most bytes of a character: in UTF-8, or with its escape in JSON. No text has characters that
/// need longer escapes.
const CHARACTER: usize = 4;

/// The most bytes of a cursor of a page.
const CURSOR: usize = 512;

/// The most bytes of a token.
const TOKEN: usize = 2_048;

/// The most bytes of a URL that this server makes: what its own address has, and a signed path.
const URL: usize = 512;

/// The most bytes of an address, and of what the server says of itself.
const SHORT: usize = 64;

/// What a chat is called: its title, or the other member's name. The longer of the two.
const TITLE: usize = 100 * CHARACTER;

/// The most bytes of a text, without its quotes, or of a `JSON`; `None` where the field is not known.
pub fn text_bytes(type_name: &str, field: &str) -> Option<usize> {
    Some(match (type_name, field) {
        ("Message" | "User" | "Chat", "metadata") => Metadata::MAX_BYTES,
        ("Message", "text") => MessageText::MAX_CHARS * CHARACTER,
        ("Message", "clientMessageId") => ClientMessageId::MAX_CHARS * CHARACTER,
        ("ReactionGroup", "emoji") => Emoji::MAX_BYTES,
        ("Chat" | "SystemNotice", "title") => TITLE,
        ("Attachment", "fileName") => FileName::MAX_CHARS * CHARACTER,
        ("Attachment", "contentType") => 100,
        ("Attachment", "url" | "thumbnailUrl") | ("CreateUploadPayload", "url") => URL,
        ("User", "name") => DisplayName::MAX_CHARS * CHARACTER,
        ("User", "about") => About::MAX_CHARS * CHARACTER,
        ("User", "email") => 254 * CHARACTER,
        ("Report", "reason" | "resolution") | ("ModeratedUser", "reason") => {
            Reason::MAX_CHARS * CHARACTER
        }
        ("Session", "userAgent") => 256 * CHARACTER,
        ("Session", "ipAddress") | ("Server", "version" | "schemaHash" | "features") => SHORT,
        (
            "AuthPayload" | "LoginPayload" | "RequestAccountDeletionPayload",
            "deviceToken" | "accessToken" | "refreshToken" | "challenge",
        ) => TOKEN,
        ("AccountCheckpoint" | "AccountEvent" | "ViewerChanged", "cursor") => MAX_POSITION,
        (_, "cursor" | "startCursor" | "endCursor") | ("Chat", "headCursor" | "readCursor") => {
            CURSOR
        }
        _ => return None,
    })
}

/// How many values a field counts as beside those of its answer, for what it reads to make them.
pub fn extra_values(type_name: &str, field: &str) -> usize {
    match (type_name, field) {
        // A count takes some of what a value of an answer takes, and most users have few chats.
        ("User", "totalUnreadCount") => MAX_SUMMED / 10,
        // It looks at much to find a page, and at all chats of the viewer.
        ("Query", "searchMessages") => MAX_PAGE,
        _ => 0,
    }
}

/// How many items a list has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListLength {
    /// As a rule: what it counts as.
    pub usual: usize,
    /// At most.
    pub most: usize,
}

impl ListLength {
    /// Of a field that is no list, and of one whose items another field has counted.
    pub const ONE: Self = Self { usual: 1, most: 1 };

    /// Of a field that lists all that the server knows of.
    const ALL: Self = Self {
        usual: 64,
        most: 64,
    };

    /// Of a list of as many items.
    pub const fn exactly(items: usize) -> Self {
        Self {
            usual: items,
            most: items,
        }
    }
}

/// How many items a list has that takes no argument that says so. A connection has counted those of
/// its own lists.
pub fn list_length(type_name: &str, field: &str) -> ListLength {
    match (type_name, field) {
        ("SystemNotice", "subjects") => ListLength {
            usual: 10,
            most: MAX_SUBJECTS,
        },
        ("Message", "mentions") => ListLength {
            usual: 3,
            most: MAX_MENTIONS,
        },
        ("Message", "reactions") => ListLength {
            usual: 5,
            most: Reactions::MAX_EMOJI,
        },
        ("Message", "attachments") => ListLength {
            usual: 1,
            most: MAX_ATTACHMENTS,
        },
        ("Server", _) => ListLength::ALL,
        (_, "edges" | "nodes") if type_name.ends_with("Connection") => ListLength::ONE,
        _ => ListLength::exactly(MAX_PAGE),
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_schema;
    use async_graphql::parser::types::{BaseType, Type, TypeKind, TypeSystemDefinition};
    use talksy_domain::chats::ChatTitle;

    use super::*;

    fn base(ty: &Type) -> &str {
        match &ty.base {
            BaseType::Named(name) => name,
            BaseType::List(item) => base(item),
        }
    }

    #[test]
    fn every_text_of_the_schema_has_a_bound() {
        let sdl = crate::schema::sdl();
        let (types, _) = sdl.rsplit_once("\nschema {").unwrap();
        let (types, _) = types.rsplit_once('\n').unwrap();
        let mut texts = 0;
        for definition in parse_schema(types).unwrap().definitions {
            let TypeSystemDefinition::Type(one) = definition else {
                continue;
            };
            let fields = match one.node.kind {
                TypeKind::Object(object) => object.fields,
                TypeKind::Interface(interface) => interface.fields,
                _ => continue,
            };
            for field in fields {
                let (of, name) = (&one.node.name.node, &field.node.name.node);
                if matches!(base(&field.node.ty.node), "String" | "JSON") {
                    texts += 1;
                    assert!(text_bytes(of, name).is_some(), "{of}.{name}");
                }
            }
        }
        assert!(texts > 20, "{texts}");
        assert_eq!(text_bytes("Message", "nothing"), None);
    }

    #[test]
    fn a_title_is_as_long_as_its_bound_allows() {
        assert!(ChatTitle::MAX_CHARS.max(DisplayName::MAX_CHARS) * CHARACTER <= TITLE);
    }
}
