//! Where an image's load goes: a target for connectors, which has to be allowed.

use alloc::format;
use alloc::string::String;
use core::net::SocketAddr;
use flow::Target;
use load::{Protocol, Scenario, is_allowed, refusal};

/// What an operator writes to allow an address, before that.
pub(crate) const HOW: &str = "allow in [guest] of load.toml, as ";

/// What connections are opened to.
///
/// # Errors
/// It has no address and no way, or load may not go there.
pub(crate) fn target(scenario: &Scenario) -> Result<Target, String> {
    let place = &scenario.place;
    if place.protocol == Protocol::Https {
        return Err(
            "an image puts load on http, capnp and zmq; https is for the program aqueduct-load"
                .into(),
        );
    }
    let target = match &scenario.guest.via {
        None => {
            let address = place.address().ok_or_else(|| {
                format!(
                    "{} is a name. An image asks an address; or a service, by via = \"service://NAME\" in [guest]",
                    place.host
                )
            })?;
            SocketAddr::new(address, place.port).into()
        }
        Some(via) => via.parse().map_err(|error| format!("via in [guest]: {error}"))?,
    };
    match &target {
        Target::Address(address) if !is_allowed(address.ip(), &scenario.guest.allow) => {
            Err(refusal(address.ip(), HOW))
        }
        Target::Name(..) | Target::Tls(..) => Err(format!(
            "via in [guest]: {target} is a host's name; allowed: an address, service://NAME, shm:PATH, vchan:DOMAIN/NAME or vsock://CID:PORT"
        )),
        _ => Ok(target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn found(url: &str, guest: &str) -> Result<Target, String> {
        let text = format!("target = '{url}'\n[guest]\n{guest}");
        target(&Scenario::parse("load.toml", &text).unwrap())
    }

    #[test]
    fn load_goes_where_the_bundle_allows_it() {
        for (url, guest, expected) in [
            ("http://127.0.0.1/", "", "127.0.0.1:80"),
            ("http://10.9.0.2/", "allow = ['10.9.0.0/24']", "10.9.0.2:80"),
            ("zmq://[fd00::2]:5555", "allow = ['fd00::/8']", "[fd00::2]:5555"),
            ("http://shop.example/", "via = 'service://http@shop'", "service://http@shop"),
            ("http://shop.example/", "via = 'shm:http'", "shm:http"),
            ("http://shop.example/", "via = 'vchan:5/http'", "vchan:5/http"),
        ] {
            assert_eq!(found(url, guest).map(|target| target.to_string()).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_is_not_allowed_is_refused_with_what_to_write() {
        for (url, guest, part) in [
            ("http://10.9.0.2/", "", "allow in [guest] of load.toml, as 10.9.0.2/32"),
            ("http://10.9.1.2/", "allow = ['10.9.0.0/24']", "is an attack"),
            ("http://shop.example/", "via = '10.9.0.2:80'", "is an attack"),
            ("http://shop.example/", "", "shop.example is a name"),
            ("http://shop.example/", "via = 'shop.example:80'", "is a host's name"),
            ("http://shop.example/", "via = 'tls://10.9.0.2:443'", "is a host's name"),
            ("http://shop.example/", "via = 'ftp://x'", "via in [guest]: expected HOST:PORT"),
            ("https://127.0.0.1/", "", "https is for the program"),
        ] {
            let error = found(url, guest).unwrap_err();
            assert!(error.contains(part), "{url} {guest}: {error}");
        }
    }
}
