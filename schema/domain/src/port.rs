//! Declares ports. `port!` makes of one list of methods the port itself (an async trait that
//! works as `dyn`) and a layer trait beside it, with which a wrapper stands in front of a port:
//! a layer writes out the methods it changes, and all others are forwarded.
//!
//! # How to add a method to a port
//! 1. Declare it, with its documentation, in the port's `port!` block (`chats/store.rs` and the
//!    like). Most methods answer `Result<_, PortError>`. One that cannot fail has no `->` and
//!    may have a body, which is what adapters do that do not write it out.
//! 2. Write it in each adapter of the port; the compiler names those that lack it.
//! 3. Test it in the port's contract suite (`tests/src/contract`). Where a layer writes methods of
//!    the port out, call it in the test that every port is observed, which fails until then.
//!
//! Metrics, traces, the tests' faulty store and every other layer follow from the declaration.
//!
//! # How to write a layer
//! ```
//! use std::sync::Arc;
//! use talksy_domain::error::PortError;
//! use talksy_domain::id::UserId;
//! use talksy_domain::port::{Layer, Layered};
//! use talksy_domain::users::{User, UserStore, UserStoreLayer};
//!
//! struct Nobody(Arc<dyn UserStore>);
//!
//! impl Layer<dyn UserStore> for Nobody {
//!     fn inner(&self) -> &Arc<dyn UserStore> {
//!         &self.0
//!     }
//! }
//!
//! impl UserStoreLayer for Nobody {
//!     async fn users(&self, _: &[UserId]) -> Result<Vec<User>, PortError> {
//!         Ok(Vec::new())
//!     }
//! }
//!
//! fn empty(store: Arc<dyn UserStore>) -> Arc<dyn UserStore> {
//!     Arc::new(Layered(Nobody(store)))
//! }
//! ```
//! What is the same for all methods goes into [`Layer::around`] instead.

use std::sync::Arc;

use crate::error::PortError;

/// Names a method of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// The port's name in metrics: `users`.
    pub port: &'static str,
    /// The method's name: `users_by_name`.
    pub method: &'static str,
}

/// Stands in front of a port `P`. See the module's documentation.
pub trait Layer<P: ?Sized>: Send + Sync {
    /// The port behind.
    fn inner(&self) -> &Arc<P>;

    /// Surrounds each call that the layer does not write out. `answer` is the call of the port
    /// behind, which begins when it is first polled.
    ///
    /// # Errors
    /// Those of `answer`, where the layer adds none.
    fn around<T: Send>(
        &self,
        call: Call,
        answer: impl Future<Output = Result<T, PortError>> + Send,
    ) -> impl Future<Output = Result<T, PortError>> + Send {
        let _ = call;
        answer
    }

    /// As [`Layer::around`], for methods that cannot fail.
    fn around_infallible<T: Send>(
        &self,
        call: Call,
        answer: impl Future<Output = T> + Send,
    ) -> impl Future<Output = T> + Send {
        let _ = call;
        answer
    }
}

/// A layer as the port in front of which it stands. Costs one allocation a call, as each `dyn`
/// port does.
#[derive(Clone, Debug)]
pub struct Layered<L>(pub L);

/// Declares a port and its layer trait. The name is the port's name in metrics.
///
/// ```text
/// port! {
///     /// Keeps users.
///     pub trait UserStore as "users" with UserStoreLayer {
///         /// These users.
///         async fn users(&self, ids: &[UserId]) -> Result<Vec<User>, PortError>;
///     }
/// }
/// ```
macro_rules! port {
    (@answer) => { () };
    (@answer $answer:ty) => { $answer };
    (@forward $layer:ident $port:ident $call:expr, $inner:expr;) => {
        $crate::port::Layer::<dyn $port>::around_infallible($layer, $call, $inner)
    };
    (@forward $layer:ident $port:ident $call:expr, $inner:expr; $answer:ty) => {
        $crate::port::Layer::<dyn $port>::around($layer, $call, $inner)
    };
    (
        $(#[$about:meta])*
        pub trait $port:ident as $name:literal with $layer:ident {
            $(
                $(#[$doc:meta])*
                async fn $method:ident(&self $(, $argument:ident: $type:ty)* $(,)?)
                $(-> $answer:ty;)? $({ $($default:tt)* })?
            )*
        }
    ) => {
        $(#[$about])*
        #[async_trait::async_trait]
        pub trait $port: Send + Sync {
            $(
                $(#[$doc])*
                async fn $method(&self $(, $argument: $type)*)
                $(-> $answer;)? $({ $($default)* })?
            )*
        }

        #[doc = concat!(
            "A [layer](crate::port) over [`", stringify!($port), "`]: \
            what is not written out is forwarded."
        )]
        pub trait $layer: $crate::port::Layer<dyn $port> {
            /// All methods of the port.
            const CALLS: &'static [$crate::port::Call] = &[
                $($crate::port::Call { port: $name, method: stringify!($method) },)*
            ];

            $(
                $(#[$doc])*
                fn $method(
                    &self $(, $argument: $type)*
                ) -> impl Future<Output = $crate::port::port!(@answer $($answer)?)> + Send {
                    let call = $crate::port::Call { port: $name, method: stringify!($method) };
                    async move {
                        let inner = $crate::port::Layer::<dyn $port>::inner(self);
                        $crate::port::port!(
                            @forward self $port call, inner.$method($($argument),*); $($answer)?
                        )
                        .await
                    }
                }
            )*
        }

        #[async_trait::async_trait]
        impl<L: $layer> $port for $crate::port::Layered<L> {
            $(
                async fn $method(
                    &self $(, $argument: $type)*
                ) $(-> $answer)? {
                    <L as $layer>::$method(&self.0 $(, $argument)*).await
                }
            )*
        }
    };
}
pub(crate) use port;
