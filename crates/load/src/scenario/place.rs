//! Place: where the server is, and by which protocol it is asked.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::net::IpAddr;

/// By which protocol a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/1.1 over TLS.
    Https,
    /// Cap'n Proto RPC.
    Capnp,
    /// ZeroMQ: REQ to a REP or ROUTER socket.
    Zmq,
}

impl Protocol {
    /// As in the scheme of a place.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Capnp => "capnp",
            Self::Zmq => "zmq",
        }
    }

    /// Whether requests are HTTP's.
    pub fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    /// The port that is meant where none is said.
    fn port(self) -> Option<u16> {
        match self {
            Self::Http => Some(80),
            Self::Https => Some(443),
            Self::Capnp | Self::Zmq => None,
        }
    }
}

const PROTOCOLS: [Protocol; 4] = [Protocol::Http, Protocol::Https, Protocol::Capnp, Protocol::Zmq];

/// Where the server is, and by which protocol it is asked. Prints as a URL without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The protocol.
    pub protocol: Protocol,
    /// A host's name or address; one of IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Place {
    /// Reads a URL (RFC 3986), as `http://127.0.0.1:8080/path?query`: the place, and the path with its query, `/` if there is none.
    ///
    /// # Errors
    /// What is allowed.
    pub fn parse(url: &str) -> Result<(Self, String), String> {
        let allowed =
            "http://HOST:PORT/PATH, https://HOST:PORT/PATH, capnp://HOST:PORT or zmq://HOST:PORT";
        let wrong = || format!("found `{url}`; allowed: {allowed}");
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let protocol = PROTOCOLS.into_iter().find(|it| it.name() == scheme).ok_or_else(wrong)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = host_and_port(authority).ok_or_else(wrong)?;
        let port = port.or(protocol.port()).ok_or_else(wrong)?;
        let path = path.split('#').next().unwrap_or("");
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok((Self { protocol, host: host.to_owned(), port }, path))
    }

    /// The host's address, if it is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// `HOST:PORT`, as in HTTP's `Host`: without the port if it is the protocol's own (RFC 9110 section 4.2.3).
    pub fn authority(&self) -> String {
        let host = self.bracketed();
        match self.port {
            port if Some(port) == self.protocol.port() => host,
            port => format!("{host}:{port}"),
        }
    }

    fn bracketed(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.protocol.name(), self.bracketed(), self.port)
    }
}

/// RFC 3986 section 3.2, without user information.
fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<core::net::Ipv6Addr>().ok()?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let is_host = |octet: u8| octet.is_ascii_alphanumeric() || b"-._:".contains(&octet);
    let fits = (1..=253).contains(&host.len()) && host.bytes().all(is_host);
    let port = port.map(|port| port.parse().ok().filter(|port| *port > 0));
    match port {
        Some(None) => None,
        port => fits.then_some((host, port.flatten())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn places_are_urls() {
        for (url, shown, authority, path) in [
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080", "127.0.0.1:8080", "/"),
            ("http://localhost", "http://localhost:80", "localhost", "/"),
            ("https://[::1]/a?b#c", "https://[::1]:443", "[::1]", "/a?b"),
            ("https://[::1]:80/a", "https://[::1]:80", "[::1]:80", "/a"),
            ("http://h?q", "http://h:80", "h", "/?q"),
            ("zmq://127.0.0.1:5555", "zmq://127.0.0.1:5555", "127.0.0.1:5555", "/"),
            ("capnp://h:7000", "capnp://h:7000", "h:7000", "/"),
        ] {
            let (place, found) = Place::parse(url).unwrap();
            assert_eq!((place.to_string().as_str(), found.as_str()), (shown, path), "{url}");
            assert_eq!(place.authority(), authority);
        }
    }

    #[test]
    fn what_is_no_place_is_refused_with_what_is_allowed() {
        for url in [
            "",
            "127.0.0.1:80",
            "ftp://h/",
            "http://",
            "http:///x",
            "http://h:/",
            "http://h:0/",
            "http://h:65536/",
            "http://u@h/",
            "http://::1/",
            "http://[::1/",
            "http://[h]/",
            "http://[::1]x/",
            "capnp://h",
            "zmq://h",
        ] {
            let error = Place::parse(url).unwrap_err();
            assert!(error.contains("allowed: http://HOST:PORT/PATH"), "{url}: {error}");
        }
    }
}
