//! What a handler is given, and what it gives back.

use super::body::{BodyWriter, IncomingBody};
use alloc::boxed::Box;
use core::fmt;
use core::ops::Deref;
use core::pin::Pin;
use flow::{Address, Flow};
use http::Response;
use http::semantics::router::Params;

/// A request with its body, which arrives as it is asked for. Dereferences to the head.
pub struct Request {
    head: http::Request,
    body: IncomingBody,
    peer: Address,
    parameters: Option<Params>,
}

impl Request {
    pub(super) fn new(head: http::Request, body: IncomingBody, peer: Address) -> Self {
        Self { head, body, peer, parameters: None }
    }

    /// The body; asking it for bytes is what lets the client send them.
    pub fn body(&mut self) -> &mut IncomingBody {
        &mut self.body
    }

    /// What stands in the path where the route's pattern says `:name` or `*name`, as sent:
    /// percent-encoded.
    pub fn parameter(&self, name: &str) -> Option<&[u8]> {
        self.parameters.as_ref()?.raw(self.path(), name)
    }

    pub(super) fn set_parameters(&mut self, parameters: Params) {
        self.parameters = Some(parameters);
    }

    /// Who asks.
    pub fn peer(&self) -> Address {
        self.peer
    }
}

impl Deref for Request {
    type Target = http::Request;

    fn deref(&self) -> &http::Request {
        &self.head
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({:?} from {})", self.method(), self.peer)
    }
}

/// Answers requests. Every `async fn(Request) -> Response` (or `-> Reply`) does.
pub trait Handler: 'static {
    /// Begins to answer; what needs no waiting is answered at once.
    fn answer(&self, request: Request) -> Answer;
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

/// A response, and what goes on after its head.
pub struct Reply {
    pub(super) response: Response,
    pub(super) then: Then,
}

/// The work of producing a streamed body.
pub(super) type Producing = Pin<Box<dyn Future<Output = ()>>>;

/// What follows a response's head.
pub(super) enum Then {
    /// The response is all.
    Nothing,
    /// Somebody writes the body.
    Produce(Box<dyn FnOnce(BodyWriter) -> Producing>),
    /// The connection speaks another protocol.
    Upgrade(Box<dyn FnOnce(Box<dyn Flow>) -> Producing>),
}

impl Reply {
    /// A response whose body `produce` writes as the client takes it. The response's own body is
    /// to be [`Body::Stream`](http::Body::Stream). A producer that returns has ended the body; one
    /// that panics, or wrote less than was declared, resets the connection.
    pub fn stream<P: Future<Output = ()> + 'static>(
        response: Response,
        produce: impl FnOnce(BodyWriter) -> P + 'static,
    ) -> Self {
        let produce = |writer| -> Producing { Box::pin(produce(writer)) };
        Self { response, then: Then::Produce(Box::new(produce)) }
    }

    /// A 101 response after which `converse` has the connection to itself, with whatever the client
    /// sent already still unread in it.
    pub fn upgrade<C: Future<Output = ()> + 'static>(
        response: Response,
        converse: impl FnOnce(Box<dyn Flow>) -> C + 'static,
    ) -> Self {
        let converse = |flow| -> Producing { Box::pin(converse(flow)) };
        Self { response, then: Then::Upgrade(Box::new(converse)) }
    }
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        Self { response, then: Then::Nothing }
    }
}
