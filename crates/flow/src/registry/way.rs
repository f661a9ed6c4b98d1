//! Way: one of the places at which a service is reached, and from where it is.

use crate::Target;
use core::fmt;
use core::str::FromStr;

/// Most ways of one service. A registry leaves out or refuses what is beyond.
pub const WAYS_MAX: usize = 8;

/// One of the places at which a service is reached. As text the [`Target`], and before it, where the way leads there from
/// one host only, that host's number and a `!`: `10.0.0.2:80`, `unix:/run/db.sock`,
/// `00112233445566778899aabbccddeeff!unix:/run/db.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The place: not a service, and no port 0.
    pub target: Target,
    /// The host from which alone it leads there; any without.
    pub host: Option<HostId>,
}

/// What says that two are on one host, as far as a way needs it: who has the number of a path's way sees the same file
/// at that path. As text, 32 hexadecimal digits.
///
/// It has to be unique; it is no secret, and proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub u128);

impl Way {
    /// A way that leads there from everywhere.
    pub fn anywhere(target: Target) -> Self {
        Self { target, host: None }
    }

    /// A way that leads there from `host` only.
    pub fn on(host: HostId, target: Target) -> Self {
        Self { target, host: Some(host) }
    }

    /// Whether it leads there from a machine that is on these hosts.
    pub fn leads_from(&self, hosts: &[HostId]) -> bool {
        self.host.is_none_or(|host| hosts.contains(&host))
    }
}

/// The text is no [`Way`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadWay;

impl fmt::Display for BadWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::EXPECTED)
    }
}

impl BadWay {
    /// What may stand there.
    pub(super) const EXPECTED: &str = "ADDRESS:PORT, HOST:PORT, tls://HOST:PORT, vsock://CID:PORT, shm:PATH, vchan:DOMAIN/NAME, unix:PATH or memory:NAME, with a port that is not 0";
}

impl core::error::Error for BadWay {}

impl FromStr for Way {
    type Err = BadWay;

    fn from_str(text: &str) -> Result<Self, BadWay> {
        // A path may have a `!` in it, but no number is in front of that.
        let marked = text.split_once('!').and_then(|(host, rest)| Some((host.parse().ok()?, rest)));
        let (host, target) = match marked {
            Some((host, rest)) => (Some(host), rest),
            None => (None, text),
        };
        let target: Target = target.parse().map_err(|_| BadWay)?;
        if is_place(&target) { Ok(Self { target, host }) } else { Err(BadWay) }
    }
}

/// Not another service, and not port 0, where nobody can listen.
fn is_place(target: &Target) -> bool {
    match target {
        Target::Address(address) => address.port() != 0,
        Target::Name(_, port) | Target::Tls(_, port) => *port != 0,
        Target::Vsock(address) => address.port != 0,
        Target::SharedMemory(_) | Target::Vchan(_) | Target::Unix(_) | Target::Memory(_) => true,
        Target::Service(_) => false,
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = self.host {
            write!(f, "{host}!")?;
        }
        self.target.fmt(f)
    }
}

/// The text is no [`HostId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadHostId;

impl FromStr for HostId {
    type Err = BadHostId;

    fn from_str(text: &str) -> Result<Self, BadHostId> {
        let is_number = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = is_number.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        number.map(Self).ok_or(BadHostId)
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn ways_parse_and_print() {
        for text in [
            "10.0.0.2:80",
            "tls://db.example:443",
            "shm:/run/a!b",
            "00112233445566778899aabbccddeeff!shm:/run/a!b",
            "00000000000000000000000000000001!vsock://2:9",
            "memory:echo",
        ] {
            assert_eq!(text.parse::<Way>().unwrap().to_string(), text);
        }
        let short = "0112233445566778899aabbccddeeff!shm:/a";
        let signed = "+112233445566778899aabbccddeeff00!shm:/a";
        for text in ["", "service://web", "web:0", "vsock://3:0", "!shm:/a", short, signed] {
            assert_eq!(text.parse::<Way>(), Err(BadWay), "{text}");
        }
    }

    #[test]
    fn a_way_of_a_host_leads_there_from_that_host_only() {
        let target: Target = "unix:/run/a".parse().unwrap();
        let (here, there) = (HostId(1), HostId(2));
        assert!(Way::anywhere(target.clone()).leads_from(&[]));
        let way = Way::on(here, target);
        assert!(way.leads_from(&[there, here]));
        assert!(!way.leads_from(&[there]) && !way.leads_from(&[]));
    }
}
