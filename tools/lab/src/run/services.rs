//! Services of one run: which port of this machine leads to each.

use command::failure::{Failure, Result, fail};
use config::Config;
use std::{
    fmt,
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
};

/// The first port that anybody may listen on, unless Linux is told otherwise (ip(7), `ip_unprivileged_port_start`).
const PORT_FOR_ALL_MIN: u16 = 1024;
/// What is added to a port below that.
const PORT_OFFSET: u16 = 8000;
/// How many ports are tried, from the first choice on.
const PORTS_TRIED: u16 = 100;

/// A service that the configuration switches on, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) name: &'static str,
    /// Where it is reached from this machine.
    pub(super) at: SocketAddr,
    /// Its port by the configuration.
    pub(super) port: u16,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = match self.at.ip() {
            IpAddr::V4(Ipv4Addr::LOCALHOST) => "localhost".to_owned(),
            ip => SocketAddr::new(ip, 0).to_string().trim_end_matches(":0").to_owned(),
        };
        match (self.name, self.at.port()) {
            ("http", 80) => write!(f, "http://{host}"),
            ("https", 443) => write!(f, "https://{host}"),
            (scheme @ ("http" | "https" | "gopher"), port) => write!(f, "{scheme}://{host}:{port}"),
            ("admin", port) => write!(f, "admin http://{host}:{port}"),
            (name, port) => write!(f, "{name} {host}:{port}"),
        }
    }
}

/// Those of a configuration, at an address that has their own ports.
pub(super) fn at(ip: IpAddr, config: &Config) -> Vec<Service> {
    let service = |(name, port)| Service { name, at: SocketAddr::new(ip, port), port };
    config.ports().map(service).collect()
}

/// Those of a configuration, at ports of loopback that are free; HTTP at `http`, or, where that is only a first choice, at the
/// next that is free, as all others.
///
/// # Errors
///
/// HTTP's port is not free and is to be no other, or may not be had; or there is none near a service's own.
pub(super) fn on_loopback(
    config: &Config,
    http: u16,
    is_free_to_choose: bool,
    check: impl Fn(u16) -> Result,
) -> Result<Vec<Service>> {
    let mut services: Vec<Service> = Vec::new();
    for (name, port) in config.ports() {
        let first = match (name, port) {
            ("http", _) => http,
            (_, port) if port < PORT_FOR_ALL_MIN => port + PORT_OFFSET,
            (_, port) => port,
        };
        let tried = if name == "http" && !is_free_to_choose { 1 } else { PORTS_TRIED };
        let mut refused = None;
        let found = (first..=u16::MAX).take(tried.into()).find(|here| {
            if services.iter().any(|other| other.at.port() == *here) {
                return false;
            }
            let checked = check(*here);
            let is_free = checked.is_ok();
            refused = refused.take().or(checked.err());
            is_free
        });
        let Some(here) = found else {
            let why = refused.map_or_else(|| "taken".to_owned(), |failure: Failure| failure.0);
            fail!("{name} has no port of this machine: {why}");
        };
        services.push(Service { name, at: (Ipv4Addr::LOCALHOST, here).into(), port });
    }
    Ok(services)
}

/// Whether a port of loopback can be listened on.
pub(super) fn check(port: u16) -> Result {
    free_at((Ipv4Addr::LOCALHOST, port).into())
}

/// A failure that says what to do, if an address of this machine cannot be listened on.
pub(crate) fn free_at(address: SocketAddr) -> Result {
    TcpListener::bind(address).map(drop).map_err(|error| Failure(sentence(address.port(), &error)))
}

fn sentence(port: u16, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::PermissionDenied => format!(
            "port {port} is not for this user to listen on ({error}); say one from {PORT_FOR_ALL_MIN} to 65535, or be root"
        ),
        _ => format!(
            "port {port} is not free ({error}); stop what listens there (`ss -ltnp` shows it) or say another port"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::Bundle;

    fn config(words: &str) -> Config {
        Config::load(&Bundle::default(), words).unwrap()
    }

    fn taken(ports: &'static [u16]) -> impl Fn(u16) -> Result {
        move |port| if ports.contains(&port) { Err(Failure::new("is in use")) } else { Ok(()) }
    }

    fn shown(services: &[Service]) -> String {
        services.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn each_service_that_is_on_has_a_port_of_its_own() {
        let all = config("https_port=443 gopher_port=70 rpc_port=7000 admin_port=9001");
        let services = on_loopback(&all, 8080, true, taken(&[])).unwrap();
        assert_eq!(
            shown(&services),
            "http://localhost:8080, https://localhost:8443, gopher://localhost:8070, rpc localhost:7000, zmq localhost:5555, admin http://localhost:9001"
        );
        assert_eq!((services[0].port, services[1].port), (80, 443));
    }

    #[test]
    fn a_port_that_is_taken_gives_way_to_the_next() {
        let both = config("http_port=81");
        let services = on_loopback(&both, 8080, true, taken(&[8080, 8081, 5555])).unwrap();
        assert_eq!(shown(&services), "http://localhost:8082, zmq localhost:5556");
        assert_eq!(services[0].port, 81);
        // HTTP has it already.
        let services = on_loopback(&both, 5555, true, taken(&[])).unwrap();
        assert_eq!(shown(&services), "http://localhost:5555, zmq localhost:5556");
    }

    #[test]
    fn a_port_that_was_asked_for_is_that_one_or_none() {
        let said = on_loopback(&config(""), 8080, false, taken(&[8080])).unwrap_err().to_string();
        assert_eq!(said, "http has no port of this machine: is in use");
        let services = on_loopback(&config(""), 65_535, false, taken(&[])).unwrap();
        assert_eq!(services[0].at.port(), 65_535);
    }

    #[test]
    fn why_a_port_is_not_to_be_had_is_said() {
        let denied = io::Error::from(ErrorKind::PermissionDenied);
        assert!(sentence(80, &denied).contains("say one from 1024"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let said = free_at(listener.local_addr().unwrap()).unwrap_err().to_string();
        assert!(said.contains("is not free") && said.contains("ss -ltnp"), "{said}");
    }

    #[test]
    fn elsewhere_services_have_their_own_ports() {
        let services = at("10.9.0.2".parse().unwrap(), &config("https_port=443"));
        assert_eq!(shown(&services), "http://10.9.0.2, https://10.9.0.2, zmq 10.9.0.2:5555");
    }
}
