//! What the rooms' resolvers share: the context, scalars, connections.

use async_graphql::{
    Context, ID, InputValueError, InputValueResult, Scalar, ScalarType, SimpleObject, Value,
};

use crate::clock::Timestamp;
use crate::context::{Authentication, ClientInfo, Viewer};
use crate::error::{PortError, Refusal};
use crate::loaders::Loaders;
use crate::page::{DEFAULT_PAGE, MAX_PAGE, Page};
use crate::services::Services;

/// What a resolver finds beside the request.
pub(crate) trait ContextExt<'a> {
    /// The signed-in user.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, or why the credentials were refused.
    fn viewer(&self) -> Result<&'a Viewer, Refusal>;
    /// The services.
    fn services(&self) -> &'a Services;
    /// The request's loaders.
    fn loaders(&self) -> &'a Loaders;
    /// The client.
    fn client(&self) -> &'a ClientInfo;
}

impl<'a> ContextExt<'a> for Context<'a> {
    fn viewer(&self) -> Result<&'a Viewer, Refusal> {
        self.data_unchecked::<Authentication>().viewer()
    }

    fn services(&self) -> &'a Services {
        self.data_unchecked()
    }

    fn loaders(&self) -> &'a Loaders {
        self.data_unchecked()
    }

    fn client(&self) -> &'a ClientInfo {
        self.data_unchecked()
    }
}

impl From<PortError> for async_graphql::Error {
    fn from(error: PortError) -> Self {
        Refusal::from(&error).into()
    }
}

/// An instant: RFC 3339, UTC, millisecond precision (`2026-01-31T08:00:00.000Z`).
pub struct DateTime(pub Timestamp);

/// An instant: RFC 3339, UTC, millisecond precision (`2026-01-31T08:00:00.000Z`).
#[Scalar(
    name = "DateTime",
    specified_by_url = "https://scalars.graphql.org/andimarek/date-time"
)]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => text.parse().map(Self).map_err(InputValueError::custom),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

impl From<Timestamp> for DateTime {
    fn from(instant: Timestamp) -> Self {
        Self(instant)
    }
}

/// The id in its GraphQL form.
pub(crate) fn global_id<T: type_safe_id::StaticType>(id: type_safe_id::TypeSafeId<T>) -> ID {
    ID(id.to_string())
}

/// A number as a GraphQL `Int`, whose range ends at 2,147,483,647.
pub(crate) fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Where a page lies in its list.
#[derive(SimpleObject)]
pub struct PageInfo {
    /// Whether the list goes on behind the page.
    pub has_next_page: bool,
    /// Whether the list has items ahead of the page.
    pub has_previous_page: bool,
    /// The cursor of the page's first item; null on an empty page.
    pub start_cursor: Option<String>,
    /// The cursor of the page's last item; null on an empty page.
    pub end_cursor: Option<String>,
}

impl PageInfo {
    pub(crate) fn new<T>(page: &Page<T>, cursor: impl Fn(&T) -> String) -> Self {
        Self {
            has_next_page: page.has_next,
            has_previous_page: page.has_previous,
            start_cursor: page.items.first().map(&cursor),
            end_cursor: page.items.last().map(&cursor),
        }
    }
}

/// What a connection costs for the limit of complexity: a page of its items.
pub(crate) fn page_cost(sizes: [Option<i32>; 2], item: usize) -> usize {
    let size = sizes
        .into_iter()
        .flatten()
        .max()
        .map_or(DEFAULT_PAGE, |size| {
            usize::try_from(size).unwrap_or_default().min(MAX_PAGE)
        });
    size.max(1).saturating_mul(item.max(1))
}

/// Defines a Relay connection of a node type, with its edge.
macro_rules! connection {
    ($connection:ident, $edge:ident, $name:literal, $edge_name:literal, $node:ty, $what:literal) => {
        /// One item of a list, with its place.
        #[derive(async_graphql::SimpleObject)]
        #[graphql(name = $edge_name)]
        pub struct $edge {
            /// The item's place in the list: give it as `after` or `before`.
            pub cursor: String,
            /// The item.
            pub node: $node,
        }

        #[doc = $what]
        pub struct $connection {
            page: $crate::page::Page<$node>,
            cursor: fn(&$node) -> String,
        }

        #[doc = $what]
        #[async_graphql::Object(name = $name)]
        impl $connection {
            /// The items with their cursors.
            async fn edges(&self) -> Vec<$edge> {
                let edge = |node: &$node| $edge {
                    cursor: (self.cursor)(node),
                    node: node.clone(),
                };
                self.page.items.iter().map(edge).collect()
            }

            /// The items alone.
            async fn nodes(&self) -> &[$node] {
                &self.page.items
            }

            /// Where the page lies in the list.
            async fn page_info(&self) -> $crate::graphql::PageInfo {
                $crate::graphql::PageInfo::new(&self.page, self.cursor)
            }
        }

        impl $connection {
            /// A connection over a page.
            pub(crate) const fn new(
                page: $crate::page::Page<$node>,
                cursor: fn(&$node) -> String,
            ) -> Self {
                Self { page, cursor }
            }
        }
    };
}

pub(crate) use connection;

/// Reads an optional cursor argument.
pub(crate) fn cursor<C: crate::cursor::Cursor>(
    text: Option<&str>,
    field: &'static str,
) -> Result<Option<C>, crate::error::Invalid> {
    text.map(|text| C::decode(text, field)).transpose()
}
