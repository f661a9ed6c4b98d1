//! Forwarded fields: for whom a request is passed on (RFC 7239), how it came here, and by whom it went (Via, RFC 9110 section
//! 7.6.3).

use super::client;
use super::message::text;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;
use web::{Request, Version};

/// Whether a field of the client's is passed on: what it says of others who passed its request on is a lie unless it is one of
/// those itself.
pub(super) fn is_kept(name: &str, trusts_client: bool) -> bool {
    let begins =
        |start: &str| name.get(..start.len()).is_some_and(|own| own.eq_ignore_ascii_case(start));
    let says_who = begins("x-forwarded-")
        || ["forwarded", "x-real-ip"].iter().any(|other| other.eq_ignore_ascii_case(name));
    // It is written anew, with what was in it.
    let is_extended = name.eq_ignore_ascii_case("x-forwarded-for");
    if trusts_client { !is_extended } else { !says_who }
}

/// The request, saying for whom it is. `name` is what this server is called.
pub(super) fn told(
    outgoing: client::Request,
    request: &Request,
    name: &str,
    trusts_client: bool,
) -> client::Request {
    let address = request.peer().ip().map(|address| address.to_canonical());
    let scheme = if request.is_secure() { "https" } else { "http" };
    let host = text(request.authority()).unwrap_or_default();
    let earlier = request.headers_named("x-forwarded-for").filter(|_| trusts_client);
    let shown = address.map_or("unknown".to_string(), |address| address.to_string());
    let addresses = earlier.filter_map(text).chain([shown]).collect::<Vec<_>>();
    let has = |name: &str| trusts_client && request.header(name).is_some();
    let mut outgoing = outgoing
        .with_header("Via", format!("{} {name}", version(request)))
        .with_header("Forwarded", forwarded(address, &host, scheme))
        .with_header("X-Forwarded-For", addresses.join(", "));
    if !has("x-forwarded-proto") {
        outgoing = outgoing.with_header("X-Forwarded-Proto", scheme);
    }
    if !has("x-forwarded-host") && !host.is_empty() {
        outgoing = outgoing.with_header("X-Forwarded-Host", host);
    }
    outgoing
}

/// One element of `Forwarded` (RFC 7239 section 4). A host with a port is no token, and stands in quotes; so does an IPv6
/// address, in brackets (section 6).
fn forwarded(address: Option<IpAddr>, host: &str, scheme: &str) -> String {
    let node = match address {
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => format!("\"[{address}]\""),
        None => "unknown".to_string(),
    };
    if host.is_empty() {
        format!("for={node};proto={scheme}")
    } else {
        format!("for={node};host=\"{host}\";proto={scheme}")
    }
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
        let of = |address: &str| forwarded(address.parse().ok(), "a.example:8080", "https");
        assert_eq!(of("192.0.2.1"), "for=192.0.2.1;host=\"a.example:8080\";proto=https");
        assert_eq!(of("2001:db8::1"), "for=\"[2001:db8::1]\";host=\"a.example:8080\";proto=https");
        assert_eq!(of(""), "for=unknown;host=\"a.example:8080\";proto=https");
        assert_eq!(forwarded(None, "", "http"), "for=unknown;proto=http");
    }

    #[test]
    fn strangers_do_not_say_for_whom_they_ask() {
        for name in ["Forwarded", "x-forwarded-for", "X-Forwarded-Prefix", "X-Real-IP"] {
            assert!(!is_kept(name, false), "{name}");
            assert_eq!(is_kept(name, true), name != "x-forwarded-for", "{name}");
        }
        for name in ["Accept", "X-Forward", "Via", "x-forwarded"] {
            assert!(is_kept(name, false) && is_kept(name, true), "{name}");
        }
    }
}
