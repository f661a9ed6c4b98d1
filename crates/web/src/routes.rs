//! Routes: a table of handlers by method and path, and itself a handler.

use crate::router::{Routed, Router};
use crate::session::{Ended, Mapper, Session, SessionHost};
use crate::{Answer, Handler, Method, Request};
use alloc::boxed::Box;

/// Routes, searched from the top: the first that fits answers. Patterns are as
/// [`Router`] says; a handler reads their parameters by [`Request::parameter`].
///
/// Nobody's paths are answered with 404, nobody's methods with 405 or 501, and OPTIONS from the
/// table.
#[derive(Default)]
pub struct Routes(Router<Box<dyn Handler>>);

impl Routes {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a route for GET and HEAD at the end.
    #[must_use]
    pub fn get(self, pattern: &'static str, handler: impl Handler) -> Self {
        self.method(Method::Get, pattern, handler)
    }

    /// Adds a route for POST at the end.
    #[must_use]
    pub fn post(self, pattern: &'static str, handler: impl Handler) -> Self {
        self.method(Method::Post, pattern, handler)
    }

    /// Adds a route for one method at the end.
    #[must_use]
    pub fn method(mut self, method: Method, pattern: &'static str, handler: impl Handler) -> Self {
        self.0.add(method, pattern, Box::new(handler));
        self
    }

    /// Adds a route for every method at the end, whose requests go to sessions: which, says `mapper`, and each is run
    /// by `app` from its first request on. See [`session`](crate::session).
    #[must_use]
    pub fn session<F>(
        self,
        host: &SessionHost,
        pattern: &'static str,
        mapper: Mapper,
        app: impl Fn(Session) -> F + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), Ended>> + 'static,
    {
        self.any(pattern, host.route(pattern, mapper, app))
    }

    /// Adds a route for every method at the end.
    #[must_use]
    pub fn any(mut self, pattern: &'static str, handler: impl Handler) -> Self {
        self.0.add_any(pattern, Box::new(handler));
        self
    }
}

impl Handler for Routes {
    fn answer(&self, mut request: Request) -> Answer {
        match self.0.route(&request) {
            Routed::Found(handler, parameters) => {
                request.set_parameters(parameters);
                handler.answer(request)
            }
            Routed::Nobody(refusal) => Answer::Now(refusal.into_response().into()),
        }
    }
}
