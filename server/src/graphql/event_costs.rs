//! What the events of a subscription cost its subscriber. Each is on the bill of the subscriber's
//! budgets once it is handed over, and the next one waits where a budget has no room: nothing is
//! left out. Where that would take long, the subscription ends with `RATE_LIMITED`, and its client
//! resumes it from the last event that it has.
//!
//! An event that is executed for one subscriber alone costs the values and bytes of its answer, as
//! a query does. One that many share is executed for the first who comes to it, and costs the others
//! about what it takes to send it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_graphql::Value;
use futures_util::Stream;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use talksy_domain::error::ApiError;
use talksy_domain::viewer::{Authentication, ClientInfo};

use super::cost::BYTES_PER_POINT;
use super::executor::Executor;
use super::response::{Payload, error_payload};

/// What it costs to hand over an event that is shared, besides its bytes: a sixteenth of a point.
const SHARED: u64 = BYTES_PER_POINT / 16;

/// A subscription's costs are added up to this many points before they are on the bill.
const PART: u64 = 100 * BYTES_PER_POINT;

/// What an event costs, in bytes: [`BYTES_PER_POINT`] of them are a point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Price(u64);

impl Price {
    /// Of an event that others have paid for.
    pub(super) fn of_shared(bytes: usize) -> Self {
        Self(number(bytes).saturating_add(SHARED))
    }

    /// Of an execution with so many values and bytes, that reads so many bytes of arguments.
    pub(super) fn of_execution(values: u64, bytes: usize, input: u64) -> Self {
        let values = values.saturating_mul(BYTES_PER_POINT);
        Self(values.saturating_add(number(bytes)).saturating_add(input))
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// How many values an answer has: its fields.
pub(super) fn values(data: &Value) -> u64 {
    match data {
        Value::Object(fields) => fields.values().fold(0_u64, |sum, field| {
            sum.saturating_add(1).saturating_add(values(field))
        }),
        Value::List(items) => items
            .iter()
            .fold(0_u64, |sum, item| sum.saturating_add(values(item))),
        _ => 0,
    }
}

/// Who pays for a subscription.
pub(super) struct Account {
    executor: Arc<Executor>,
    pub(super) authentication: Authentication,
    pub(super) client: ClientInfo,
}

impl Account {
    pub(super) fn new(
        executor: Arc<Executor>,
        authentication: Authentication,
        client: ClientInfo,
    ) -> Arc<Self> {
        Arc::new(Self {
            executor,
            authentication,
            client,
        })
    }

    pub(super) const fn executor(&self) -> &Arc<Executor> {
        &self.executor
    }

    /// Takes the points that it costs to open the subscription from the budgets.
    ///
    /// # Errors
    /// `RATE_LIMITED`.
    pub(super) async fn open(&self, points: u64) -> Result<(), ApiError> {
        let (authentication, client) = (&self.authentication, &self.client);
        let spent = self.executor.spend(authentication, client, points, false);
        spent.await.map(drop)
    }

    fn owe(&self, points: u64) -> bool {
        let budgets = self.executor.budgets();
        budgets.owe(&self.authentication, &self.client, points)
    }

    async fn settle(self: Arc<Self>) -> Result<(), ApiError> {
        let budgets = self.executor.budgets();
        budgets.settle(&self.authentication, &self.client).await
    }
}

/// The payloads of a subscription, whose subscriber pays for them. It ends behind its first error.
pub(super) struct Charged {
    payloads: BoxStream<'static, (Payload, Price)>,
    account: Arc<Account>,
    /// What is not on the bill yet, in bytes.
    owed: u64,
    settling: Option<BoxFuture<'static, Result<(), ApiError>>>,
    over: bool,
}

impl Charged {
    pub(super) fn new(
        payloads: BoxStream<'static, (Payload, Price)>,
        account: Arc<Account>,
    ) -> Self {
        Self {
            payloads,
            account,
            owed: 0,
            settling: None,
            over: false,
        }
    }

    fn charge(&mut self, price: Price) {
        self.owed = self.owed.saturating_add(price.0);
        if self.owed < PART {
            return;
        }
        let points = self.owed / BYTES_PER_POINT;
        self.owed %= BYTES_PER_POINT;
        if self.account.owe(points) {
            self.settling = Some(Box::pin(Arc::clone(&self.account).settle()));
        }
    }
}

impl Stream for Charged {
    type Item = Payload;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Payload>> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(None);
        }
        if let Some(settling) = &mut this.settling {
            let settled = ready!(settling.as_mut().poll(cx));
            this.settling = None;
            if let Err(refusal) = settled {
                this.over = true;
                return Poll::Ready(Some(error_payload(&refusal)));
            }
        }
        let Some((payload, price)) = ready!(this.payloads.as_mut().poll_next(cx)) else {
            this.over = true;
            return Poll::Ready(None);
        };
        this.over = matches!(payload, Payload::Error(_));
        this.charge(price);
        Poll::Ready(Some(payload))
    }
}

/// Nothing is had for nothing by who opens subscriptions again and again.
impl Drop for Charged {
    fn drop(&mut self) {
        if self.owed > 0 {
            self.account.owe(self.owed.div_ceil(BYTES_PER_POINT));
        }
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use async_graphql::value;

    use super::*;

    #[test]
    fn an_execution_costs_its_values_and_bytes_and_what_is_shared_a_fraction_of_a_point() {
        let data = value!({
            "a": { "b": 1, "c": null },
            "list": [{ "d": "x" }, { "d": "y" }],
            "leaves": [1, 2, 3],
        });
        assert_eq!(values(&data), 7);
        assert_eq!(values(&Value::Null), 0);
        let alone = Price::of_execution(7, 300, 0);
        assert_eq!(alone, Price(7 * BYTES_PER_POINT + 300));
        let with_arguments = Price::of_execution(7, 300, BYTES_PER_POINT);
        assert_eq!(with_arguments, Price(8 * BYTES_PER_POINT + 300));
        // A thousand a second are less than a thirtieth of what a user has by default.
        let minute = Price::of_shared(400).0 * 60_000 / BYTES_PER_POINT;
        assert!((1_000..100_000).contains(&minute), "{minute}");
        assert_eq!(alone.and(Price(1)), Price(7 * BYTES_PER_POINT + 301));
    }
}
