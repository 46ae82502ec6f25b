//! How a type says which of its fields viewers share.

/// Which fields of a type viewers share. It stands beside the type; a field that it does not name
/// is resolved for each viewer.
#[derive(Debug)]
pub(crate) struct SharedType {
    /// The type's name in GraphQL.
    pub(crate) name: &'static str,
    /// The interfaces that it implements.
    pub(crate) interfaces: &'static [&'static str],
    /// The fields.
    pub(crate) fields: &'static [SharedField],
}

/// A field that viewers share, or that is a hole.
#[derive(Debug)]
pub(crate) struct SharedField {
    /// The field's name.
    pub(crate) name: &'static str,
    /// The type of the objects that it holds; `None` for a leaf.
    pub(crate) object: Option<&'static str>,
    /// How viewers share it.
    pub(crate) sharing: Sharing,
}

/// How viewers share a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// It is the same for all viewers, also for who reads it a while after the first.
    Event,
    /// It is the same for all viewers of one state of a chat, whose numbers name it. Elsewhere the
    /// chat is not the one of the numbers: there each viewer reads it.
    State,
    /// It is the viewer's own, and known to the feed: a hole. An object of holes is one too.
    Hole,
    /// It is what the viewer has done with the event's own message: a hole that is read for all
    /// viewers of the event together.
    Own,
}

impl SharedField {
    /// A leaf that is the same for all, whenever they read it.
    pub(crate) const fn event(name: &'static str) -> Self {
        Self::new(name, Sharing::Event)
    }

    /// A leaf that belongs to a state of a chat.
    pub(crate) const fn state(name: &'static str) -> Self {
        Self::new(name, Sharing::State)
    }

    /// A leaf that is a hole.
    pub(crate) const fn hole(name: &'static str) -> Self {
        Self::new(name, Sharing::Hole)
    }

    /// A leaf that tells what the viewer has done with the event's own message.
    pub(crate) const fn own(name: &'static str) -> Self {
        Self::new(name, Sharing::Own)
    }

    const fn new(name: &'static str, sharing: Sharing) -> Self {
        Self {
            name,
            object: None,
            sharing,
        }
    }

    /// The same of a field that holds objects of this type.
    pub(crate) const fn of(self, object: &'static str) -> Self {
        Self {
            object: Some(object),
            ..self
        }
    }
}
