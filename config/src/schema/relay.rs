//! `[relay]`: this appliance's network for others, and another's for this one.

use crate::Cidr;
use crate::texts::is_host_text;
use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::{fmt, net::IpAddr, str::FromStr};

/// `[relay]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// The ports of this machine at which vats with the service `network` may listen. Default none.
    pub listen_ports: Vec<PortRange>,
    /// Where they may connect to from here. Default nowhere.
    pub connect_targets: Vec<TargetRule>,
    /// Their connections at a time, of all of them. Default 256: each may hold 64 KiB on its way.
    pub connections_max: usize,
    /// The capability, by its name in `[capabilities]`, by whose network this appliance's connections are opened. Default
    /// none: they are opened by its own.
    pub through: String,
    /// The port there at which HTTP is served, too; none is none. Default none.
    pub http_port: Option<u16>,
}

impl Default for Relay {
    fn default() -> Self {
        Self {
            listen_ports: Vec::new(),
            connect_targets: Vec::new(),
            connections_max: 256,
            through: String::new(),
            http_port: None,
        }
    }
}

/// A port, or ports from one to another, written `8081` or `8000-8099`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// Whether the port is one of them.
    pub fn contains(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl FromStr for PortRange {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or(());
        let (first, last) = (port(first)?, port(last)?);
        if first <= last { Ok(Self { first, last }) } else { Err(()) }
    }
}

/// As the configuration has it.
impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// Where connections may go: `HOST:PORT`, where HOST is a name, an address, a network with the length of its prefix or `*`
/// for any, and PORT a number or `*`. IPv6 stands in brackets: `db.example:5432`, `10.0.0.0/8:443`, `[fd00::/8]:*`, `*:443`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRule {
    host: HostRule,
    /// None is any.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostRule {
    Any,
    Name(String),
    Network(Cidr),
}

impl TargetRule {
    /// Whether a connection may go to this address.
    pub fn allows_address(&self, address: IpAddr, port: u16) -> bool {
        let allows_host = match &self.host {
            HostRule::Any => true,
            HostRule::Name(_) => false,
            HostRule::Network(network) => network.contains(address.to_canonical()),
        };
        allows_host && self.allows_port(port)
    }

    /// Whether one may go to whatever address has this name.
    pub fn allows_name(&self, name: &str, port: u16) -> bool {
        // RFC 4343: names are compared without case; the dot at the end is the root's.
        let name = name.strip_suffix('.').unwrap_or(name);
        let allows_host = match &self.host {
            HostRule::Any => true,
            HostRule::Name(own) => own.eq_ignore_ascii_case(name),
            HostRule::Network(_) => false,
        };
        allows_host && self.allows_port(port)
    }

    fn allows_port(&self, port: u16) -> bool {
        self.port.is_none_or(|own| own == port)
    }
}

impl FromStr for TargetRule {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (host, port) = text.rsplit_once(':').ok_or(())?;
        let port = match port {
            "*" => None,
            port => Some(port.parse().ok().filter(|port| *port > 0).ok_or(())?),
        };
        Ok(Self { host: host_rule(host).ok_or(())?, port })
    }
}

fn host_rule(text: &str) -> Option<HostRule> {
    if text == "*" {
        return Some(HostRule::Any);
    }
    let inside = text.strip_prefix('[').map(|rest| rest.strip_suffix(']'));
    let (address, is_bracketed) = match inside {
        Some(inside) => (inside?, true),
        None => (text, false),
    };
    if let Some(network) = network(address) {
        return (network.address.is_ipv6() == is_bracketed).then_some(HostRule::Network(network));
    }
    (!is_bracketed && is_host_text(text)).then(|| HostRule::Name(text.to_owned()))
}

/// An address, or those of a prefix.
fn network(text: &str) -> Option<Cidr> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let prefix_max = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.map_or(Some(prefix_max), |prefix| prefix.parse().ok())?;
    (prefix <= prefix_max).then_some(Cidr { address, prefix })
}

/// As the configuration has it.
impl fmt::Display for TargetRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            HostRule::Any => f.write_str("*")?,
            HostRule::Name(name) => f.write_str(name)?,
            HostRule::Network(network) if network.address.is_ipv6() => write!(f, "[{network}]")?,
            HostRule::Network(network) => write!(f, "{network}")?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => f.write_str(":*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn ports_are_one_or_from_one_to_another() {
        let range: PortRange = "8000-8099".parse().unwrap();
        let allowed = [7999, 8000, 8099, 8100].map(|port| range.contains(port));
        assert_eq!(allowed, [false, true, true, false]);
        for text in ["8081", "8000-8099", "65535"] {
            assert_eq!(text.parse::<PortRange>().unwrap().to_string(), text);
        }
        for bad in ["", "0", "0-7", "8-7", "65536", "1-", "-1", "a", "1-2-3"] {
            assert!(bad.parse::<PortRange>().is_err(), "{bad}");
        }
    }

    #[test]
    fn targets_are_what_their_rules_say() {
        let rule = |text: &str| text.parse::<TargetRule>().unwrap();
        for (text, address, allowed) in [
            ("10.0.0.2:80", "10.0.0.2:80", true),
            ("10.0.0.2:80", "10.0.0.2:81", false),
            ("10.0.0.2:80", "10.0.0.3:80", false),
            ("10.0.0.0/8:*", "10.255.0.1:1", true),
            ("10.0.0.0/8:*", "11.0.0.1:1", false),
            // An IPv4 address is no other one in IPv6's clothes (RFC 4291 section 2.5.5.2).
            ("10.0.0.0/8:*", "[::ffff:10.0.0.1]:1", true),
            ("[fd00::/8]:443", "[fdff::1]:443", true),
            ("[fd00::/8]:443", "[fe00::1]:443", false),
            ("*:443", "[fe80::1]:443", true),
            ("*:443", "10.0.0.1:80", false),
            ("*:*", "10.0.0.1:80", true),
            ("0.0.0.0/0:*", "192.0.2.1:80", true),
            ("0.0.0.0/0:*", "[fd00::1]:80", false),
            ("db.example:5432", "10.0.0.1:5432", false),
        ] {
            let at: core::net::SocketAddr = address.parse().unwrap();
            assert_eq!(rule(text).allows_address(at.ip(), at.port()), allowed, "{text} {address}");
        }
        for (text, name, port, allowed) in [
            ("db.example:5432", "db.example", 5432, true),
            ("db.example:5432", "DB.example.", 5432, true),
            ("db.example:5432", "db.example", 80, false),
            ("db.example:5432", "a.db.example", 5432, false),
            ("db.example:*", "db.example", 80, true),
            ("*:443", "db.example", 443, true),
            ("0.0.0.0/0:*", "db.example", 443, false),
        ] {
            assert_eq!(rule(text).allows_name(name, port), allowed, "{text} {name}:{port}");
        }
    }

    #[test]
    fn rules_read_back_and_others_are_refused() {
        for text in ["db.example:5432", "*:443", "*:*", "10.0.0.0/8:80", "[fd00::/8]:*"] {
            assert_eq!(text.parse::<TargetRule>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            ":80",
            "a",
            "a:0",
            "a:65536",
            "a:b",
            "10.0.0.0/33:1",
            "[fd00::/129]:1",
            "fd00::1:80",
            "[10.0.0.1]:80",
            "[a]:80",
            "[*]:80",
            "*.example:80",
            "a b:80",
            "10.0.0.0/a:1",
        ] {
            assert!(bad.parse::<TargetRule>().is_err(), "{bad}");
        }
    }
}
