//! Service registry: who offers what, and where; services are found by name.
//!
//! [`Registry`] is what one appliance finds another by, whatever keeps the names: xenstore between
//! the guests of one Xen host, elsewhere a [`StaticRegistry`] that comes with the configuration and
//! whose host names DNS resolves. [`ResolvingConnector`] is a connector that asks it, so that whatever
//! connects can connect by name, and finds a service that has moved when it connects again.

mod resolving_connector;
mod service_text;
mod static_registry;
mod way;
mod ways;

pub use resolving_connector::ResolvingConnector;
pub use service_text::BadDescription;
pub use static_registry::{BadLine, StaticRegistry};
pub use way::{BadHostId, BadWay, HostId, WAYS_MAX, Way};
pub use ways::{WayPolicy, WayRow, Ways};

use crate::Target;
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::pin::Pin;
use core::str::FromStr;

/// A service that somebody offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// What it is called, as `transform`.
    pub name: Label,
    /// The host that offers it.
    pub host: Label,
    /// What it speaks: `http`, `capnp` or `zmtp`, or whatever the two agree on.
    pub protocol: Label,
    /// How it is reached, the best way first: at least one, at most [`WAYS_MAX`].
    pub ways: Vec<Way>,
    /// Which version of it this is, if that is told.
    pub version: Option<Label>,
    /// Its share of the work beside others of the name, from 1; [`WEIGHT`](Self::WEIGHT) unless it is said.
    pub weight: u16,
    /// It ends soon: it takes no new work.
    pub is_draining: bool,
    /// While one of the name with a lower number is reached, it gets no work; 0 unless it is said.
    pub priority: u16,
}

/// Which services are meant: all of a name, or the one of a host. As text, `transform` or
/// `transform@alpha`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Query {
    /// The service's name.
    pub name: Label,
    /// Its host; any without.
    pub host: Option<Label>,
}

/// A name: 1 to 63 letters, digits, `-`, `_` and `.`. Safe as part of a path, and as a word.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

/// What keeps services by name. It can be made into an object.
pub trait Registry {
    /// Whether services can be added at all.
    fn can_register(&self) -> bool {
        true
    }

    /// Makes a service known, in place of one of the same name and host. It is known as long as
    /// the host is there.
    fn register<'a>(&'a self, service: &'a Service) -> Answer<'a, ()>;

    /// The services that are meant, of which there may be none.
    fn look_up<'a>(&'a self, query: &'a Query) -> Answer<'a, Vec<Service>>;

    /// Waits until [`look_up`](Registry::look_up) gives something else than `known`, and gives that. It
    /// may wait for ever.
    fn watch<'a>(&'a self, query: &'a Query, known: &'a [Service]) -> Answer<'a, Vec<Service>>;
}

/// An answer on its way. Dropping it gives it up.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, RegistryError>> + 'a>>;

/// Why a registry gives no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryError {
    /// It is fixed: nobody can add to it.
    Fixed,
    /// Whoever keeps it refuses.
    Denied,
    /// Whoever keeps it does not answer.
    Unavailable,
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fixed => "this registry is fixed",
            Self::Denied => "not allowed",
            Self::Unavailable => "no answer",
        })
    }
}

impl core::error::Error for RegistryError {}

impl Service {
    /// The weight of a service that does not say any.
    pub const WEIGHT: u16 = 1;

    /// A service of no said version, with the usual weight.
    pub fn new(name: Label, host: Label, protocol: Label, ways: Vec<Way>) -> Self {
        let (version, weight, is_draining, priority) = (None, Self::WEIGHT, false, 0);
        Self { name, host, protocol, ways, version, weight, is_draining, priority }
    }

    /// Its ways by TCP whose address is that of the machine that serves, whichever that is: 0.0.0.0 or [::].
    pub fn own_ports(&mut self) -> impl Iterator<Item = &mut SocketAddr> {
        self.ways.iter_mut().filter_map(|way| match &mut way.target {
            Target::Address(address) if address.ip().is_unspecified() => Some(address),
            _ => None,
        })
    }
}

impl Query {
    /// As what a [`ResolvingConnector`] is asked to reach.
    pub fn target(&self) -> Target {
        Target::Service(self.clone())
    }

    /// Whether DNS knows the hosts of the service, by service records (RFC 2782): `_http._tcp.example.org`.
    pub fn is_of_dns(&self) -> bool {
        let name = self.name.as_str();
        let rest = name.strip_prefix('_').and_then(|name| name.split_once('.'));
        let domain = rest.and_then(|(service, rest)| {
            let (protocol, domain) = rest.split_at_checked(5)?;
            (!service.is_empty() && protocol.eq_ignore_ascii_case("_tcp.")).then_some(domain)
        });
        domain.is_some_and(|domain| domain.split('.').all(|label| !label.is_empty()))
    }

    /// Whether a service is meant.
    pub fn matches(&self, service: &Service) -> bool {
        self.name == service.name && self.host.as_ref().is_none_or(|host| *host == service.host)
    }
}

impl FromStr for Query {
    type Err = BadLabel;

    fn from_str(text: &str) -> Result<Self, BadLabel> {
        let Some((name, host)) = text.split_once('@') else {
            return Ok(Self { name: text.parse()?, host: None });
        };
        Ok(Self { name: name.parse()?, host: Some(host.parse()?) })
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{}@{host}", self.name),
            None => self.name.fmt(f),
        }
    }
}

/// The text is no [`Label`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLabel;

impl fmt::Display for BadLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected 1 to 63 letters, digits, `-`, `_` or `.`")
    }
}

impl core::error::Error for BadLabel {}

impl Label {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = BadLabel;

    fn from_str(text: &str) -> Result<Self, BadLabel> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if (1..=63).contains(&text.len()) && text.bytes().all(is_plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadLabel)
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn rfc2782_names_of_services_of_dns_begin_with_service_and_protocol() {
        for (name, is_of_dns) in [
            ("_http._tcp.example.org", true),
            ("_http._TCP.org", true),
            ("_a._tcp.b", true),
            ("_http._tcp.a..b", false),
            ("_http._tcp.", false),
            ("_._tcp.example.org", false),
            ("_http._udp.example.org", false),
            ("http._tcp.example.org", false),
            ("_http", false),
        ] {
            assert_eq!(name.parse::<Query>().unwrap().is_of_dns(), is_of_dns, "{name}");
        }
    }

    #[test]
    fn own_ports_are_those_of_no_address() {
        let ways = ["0.0.0.0:80", "10.0.0.2:81", "[::]:82", "[fe80::2]:83", "web.example:84"];
        let ways = ways.map(|way| way.parse().unwrap()).to_vec();
        let label = |text: &str| text.parse().unwrap();
        let mut service = Service::new(label("web"), label("alpha"), label("http"), ways);
        for address in service.own_ports() {
            address.set_ip([10, 0, 0, 1].into());
        }
        let told = service.description().to_string();
        assert_eq!(told, "http 10.0.0.1:80 10.0.0.2:81 10.0.0.1:82 [fe80::2]:83 web.example:84");
    }

    /// A registry takes services unless it says otherwise.
    #[test]
    fn services_can_be_added() {
        struct Open;
        impl Registry for Open {
            fn register<'a>(&'a self, _: &'a Service) -> Answer<'a, ()> {
                Box::pin(async { Ok(()) })
            }
            fn look_up<'a>(&'a self, _: &'a Query) -> Answer<'a, Vec<Service>> {
                Box::pin(async { Ok(Vec::new()) })
            }
            fn watch<'a>(&'a self, query: &'a Query, _: &'a [Service]) -> Answer<'a, Vec<Service>> {
                self.look_up(query)
            }
        }
        assert!(Open.can_register());
    }

    #[test]
    fn queries_parse_and_print() {
        for text in ["transform", "transform@alpha", "a_b-c.d@X.9"] {
            assert_eq!(text.parse::<Query>().unwrap().to_string(), text);
        }
        let long = "x".repeat(64);
        for text in ["", "@", "a@", "@a", "a@b@c", "a b", "a/b", "ä", &long] {
            assert_eq!(text.parse::<Query>(), Err(BadLabel), "{text}");
        }
    }
}
