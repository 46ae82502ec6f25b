//! What all feeds have in common.

use futures_util::Stream;

use super::error::FeedError;

/// An endless sequence of items that may break off.
pub trait Feed: Sized + Send + 'static {
    /// What is delivered.
    type Item: Send;

    /// The next item.
    ///
    /// # Errors
    /// The feed is over, and says why.
    fn next(&mut self) -> impl Future<Output = Result<Self::Item, FeedError>> + Send;

    /// The items as a stream. An error is its last item.
    fn into_stream(self) -> impl Stream<Item = Result<Self::Item, FeedError>> + Send + 'static {
        futures_util::stream::unfold(Some(self), |feed| async {
            let mut feed = feed?;
            match feed.next().await {
                Ok(item) => Some((Ok(item), Some(feed))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}
