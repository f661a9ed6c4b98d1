//! Forwarded fields: for whom a request is passed on (RFC 7239), how it came here, and by whom it went (Via, RFC 9110 section
//! 7.6.3).

use super::client;
use super::message::text;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use web::{Request, Version};

/// Whether a field of the client's is passed on: what it says of others who passed its request on is a lie unless it is one of
/// those itself.
pub(super) fn is_kept(name: &str, trusts_client: bool) -> bool {
    let begins =
        |start: &str| name.get(..start.len()).is_some_and(|own| own.eq_ignore_ascii_case(start));
    let is_one_of = |names: &[&str]| names.iter().any(|other| other.eq_ignore_ascii_case(name));
    if trusts_client {
        // They are written anew, with what was in them.
        !is_one_of(&["forwarded", "x-forwarded-for"])
    } else {
        !begins("x-forwarded-") && !is_one_of(&["forwarded", "x-real-ip"])
    }
}

/// The request, saying for whom it is. `name` is what this server is called.
pub(super) fn told(
    outgoing: client::Request,
    request: &Request,
    name: &str,
    trusts_client: bool,
) -> client::Request {
    let own = Hop {
        node: request.peer().ip().map(|address| address.to_canonical()),
        host: text(request.authority()).filter(|host| !host.is_empty()),
        scheme: Some(if request.is_secure() { "https" } else { "http" }.to_string()),
    };
    let earlier = if trusts_client { Earlier::of(request) } else { Earlier::default() };
    let first = earlier.hops.first().unwrap_or(&own);
    let elements = earlier.elements.iter().cloned().chain([own.text()]);
    let nodes = earlier.nodes.iter().cloned().chain([own.node_text()]);
    let mut outgoing = outgoing
        .with_header("Via", format!("{} {name}", version(request)))
        .with_header("Forwarded", elements.collect::<Vec<_>>().join(", "))
        .with_header("X-Forwarded-For", nodes.collect::<Vec<_>>().join(", "));
    let has = |name: &str| trusts_client && request.header(name).is_some();
    if !has(PROTO)
        && let Some(scheme) = first.scheme.as_ref().or(own.scheme.as_ref())
    {
        outgoing = outgoing.with_header("X-Forwarded-Proto", scheme);
    }
    if !has(HOST)
        && let Some(host) = first.host.as_ref().or(own.host.as_ref())
    {
        outgoing = outgoing.with_header("X-Forwarded-Host", host);
    }
    outgoing
}

const FORWARDED: &str = "forwarded";
const FOR: &str = "x-forwarded-for";
const PROTO: &str = "x-forwarded-proto";
const HOST: &str = "x-forwarded-host";

/// What a client that is a proxy says of those before it, in both ways of saying it. If it uses one of them, the other is made
/// of that (RFC 7239 section 7.4).
#[derive(Default)]
struct Earlier {
    /// What of `Forwarded` is passed on.
    elements: Vec<String>,
    /// What of `X-Forwarded-For` is.
    nodes: Vec<String>,
    /// What is known of those that passed it on, the client's own request first.
    hops: Vec<Hop>,
}

impl Earlier {
    fn of(request: &Request) -> Self {
        let lines = |name| request.headers_named(name).filter_map(text).collect::<Vec<_>>();
        let mut elements = lines(FORWARDED);
        let mut nodes = lines(FOR);
        let said = |name| request.header(name).and_then(text);
        let hops: Vec<Hop> = if elements.is_empty() {
            let all = nodes.iter().flat_map(|line| line.split(','));
            let hops = all.map(|node| Hop { node: address(node.trim()), ..Hop::default() });
            let mut hops: Vec<_> = hops.collect();
            let scheme = said(PROTO).filter(|scheme| is_token(scheme));
            let host = said(HOST).filter(|host| is_host(host));
            if hops.is_empty() && (scheme.is_some() || host.is_some()) {
                hops.push(Hop::default());
            }
            // They are of the request that the first of the proxies got.
            if let Some(first) = hops.first_mut() {
                (first.scheme, first.host) = (scheme, host);
            }
            elements.extend(hops.iter().map(Hop::text));
            hops
        } else {
            elements.iter().flat_map(|line| split(line, b',')).map(Hop::read).collect()
        };
        if nodes.is_empty() {
            nodes.extend(hops.iter().map(Hop::node_text));
        }
        Self { elements, nodes, hops }
    }
}

/// One element of `Forwarded`: how a request came to one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Hop {
    /// By whom; none if that is not known, or hidden.
    node: Option<IpAddr>,
    /// For which host.
    host: Option<String>,
    scheme: Option<String>,
}

impl Hop {
    /// Reads an element (RFC 7239 section 4). What it does not understand is not there.
    fn read(element: &str) -> Self {
        let mut hop = Self::default();
        for pair in split(element, b';') {
            let Some((name, value)) = pair.split_once('=') else { continue };
            let value = value.trim().trim_matches('"');
            match name.trim() {
                name if name.eq_ignore_ascii_case("for") => hop.node = address(value),
                name if name.eq_ignore_ascii_case("host") => {
                    hop.host = Some(value.to_string()).filter(|host| is_host(host));
                }
                name if name.eq_ignore_ascii_case("proto") => {
                    hop.scheme = Some(value.to_string()).filter(|scheme| is_token(scheme));
                }
                _ => {}
            }
        }
        hop
    }

    /// As `X-Forwarded-For` has it.
    fn node_text(&self) -> String {
        self.node.map_or_else(|| "unknown".to_string(), |address| address.to_string())
    }

    /// As an element. A host with a port is no token, and stands in quotes; so does an IPv6 address, in brackets (RFC 7239 section
    /// 6).
    fn text(&self) -> String {
        let mut text = match self.node {
            Some(IpAddr::V6(address)) => format!("for=\"[{address}]\""),
            _ => format!("for={}", self.node_text()),
        };
        if let Some(host) = &self.host {
            text += &format!(";host=\"{host}\"");
        }
        if let Some(scheme) = &self.scheme {
            text += &format!(";proto={scheme}");
        }
        text
    }
}

/// The parts between separators outside of quotes.
fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |letter: char| {
        let was_escaped = core::mem::replace(&mut is_escaped, is_quoted && letter == '\\');
        if letter == '"' && !was_escaped {
            is_quoted = !is_quoted;
        }
        is_escaped &= !was_escaped;
        !is_quoted && letter == char::from(separator)
    })
}

/// The address of a node, which may have a port.
fn address(node: &str) -> Option<IpAddr> {
    let bare = node.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(node);
    let with_port = || node.parse::<SocketAddr>().map(|socket| socket.ip());
    bare.parse().or_else(|_| with_port()).ok().map(|address: IpAddr| address.to_canonical())
}

/// What may stand there unquoted (RFC 9110 section 5.6.2), of what a scheme may be.
fn is_token(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    !text.is_empty() && text.bytes().all(is_plain)
}

/// What may stand there in quotes, of what a host may be.
fn is_host(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"\\,;".contains(&byte);
    !text.is_empty() && text.bytes().all(is_plain)
}

fn version(request: &Request) -> &'static str {
    match request.version() {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc7239_6_nodes_are_written_as_it_says() {
        let of = |address: &str| {
            let host = Some("a.example:8080".to_string());
            let hop = Hop { node: address.parse().ok(), host, scheme: Some("https".to_string()) };
            hop.text()
        };
        assert_eq!(of("192.0.2.1"), "for=192.0.2.1;host=\"a.example:8080\";proto=https");
        assert_eq!(of("2001:db8::1"), "for=\"[2001:db8::1]\";host=\"a.example:8080\";proto=https");
        assert_eq!(of(""), "for=unknown;host=\"a.example:8080\";proto=https");
        assert_eq!(Hop::default().text(), "for=unknown");
    }

    #[test]
    fn rfc7239_4_elements_are_read_with_their_quotes() {
        let line = "For=\"[2001:db8::1]:47011\";Proto=https;host=\"a,b\";x=\"a;\\\"b,\", for=192.0.2.1:80;by=_x, for=_hidden;host=\"a.example:1\"";
        let hops: Vec<_> = split(line, b',').map(Hop::read).collect();
        let node = |text: &str| text.parse().ok();
        let scheme = Some("https".to_string());
        assert_eq!(
            hops,
            [
                Hop { node: node("2001:db8::1"), host: None, scheme },
                Hop { node: node("192.0.2.1"), ..Hop::default() },
                Hop { host: Some("a.example:1".to_string()), ..Hop::default() },
            ]
        );
    }

    #[test]
    fn strangers_do_not_say_for_whom_they_ask() {
        for name in ["Forwarded", "x-forwarded-for", "X-Forwarded-Prefix", "X-Real-IP"] {
            assert!(!is_kept(name, false), "{name}");
        }
        for name in ["X-Forwarded-Prefix", "X-Real-IP", "x-forwarded-proto"] {
            assert!(is_kept(name, true), "{name}");
        }
        for name in ["Forwarded", "x-forwarded-for"] {
            assert!(!is_kept(name, true), "{name} is written anew");
        }
        for name in ["Accept", "X-Forward", "Via", "x-forwarded"] {
            assert!(is_kept(name, false) && is_kept(name, true), "{name}");
        }
    }
}
