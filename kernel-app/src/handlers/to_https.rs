//! Sends every request on to the same page by HTTPS.

use alloc::format;
use alloc::string::String;
use web::{Answer, Handler, Request, Response, Status};

/// Answers with where the page is by HTTPS.
pub(crate) struct ToHttps {
    /// Its port.
    pub(crate) https_port: u16,
}

impl Handler for ToHttps {
    fn answer(&self, request: Request) -> Answer {
        Answer::Now(
            match self.location(&request) {
                // RFC 9110 section 15.4.9: the method stays, too.
                Some(location) => {
                    Response::plain(Status::PERMANENT_REDIRECT).with_header("Location", &location)
                }
                // RFC 9112 section 3.2: HTTP/1.0 may do without a host.
                None => Response::plain(Status::BAD_REQUEST),
            }
            .into(),
        )
    }
}

impl ToHttps {
    fn location(&self, request: &Request) -> Option<String> {
        let authority = core::str::from_utf8(request.authority()).ok()?;
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => host,
            _ => authority,
        };
        let path =
            core::str::from_utf8(request.path()).ok().filter(|path| path.starts_with('/'))?;
        let query = request.query().map(core::str::from_utf8).transpose().ok()?;
        let query = query.map_or(String::new(), |query| format!("?{query}"));
        let port = match self.https_port {
            443 => String::new(),
            port => format!(":{port}"),
        };
        (!host.is_empty()).then(|| format!("https://{host}{port}{path}{query}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn location(https_port: u16, target: &str, host: &str) -> Option<String> {
        let seen = web::testing::get(target).header("Host", host).ask(&ToHttps { https_port });
        let location = seen.response().header("location")?;
        Some(core::str::from_utf8(location).unwrap().to_string())
    }

    #[test]
    fn the_host_and_the_page_stay_and_the_port_is_that_of_https() {
        for (port, target, host, expected) in [
            (443, "/a?b=c", "a.example", "https://a.example/a?b=c"),
            (443, "/", "a.example:80", "https://a.example/"),
            (8443, "/", "[fd00::1]:8080", "https://[fd00::1]:8443/"),
            (8443, "/%20", "[fd00::1]", "https://[fd00::1]:8443/%20"),
        ] {
            assert_eq!(location(port, target, host).as_deref(), Some(expected));
        }
        assert_eq!(location(443, "*", "a.example"), None);
        assert_eq!(location(443, "/", ""), None);
    }
}
