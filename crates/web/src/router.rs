//! Router: finds who answers a method and a path.

use crate::{Method, RequestHead, Response, Status};
use alloc::string::String;
use alloc::vec::Vec;

/// A table of routes, searched from the top: the first that fits answers.
///
/// A pattern is a path whose segments are literal, `:name` (one segment, not empty), or, as the last,
/// `*name` (all that remains, possibly nothing). Patterns are compared with the path as sent: without
/// decoding, so that an encoded slash is no separator.
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
    implemented: Allow,
}

#[derive(Clone, Debug)]
struct Route<H> {
    methods: Allow,
    pattern: &'static str,
    shape: Shape,
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
    /// To nobody: [`Refusal::into_response`] says why.
    Nobody(Refusal),
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

impl<H> Default for Router<H> {
    fn default() -> Self {
        Router { routes: Vec::new(), implemented: Allow::default() }
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

    /// Finds who answers.
    pub fn route(&self, request: &RequestHead) -> Routed<'_, H> {
        let (method, path) = (request.method(), request.path());
        let mut fitting = Allow::default();
        for route in &self.routes {
            let fits = match route.shape {
                Shape::Literal => route.pattern.as_bytes() == path,
                Shape::Below(start) => path.starts_with(start.as_bytes()),
                Shape::Segments => fits(route.pattern, path),
            };
            if fits && route.methods.has(method) {
                return Routed::Found(&route.handler, Params { pattern: route.pattern });
            }
            if fits {
                fitting.0 |= route.methods.0;
            }
        }
        Routed::Nobody(self.refusal(method, path, fitting))
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
                Segment::Tail => return (own == name).then_some(rest),
                Segment::Param if own == name => return rest.get(..len),
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
fn segments(pattern: &'static str) -> impl Iterator<Item = (Segment, &'static str)> {
    pattern.strip_prefix('/').unwrap_or(pattern).split('/').map(|segment| {
        if let Some(name) = segment.strip_prefix(':') {
            (Segment::Param, name)
        } else if let Some(name) = segment.strip_prefix('*') {
            (Segment::Tail, name)
        } else {
            (Segment::Literal, segment)
        }
    })
}

fn segment_len(path: &[u8]) -> usize {
    path.iter().position(|&byte| byte == b'/').unwrap_or(path.len())
}

fn fits(pattern: &'static str, path: &[u8]) -> bool {
    let mut rest = path;
    for (kind, literal) in segments(pattern) {
        let Some(after) = rest.strip_prefix(b"/") else { return false };
        let (segment, after) = after.split_at(segment_len(after));
        match kind {
            Segment::Tail => return true,
            Segment::Param if segment.is_empty() => return false,
            Segment::Literal if segment != literal.as_bytes() => return false,
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
            Routed::Nobody(refusal) => Err(refusal),
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
                Routed::Nobody(refusal) => refusal.into_response(),
            };
            let response = routed("/page");
            assert_eq!(response.status(), Status::METHOD_NOT_ALLOWED);
            assert_eq!(response.header("allow"), Some(&b"GET, HEAD, OPTIONS"[..]));
            assert_eq!(routed("/other").status(), Status::NOT_FOUND);
        }
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
