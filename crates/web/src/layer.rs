//! Layers: what is done around handlers, before they are asked and after they have answered.
//!
//! ```
//! use web::layer::Inner;
//! use web::{Reply, Request, Response, Routes};
//!
//! async fn marked(request: Request, inner: Inner) -> Reply {
//!     let mut reply = inner.answer(request).await;
//!     reply.response = reply.response.with_header("X-Served-By", "aqueduct");
//!     reply
//! }
//!
//! # async fn page(_: Request) -> Response { Response::ok("text/plain", "") }
//! let routes = Routes::new().get("/page", page).layer(marked);
//! ```
//!
//! The ones that most appliances need are in [`layers`](crate::layers).

use crate::{Answer, Handler, Reply, Request};
use alloc::boxed::Box;
use alloc::rc::Rc;

/// Goes around handlers. Every `async fn(Request, Inner) -> Response` (or `-> Reply`) does; what such a function answers is
/// asked for each time, whatever the handler inside said of its response being
/// [repeatable](crate::Response::repeatable).
pub trait Layer: 'static {
    /// Passes a request on to the handler inside, or answers in its place.
    fn pass(&self, request: Request, inner: &Inner) -> Answer;
}

impl<F, A> Layer for F
where
    F: Fn(Request, Inner) -> A + 'static,
    A: Future<Output: Into<Reply>> + 'static,
{
    fn pass(&self, request: Request, inner: &Inner) -> Answer {
        let answering = self(request, inner.clone());
        Answer::Later(Box::pin(async move {
            let mut reply = answering.await.into();
            reply.response.forbid_repeating();
            reply
        }))
    }
}

/// The handler inside of a layer. Its clones are the same one.
#[derive(Clone)]
pub struct Inner(Rc<dyn Handler>);

impl Inner {
    /// Begins to answer; `.await` gives the reply.
    pub fn answer(&self, request: Request) -> Answer {
        self.0.answer(request)
    }
}

/// A handler inside of a layer.
pub struct Layered<L> {
    pub(crate) layer: Rc<L>,
    inner: Inner,
}

impl<L: Layer> Layered<L> {
    pub(crate) fn new(layer: Rc<L>, inner: Rc<dyn Handler>) -> Self {
        Self { layer, inner: Inner(inner) }
    }
}

impl<L: Layer> Handler for Layered<L> {
    fn answer(&self, request: Request) -> Answer {
        self.layer.pass(request, &self.inner)
    }

    fn nest(&self, prefix: &'static str) {
        self.inner.0.nest(prefix);
    }
}
