//! Cross-origin requests (the Fetch standard, section 3.2, "CORS protocol").

use crate::{Answer, Layer, Method, Request, Response, Status, layer::Inner};
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// Lets pages of other origins read answers, and answers their preflights. A request of an origin that may not is answered
/// as any other: that its page cannot read it is the browser's doing. So this is no protection of the server.
pub struct Cors {
    origins: Origins,
    methods: String,
    headers: String,
    exposed: String,
    has_credentials: bool,
    max_age: Option<Duration>,
}

enum Origins {
    Any,
    Some(Box<IsAllowed>),
}

type IsAllowed = dyn Fn(&[u8]) -> bool;

impl Cors {
    /// Pages of every origin.
    pub fn any() -> Self {
        Self::new(Origins::Any)
    }

    /// Pages of these origins, written as browsers do: scheme, host in lower case and, if it is not the scheme's
    /// own, port (RFC 6454 section 6.2).
    pub fn of<'a>(origins: impl IntoIterator<Item = &'a str>) -> Self {
        let origins: Vec<_> = origins.into_iter().map(ToOwned::to_owned).collect();
        Self::by(move |origin| origins.iter().any(|own| own.as_bytes() == origin))
    }

    /// Pages of the origins that the closure allows.
    pub fn by(is_allowed: impl Fn(&[u8]) -> bool + 'static) -> Self {
        Self::new(Origins::Some(Box::new(is_allowed)))
    }

    fn new(origins: Origins) -> Self {
        Self {
            origins,
            methods: "GET, HEAD, POST".into(),
            headers: String::new(),
            exposed: String::new(),
            has_credentials: false,
            max_age: None,
        }
    }

    /// Lets them use these methods. Default GET, HEAD and POST, which they may use without being asked.
    #[must_use]
    pub fn with_methods(mut self, methods: &[Method]) -> Self {
        self.methods = methods.iter().map(|method| method.name()).collect::<Vec<_>>().join(", ");
        self
    }

    /// Lets them send these fields, beside those that they may without being asked (`Accept`, `Accept-Language`,
    /// `Content-Language` and `Content-Type` of forms and plain text).
    #[must_use]
    pub fn with_headers(mut self, names: &[&str]) -> Self {
        self.headers = names.join(", ");
        self
    }

    /// Lets them read these fields of answers, beside those that they may anyway.
    #[must_use]
    pub fn exposing(mut self, names: &[&str]) -> Self {
        self.exposed = names.join(", ");
        self
    }

    /// Lets them send cookies and passwords, and read what is answered to these.
    ///
    /// # Panics
    /// When any origin may: browsers refuse that (Fetch standard, section 3.2.5), since every page could act as its reader.
    #[must_use]
    pub fn with_credentials(mut self) -> Self {
        assert!(matches!(self.origins, Origins::Some(_)), "credentials are for origins by name");
        self.has_credentials = true;
        self
    }

    /// How long a preflight's answer holds. Without it, five seconds (Fetch standard, section 4.8).
    #[must_use]
    pub fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    fn preflight(&self, request: &Request) -> Response {
        let mut response = self.allow(Response::new(Status::NO_CONTENT), request);
        if response.header("access-control-allow-origin").is_some() {
            response = response.with_header("Access-Control-Allow-Methods", &self.methods);
            if !self.headers.is_empty() {
                response = response.with_header("Access-Control-Allow-Headers", &self.headers);
            }
            if let Some(max_age) = self.max_age {
                let seconds = alloc::format!("{}", max_age.as_secs());
                response = response.with_header("Access-Control-Max-Age", seconds);
            }
        }
        response
    }

    /// Says whether the request's origin may read the response.
    fn allow(&self, response: Response, request: &Request) -> Response {
        let origin = match &self.origins {
            Origins::Any => Some(&b"*"[..]),
            Origins::Some(is_allowed) => {
                request.header("origin").filter(|origin| is_allowed(origin))
            }
        };
        self.allow_origin(response, origin)
    }

    fn allow_origin(&self, mut response: Response, origin: Option<&[u8]>) -> Response {
        if let Origins::Some(_) = self.origins {
            // Fetch standard, section 3.2.5: caches must not give one origin what was allowed to another, or to none.
            response = response.varying_by("Origin");
        }
        let Some(origin) = origin else { return response };
        response = response.with_header("Access-Control-Allow-Origin", origin);
        if self.has_credentials {
            response = response.with_header("Access-Control-Allow-Credentials", "true");
        }
        response
    }
}

impl Layer for Cors {
    fn pass(&self, request: Request, inner: &Inner) -> Answer {
        // Fetch standard, section 3.2.2.
        let is_preflight = request.method() == Method::Options
            && request.header("origin").is_some()
            && request.header("access-control-request-method").is_some();
        if is_preflight {
            return Answer::Now(self.preflight(&request).into());
        }
        let mut allowed = self.allow(Response::new(Status::OK), &request);
        if allowed.header("access-control-allow-origin").is_some() && !self.exposed.is_empty() {
            allowed = allowed.with_header("Access-Control-Expose-Headers", &self.exposed);
        }
        inner.answer(request).map(move |mut reply| {
            reply.response = with_fields_of(reply.response, &allowed);
            reply
        })
    }
}

impl fmt::Debug for Cors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cors(..)")
    }
}

fn with_fields_of(mut response: Response, other: &Response) -> Response {
    for (name, value) in other.headers() {
        let Ok(name) = core::str::from_utf8(name) else { continue };
        response = match name {
            "Vary" => response.varying_by(core::str::from_utf8(value).unwrap_or("*")),
            _ => response.with_header(name, value),
        };
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::parsed;
    use crate::{Body, Handler, Routes};
    use alloc::string::ToString;
    use flow::Address;
    use flow::task::block_on;

    const OURS: (&str, &str) = ("Origin", "https://a.example");
    const THEIRS: (&str, &str) = ("Origin", "https://b.example");
    const WANTS_PUT: (&str, &str) = ("Access-Control-Request-Method", "PUT");

    fn asked(cors: Cors, method: &str, fields: &[(&str, &str)]) -> Response {
        async fn page(_: Request) -> Response {
            Response::ok("text/plain", "here").with_header("Vary", "Accept")
        }
        let routes = Routes::new().get("/", page).put("/", page).layer(cors);
        let request = Request::new(parsed(method, "/", fields), Body::empty(), Address::Memory(0));
        block_on(routes.answer(request).into_future()).response
    }

    fn lines(response: &Response) -> String {
        String::from_utf8_lossy(response.lines()).to_string()
    }

    fn ours() -> Cors {
        Cors::of(["https://a.example", "http://localhost:3000"])
    }

    #[test]
    fn fetch_3_2_2_preflights_are_answered_for_the_handler() {
        let cors = ours()
            .with_methods(&[Method::Get, Method::Put])
            .with_headers(&["Content-Type", "X-A"])
            .exposing(&["ETag"])
            .with_credentials()
            .with_max_age(Duration::from_secs(600));
        let response = asked(cors, "OPTIONS", &[OURS, WANTS_PUT]);
        assert_eq!(response.status(), Status::NO_CONTENT);
        assert_eq!(
            lines(&response),
            "Vary: Origin\r\nAccess-Control-Allow-Origin: https://a.example\r\n\
             Access-Control-Allow-Credentials: true\r\nAccess-Control-Allow-Methods: GET, PUT\r\n\
             Access-Control-Allow-Headers: Content-Type, X-A\r\nAccess-Control-Max-Age: 600\r\n"
        );
    }

    #[test]
    fn what_is_no_preflight_is_the_tables() {
        for fields in [&[OURS][..], &[WANTS_PUT], &[]] {
            let response = asked(ours(), "OPTIONS", fields);
            assert_eq!(response.header("allow"), Some(&b"GET, HEAD, PUT, OPTIONS"[..]));
        }
        let put = asked(ours(), "PUT", &[OURS, WANTS_PUT]);
        assert_eq!(put.status(), Status::OK);
    }

    #[test]
    fn fetch_3_2_3_answers_say_who_may_read_them() {
        let response = asked(ours().exposing(&["ETag", "X-B"]), "GET", &[OURS]);
        assert_eq!(
            lines(&response),
            "Vary: Accept\r\nVary: Origin\r\nAccess-Control-Allow-Origin: https://a.example\r\n\
             Access-Control-Expose-Headers: ETag, X-B\r\n"
        );
        // Refusals too: a page is to see why.
        let refused = asked(ours(), "POST", &[OURS]);
        assert_eq!(refused.status(), Status::METHOD_NOT_ALLOWED);
        assert!(refused.header("access-control-allow-origin").is_some());
    }

    #[test]
    fn fetch_3_2_5_other_origins_may_not_and_caches_know() {
        for fields in
            [&[THEIRS][..], &[], &[("Origin", "null")], &[("Origin", "https://A.example")]]
        {
            let response = asked(ours().with_credentials(), "GET", fields);
            assert_eq!(lines(&response), "Vary: Accept\r\nVary: Origin\r\n");
        }
        let preflight = asked(ours(), "OPTIONS", &[THEIRS, WANTS_PUT]);
        assert_eq!(
            (preflight.status(), &*lines(&preflight)),
            (Status::NO_CONTENT, "Vary: Origin\r\n")
        );
    }

    #[test]
    fn any_origin_is_the_same_for_all() {
        for fields in [&[THEIRS][..], &[]] {
            let response = asked(Cors::any(), "GET", fields);
            assert_eq!(lines(&response), "Vary: Accept\r\nAccess-Control-Allow-Origin: *\r\n");
        }
        let credentials = || Cors::any().with_credentials();
        assert!(std::panic::catch_unwind(credentials).is_err());
    }
}
