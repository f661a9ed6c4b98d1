//! Session route: the handler by which requests come to sessions.

use super::store::{App, Store};
use super::{Mapper, SessionHost};
use crate::{Answer as Answering, Content, Handler, Method, Request, Response, Status};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::RefCell;
use core::fmt;

/// The handler that gives requests to the sessions of a route. Its clones give them to the same ones, so that several
/// patterns may lead there.
#[derive(Clone)]
pub struct SessionRoute {
    store: Rc<Store>,
    /// With which paths the cookie is sent.
    cookie_path: RefCell<Rc<str>>,
    beside: Option<Rc<Beside>>,
}

/// What is no session's.
struct Beside {
    is_static: Box<dyn Fn(&Request) -> bool>,
    handler: Box<dyn Handler>,
}

impl SessionRoute {
    pub(super) fn new(
        host: &SessionHost,
        route: &'static str,
        mapper: Mapper,
        app: Box<App>,
    ) -> Self {
        let store = Store::new(host, route, mapper, app);
        host.add(&store);
        Self { store, cookie_path: RefCell::new(cookie_path(route).into()), beside: None }
    }

    /// The same sessions; but requests of which `is_static` says so are no steps of a session, and `handler` answers them:
    /// images and style sheets under the same pattern, for instance.
    #[must_use]
    pub fn beside(
        self,
        is_static: impl Fn(&Request) -> bool + 'static,
        handler: impl Handler,
    ) -> Self {
        let beside = Beside { is_static: Box::new(is_static), handler: Box::new(handler) };
        Self { beside: Some(Rc::new(beside)), ..self }
    }
}

impl Handler for SessionRoute {
    fn answer(&self, request: Request) -> Answering {
        if let Some(Beside { is_static, handler }) = self.beside.as_deref()
            && is_static(&request)
        {
            return handler.answer(request);
        }
        match request.method() {
            // Safe methods change nothing (RFC 9110 section 9.2.1), and a session's page is a step.
            Method::Head => {
                // How long the page would be is not known before the step.
                let response = Response::new(Status::OK).carrying(Content::Stream(None));
                return Answering::Now(self.store.private(response).into());
            }
            Method::Options => {
                let allow = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
                let response = Response::new(Status::NO_CONTENT).with_header("Allow", allow);
                return Answering::Now(response.into());
            }
            _ => {}
        }
        let encrypted = request.is_secure();
        if let Some((affinity, owner)) = self.store.elsewhere(&request) {
            let (store, cookie_path) = (self.store.clone(), self.cookie_path.borrow().clone());
            return Answering::Later(Box::pin(store.pass(affinity, owner, request, cookie_path)));
        }
        let waiting = self.store.waiting(request);
        if let Some(answer) = waiting.try_answer() {
            let cookie_path = self.cookie_path.borrow();
            return Answering::Now(self.store.addressed(answer, &cookie_path, encrypted));
        }
        let (store, cookie_path) = (self.store.clone(), self.cookie_path.borrow().clone());
        Answering::Later(Box::pin(
            async move { store.reply(waiting, &cookie_path, encrypted).await },
        ))
    }

    fn nest(&self, prefix: &'static str) {
        let mut path = self.cookie_path.borrow_mut();
        let start = cookie_path(prefix);
        // Below a parameter of the prefix no part of the pattern stands in every path.
        let is_whole = start == prefix && &**path != "/";
        *path = if is_whole { start + &**path } else { start }.into();
        if let Some(beside) = &self.beside {
            beside.handler.nest(prefix);
        }
    }
}

/// The part of a pattern that stands in every path of it: only there the cookie is of use.
fn cookie_path(pattern: &str) -> String {
    let end = pattern.find("/:").or_else(|| pattern.find("/*")).unwrap_or(pattern.len());
    match pattern.get(..end) {
        None | Some("") => "/".into(),
        Some(path) => path.into(),
    }
}

impl fmt::Debug for SessionRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionRoute({}, {} sessions)", self.store.route, self.store.len())
    }
}
