//! Relay connections (<https://relay.dev/graphql/connections.htm>).

use async_graphql::SimpleObject;
use talksy_domain::page::Page;

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
            page: talksy_domain::page::Page<$node>,
            cursor: fn(&$node) -> String,
            end: Option<String>,
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
            async fn page_info(&self) -> $crate::connection::PageInfo {
                let mut info = $crate::connection::PageInfo::new(&self.page, self.cursor);
                if self.end.is_some() {
                    info.end_cursor.clone_from(&self.end);
                }
                info
            }
        }

        impl $connection {
            /// A connection over a page.
            pub(crate) const fn new(
                page: talksy_domain::page::Page<$node>,
                cursor: fn(&$node) -> String,
            ) -> Self {
                Self {
                    page,
                    cursor,
                    end: None,
                }
            }
        }
    };
}

pub(crate) use connection;

/// Reads an optional cursor argument.
pub(crate) fn cursor<C: talksy_domain::cursor::Cursor>(
    text: Option<&str>,
    field: &'static str,
) -> Result<Option<C>, talksy_domain::error::Invalid> {
    text.map(|text| C::decode(text, field)).transpose()
}
