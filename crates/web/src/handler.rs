//! Handlers: from a request to a reply.

use crate::layer::{Layer, Layered};
use crate::{ContentWriter, Request, Response};
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::future::{Ready, ready};
use core::pin::Pin;
use core::task::{Context, Poll};
use flow::Flow;

/// Answers requests. Every `async fn(Request) -> Response` does, or `-> Reply`, or `-> Result` of what can become one:
/// `?` then answers with the error.
///
/// # When the client goes
/// A handler's future is dropped at its next `await` when its connection breaks: reset by the client, too slow, or ended by
/// us. What it holds is dropped with it, so that a value with a [`Drop`] is what notices; work that must be done all the
/// same belongs into a task of its own, made by a [`Spawner`](flow::task::Spawner). A client that
/// only ends its side (TCP's FIN) may still read, as `nc -N` and HTTP/1.0 clients do (RFC 9112 section 9.6): it is
/// answered. One that has closed altogether looks the same until something is sent to it; a streamed answer meets that at its
/// next pieces.
pub trait Handler: 'static {
    /// Begins to answer; what needs no waiting is answered at once.
    fn answer(&self, request: Request) -> Answer;

    /// Its routes are reached below this path, from now on: for handlers that tell clients paths of their own. Said
    /// when tables are made ([`Routes::nest`](crate::Routes::nest)), the innermost prefix first.
    fn nest(&self, prefix: &'static str) {
        let _ = prefix;
    }

    /// This handler inside of a layer.
    fn layer<L: Layer>(self, layer: L) -> Layered<L>
    where
        Self: Sized,
    {
        Layered::new(Rc::new(layer), Rc::new(self))
    }
}

impl<F, A> Handler for F
where
    F: Fn(Request) -> A + 'static,
    A: Future<Output: Into<Reply>> + 'static,
{
    fn answer(&self, request: Request) -> Answer {
        let answering = self(request);
        Answer::Later(Box::pin(async move { answering.await.into() }))
    }
}

/// A reply, or the work that leads to it.
pub enum Answer {
    /// The reply; costs no allocation.
    Now(Reply),
    /// A reply that has to wait for something.
    Later(Pin<Box<dyn Future<Output = Reply>>>),
}

impl Answer {
    /// The answer with its reply changed, once that is there.
    pub fn map(self, change: impl FnOnce(Reply) -> Reply + 'static) -> Answer {
        match self {
            Answer::Now(reply) => Answer::Now(change(reply)),
            Answer::Later(reply) => Answer::Later(Box::pin(async move { change(reply.await) })),
        }
    }
}

/// An [`Answer`] that somebody waits for.
pub struct Answering(Waiting);

enum Waiting {
    Now(Ready<Reply>),
    Later(Pin<Box<dyn Future<Output = Reply>>>),
}

impl IntoFuture for Answer {
    type Output = Reply;
    type IntoFuture = Answering;

    fn into_future(self) -> Answering {
        Answering(match self {
            Answer::Now(reply) => Waiting::Now(ready(reply)),
            Answer::Later(reply) => Waiting::Later(reply),
        })
    }
}

impl Future for Answering {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reply> {
        match &mut self.0 {
            Waiting::Now(reply) => Pin::new(reply).poll(cx),
            Waiting::Later(reply) => reply.as_mut().poll(cx),
        }
    }
}

/// A response, and what goes on after its head.
pub struct Reply {
    /// The response, or its head.
    pub response: Response,
    /// What goes on after its head.
    pub next: Next,
}

/// The work of producing streamed content, or of speaking another protocol.
pub type Producing = Pin<Box<dyn Future<Output = ()>>>;

/// What follows a response's head.
pub enum Next {
    /// The response is all.
    Nothing,
    /// Somebody writes the content.
    Produce(Box<dyn FnOnce(ContentWriter) -> Producing>),
    /// The connection speaks another protocol.
    Upgrade(Box<dyn FnOnce(Box<dyn Flow>) -> Producing>),
}

impl Reply {
    /// A response whose content `produce` writes as the client takes it. The response's own content is
    /// to be [`Content::Stream`](crate::Content::Stream). A producer that returns has ended the content; one
    /// that panics, or wrote less than was declared, resets the connection.
    pub fn stream<P: Future<Output = ()> + 'static>(
        response: Response,
        produce: impl FnOnce(ContentWriter) -> P + 'static,
    ) -> Self {
        let produce = |writer| -> Producing { Box::pin(produce(writer)) };
        Self { response, next: Next::Produce(Box::new(produce)) }
    }

    /// A 101 response after which `converse` has the connection to itself, with whatever the client
    /// sent already still unread in it.
    pub fn upgrade<C: Future<Output = ()> + 'static>(
        response: Response,
        converse: impl FnOnce(Box<dyn Flow>) -> C + 'static,
    ) -> Self {
        let converse = |flow| -> Producing { Box::pin(converse(flow)) };
        Self { response, next: Next::Upgrade(Box::new(converse)) }
    }
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        Self { response, next: Next::Nothing }
    }
}

/// So that a handler may use `?`: an error is answered with what it becomes.
impl<T: Into<Reply>, E: Into<Reply>> From<Result<T, E>> for Reply {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(reply) => reply.into(),
            Err(error) => error.into(),
        }
    }
}

/// A handler with something that all its requests share, such as a table in a [`RefCell`](core::cell::RefCell). An appliance
/// has one thread, so that an [`Rc`] will do, and nothing is locked.
///
/// ```
/// use std::cell::Cell;
/// use web::{Request, Response, Routes, sharing};
///
/// async fn count(visits: std::rc::Rc<Cell<u64>>, _: Request) -> Response {
///     visits.set(visits.get() + 1);
///     Response::ok("text/plain", format!("visit {}\n", visits.get()))
/// }
///
/// let visits = std::rc::Rc::new(Cell::new(0));
/// let routes = Routes::new().get("/", sharing(&visits, count));
/// ```
pub fn sharing<S, F, A>(shared: &Rc<S>, handler: F) -> impl Handler + use<S, F, A>
where
    S: 'static,
    F: Fn(Rc<S>, Request) -> A + 'static,
    A: Future<Output: Into<Reply>> + 'static,
{
    let shared = shared.clone();
    move |request| handler(shared.clone(), request)
}
