//! Network types of the schema that `core::net` lacks: an address with a prefix, congestion control.

use core::{fmt, net::IpAddr, str::FromStr};

/// An address and the length of its network's prefix, written `10.9.0.2/24` or `fd00::2/64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The machine's own address, not the network's.
    pub address: IpAddr,
    /// In bits: 1 to 32 for IPv4, 1 to 128 for IPv6.
    pub prefix: u8,
}

impl FromStr for Cidr {
    type Err = ();

    /// Refuses what no machine can have (unspecified, loopback, multicast and broadcast addresses, and that of the
    /// network itself), and a missing prefix.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = text.split_once('/').ok_or(())?;
        let address: IpAddr = address.parse().map_err(drop)?;
        let prefix: u8 = prefix.parse().map_err(drop)?;
        let prefix_max = if address.is_ipv4() { 32 } else { 128 };
        if !is_on_link(address) || prefix == 0 || prefix > prefix_max {
            return Err(());
        }
        let cidr = Self { address, prefix };
        if cidr.is_broadcast(address) { Err(()) } else { Ok(cidr) }
    }
}

impl Cidr {
    /// Whether the address is in the network of this one.
    #[must_use]
    pub fn contains(&self, other: IpAddr) -> bool {
        let differ = match (self.address, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                u128::from(own.to_bits() ^ other.to_bits()) << 96
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => own.to_bits() ^ other.to_bits(),
            _ => return false,
        };
        differ.leading_zeros() >= u32::from(self.prefix)
    }

    /// Whether the address means all machines of this network, or the network (RFC 1122 section 3.2.1.3).
    /// Networks of one or two addresses have no such (RFC 3021).
    pub(crate) fn is_broadcast(&self, other: IpAddr) -> bool {
        let IpAddr::V4(address) = other else { return false };
        if self.prefix >= 31 || !self.contains(other) {
            return false;
        }
        let host_mask = u32::MAX >> self.prefix;
        [0, host_mask].contains(&(address.to_bits() & host_mask))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Whether one machine can have this address.
pub(crate) fn is_host(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !address.is_unspecified() && !address.is_multicast() && !broadcast
}

/// Whether a machine can have this address on a link: a loopback address is none.
pub(crate) fn is_on_link(address: IpAddr) -> bool {
    is_host(address) && !address.is_loopback()
}

/// How a sender finds its share of a congested path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CongestionControl {
    /// CUBIC with HyStart++ (RFC 9438, RFC 9406).
    Cubic,
    /// Slow start and congestion avoidance (RFC 5681).
    Reno,
    /// BBR, which paces by the bandwidth that it measures.
    Bbr,
    /// None: as much as the peer's window takes, for a private wire only.
    Off,
}

impl CongestionControl {
    /// What the file calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cubic => "cubic",
            Self::Reno => "reno",
            Self::Bbr => "bbr",
            Self::Off => "off",
        }
    }

    /// The one that the file calls so.
    pub(crate) fn named(text: &str) -> Option<Self> {
        match text {
            "cubic" => Some(Self::Cubic),
            "reno" => Some(Self::Reno),
            "bbr" => Some(Self::Bbr),
            "off" => Some(Self::Off),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn cidr_keeps_the_host_part() {
        for text in [
            "10.9.0.2/24",
            "192.168.1.1/32",
            "fd00::2/64",
            "fd00::1/128",
            "10.0.0.0/31",
            "10.0.0.1/31",
        ] {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_network_has_those_with_the_same_prefix() {
        for (cidr, other, contains) in [
            ("10.9.0.2/24", "10.9.0.255", true),
            ("10.9.0.2/24", "10.9.1.2", false),
            ("10.9.0.2/32", "10.9.0.2", true),
            ("10.9.0.2/32", "10.9.0.3", false),
            ("10.9.0.2/1", "127.0.0.1", true),
            ("10.9.0.2/24", "::ffff:10.9.0.3", false),
            ("fd00::2/64", "fd00::ffff:0:0:1", true),
            ("fd00::2/64", "fd00:0:0:1::1", false),
            ("fd00::2/128", "fd00::2", true),
        ] {
            let cidr: Cidr = cidr.parse().unwrap();
            assert_eq!(cidr.contains(other.parse().unwrap()), contains, "{cidr} {other}");
        }
    }

    #[test]
    fn cidr_refuses_what_no_machine_can_have() {
        for text in [
            "",
            "10.0.0.1",
            "10.0.0.1/",
            "10.0.0.1/0",
            "10.0.0.1/33",
            "fd00::1/129",
            "0.0.0.0/8",
            "224.0.0.1/4",
            "255.255.255.255/32",
            "10.9.0.255/24",
            "10.9.0.0/24",
            "10.9.0.3/30",
            "127.0.0.1/8",
            "127.9.9.9/32",
            "::1/128",
            "::/64",
            "ff02::1/64",
            "10.0.0/24",
            "a/24",
            "10.0.0.1/+8 ",
            "10.0.0.1/24/24",
        ] {
            assert_eq!(text.parse::<Cidr>(), Err(()), "{text}");
        }
    }

    #[test]
    fn congestion_control_is_read_as_it_is_shown() {
        use CongestionControl::{Bbr, Cubic, Off, Reno};
        for (text, own) in [("cubic", Cubic), ("reno", Reno), ("bbr", Bbr), ("off", Off)] {
            assert_eq!(CongestionControl::named(text), Some(own));
            assert_eq!(own.name(), text);
        }
        for text in ["", "Reno", "none", "vegas"] {
            assert_eq!(CongestionControl::named(text), None, "{text}");
        }
    }
}
