//! Handlers: from a request to a reply.

use crate::{ContentWriter, Request, Response};
use alloc::boxed::Box;
use core::pin::Pin;
use flow::Flow;

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
