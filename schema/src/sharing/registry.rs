//! The types that say which fields viewers share, and the subscriptions whose events are shared.

use super::declaration::SharedType;
use crate::{account, attachments, chats, messages, users};

/// The types of all rooms.
const ROOMS: [&[SharedType]; 6] = [
    account::SHARED,
    attachments::SHARED,
    chats::SHARED,
    messages::SHARED,
    messages::SHARED_REACTIONS,
    users::SHARED,
];

/// The subscriptions whose events are shared, with the types of their events.
const SUBSCRIPTIONS: [(&str, &[&str]); 5] = [
    ("messageAdded", &["MessageEdge"]),
    ("messageUpdated", &["MessageChange"]),
    ("readReceiptUpdated", &["ReadReceipt"]),
    ("chatUpdated", &["Chat"]),
    (
        "accountEvents",
        &[
            "MessageAdded",
            "MessageChange",
            "ReceiptChanged",
            "ChatChanged",
        ],
    ),
];

/// What a type declares; `None` where it shares nothing.
pub(super) fn shared_type(name: &str) -> Option<&'static SharedType> {
    let mut types = ROOMS.into_iter().flatten();
    types.find(|one| one.name == name)
}

/// The types of a subscription's events; none where they are not shared.
pub(super) fn event_types(subscription: &str) -> &'static [&'static str] {
    let mut all = SUBSCRIPTIONS.into_iter();
    let found = all.find(|(name, _)| *name == subscription);
    found.map_or(&[], |(_, types)| types)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use async_graphql::parser::parse_schema;
    use async_graphql::parser::types::{BaseType, Type, TypeKind, TypeSystemDefinition};

    use super::*;
    use crate::sharing::declaration::Sharing;

    /// The fields of the schema's objects with the types of what they hold, and what the objects
    /// implement.
    type Objects = BTreeMap<String, (BTreeMap<String, String>, BTreeSet<String>)>;

    fn base(of: &Type) -> String {
        match &of.base {
            BaseType::Named(name) => name.to_string(),
            BaseType::List(item) => base(item),
        }
    }

    fn objects() -> Objects {
        let sdl = crate::schema::sdl();
        let (types, _) = sdl.rsplit_once("\nschema {").unwrap();
        let (types, _) = types.rsplit_once('\n').unwrap();
        let mut objects = Objects::new();
        for definition in parse_schema(types).unwrap().definitions {
            let TypeSystemDefinition::Type(one) = definition else {
                continue;
            };
            if let TypeKind::Object(object) = one.node.kind {
                let fields = object.fields.into_iter();
                let fields = fields.map(|field| {
                    let field = field.node;
                    (field.name.node.to_string(), base(&field.ty.node))
                });
                let interfaces = object.implements.iter().map(|one| one.node.to_string());
                let name = one.node.name.node.to_string();
                objects.insert(name, (fields.collect(), interfaces.collect()));
            }
        }
        objects
    }

    #[test]
    fn what_is_declared_is_as_the_schema_has_it() {
        let objects = objects();
        let mut names = BTreeSet::new();
        for one in ROOMS.into_iter().flatten() {
            assert!(names.insert(one.name), "{} is declared twice", one.name);
            let (fields, interfaces) = &objects[one.name];
            let declared: BTreeSet<String> =
                one.interfaces.iter().map(|name| (*name).into()).collect();
            assert_eq!(&declared, interfaces, "{}", one.name);
            let mut names = BTreeSet::new();
            for field in one.fields {
                let of = format!("{}.{}", one.name, field.name);
                assert!(names.insert(field.name), "{of} is declared twice");
                let Some(holds) = fields.get(field.name) else {
                    panic!("there is no {of}");
                };
                let object = objects.contains_key(holds).then_some(holds.as_str());
                assert_eq!(field.object, object, "{of}");
                if let Some(object) = field.object {
                    assert!(shared_type(object).is_some(), "{of} of {object}");
                }
            }
        }
        for (subscription, types) in SUBSCRIPTIONS {
            let (fields, _) = &objects["Subscription"];
            let holds = &fields[subscription];
            for name in types {
                let (_, interfaces) = &objects[*name];
                assert!(
                    holds == name || interfaces.contains(holds),
                    "{subscription}: {name}"
                );
                assert!(shared_type(name).is_some(), "{name}");
            }
        }
    }

    /// What is not shared, on the types that share anything. A new field is denied until it is
    /// declared; then it leaves this list, or comes here with a reason.
    #[test]
    fn what_is_not_shared_is_known() {
        let mut denied = BTreeSet::new();
        let mut holes = BTreeSet::new();
        for (name, (fields, _)) in objects() {
            let Some(one) = shared_type(&name) else {
                continue;
            };
            for field in fields.into_keys() {
                let declared = one.fields.iter().find(|known| known.name == field);
                match declared.map(|declared| declared.sharing) {
                    None => denied.insert(format!("{name}.{field}")),
                    Some(Sharing::Hole | Sharing::Own) => holes.insert(format!("{name}.{field}")),
                    Some(_) => true,
                };
            }
        }
        let known = [
            // Pages: of the viewer's range, and of others' marks.
            "Chat.changes",
            "Chat.members",
            "Chat.messages",
            "Chat.pinnedMessages",
            "Message.readBy",
            "Message.replies",
            // Those who react go on doing so.
            "ReactionGroup.users",
            // Marks of others move without a number of the chat, and it is the sender who is left out.
            "Message.isReadByAll",
            // Replies come without a number of the message.
            "Message.replyCount",
            // Another user where the viewer is meant is none to show.
            "Member.user",
            // Of the viewer's own account alone.
            "User.email",
            "User.isOperator",
            "User.totalUnreadCount",
            // Of who shares a chat with the user, where neither has blocked the other.
            "User.presence",
            // Whom the viewer has blocked, no feed has in memory.
            "User.isBlockedByViewer",
        ];
        assert_eq!(denied, known.map(str::to_owned).into());
        let known = [
            "Chat.isMutedByViewer",
            "Chat.readByAllSeq",
            "Chat.readCursor",
            "Chat.unreadCount",
            "Chat.unreadMentionCount",
            "Chat.viewerMember",
            "Chat.viewerUnreadFromSeq",
            "ChatChanged.cursor",
            "Member.id",
            "Member.joinedAt",
            "Member.lastReadAt",
            "Member.lastReadSeq",
            "Member.role",
            "Member.visibleFromSeq",
            "MessageAdded.cursor",
            "MessageChange.cursor",
            "ReactionGroup.viewerHasReacted",
            "ReceiptChanged.cursor",
        ];
        assert_eq!(holes, known.map(str::to_owned).into());
    }
}
