//! Where load goes: an address that is looked up once, and allowed.

use load::{Place, Prefix, is_allowed, refusal};
use std::net::{SocketAddr, ToSocketAddrs};

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
        Some(address) => Err(refusal(address.ip(), "--allow ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, allowed: &[&str]) -> Result<SocketAddr, String> {
        let allowed: Vec<Prefix> = allowed.iter().map(|text| text.parse().unwrap()).collect();
        address(&Place::parse(url).unwrap().0, &allowed)
    }

    #[test]
    fn names_are_looked_up_before_it_is_asked_whether_load_may_go_there() {
        assert!(check("http://localhost:80", &[]).is_ok());
        assert_eq!(check("http://[::1]:80", &[]), Ok("[::1]:80".parse().unwrap()));
        let refused = check("http://192.0.2.1", &["10.9.0.0/24"]).unwrap_err();
        assert!(refused.contains("--allow 192.0.2.1/32"), "{refused}");
        assert!(check("http://192.0.2.1", &["192.0.2.0/24"]).is_ok());
    }
}
