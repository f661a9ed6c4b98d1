//! Where load may go: to this machine, and to what the operator says is theirs.

use config::Cidr;
use load::Place;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// Addresses that begin alike: of any network, also those in which no machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix(Cidr);

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no ADDRESS/PREFIX, as 10.9.0.0/24 or fd00::/64");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let prefix_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(prefix_max);
        if prefix > prefix_max { Err(wrong()) } else { Ok(Self(Cidr { address, prefix })) }
    }
}

/// The address of a place, looked up once: what is asked is what was allowed.
///
/// # Errors
/// It has none, or one to which load may not go.
pub(crate) fn address(place: &Place, allowed: &[Prefix]) -> Result<SocketAddr, String> {
    let addresses = match place.address() {
        Some(address) => vec![SocketAddr::new(address, place.port)],
        None => (place.host.as_str(), place.port)
            .to_socket_addrs()
            .map_err(|error| format!("{}: {error}", place.host))?
            .collect(),
    };
    let first = addresses.first().ok_or_else(|| format!("{} has no address", place.host))?;
    // One of several would do, but which of them is asked would be chance.
    match addresses.iter().find(|address| !is_allowed(address.ip(), allowed)) {
        None => Ok(*first),
        Some(address) => {
            let prefix = if address.is_ipv4() { 32 } else { 128 };
            Err(format!(
                "{} is not this machine. Load on others' machines is an attack, so it goes to loopback \
                 addresses only, unless you say that the machine is yours: --allow {}/{prefix}",
                address.ip(),
                address.ip()
            ))
        }
    }
}

fn is_allowed(address: IpAddr, allowed: &[Prefix]) -> bool {
    // One of IPv4 in the form of IPv6 goes where the former does (RFC 4291 section 2.5.5.2).
    let address = address.to_canonical();
    // What goes to no address goes to this machine (connect(2) of Linux).
    address.is_loopback()
        || address.is_unspecified()
        || allowed.iter().any(|prefix| prefix.0.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, allowed: &[&str]) -> Result<SocketAddr, String> {
        let allowed: Vec<Prefix> = allowed.iter().map(|text| text.parse().unwrap()).collect();
        address(&Place::parse(url).unwrap().0, &allowed)
    }

    #[test]
    fn load_goes_to_this_machine_alone_unless_somebody_says_otherwise() {
        for url in
            ["http://127.0.0.1:80", "http://127.9.9.9:80", "http://[::1]:80", "http://localhost:80"]
        {
            assert!(check(url, &[]).is_ok(), "{url}");
        }
        for url in [
            "http://192.0.2.1",
            "http://[2001:db8::1]",
            "http://[::ffff:192.0.2.1]",
            "http://128.0.0.1",
        ] {
            let refusal = check(url, &["10.9.0.0/24", "fd00::/8"]).unwrap_err();
            assert!(refusal.contains("is an attack") && refusal.contains("--allow "), "{refusal}");
        }
        for (url, allow) in [
            ("http://192.0.2.255:80", "192.0.2.0/24"),
            ("http://192.0.2.7:80", "192.0.2.7"),
            ("http://192.0.2.7:80", "0.0.0.0/0"),
            ("http://[2001:db8::1]:80", "2001:db8::/32"),
            ("http://[::ffff:192.0.2.1]:80", "192.0.2.1/32"),
        ] {
            assert!(check(url, &[allow]).is_ok(), "{url} {allow}");
        }
        for (url, allow) in [
            ("http://192.0.3.0:80", "192.0.2.0/24"),
            ("http://192.0.2.8:80", "192.0.2.7"),
            ("http://[2001:db9::1]:80", "2001:db8::/32"),
            ("http://[2001:db8::1]:80", "0.0.0.0/0"),
        ] {
            assert!(check(url, &[allow]).is_err(), "{url} {allow}");
        }
    }

    #[test]
    fn prefixes_are_addresses_with_a_length_that_they_can_have() {
        for text in ["", "x/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129", "10.0.0/8"] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }
}
