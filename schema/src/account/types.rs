//! `AccountEvent` and its kinds.

use async_graphql::{Context, ID, InputObject, Interface, Object};
use talksy_domain::chats::ReadReceipt;
use talksy_domain::events::Hole;
use talksy_domain::id::ChatId;
use talksy_domain::users::User;

use crate::chats::{ChatNode, ChatRemovedObject, ReadReceiptObject};
use crate::context::ContextExt as _;
use crate::messages::{MessageChangeObject, MessageNode};
use crate::scalars::global_id;
use crate::sharing::{SharedField, SharedType};
use crate::users::UserNode;

/// What viewers share of the events of accounts.
pub(crate) const SHARED: &[SharedType] = &[
    SharedType {
        name: "MessageAdded",
        interfaces: &["AccountEvent"],
        fields: &[
            SharedField::hole("cursor"),
            SharedField::event("message").of("Message"),
        ],
    },
    SharedType {
        name: "ChatChanged",
        interfaces: &["AccountEvent"],
        fields: &[
            SharedField::hole("cursor"),
            SharedField::state("chat").of("Chat"),
        ],
    },
    SharedType {
        name: "ReceiptChanged",
        interfaces: &["AccountEvent"],
        fields: &[
            SharedField::hole("cursor"),
            SharedField::event("receipt").of("ReadReceipt"),
        ],
    },
];

/// Where a client stands: its last checkpoint, and the newest cursor of each chat since, at most
/// 1,000. Together at most 256 KiB.
#[derive(InputObject)]
pub struct AccountPosition {
    /// The cursor of the last `AccountCheckpoint`.
    pub(super) checkpoint: String,
    /// The cursors of events since, those of the same chat merged by maximum.
    #[graphql(default)]
    pub(super) since: Vec<String>,
}

/// Something that concerns the viewer. An interface and not a union, so that `cursor` can always be
/// selected and newer kinds do no harm.
#[derive(Interface)]
#[graphql(
    name = "AccountEvent",
    field(
        name = "cursor",
        ty = "String",
        desc = "The place behind the event: keep the newest of each chat until the next checkpoint."
    )
)]
pub enum AccountEventInterface {
    /// A message was added.
    MessageAdded(MessageAddedObject),
    /// A message was changed.
    MessageChange(MessageChangeObject),
    /// A chat looks different.
    ChatChanged(ChatChangedObject),
    /// The viewer is no longer in a chat.
    ChatRemoved(ChatRemovedObject),
    /// A member has read further.
    ReceiptChanged(ReceiptChangedObject),
    /// The viewer's own profile or blocks changed.
    ViewerChanged(ViewerChangedObject),
    /// Too much was missed in a chat.
    ChatReset(ChatResetObject),
    /// All before it has been delivered.
    AccountCheckpoint(AccountCheckpointObject),
}

/// A message was added to a chat.
pub struct MessageAddedObject {
    pub(super) cursor: String,
    pub(super) message: MessageNode,
}

/// A message was added to a chat. Those of one chat come in the order of their `seq`, without a hole.
#[Object(name = "MessageAdded")]
impl MessageAddedObject {
    /// The place behind the message.
    async fn cursor(&self, ctx: &Context<'_>) -> String {
        if ctx.is_hole(Hole::Cursor) {
            return String::new();
        }
        self.cursor.clone()
    }

    /// The message now.
    async fn message(&self) -> MessageNode {
        self.message.clone()
    }
}

/// The chat as the viewer has it now.
pub struct ChatChangedObject {
    pub(super) cursor: String,
    pub(super) chat: ChatNode,
}

/// The chat as the viewer has it now: it is new to them, or looks different.
#[Object(name = "ChatChanged")]
impl ChatChangedObject {
    /// The place in the chat.
    async fn cursor(&self, ctx: &Context<'_>) -> String {
        if ctx.is_hole(Hole::Cursor) {
            return String::new();
        }
        self.cursor.clone()
    }

    /// The chat.
    async fn chat(&self) -> &ChatNode {
        &self.chat
    }
}

/// A member has read further.
pub struct ReceiptChangedObject {
    pub(super) cursor: String,
    pub(super) receipt: ReadReceipt,
}

/// Another member of a chat has read further. For what was missed while the stream was away
/// `ChatChanged` follows: see `Chat.readByAllSeq`. Not told in a large group.
#[Object(name = "ReceiptChanged")]
impl ReceiptChangedObject {
    /// The place in the chat.
    async fn cursor(&self, ctx: &Context<'_>) -> String {
        if ctx.is_hole(Hole::Cursor) {
            return String::new();
        }
        self.cursor.clone()
    }

    /// The member's receipt now.
    async fn receipt(&self) -> ReadReceiptObject {
        ReadReceiptObject(self.receipt)
    }
}

/// The viewer's own profile or blocks changed.
pub struct ViewerChangedObject {
    pub(super) cursor: String,
    pub(super) viewer: User,
}

/// The viewer's own profile changed, or whom they have blocked. Every resume tells it once.
#[Object(name = "ViewerChanged")]
impl ViewerChangedObject {
    /// It has no place in a chat, and need not be kept.
    async fn cursor(&self) -> String {
        self.cursor.clone()
    }

    /// The viewer now.
    async fn viewer(&self) -> UserNode {
        UserNode::new(self.viewer.clone())
    }
}

/// What is known of a chat is to be dropped.
pub struct ChatResetObject {
    pub(super) cursor: String,
    pub(super) chat_id: ChatId,
}

/// Too much was missed in this chat, or it is new to the client: drop what is known of its messages
/// and refetch it. What happens behind the cursor follows.
#[Object(name = "ChatReset")]
impl ChatResetObject {
    /// The place at which the stream goes on. Keep it together with what was refetched, or with a
    /// note that this is to be done.
    async fn cursor(&self) -> String {
        self.cursor.clone()
    }

    /// The chat's global id.
    async fn chat_id(&self) -> ID {
        global_id(self.chat_id)
    }
}

/// All before it has been delivered.
pub struct AccountCheckpointObject {
    pub(super) cursor: String,
    pub(super) is_caught_up: bool,
}

/// All before it has been delivered. Keep the cursor in place of all before it; with it the stream
/// resumes.
#[Object(name = "AccountCheckpoint")]
impl AccountCheckpointObject {
    /// Give it as `after.checkpoint`.
    async fn cursor(&self) -> String {
        self.cursor.clone()
    }

    /// Whether nothing was left to deliver when the server last looked.
    async fn is_caught_up(&self) -> bool {
        self.is_caught_up
    }
}
