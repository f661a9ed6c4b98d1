//! Routes: a table of handlers by method and path, and itself a handler.

use crate::answers::{Answers, RouteAnswers};
use crate::layer::{Layer, Layered};
use crate::router::{Refusal, Routed, Router};
use crate::session::{Ended, Mapper, Session, SessionHost};
use crate::{Answer, Handler, Method, Request};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

/// Routes, searched from the top: the first that fits answers. Patterns and their precedence are as
/// [`Router`] says; a handler reads their parameters by [`Request::parameter`].
///
/// Nobody's paths are answered with 404, nobody's methods with 405 or 501, and OPTIONS from the
/// table.
///
/// ```
/// # use web::{Request, Response, Routes, Status};
/// # async fn page(_: Request) -> Response { Response::ok("text/plain", "") }
/// # async fn nothing(_: Request) -> Response { Response::plain(Status::NOT_FOUND) }
/// let users = Routes::new().get("/", page).get("/:id", page).delete("/:id", page);
/// let routes = Routes::new().get("/", page).nest("/users", users).fallback(nothing);
/// ```
#[derive(Default)]
pub struct Routes {
    router: Router<Endpoint>,
    /// Answers what nobody does, inside of the table's layers; none without layers.
    refuser: Option<Rc<dyn Handler>>,
    /// What nobody answers.
    unrouted: Rc<Answers>,
}

/// Who answers at a route.
struct Endpoint {
    handler: Box<dyn Handler>,
    /// Answers requests for other methods of its path, inside of its layers; none without layers.
    refuser: Option<Rc<dyn Handler>>,
    answers: Rc<Answers>,
}

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

    /// Adds a route for HEAD alone at the end. In front of the path's GET, which else answers it, it saves making content.
    #[must_use]
    pub fn head(self, pattern: &'static str, handler: impl Handler) -> Self {
        self.method(Method::Head, pattern, handler)
    }

    /// Adds a route for POST at the end.
    #[must_use]
    pub fn post(self, pattern: &'static str, handler: impl Handler) -> Self {
        self.method(Method::Post, pattern, handler)
    }

    /// Adds a route for PUT at the end.
    #[must_use]
    pub fn put(self, pattern: &'static str, handler: impl Handler) -> Self {
        self.method(Method::Put, pattern, handler)
    }

    /// Adds a route for DELETE at the end.
    #[must_use]
    pub fn delete(self, pattern: &'static str, handler: impl Handler) -> Self {
        self.method(Method::Delete, pattern, handler)
    }

    /// Adds a route for PATCH at the end.
    #[must_use]
    pub fn patch(self, pattern: &'static str, handler: impl Handler) -> Self {
        self.method(Method::Patch, pattern, handler)
    }

    /// Adds a route for OPTIONS at the end; without one, the table answers.
    #[must_use]
    pub fn options(self, pattern: &'static str, handler: impl Handler) -> Self {
        self.method(Method::Options, pattern, handler)
    }

    /// Adds a route for one method at the end.
    #[must_use]
    pub fn method(mut self, method: Method, pattern: &'static str, handler: impl Handler) -> Self {
        self.router.add(method, pattern, Endpoint::new(handler));
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
        self.router.add_any(pattern, Endpoint::new(handler));
        self
    }

    /// Says who answers, whatever the method, what no pattern fits, wherever in the table this is said. A path whose
    /// methods are others' is still 405. Of two fallbacks the first counts.
    #[must_use]
    pub fn fallback(mut self, handler: impl Handler) -> Self {
        self.router.set_fallback(Endpoint::new(handler));
        self
    }

    /// Adds another table's routes at the end, with their layers, and its fallback.
    #[must_use]
    pub fn merge(mut self, other: Routes) -> Self {
        self.router.merge(other.router);
        self
    }

    /// Adds another table's routes at the end, with `prefix` in front of each pattern. The pattern `/` becomes the prefix
    /// itself, so that `/users` is answered and not `/users/`. The other table's fallback answers at the prefix and below it;
    /// without one, this table's does. A prefix may have parameters. The request's path stays the whole.
    ///
    /// # Panics
    /// See [`Router::nest`].
    #[must_use]
    pub fn nest(mut self, prefix: &'static str, mut other: Routes) -> Self {
        for endpoint in other.router.handlers_mut() {
            endpoint.handler.nest(prefix);
        }
        self.router.nest(prefix, other.router);
        self
    }

    /// Puts a layer around everything that is in the table so far, outside of the layers that are there. What
    /// the table itself answers goes through it too: 405 and OPTIONS for a path that it has, and, where no fallback answers,
    /// 404. What is added later is outside of it.
    #[must_use]
    pub fn layer(mut self, layer: impl Layer) -> Self {
        let layer = Rc::new(layer);
        for endpoint in self.router.handlers_mut() {
            endpoint.layer(&layer);
        }
        self.refuser = Some(layered_refuser(&layer, self.refuser));
        self
    }

    /// What counts the answers of each route, in the table's order, then of fallbacks and of what nobody takes. A route
    /// that is never reached, since one of the same name is in front of it, is not among them.
    pub fn answers(&self) -> Vec<RouteAnswers> {
        let mut all: Vec<RouteAnswers> = Vec::new();
        let mut add = |route: String, answers: &Rc<Answers>| {
            if all.iter().all(|known| known.route != route) {
                all.push(RouteAnswers { route, answers: answers.clone() });
            }
        };
        self.router.visit(&mut |name, endpoint| add(name, &endpoint.answers));
        add(String::from("none"), &self.unrouted);
        all
    }
}

fn layered_refuser<L: Layer>(layer: &Rc<L>, inner: Option<Rc<dyn Handler>>) -> Rc<dyn Handler> {
    Rc::new(Layered::new(layer.clone(), inner.unwrap_or_else(|| Rc::new(Refuser))))
}

impl Endpoint {
    fn new(handler: impl Handler) -> Self {
        Self { handler: Box::new(handler), refuser: None, answers: Rc::default() }
    }

    fn layer<L: Layer>(&mut self, layer: &Rc<L>) {
        let inner = core::mem::replace(&mut self.handler, Box::new(Refuser));
        self.handler = Box::new(Layered::new(layer.clone(), inner.into()));
        self.refuser = Some(layered_refuser(layer, self.refuser.take()));
    }
}

impl Handler for Routes {
    fn answer(&self, mut request: Request) -> Answer {
        match self.router.route(&request) {
            Routed::Found(endpoint, parameters) => {
                request.set_parameters(parameters);
                request.count_by(&endpoint.answers);
                endpoint.handler.answer(request)
            }
            Routed::Nobody(refusal, fitting) => {
                request.count_by(&self.unrouted);
                let refuser = match fitting {
                    Some(endpoint) => &endpoint.refuser,
                    None => &self.refuser,
                };
                let Some(refuser) = refuser else {
                    return Answer::Now(refusal.into_response().into());
                };
                request.set_refusal(refusal);
                refuser.answer(request)
            }
        }
    }
}

/// Answers what no handler takes, from inside of layers.
struct Refuser;

impl Handler for Refuser {
    fn answer(&self, request: Request) -> Answer {
        let refusal = request.refusal().unwrap_or(Refusal::NotFound);
        Answer::Now(refusal.into_response().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::Inner;
    use crate::request::parsed;
    use crate::{Body, Content, Reply, Response, Status};
    use alloc::string::String;
    use flow::Address;
    use flow::task::block_on;

    fn asked(routes: &Routes, line: &str) -> Response {
        let (method, target) = line.split_once(' ').unwrap();
        let request = Request::new(parsed(method, target, &[]), Body::empty(), Address::Memory(0));
        block_on(routes.answer(request).into_future()).response
    }

    fn text(response: &Response) -> String {
        let Content::Full(data) = response.content() else { return String::new() };
        String::from_utf8(data.as_bytes().to_vec()).unwrap()
    }

    fn says(text: &'static str) -> impl Handler {
        move |_: Request| async move { Response::ok("text/plain", text) }
    }

    /// Adds its letter to what the answer says of its way.
    fn mark(letter: &'static str) -> impl Layer {
        move |request: Request, inner: Inner| async move {
            let mut reply = inner.answer(request).await;
            reply.response = reply.response.with_header("X-Way", letter);
            reply
        }
    }

    fn way(response: &Response) -> String {
        String::from_utf8_lossy(response.lines())
            .lines()
            .filter_map(|line| line.strip_prefix("X-Way: "))
            .collect()
    }

    #[test]
    fn each_method_has_its_helper() {
        let routes = Routes::new()
            .head("/", says("head"))
            .get("/", says("get"))
            .post("/", says("post"))
            .put("/", says("put"))
            .delete("/", says("delete"))
            .patch("/", says("patch"))
            .options("/", says("options"));
        for method in ["HEAD", "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let answer = asked(&routes, &alloc::format!("{method} /"));
            assert_eq!(text(&answer), method.to_lowercase());
        }
        assert_eq!(asked(&routes, "TRACE /").status(), Status::METHOD_NOT_ALLOWED);
    }

    #[test]
    fn layers_go_around_what_is_there_already() {
        let routes = Routes::new()
            .get("/one", says("one"))
            .layer(mark("a"))
            .get("/two", says("two").layer(mark("h")))
            .fallback(says("none"))
            .layer(mark("b"))
            .get("/three", says("three"));
        for (line, expected) in [
            ("GET /one", ("one", "ab")),
            ("GET /two", ("two", "hb")),
            ("GET /three", ("three", "")),
            ("GET /four", ("none", "b")),
            ("POST /one", ("Method Not Allowed", "ab")),
            ("POST /two", ("Method Not Allowed", "b")),
            ("POST /three", ("Method Not Allowed", "")),
            ("OPTIONS /one", ("", "ab")),
        ] {
            let answer = asked(&routes, line);
            assert_eq!((&*text(&answer), &*way(&answer)), expected, "{line}");
        }
        let allow = asked(&routes, "POST /one");
        assert_eq!(allow.header("allow"), Some(&b"GET, HEAD, OPTIONS"[..]));
    }

    #[test]
    fn without_a_fallback_404_and_501_go_through_the_layers() {
        let routes = Routes::new().get("/one", says("one")).layer(mark("a")).layer(mark("b"));
        for (line, status) in [
            ("GET /two", Status::NOT_FOUND),
            ("BREW /two", Status::NOT_IMPLEMENTED),
            ("BREW /one", Status::NOT_IMPLEMENTED),
            ("OPTIONS *", Status::NO_CONTENT),
        ] {
            let answer = asked(&routes, line);
            assert_eq!((answer.status(), &*way(&answer)), (status, "ab"), "{line}");
        }
    }

    #[test]
    fn nested_and_merged_routes_keep_their_layers() {
        async fn parameters(request: Request) -> Response {
            let named = |name| request.parameter_text(name).unwrap_or_default();
            Response::ok("text/plain", named("user") + "+" + &named("id"))
        }
        let things = Routes::new().get("/:id", parameters).get("/", says("all")).layer(mark("t"));
        let api = Routes::new()
            .nest("/:user/things", things)
            .fallback(says("no such call"))
            .layer(mark("a"));
        let other = Routes::new().get("/other", says("other")).layer(mark("o"));
        let routes = Routes::new().get("/", says("front")).nest("/api", api).merge(other);
        for (line, expected) in [
            ("GET /", ("front", "")),
            ("GET /api/me/things/7", ("me+7", "ta")),
            ("GET /api/me/things", ("all", "ta")),
            ("GET /api/me", ("no such call", "a")),
            ("GET /api", ("no such call", "a")),
            ("GET /other", ("other", "o")),
            ("PUT /other", ("Method Not Allowed", "o")),
            ("GET /apis", ("Not Found", "")),
        ] {
            let answer = asked(&routes, line);
            assert_eq!((&*text(&answer), &*way(&answer)), expected, "{line}");
        }
    }

    #[test]
    fn a_layer_may_answer_itself_and_its_answer_is_not_repeated() {
        struct Fixed;
        impl Handler for Fixed {
            fn answer(&self, _: Request) -> Answer {
                Answer::Now(Response::ok("text/plain", "fixed").repeatable().into())
            }
        }
        let gate = async |request: Request, inner: Inner| -> Reply {
            match request.query() {
                Some(_) => inner.answer(request).await,
                None => Response::plain(Status::FORBIDDEN).into(),
            }
        };
        let routes = Routes::new().get("/", Fixed).layer(gate);
        assert_eq!(asked(&routes, "GET /").status(), Status::FORBIDDEN);
        let inside = asked(&routes, "GET /?key");
        assert_eq!((&*text(&inside), inside.is_repeatable()), ("fixed", false));
    }

    #[test]
    fn errors_become_replies() {
        async fn parse(request: Request) -> Result<Response, Response> {
            let number = request.query().and_then(|query| query.first());
            let number = number.ok_or(Response::plain(Status::BAD_REQUEST))?;
            Ok(Response::ok("text/plain", alloc::vec![*number]))
        }
        let routes = Routes::new().get("/", parse);
        assert_eq!(asked(&routes, "GET /").status(), Status::BAD_REQUEST);
        assert_eq!(text(&asked(&routes, "GET /?7")), "7");
    }

    #[test]
    fn answers_have_their_routes_name() {
        let api = Routes::new().get("/:id", says("one")).fallback(says("no such call"));
        let both = Routes::new().put("/both", says("put"));
        let routes = Routes::new()
            .any("/any", says("any"))
            .head("/head", says("head"))
            .nest("/api", api)
            .merge(both)
            .put("/both", says("never"));
        let names: Vec<_> = routes.answers().into_iter().map(|of| of.route).collect();
        assert_eq!(
            names,
            ["* /any", "HEAD /head", "GET /api/:id", "PUT /both", "* /api/*", "none"]
        );
    }

    #[test]
    fn a_head_is_counted_by_the_route_that_takes_it_and_of_nested_handlers_by_the_outer_one() {
        let inner = Routes::new().get("/inner", says("inner"));
        let routes = Routes::new().get("/one", says("one")).fallback(inner);
        let all = routes.answers();
        for (line, place) in [
            ("GET /one", Some(0)),
            ("HEAD /one", Some(0)),
            ("GET /inner", Some(1)),
            ("POST /one", Some(2)),
            ("GET nowhere", Some(2)),
        ] {
            let (method, target) = line.split_once(' ').unwrap();
            let mut head = parsed(method, target, &[]);
            assert!(head.answers().is_none());
            let request = Request::new(head.clone(), Body::empty(), Address::Memory(0));
            drop(routes.answer(request));
            let counted = head.answers().expect("a route took it");
            let found = all.iter().position(|of| Rc::ptr_eq(&of.answers, counted));
            assert_eq!(found, place, "{line}");
            head.parts_mut().expect("nobody else has it");
            assert!(head.answers().is_none(), "the next request in these buffers is another");
        }
    }
}
