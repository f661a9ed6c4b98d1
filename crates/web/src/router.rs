//! Router: finds who answers a method and a path.

use crate::{Method, RequestHead, Response, Status};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// A table of routes, searched from the top: the first that fits answers.
///
/// A pattern is a path whose segments are literal, `:name` (one segment, not empty), or, as the last,
/// `*name` (all that remains, possibly nothing). Patterns are compared with the path as sent: without
/// decoding, so that an encoded slash is no separator.
///
/// Precedence is the table's order alone: `/users/me` is to be in front of `/users/:id`, and `/*path` is the last. A
/// route that has the path but not the method is passed over. A [fallback](Self::set_fallback) answers what no
/// pattern fits, wherever in the table it was added.
///
/// ```
/// use web::Method;
/// use web::router::Router;
///
/// let mut router = Router::new();
/// router.add(Method::Get, "/", "front page");
/// router.add(Method::Get, "/users/:id", "one user");
/// router.add(Method::Get, "/files/*path", "files");
/// ```
#[derive(Clone, Debug)]
pub struct Router<H> {
    routes: Vec<Route<H>>,
    fallbacks: Vec<Fallback<H>>,
    implemented: Allow,
}

#[derive(Clone, Debug)]
struct Route<H> {
    methods: Allow,
    pattern: &'static str,
    shape: Shape,
    handler: H,
}

/// Who answers below a prefix what no pattern fits.
#[derive(Clone, Debug)]
struct Fallback<H> {
    /// Segments as of a pattern; empty for the whole table.
    prefix: &'static str,
    handler: H,
}

/// What a pattern is made of; most paths are compared in one piece.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Literal,
    /// This, and then all that remains.
    Below(&'static str),
    /// Segments to be compared one by one.
    Segments,
}

/// Where a request goes.
#[derive(Debug)]
pub enum Routed<'a, H> {
    /// To this handler.
    Found(&'a H, Params),
    /// To nobody: [`Refusal::into_response`] says why. With the first handler that has the path, for other methods.
    Nobody(Refusal, Option<&'a H>),
}

/// The answer to a request that no handler takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 404: no pattern fits.
    NotFound,
    /// 405: a pattern fits, for these methods.
    MethodNotAllowed(Allow),
    /// 204: OPTIONS, answered from the table.
    Options(Allow),
    /// 501: no route implements the method, and not every server knows it.
    NotImplemented,
}

impl<H> Route<H> {
    #[inline]
    fn fits(&self, path: &[u8]) -> bool {
        match self.shape {
            Shape::Literal => self.pattern.as_bytes() == path,
            Shape::Below(start) => path.starts_with(start.as_bytes()),
            Shape::Segments => fits(self.pattern, path),
        }
    }
}

impl<H> Default for Router<H> {
    fn default() -> Self {
        Router { routes: Vec::new(), fallbacks: Vec::new(), implemented: Allow::default() }
    }
}

impl<H> Router<H> {
    /// An empty table.
    pub fn new() -> Router<H> {
        Router::default()
    }

    /// Adds a route at the end. A route for GET answers HEAD too.
    pub fn add(&mut self, method: Method, pattern: &'static str, handler: H) {
        self.add_methods(&[method], pattern, handler);
    }

    /// Adds a route for several methods at the end.
    pub fn add_methods(&mut self, methods: &[Method], pattern: &'static str, handler: H) {
        let mut allow = Allow::default();
        for &method in methods {
            allow.insert(method);
        }
        if allow.has(Method::Get) {
            allow.insert(Method::Head);
        }
        self.implemented.0 |= allow.0;
        let shape = Shape::of(pattern);
        self.routes.push(Route { methods: allow, pattern, shape, handler });
    }

    /// Adds a route for every method this crate knows, at the end.
    pub fn add_any(&mut self, pattern: &'static str, handler: H) {
        self.add_methods(&ALL, pattern, handler);
    }

    /// Says who answers, whatever the method, what no pattern fits. Of two, the first counts.
    pub fn set_fallback(&mut self, handler: H) {
        self.fallbacks.push(Fallback { prefix: "", handler });
    }

    /// Whether there is a fallback for the whole table.
    pub fn has_fallback(&self) -> bool {
        self.fallbacks.iter().any(|fallback| fallback.prefix.is_empty())
    }

    /// Adds another table's routes at the end, in their order, and its fallbacks.
    pub fn merge(&mut self, other: Router<H>) {
        self.routes.extend(other.routes);
        self.fallbacks.extend(other.fallbacks);
        self.implemented.0 |= other.implemented.0;
    }

    /// As [`merge`](Self::merge), with `prefix` in front of each pattern. The pattern `/` becomes the prefix itself, and
    /// the other table's fallback answers at the prefix and below it; of several that would, the deepest.
    ///
    /// # Panics
    /// Unless the prefix begins with a slash, ends without one, and has no `*name`; and every pattern begins with a slash.
    pub fn nest(&mut self, prefix: &'static str, mut other: Router<H>) {
        let is_prefix = prefix.starts_with('/') && !prefix.ends_with('/') && !prefix.contains("/*");
        assert!(is_prefix, "{prefix:?} is a prefix: /segments without a slash at the end");
        for route in &mut other.routes {
            assert!(route.pattern.starts_with('/'), "{:?} begins with a slash", route.pattern);
            route.pattern = join(prefix, route.pattern);
            route.shape = Shape::of(route.pattern);
        }
        for fallback in &mut other.fallbacks {
            fallback.prefix = join(prefix, fallback.prefix);
        }
        self.merge(other);
    }

    /// All handlers, those of fallbacks too.
    pub fn handlers_mut(&mut self) -> impl Iterator<Item = &mut H> {
        let routes = self.routes.iter_mut().map(|route| &mut route.handler);
        routes.chain(self.fallbacks.iter_mut().map(|fallback| &mut fallback.handler))
    }

    /// Shows all handlers with the name of their route, those of fallbacks last: methods and pattern, as
    /// `GET /users/:id`. `*` is every method; the pattern of a fallback ends with `/*`.
    pub fn visit(&self, visit: &mut dyn FnMut(String, &H)) {
        for route in &self.routes {
            visit(route.methods.short_names() + " " + route.pattern, &route.handler);
        }
        for fallback in &self.fallbacks {
            visit(["* ", fallback.prefix, "/*"].concat(), &fallback.handler);
        }
    }

    /// Finds who answers.
    pub fn route(&self, request: &RequestHead) -> Routed<'_, H> {
        let (method, path) = (request.method(), request.path());
        let mut fitting = Allow::default();
        for route in &self.routes {
            let fits = route.fits(path);
            if fits && route.methods.has(method) {
                return Routed::Found(&route.handler, Params { pattern: route.pattern });
            }
            if fits {
                fitting.0 |= route.methods.0;
            }
        }
        self.route_misfit(method, path, fitting)
    }

    /// Finds who answers a path that is nobody's, or not for this method but for those in `fitting`.
    #[cold]
    fn route_misfit(&self, method: Method, path: &[u8], fitting: Allow) -> Routed<'_, H> {
        let mut first_fitting = None;
        if fitting.0 != 0 {
            first_fitting = self.routes.iter().find(|route| route.fits(path));
        } else if let Some(fallback) = self.fallback(path) {
            return Routed::Found(&fallback.handler, Params { pattern: fallback.prefix });
        }
        let refusal = self.refusal(method, path, fitting);
        Routed::Nobody(refusal, first_fitting.map(|route| &route.handler))
    }

    /// The deepest fallback for this path; of equals the first.
    fn fallback(&self, path: &[u8]) -> Option<&Fallback<H>> {
        let depth = |fallback: &&Fallback<H>| fallback.prefix.matches('/').count();
        let fitting = self.fallbacks.iter().filter(|fallback| is_below(fallback.prefix, path));
        fitting.rev().max_by_key(depth)
    }

    fn refusal(&self, method: Method, path: &[u8], fitting: Allow) -> Refusal {
        let asks = method == Method::Options;
        // RFC 9110 section 9.3.7: `*` asks about the server as a whole.
        if asks && path == b"*" {
            return Refusal::Options(self.implemented);
        }
        match fitting.0 {
            // RFC 9110 section 9.1: a method nobody implements, 501. One that every server knows is
            // recognized, whatever the routes: 405 where the path is there.
            _ if !asks && !is_known(method) && !self.implemented.has(method) => {
                Refusal::NotImplemented
            }
            0 => Refusal::NotFound,
            _ if asks => Refusal::Options(fitting),
            _ => Refusal::MethodNotAllowed(fitting),
        }
    }
}

/// Whether every server recognizes the method (RFC 9110 section 9.3, RFC 5789). Not so CONNECT, which asks for no
/// resource, and which no origin server is capable of: 501 (RFC 9110 section 15.6.2).
fn is_known(method: Method) -> bool {
    !matches!(method, Method::Connect | Method::Other)
}

impl Refusal {
    /// The response that says so.
    pub fn into_response(self) -> Response {
        match self {
            Refusal::NotFound => Response::plain(Status::NOT_FOUND),
            // RFC 9110 section 15.5.6: a 405 tells what is allowed.
            Refusal::MethodNotAllowed(allow) => {
                Response::plain(Status::METHOD_NOT_ALLOWED).with_header("Allow", allow.names())
            }
            Refusal::Options(allow) => {
                Response::new(Status::NO_CONTENT).with_header("Allow", allow.names())
            }
            Refusal::NotImplemented => Response::plain(Status::NOT_IMPLEMENTED),
        }
    }
}

/// The parameters of the pattern that fitted. Values are found when asked for.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    pattern: &'static str,
}

impl Params {
    /// What stands in `path` where the pattern says `:name` or `*name`; still percent-encoded.
    pub fn raw<'a>(&self, path: &'a [u8], name: &str) -> Option<&'a [u8]> {
        let mut rest = path;
        for (kind, own) in segments(self.pattern) {
            rest = rest.strip_prefix(b"/")?;
            let len = segment_len(rest);
            match kind {
                Segment::Tail => return (own == name.as_bytes()).then_some(rest),
                Segment::Param if own == name.as_bytes() => return rest.get(..len),
                _ => rest = rest.get(len..)?,
            }
        }
        None
    }

    /// As [`Params::raw`], decoded; `None` also if it is not percent-encoded text.
    pub fn text(&self, path: &[u8], name: &str) -> Option<String> {
        String::from_utf8(crate::percent::decode(self.raw(path, name)?)?).ok()
    }
}

/// A set of methods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allow(u16);

/// In the order in which `Allow` names them.
const ALL: [Method; 9] = [
    Method::Get,
    Method::Head,
    Method::Post,
    Method::Put,
    Method::Delete,
    Method::Options,
    Method::Patch,
    Method::Connect,
    Method::Trace,
];

impl Allow {
    /// Whether the method is in it. [`Method::Other`] never is.
    pub fn has(self, method: Method) -> bool {
        self.0 & bit(method) != 0
    }

    /// Adds a method; [`Method::Other`] stays out.
    pub fn insert(&mut self, method: Method) {
        self.0 |= bit(method);
    }

    /// The value of an `Allow` field. OPTIONS is always allowed.
    pub fn names(self) -> String {
        let mut names = String::new();
        for method in ALL {
            if self.has(method) || method == Method::Options {
                names.push_str(if names.is_empty() { "" } else { ", " });
                names.push_str(method.name());
            }
        }
        names
    }
}

impl Allow {
    /// As a route's name has them: HEAD goes without saying where GET is.
    fn short_names(self) -> String {
        let all = ALL.into_iter().filter(|method| self.has(*method));
        if all.clone().count() == ALL.len() {
            return String::from("*");
        }
        let is_said = |method: &Method| *method != Method::Head || !self.has(Method::Get);
        let names: Vec<_> = all.filter(is_said).map(Method::name).collect();
        names.join(",")
    }
}

fn bit(method: Method) -> u16 {
    if method == Method::Other { 0 } else { 1 << method as u16 }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Segment {
    Literal,
    Param,
    Tail,
}

impl Shape {
    fn of(pattern: &'static str) -> Shape {
        let tail_at = pattern.find("/*").map(|slash| slash + 1);
        match tail_at.and_then(|at| pattern.get(..at)) {
            _ if pattern.contains("/:") => Shape::Segments,
            Some(start) => Shape::Below(start),
            None => Shape::Literal,
        }
    }
}

/// The pattern's segments and their names.
fn segments(pattern: &'static str) -> impl Iterator<Item = (Segment, &'static [u8])> {
    let pattern = pattern.strip_prefix('/').unwrap_or(pattern).as_bytes();
    pattern.split(|&byte| byte == b'/').map(|segment| match segment {
        [b':', name @ ..] => (Segment::Param, name),
        [b'*', name @ ..] => (Segment::Tail, name),
        _ => (Segment::Literal, segment),
    })
}

fn segment_len(path: &[u8]) -> usize {
    path.iter().position(|&byte| byte == b'/').unwrap_or(path.len())
}

/// The pattern below the prefix. A new one is never freed: a table lives as long as the appliance.
fn join(prefix: &'static str, pattern: &'static str) -> &'static str {
    match pattern {
        "" | "/" => prefix,
        _ => Box::leak([prefix, pattern].concat().into_boxed_str()),
    }
}

/// Whether the path is the prefix, or has more segments after it.
fn is_below(prefix: &'static str, path: &[u8]) -> bool {
    if prefix.is_empty() {
        return path.starts_with(b"/");
    }
    let end = prefix.matches('/').count();
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let end = slashes.map(|(at, _)| at).nth(end).unwrap_or(path.len());
    fits(prefix, path.get(..end).unwrap_or(path))
}

fn fits(pattern: &'static str, path: &[u8]) -> bool {
    let mut rest = path;
    for (kind, literal) in segments(pattern) {
        let Some(after) = rest.strip_prefix(b"/") else { return false };
        let (segment, after) = after.split_at(segment_len(after));
        match kind {
            Segment::Tail => return true,
            Segment::Param if segment.is_empty() => return false,
            Segment::Literal if segment != literal => return false,
            _ => rest = after,
        }
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::parsed;

    fn router() -> Router<u8> {
        let mut router = Router::new();
        router.add(Method::Get, "/", 1);
        router.add(Method::Get, "/users/me", 2);
        router.add_methods(&[Method::Get, Method::Put], "/users/:id", 3);
        router.add(Method::Post, "/users/:id/:action", 4);
        router.add(Method::Get, "/files/*path", 5);
        router.add(Method::Delete, "/users/me", 6);
        router
    }

    fn routed(line: &str) -> Result<u8, Refusal> {
        let (method, target) = line.split_once(' ').unwrap();
        match router().route(&parsed(method, target, &[])) {
            Routed::Found(handler, _) => Ok(*handler),
            Routed::Nobody(refusal, _) => Err(refusal),
        }
    }

    #[test]
    fn the_first_that_fits_answers() {
        for (line, handler) in [
            ("GET /", 1),
            ("GET /?q", 1),
            ("HEAD /", 1),
            ("GET /users/me", 2),
            ("GET /users/you", 3),
            ("PUT /users/me", 3),
            ("DELETE /users/me", 6),
            ("POST /users/1/ban", 4),
            ("GET /files/", 5),
            ("GET /files/a/b", 5),
        ] {
            assert_eq!(routed(line), Ok(handler), "{line}");
        }
    }

    #[test]
    fn rfc9110_15_5_5_not_found() {
        for line in [
            "GET /users",
            "GET /users/",
            "GET /users/a/",
            "GET /x",
            "GET /files",
            "GET //",
            "POST /users/1/",
            "OPTIONS /x",
            "HEAD /x",
        ] {
            assert_eq!(routed(line), Err(Refusal::NotFound), "{line}");
        }
    }

    #[test]
    fn rfc9110_15_5_6_method_not_allowed_tells_what_is() {
        for (line, names) in [
            ("POST /", "GET, HEAD, OPTIONS"),
            ("POST /users/me", "GET, HEAD, PUT, DELETE, OPTIONS"),
            ("GET /users/1/ban", "POST, OPTIONS"),
        ] {
            let Err(refusal @ Refusal::MethodNotAllowed(_)) = routed(line) else {
                panic!("{line}")
            };
            assert_eq!(refusal.into_response().header("allow"), Some(names.as_bytes()), "{line}");
        }
    }

    #[test]
    fn rfc9110_9_3_7_options_is_answered() {
        for (line, names) in [
            ("OPTIONS /", "GET, HEAD, OPTIONS"),
            ("OPTIONS *", "GET, HEAD, POST, PUT, DELETE, OPTIONS"),
        ] {
            let Err(refusal @ Refusal::Options(_)) = routed(line) else { panic!("{line}") };
            let response = refusal.into_response();
            assert_eq!(
                (response.status(), response.header("allow")),
                (Status::NO_CONTENT, Some(names.as_bytes()))
            );
        }
    }

    #[test]
    fn rfc9110_15_6_2_methods_nobody_implements() {
        for line in ["BREW /", "get /", "CONNECT a:80"] {
            assert_eq!(routed(line), Err(Refusal::NotImplemented), "{line}");
        }
    }

    #[test]
    fn rfc9110_9_1_methods_that_every_server_knows_are_405_and_404() {
        let mut router = Router::new();
        router.add(Method::Get, "/page", ());
        for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE"] {
            let routed = |path| match router.route(&parsed(method, path, &[])) {
                Routed::Found(..) => panic!("{method} {path}"),
                Routed::Nobody(refusal, _) => refusal.into_response(),
            };
            let response = routed("/page");
            assert_eq!(response.status(), Status::METHOD_NOT_ALLOWED);
            assert_eq!(response.header("allow"), Some(&b"GET, HEAD, OPTIONS"[..]));
            assert_eq!(routed("/other").status(), Status::NOT_FOUND);
        }
    }

    #[test]
    fn nested_patterns_have_the_prefix_and_their_place() {
        let mut inner = Router::new();
        inner.add(Method::Get, "/", 10);
        inner.add(Method::Get, "/users/:id", 11);
        inner.add(Method::Put, "/files/*path", 12);
        let mut router = Router::new();
        router.add(Method::Get, "/api/users/me", 1);
        router.nest("/api", inner.clone());
        router.add(Method::Get, "/api/users/you", 2);
        router.nest("/of/:owner", inner);
        for (line, expected) in [
            ("GET /api", Some(10)),
            ("GET /api/", None),
            ("GET /api/users/me", Some(1)),
            // The nested pattern is in front.
            ("GET /api/users/you", Some(11)),
            ("PUT /api/files/", Some(12)),
            ("PUT /api/files", None),
            ("GET /users/1", None),
            ("GET /of/me", Some(10)),
            ("GET /of/me/users/1", Some(11)),
            ("GET /of//users/1", None),
        ] {
            let (method, path) = line.split_once(' ').unwrap();
            let found = match router.route(&parsed(method, path, &[])) {
                Routed::Found(handler, _) => Some(*handler),
                Routed::Nobody(..) => None,
            };
            assert_eq!(found, expected, "{line}");
        }
        let Routed::Found(_, params) = router.route(&parsed("GET", "/of/me/users/1", &[])) else {
            panic!()
        };
        let raw = |name| params.raw(b"/of/me/users/1", name);
        assert_eq!((raw("owner"), raw("id")), (Some(&b"me"[..]), Some(&b"1"[..])));
    }

    #[test]
    fn prefixes_are_checked_when_the_table_is_made() {
        for prefix in ["", "/", "api", "/api/", "/api/*rest"] {
            let nest = || Router::new().nest(prefix, router());
            assert!(std::panic::catch_unwind(nest).is_err(), "{prefix:?}");
        }
        let mut without_slash = Router::new();
        without_slash.add(Method::Get, "x", 0);
        let nest = || Router::new().nest("/api", without_slash);
        assert!(std::panic::catch_unwind(nest).is_err());
    }

    #[test]
    fn the_deepest_fallback_answers_what_no_pattern_fits() {
        let mut inner = Router::new();
        inner.add(Method::Get, "/page", 1);
        inner.set_fallback(2);
        inner.set_fallback(3);
        let mut router = Router::new();
        router.set_fallback(9);
        router.nest("/a/:b", inner);
        router.add(Method::Get, "/page", 4);
        for (line, handler) in [
            ("GET /a/x/page", 1),
            ("GET /a/x/other", 2),
            ("BREW /a/x/other/deep", 2),
            ("OPTIONS /a/x", 2),
            ("GET /a/x/", 2),
            ("GET /page", 4),
            ("GET /a/", 9),
            ("GET /a", 9),
            ("GET /ab/x/page", 9),
        ] {
            let (method, path) = line.split_once(' ').unwrap();
            match router.route(&parsed(method, path, &[])) {
                Routed::Found(found, _) => assert_eq!(*found, handler, "{line}"),
                Routed::Nobody(..) => panic!("{line}"),
            }
        }
        let refusal = |method, path| match router.route(&parsed(method, path, &[])) {
            Routed::Found(..) => panic!("{method} {path}"),
            Routed::Nobody(refusal, first) => (refusal.into_response().status(), first.copied()),
        };
        // RFC 9110 section 15.5.6: who has the path says what is allowed there.
        assert_eq!(refusal("POST", "/page"), (Status::METHOD_NOT_ALLOWED, Some(4)));
        assert_eq!(refusal("OPTIONS", "/a/x/page"), (Status::NO_CONTENT, Some(1)));
        assert_eq!(refusal("OPTIONS", "*"), (Status::NO_CONTENT, None));
        assert_eq!(refusal("CONNECT", "a:80").0, Status::NOT_IMPLEMENTED);
        let Routed::Found(_, params) = router.route(&parsed("GET", "/a/x/other", &[])) else {
            panic!()
        };
        assert_eq!(params.raw(b"/a/x/other", "b"), Some(&b"x"[..]));
    }

    #[test]
    fn merged_routes_come_after_what_is_there() {
        let mut one = Router::new();
        one.add(Method::Get, "/a", 1);
        one.set_fallback(2);
        let mut other = Router::new();
        other.add(Method::Get, "/a", 3);
        other.add(Method::Put, "/b", 4);
        other.set_fallback(5);
        one.merge(other);
        for (method, path, handler) in [("GET", "/a", 1), ("PUT", "/b", 4), ("GET", "/c", 2)] {
            match one.route(&parsed(method, path, &[])) {
                Routed::Found(found, _) => assert_eq!(*found, handler, "{path}"),
                Routed::Nobody(..) => panic!("{path}"),
            }
        }
        let Routed::Nobody(refusal, _) = one.route(&parsed("OPTIONS", "*", &[])) else { panic!() };
        let response = refusal.into_response();
        assert_eq!(response.header("allow"), Some(&b"GET, HEAD, PUT, OPTIONS"[..]));
    }

    #[test]
    fn parameters() {
        let params = Params { pattern: "/a/:b/c/:d/*e" };
        let path = b"/a/1%202/c/%ff/x/y";
        assert_eq!(params.raw(path, "b"), Some(&b"1%202"[..]));
        assert_eq!(params.text(path, "b").as_deref(), Some("1 2"));
        assert_eq!((params.raw(path, "d"), params.text(path, "d")), (Some(&b"%ff"[..]), None));
        assert_eq!(params.raw(path, "e"), Some(&b"x/y"[..]));
        assert_eq!(params.raw(path, "c"), None);
        assert_eq!(params.raw(b"/", "d"), None);
    }
}
