//! Guard: who may look. It is around all routes, and lets a request through that
//!
//! - names a host that is ours: an address, `localhost`, the host's name, or one of the configuration, so that no name of a
//!   stranger leads a browser here (DNS rebinding); 421 otherwise.
//! - does not come from another site's page (the Fetch standard's `Sec-Fetch-Site` and `Origin`); 403 otherwise.
//! - shows the token, as `Authorization: Bearer` or by the cookie that [`login`](Guard::login) gave for it, or comes from a
//!   client whose certificate TLS accepted; 401 otherwise. Where only this machine reaches the port, nothing is wanted, but
//!   that no proxy passed it on; 403 otherwise.
//!
//! A request that changes something has to be no GET or HEAD, which the routes see to. With a cookie or a certificate, which
//! browsers show by themselves, it has to say whose page it comes from, too.

use super::{health, page};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use config::Token;
use core::net::{IpAddr, Ipv6Addr};
use subtle::ConstantTimeEq;
use web::cookies::{Cookie, SameSite};
use web::layer::Inner;
use web::{Answer, Layer, Method, Request, RequestHead, Response, Status};

/// The cookie of a browser that has shown the token.
const COOKIE: &str = "aqueduct_admin";

/// What requests have to show.
pub(super) enum Access {
    /// Nothing: this machine alone reaches the port.
    Open,
    /// This, if there is one, or a certificate.
    Closed(Option<Token>),
}

/// Lets requests through. Clones are the same one.
#[derive(Clone)]
pub(super) struct Guard(Rc<Rules>);

struct Rules {
    access: Access,
    hosts: Vec<Box<str>>,
    /// What the cookie holds: made anew at each start, so that it is worth nothing elsewhere or later.
    ticket: String,
}

impl Guard {
    pub(super) fn new(
        access: Access,
        hosts: Vec<String>,
        hostname: &str,
        fill_random: impl Fn(&mut [u8]),
    ) -> Self {
        let mut secret = [0; 32];
        fill_random(&mut secret);
        let ticket = secret.iter().map(|byte| alloc::format!("{byte:02x}")).collect();
        let own = ["localhost".into(), hostname.into()];
        let hosts = hosts.into_iter().chain(own).map(String::into_boxed_str).collect();
        Self(Rc::new(Rules { access, hosts, ticket }))
    }

    /// The answer to a browser that shows the token: the page, with a cookie; 401 for a wrong one.
    pub(super) fn login(&self, shown: &str, is_secure: bool) -> Response {
        if !self.0.opens(shown.as_bytes()) {
            return challenge();
        }
        let cookie = Cookie::new(COOKIE, &self.0.ticket).expect("it is of hexadecimal digits");
        let cookie = cookie.with_same_site(SameSite::Strict);
        let cookie = if is_secure { cookie.secure() } else { cookie };
        Response::see_other("/").with_cookie(&cookie)
    }

    /// The answer to a browser that wants to be forgotten.
    pub(super) fn logout(&self) -> Response {
        let cookie = Cookie::removal(COOKIE).expect("its name is one");
        Response::see_other("/").with_cookie(&cookie)
    }

    /// The refusal of a request, if it is refused.
    fn refusal(&self, request: &Request) -> Option<Response> {
        let rules = &*self.0;
        if !rules.is_own(host(request.authority())) {
            return Some(refused(Status::MISDIRECTED_REQUEST, WRONG_HOST));
        }
        let origin = Origin::of(request);
        if origin == Origin::Other {
            return Some(refused(Status::FORBIDDEN, OTHER_SITE));
        }
        let is_open = |paths: &[&[u8]]| paths.contains(&request.path());
        if is_open(&health::PATHS)
            || is_open(&LOGIN_PATHS)
            || is_open(&page::PATHS) && is_safe(request)
        {
            return None;
        }
        if matches!(rules.access, Access::Open) && is_passed_on(request) {
            return Some(refused(Status::FORBIDDEN, PASSED_ON));
        }
        match rules.shown(request) {
            Shown::Nothing => Some(challenge()),
            Shown::ByItself if !is_safe(request) && origin != Origin::Own => {
                Some(refused(Status::FORBIDDEN, OTHER_SITE))
            }
            Shown::ByItself | Shown::Token => None,
        }
    }
}

const WRONG_HOST: &str = "this is asked by an address, localhost, the hostname of [network], or one of `hosts` in [admin]\n";
const OTHER_SITE: &str = "this is not for pages of other sites\n";
const PASSED_ON: &str =
    "without a token this is for who is on this machine, and not for who comes by a proxy\n";
/// Where the token is shown for a cookie.
const LOGIN_PATHS: [&[u8]; 1] = [b"/login"];

impl Layer for Guard {
    fn pass(&self, request: Request, inner: &Inner) -> Answer {
        // The few connections are not for strangers to keep.
        let is_stranger = matches!(self.0.shown(&request), Shown::Nothing);
        let parting = move |response: Response| {
            let response = guarded(response);
            if is_stranger { response.closing() } else { response }
        };
        match self.refusal(&request) {
            Some(response) => Answer::Now(parting(response).into()),
            None => inner.answer(request).map(move |mut reply| {
                reply.response = parting(reply.response);
                reply
            }),
        }
    }
}

/// What is shown is for nobody's cache, frame or page.
fn guarded(mut response: Response) -> Response {
    response.forbid_repeating();
    response
        .with_header("Cache-Control", "no-store")
        .with_header("X-Content-Type-Options", "nosniff")
        .with_header("Cross-Origin-Resource-Policy", "same-origin")
        // By `no-referrer` a browser would say `Origin: null` of the page's own form (Fetch, "append a request `Origin` header").
        .with_header("Referrer-Policy", "same-origin")
}

enum Shown {
    Nothing,
    /// The cookie or a certificate, which a browser shows whoever made it ask.
    ByItself,
    Token,
}

impl Rules {
    fn is_own(&self, host: &[u8]) -> bool {
        let is_named = |own: &str| own.as_bytes().eq_ignore_ascii_case(host);
        self.hosts.iter().any(|own| is_named(own)) || is_address(host)
    }

    /// Whether somebody who shows this for the token is let in.
    fn opens(&self, shown: &[u8]) -> bool {
        match &self.access {
            Access::Open => true,
            Access::Closed(token) => {
                token.as_ref().is_some_and(|token| is_same(token.secret(), shown))
            }
        }
    }

    fn shown(&self, request: &Request) -> Shown {
        if matches!(self.access, Access::Open)
            || bearer(request).is_some_and(|shown| self.opens(shown))
        {
            return Shown::Token;
        }
        let has_cookie = request.cookie(COOKIE).is_some_and(|shown| is_same(&self.ticket, shown));
        if has_cookie || request.certificate().is_some() { Shown::ByItself } else { Shown::Nothing }
    }
}

/// Whose page a request comes from.
#[derive(PartialEq, Eq)]
enum Origin {
    /// Ours, or what the user typed.
    Own,
    Other,
    /// It does not say: no browser, or an old one.
    Unknown,
}

impl Origin {
    fn of(request: &RequestHead) -> Self {
        // Fetch standard, section 3.4.4: "none" is what the user asked for himself.
        match request.header("sec-fetch-site") {
            Some(b"same-origin" | b"none") => return Self::Own,
            Some(_) => return Self::Other,
            None => {}
        }
        let Some(origin) = request.header("origin") else { return Self::Unknown };
        // RFC 6454 section 5: another scheme is another origin, whose pages others may have written.
        let scheme: &[u8] = if request.is_secure() { b"https://" } else { b"http://" };
        let site = origin.strip_prefix(scheme);
        let is_own = site.is_some_and(|site| site.eq_ignore_ascii_case(request.authority()));
        if is_own { Self::Own } else { Self::Other }
    }
}

/// Whether a proxy passed it on (RFC 9110 section 7.6.3, RFC 7239, RFC 8586): it may be on this machine, and whom it serves
/// elsewhere.
fn is_passed_on(request: &RequestHead) -> bool {
    ["via", "forwarded", "cdn-loop"].iter().any(|name| request.header(name).is_some())
}

/// RFC 9110 section 9.2.1.
fn is_safe(request: &RequestHead) -> bool {
    matches!(request.method(), Method::Get | Method::Head | Method::Options)
}

/// RFC 6750 section 2.1. The field stands at most once (RFC 9110 sections 5.3 and 11.6.2): of several, whoever passes the
/// request on may have meant another.
fn bearer(request: &RequestHead) -> Option<&[u8]> {
    let mut fields =
        request.headers().filter(|(name, _)| name.eq_ignore_ascii_case(b"authorization"));
    let (Some((_, value)), None) = (fields.next(), fields.next()) else { return None };
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Takes a time that says nothing but the secret's length.
fn is_same(secret: &str, shown: &[u8]) -> bool {
    secret.as_bytes().ct_eq(shown).into()
}

/// An authority without its port (RFC 3986 section 3.2).
fn host(authority: &[u8]) -> &[u8] {
    let port_at = authority.iter().rposition(|byte| *byte == b':');
    match port_at {
        Some(at) if authority[at + 1..].iter().all(u8::is_ascii_digit) => &authority[..at],
        _ => authority,
    }
}

/// An IPv4 address, or one of IPv6 in brackets.
fn is_address(host: &[u8]) -> bool {
    let Ok(text) = core::str::from_utf8(host) else { return false };
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inside) => inside.parse::<Ipv6Addr>().is_ok(),
        None => text.parse::<IpAddr>().is_ok_and(|address| address.is_ipv4()),
    }
}

/// RFC 6750 section 3.
fn challenge() -> Response {
    let text = "this is shown to who has the token of [admin], as `Authorization: Bearer TOKEN`, or a certificate that it names\n";
    refused(Status::UNAUTHORIZED, text).with_header("WWW-Authenticate", "Bearer realm=\"admin\"")
}

fn refused(status: Status, text: &'static str) -> Response {
    Response::ok("text/plain; charset=utf-8", text).with_status(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use web::{Routes, testing};

    const TOKEN: &str = "0123456789abcdef-token";

    async fn page(_: Request) -> Response {
        Response::ok("text/plain", "inside").repeatable()
    }

    fn guard(access: Access) -> Guard {
        Guard::new(access, Vec::from(["a.example".into()]), "own", |bytes| bytes.fill(7))
    }

    fn closed() -> Routes {
        let guard = guard(Access::Closed(Some(TOKEN.parse().unwrap())));
        let routes = Routes::new().get("/inside", page).post("/inside", page).get("/healthz", page);
        routes.layer(guard)
    }

    fn status(ask: testing::Ask, fields: &[(&str, &str)], routes: &Routes) -> u16 {
        let ask = fields.iter().fold(ask, |ask, (name, value)| ask.header(name, value));
        ask.ask(routes).status().code()
    }

    fn get(fields: &[(&str, &str)]) -> u16 {
        let host = [("Host", "10.0.0.2:9001")];
        let fields: Vec<_> = host.iter().chain(fields).copied().collect();
        status(testing::get("/inside"), &fields, &closed())
    }

    #[test]
    fn the_page_is_for_everybody_and_no_stranger_keeps_a_connection() {
        let routes = Routes::new().get("/", page).post("/", page).get("/inside", page);
        let routes = routes.layer(guard(Access::Closed(Some(TOKEN.parse().unwrap()))));
        let own = [("Host", "own")];
        assert_eq!(status(testing::get("/"), &own, &routes), 200);
        assert_eq!(status(testing::post("/"), &own, &routes), 401);
        let bearer = alloc::format!("Bearer {TOKEN}");
        for (path, shown, closes) in
            [("/", "", true), ("/inside", "", true), ("/inside", &*bearer, false)]
        {
            let asked = testing::get(path).header("Host", "own").header("Authorization", shown);
            assert_eq!(asked.ask(&routes).response().closes(), closes, "{path} {shown}");
        }
    }

    #[test]
    fn rfc6750_2_1_who_shows_the_token_sees_and_nobody_else() {
        let bearer = |token: &str| alloc::format!("Bearer {token}");
        assert_eq!(get(&[("Authorization", &bearer(TOKEN))]), 200);
        assert_eq!(get(&[("Authorization", &alloc::format!("bearer  {TOKEN} "))]), 200);
        assert_eq!(get(&[]), 401);
        for wrong in [&TOKEN[1..], "", &alloc::format!("{TOKEN}x"), "0123456789abcdef-tokem"] {
            assert_eq!(get(&[("Authorization", &bearer(wrong))]), 401, "{wrong}");
        }
        for wrong in [TOKEN, "Bearer", "Basic 0123456789abcdef-token"] {
            assert_eq!(get(&[("Authorization", wrong)]), 401, "{wrong}");
            let both = [("Authorization", &*bearer(TOKEN)), ("authorization", wrong)];
            assert_eq!(get(&both), 401, "{wrong}");
        }
        let refused = testing::get("/inside").header("Host", "10.0.0.2").ask(&closed());
        assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"admin\""));
    }

    #[test]
    fn answers_are_for_no_cache() {
        let bearer = alloc::format!("Bearer {TOKEN}");
        let seen = testing::get("/inside")
            .header("Host", "own")
            .header("Authorization", bearer)
            .ask(&closed());
        assert_eq!((seen.text(), seen.header("cache-control")), ("inside", Some("no-store")));
        assert!(!seen.response().is_repeatable());
    }

    #[test]
    fn without_a_token_nobody_comes_by_a_proxy() {
        let routes = Routes::new().get("/inside", page).get("/healthz", page);
        let open = routes.layer(guard(Access::Open));
        for field in [("Via", "1.1 a"), ("Forwarded", "for=10.0.0.1"), ("CDN-Loop", "a")] {
            let fields = [("Host", "own"), field];
            assert_eq!(status(testing::get("/inside"), &fields, &open), 403, "{field:?}");
            assert_eq!(status(testing::get("/healthz"), &fields, &open), 200, "{field:?}");
            let bearer = alloc::format!("Bearer {TOKEN}");
            assert_eq!(get(&[("Authorization", &bearer), field]), 200, "{field:?}");
        }
    }

    #[test]
    fn names_of_strangers_lead_nowhere() {
        let routes = Routes::new().get("/inside", page).layer(guard(Access::Open));
        for own in ["127.0.0.1:9001", "[::1]:9001", "[::1]", "localhost:1", "OWN", "a.example"] {
            assert_eq!(status(testing::get("/inside"), &[("Host", own)], &routes), 200, "{own}");
        }
        for strange in
            ["b.example", "localhost.b.example:9001", "::1", "127.0.0.1.b.example", "[x]"]
        {
            assert_eq!(
                status(testing::get("/inside"), &[("Host", strange)], &routes),
                421,
                "{strange}"
            );
        }
    }

    #[test]
    fn pages_of_other_sites_are_refused_even_with_the_token() {
        let bearer = alloc::format!("Bearer {TOKEN}");
        for (field, value, expected) in [
            ("Sec-Fetch-Site", "cross-site", 403),
            ("Sec-Fetch-Site", "same-site", 403),
            ("Sec-Fetch-Site", "same-origin", 200),
            ("Sec-Fetch-Site", "none", 200),
            ("Origin", "http://10.0.0.2:9001", 200),
            ("Origin", "http://10.0.0.2:9002", 403),
            ("Origin", "https://10.0.0.2:9001", 403),
            ("Origin", "http://b.example", 403),
            ("Origin", "null", 403),
        ] {
            assert_eq!(get(&[("Authorization", &bearer), (field, value)]), expected, "{value}");
        }
    }

    #[test]
    fn a_cookie_is_had_for_the_token_and_changes_something_from_our_own_page_only() {
        let guard = guard(Access::Closed(Some(TOKEN.parse().unwrap())));
        assert_eq!(guard.login("wrong", false).status(), Status::UNAUTHORIZED);
        let cookie = guard.login(TOKEN, false);
        let cookie = core::str::from_utf8(cookie.header("set-cookie").unwrap()).unwrap().to_owned();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        assert!(!cookie.contains(TOKEN));
        let cookie = cookie.split(';').next().unwrap();
        assert_eq!(get(&[("Cookie", cookie)]), 200);
        assert_eq!(get(&[("Cookie", "aqueduct_admin=")]), 401);
        let post = |fields: &[(&str, &str)]| {
            let known = [("Host", "own"), ("Cookie", cookie)];
            let fields: Vec<_> = known.iter().chain(fields).copied().collect();
            status(testing::post("/inside"), &fields, &closed())
        };
        assert_eq!(post(&[]), 403);
        assert_eq!(post(&[("Sec-Fetch-Site", "same-origin")]), 200);
        assert_eq!(post(&[("Origin", "http://own")]), 200);
        assert_eq!(post(&[("Origin", "http://b.example")]), 403);
    }

    #[test]
    fn a_certificate_opens_and_changes_something_from_our_own_page_only() {
        let routes = Routes::new().get("/inside", page).post("/inside", page);
        let routes = routes.layer(guard(Access::Closed(None)));
        let ask = |ask: testing::Ask, fields: &[(&str, &str)]| {
            let fields: Vec<_> = [("Host", "own")].iter().chain(fields).copied().collect();
            status(ask, &fields, &routes)
        };
        let known = |ask: testing::Ask| ask.certificate([7; 32]);
        assert_eq!(ask(testing::get("/inside"), &[]), 401);
        assert_eq!(ask(testing::get("/inside"), &[("Authorization", "Bearer ")]), 401);
        assert_eq!(ask(known(testing::get("/inside")), &[]), 200);
        assert_eq!(ask(known(testing::post("/inside")), &[]), 403);
        assert_eq!(ask(known(testing::post("/inside")), &[("Origin", "https://own")]), 200);
        assert_eq!(ask(known(testing::post("/inside")), &[("Origin", "https://b.example")]), 403);
        // A page that came in the clear is whoever's was on the wire (RFC 6454 section 5).
        assert_eq!(ask(known(testing::post("/inside")), &[("Origin", "http://own")]), 403);
    }

    #[test]
    fn nobody_logs_in_where_there_is_no_token_and_a_cookie_of_tls_stays_there() {
        assert_eq!(guard(Access::Closed(None)).login("", true).status(), Status::UNAUTHORIZED);
        let closed = guard(Access::Closed(Some(TOKEN.parse().unwrap())));
        for is_secure in [false, true] {
            let response = closed.login(TOKEN, is_secure);
            let cookie = core::str::from_utf8(response.header("set-cookie").unwrap()).unwrap();
            assert_eq!(cookie.contains("; Secure"), is_secure, "{cookie}");
        }
    }

    #[test]
    fn health_is_told_without_a_token() {
        assert_eq!(status(testing::get("/healthz"), &[("Host", "10.0.0.2")], &closed()), 200);
    }

    use alloc::borrow::ToOwned;
}
