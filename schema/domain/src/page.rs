//! Windows on ordered lists, as the arguments of a Relay connection ask for them
//! (<https://relay.dev/graphql/connections.htm>).

use crate::error::Invalid;

/// The most items a page holds.
pub const MAX_PAGE: usize = 100;
/// How many items a page holds where the client does not say.
pub const DEFAULT_PAGE: usize = 50;

/// Which part of a list is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window<C> {
    /// Only what lies behind this position in the list's order.
    pub after: Option<C>,
    /// Only what lies ahead of it.
    pub before: Option<C>,
    /// The most items, 0 to [`MAX_PAGE`].
    pub limit: usize,
    /// Whether the page is cut from the end of what remains. Items keep the list's order.
    pub from_end: bool,
}

/// A part of a list, in the list's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Whether the list goes on behind the page.
    pub has_next: bool,
    /// Whether the list has items ahead of the page.
    pub has_previous: bool,
}

impl<T> Page<T> {
    /// The same page of other items.
    pub fn map<U>(self, convert: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(convert).collect(),
            has_next: self.has_next,
            has_previous: self.has_previous,
        }
    }

    /// Makes a page of what a store read when asked for one item more than the limit, nearest to
    /// the cut first: forwards in list order, from the end in reverse.
    pub fn from_overread<C>(mut items: Vec<T>, window: &Window<C>) -> Self {
        let more = items.len() > window.limit;
        items.truncate(window.limit);
        if window.from_end {
            items.reverse();
            Self {
                items,
                has_next: window.before.is_some(),
                has_previous: more,
            }
        } else {
            Self {
                items,
                has_next: more,
                has_previous: window.after.is_some(),
            }
        }
    }
}

/// Reads `first` as a page size.
///
/// # Errors
/// [`Invalid`] where it is negative or above [`MAX_PAGE`].
pub fn page_size(size: Option<i32>, field: &'static str) -> Result<usize, Invalid> {
    match size.map(usize::try_from) {
        None => Ok(DEFAULT_PAGE),
        Some(Ok(size)) if size <= MAX_PAGE => Ok(size),
        Some(_) => Err(Invalid::new(
            field,
            format!("must be between 0 and {MAX_PAGE}"),
        )),
    }
}

impl<C> Window<C> {
    /// A page from the list's start, or behind `after`.
    ///
    /// # Errors
    /// [`Invalid`] where `first` is out of range.
    pub fn forward(first: Option<i32>, after: Option<C>) -> Result<Self, Invalid> {
        Ok(Self {
            after,
            before: None,
            limit: page_size(first, "first")?,
            from_end: false,
        })
    }

    /// A page in either direction. Without `first`, `last` and `after` it is the end of the list.
    ///
    /// # Errors
    /// [`Invalid`] where both sizes are given or one is out of range.
    pub fn either(
        first: Option<i32>,
        after: Option<C>,
        last: Option<i32>,
        before: Option<C>,
    ) -> Result<Self, Invalid> {
        if first.is_some() && last.is_some() {
            return Err(Invalid::new(
                "last",
                "must not be given together with `first`",
            ));
        }
        let from_end = last.is_some() || (first.is_none() && after.is_none());
        let limit = if last.is_some() {
            page_size(last, "last")
        } else {
            page_size(first, "first")
        }?;
        Ok(Self {
            after,
            before,
            limit,
            from_end,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_list_is_the_default_of_a_two_way_list() {
        let window = Window::<u32>::either(None, None, None, None).unwrap();
        assert!(window.from_end);
        assert_eq!(window.limit, DEFAULT_PAGE);
        assert!(!Window::either(None, Some(1), None, None).unwrap().from_end);
    }

    #[test]
    fn sizes_out_of_range_name_their_field() {
        assert_eq!(
            Window::<u32>::forward(Some(-1), None).unwrap_err().field,
            "first"
        );
        assert_eq!(
            Window::<u32>::either(None, None, Some(101), None)
                .unwrap_err()
                .field,
            "last"
        );
        assert_eq!(
            Window::<u32>::either(Some(1), None, Some(1), None)
                .unwrap_err()
                .field,
            "last"
        );
    }

    #[test]
    fn an_overread_page_knows_whether_the_list_goes_on() {
        let window = Window {
            after: None::<u32>,
            before: None,
            limit: 2,
            from_end: true,
        };
        let page = Page::from_overread(vec![9, 8, 7], &window);
        assert_eq!(
            (page.items, page.has_previous, page.has_next),
            (vec![8, 9], true, false)
        );
    }
}
