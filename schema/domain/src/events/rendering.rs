//! What something looks like to all its viewers: bytes that are made once, with holes where viewers
//! differ.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::id::UserId;
use crate::pausing;

/// Names a way of rendering something to bytes: a hash of the operation that selects the fields and
/// of the variables that its selection depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RenderKey(pub u128);

/// Names a template of something: what it was made with beside the thing itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateKey {
    /// The operation.
    pub operation: RenderKey,
    /// The other side of a direct chat, which looks different from each side.
    pub peer: Option<UserId>,
    /// Whether the viewer may read what the message replies to, where the operation asks for that.
    pub is_target_readable: Option<bool>,
    /// How many profiles were changed in this process before: a template holds names, and who was told
    /// of a new one is not shown an old one behind it.
    pub profiles: u64,
}

/// A value that each viewer has for themself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hole {
    /// The viewer's place behind the event.
    Cursor,
    /// How much of the chat the viewer has not read.
    UnreadCount,
    /// How much of that mentions the viewer.
    UnreadMentionCount,
    /// From where on the viewer shows the chat as unread.
    UnreadFrom,
    /// Whether the viewer has muted the chat.
    IsMuted,
    /// The place behind the viewer's read mark.
    ReadCursor,
    /// How far all members but the viewer have read.
    ReadByAll,
    /// Something of the viewer's membership.
    Member(MemberHole),
    /// Whether the viewer has reacted with the emoji at this place among those of the message.
    HasReacted(u8),
}

/// A value of the viewer's membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberHole {
    /// Its id.
    Id,
    /// What the viewer may do.
    Role,
    /// Since when they are a member.
    JoinedAt,
    /// The first message that they may read.
    VisibleFromSeq,
    /// Their read mark.
    LastReadSeq,
    /// When it was last moved.
    LastReadAt,
}

/// Bytes with holes.
#[derive(Debug)]
pub struct Template {
    bytes: Bytes,
    /// Ordered by where they are in the bytes.
    holes: Box<[(usize, Hole)]>,
}

/// About how long what fills a hole is.
const FILLING: usize = 32;

impl Template {
    /// A template of bytes, in which each hole stands ahead of the byte with its number. The holes
    /// are ordered by it.
    pub fn new(bytes: impl Into<Bytes>, holes: Vec<(usize, Hole)>) -> Self {
        Self {
            bytes: bytes.into(),
            holes: holes.into(),
        }
    }

    /// What has to be filled in.
    pub fn holes(&self) -> impl Iterator<Item = Hole> {
        self.holes.iter().map(|(_, hole)| *hole)
    }

    /// The bytes for all viewers, where there is no hole.
    pub fn whole(&self) -> Option<Bytes> {
        self.holes.is_empty().then(|| self.bytes.clone())
    }

    /// The bytes for one viewer, with each hole filled by `fill`; `None` where one cannot be.
    pub fn filled(&self, mut fill: impl FnMut(Hole, &mut Vec<u8>) -> Option<()>) -> Option<Bytes> {
        let mut filled = Vec::with_capacity(self.bytes.len() + self.holes.len() * FILLING);
        let mut from = 0;
        for (at, hole) in &self.holes {
            filled.extend_from_slice(self.bytes.get(from..*at)?);
            fill(*hole, &mut filled)?;
            from = *at;
        }
        filled.extend_from_slice(self.bytes.get(from..)?);
        Some(filled.into())
    }
}

/// How many templates are kept; further ones are made for each viewer anew.
const MAX_TEMPLATES: usize = 16;

/// A template, once it was made; `None` where each viewer needs an execution of their own.
type Cell = Arc<OnceCell<Option<Arc<Template>>>>;

/// The templates of one event, or of one state of a chat. They go with it.
#[derive(Debug, Default)]
pub struct Renderings(Mutex<Vec<(TemplateKey, Cell)>>);

impl Renderings {
    /// The template under `key`: made by the first who asks, shared by the others. `None` where it
    /// cannot be shared.
    pub async fn template(
        &self,
        key: TemplateKey,
        render: impl Future<Output = Option<Template>>,
    ) -> Option<Arc<Template>> {
        let cell = {
            let mut templates = self.0.lock();
            if let Some((_, cell)) = templates.iter().find(|(known, _)| *known == key) {
                Arc::clone(cell)
            } else {
                let cell = Cell::default();
                if templates.len() >= MAX_TEMPLATES {
                    // Nobody asks any more for what was made before a profile was changed.
                    templates.retain(|(known, _)| known.profiles >= key.profiles);
                }
                if templates.len() < MAX_TEMPLATES {
                    templates.push((key, Arc::clone(&cell)));
                }
                cell
            }
        };
        if let Some(made) = cell.get() {
            return made.clone();
        }
        let mut render = pin!(render);
        loop {
            let render = render.as_mut();
            let make = || pausing::holding(async { render.await.map(Arc::new) });
            if let Some(made) = pausing::in_turn(cell.get_or_init(make)).await {
                return made.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::id;

    fn key(operation: u128) -> TemplateKey {
        TemplateKey {
            operation: RenderKey(operation),
            peer: None,
            is_target_readable: None,
            profiles: 0,
        }
    }

    #[test]
    fn each_hole_is_filled_where_it_stands() {
        let template = Template::new(
            &b"{\"a\":,\"b\":[,]}"[..],
            vec![
                (5, Hole::UnreadCount),
                (11, Hole::IsMuted),
                (12, Hole::UnreadCount),
            ],
        );
        let mut count = 0;
        let filled = template.filled(|hole, bytes| {
            count += 1;
            match hole {
                Hole::UnreadCount => bytes.extend_from_slice(count.to_string().as_bytes()),
                _ => bytes.extend_from_slice(b"true"),
            }
            Some(())
        });
        assert_eq!(filled.unwrap(), r#"{"a":1,"b":[true,3]}"#);
        assert_eq!(template.filled(|_, _| None), None);
        let whole = Template::new(&b"{}"[..], Vec::new());
        assert_eq!(whole.whole().unwrap(), "{}");
        assert_eq!(template.whole(), None);
    }

    #[tokio::test]
    async fn one_renders_for_all_also_where_it_cannot_be_shared() {
        let renderings = Renderings::default();
        let (one, two) = (key(1), key(2));
        let make = async || Some(Template::new(&b"1"[..], Vec::new()));
        let first = renderings.template(one, make()).await.unwrap();
        let again = renderings.template(one, async { unreachable!() }).await;
        assert!(Arc::ptr_eq(&first, &again.unwrap()));
        assert!(renderings.template(two, async { None }).await.is_none());
        let again = renderings.template(two, async { unreachable!() }).await;
        assert!(again.is_none());
        for number in 0..100 {
            renderings.template(key(number), make()).await;
        }
        assert_eq!(renderings.0.lock().len(), MAX_TEMPLATES);
        let behind = TemplateKey {
            profiles: 1,
            ..key(1)
        };
        let first = renderings.template(behind, make()).await.unwrap();
        let again = renderings.template(behind, async { unreachable!() }).await;
        assert!(Arc::ptr_eq(&first, &again.unwrap()));
    }

    #[tokio::test]
    async fn each_side_has_its_own_and_none_is_kept_behind_a_changed_profile() {
        let renderings = Renderings::default();
        let one = key(1);
        let peer = |n: u8| Some(id::from_bytes([n; 16]));
        let keys = [
            one,
            TemplateKey {
                peer: peer(1),
                ..one
            },
            TemplateKey {
                peer: peer(2),
                ..one
            },
            TemplateKey {
                is_target_readable: Some(true),
                ..one
            },
            TemplateKey {
                is_target_readable: Some(false),
                ..one
            },
            TemplateKey { profiles: 1, ..one },
        ];
        for (n, key) in keys.iter().enumerate() {
            let make = async || Some(Template::new(n.to_string(), Vec::new()));
            renderings.template(*key, make()).await;
        }
        for (n, key) in keys.iter().enumerate() {
            let made = renderings.template(*key, async { unreachable!() }).await;
            assert_eq!(made.unwrap().whole().unwrap(), n.to_string());
        }
    }

    #[tokio::test]
    async fn who_goes_while_rendering_leaves_it_to_the_next() {
        let renderings = Renderings::default();
        let key = key(1);
        let mut first = Box::pin(renderings.template(key, std::future::pending()));
        assert!(first.as_mut().now_or_never().is_none());
        let whole = async { Some(Template::new(&b"1"[..], Vec::new())) };
        let mut second = Box::pin(renderings.template(key, whole));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert_eq!(second.await.unwrap().whole().unwrap(), "1");
    }
}
