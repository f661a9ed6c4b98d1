//! Filter: which frames are wanted.

use crate::frame::{ARP, Frame, IPV4, IPV6};
use crate::parser;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::ops::RangeInclusive;
use core::str::FromStr;

/// Longest text, in bytes.
pub const FILTER_BYTES_MAX: usize = 1024;

/// Most words that test something, and most operators that wait for others.
pub const TERMS_MAX: usize = 64;

/// A condition on frames, in a subset of pcap-filter(7):
///
/// | | |
/// |---|---|
/// | protocols | `ether`, `ip`, `ip6`, `arp`, `tcp`, `udp`, `icmp`, `icmp6` |
/// | directions | `src`, `dst`, `src or dst`, `src and dst` |
/// | kinds | `host ADDRESS`, `net ADDRESS/BITS`, `port NUMBER`, `portrange FIRST-LAST`, `ether host MAC` |
/// | lengths | `less BYTES`, `greater BYTES`, each with that length |
/// | operators | `not` or `!`, `and` or `&&`, `or` or `\|\|`, and parentheses |
///
/// As there, `and` and `or` bind alike and to the left, and a bare value has the qualifiers of the one before it
/// (`port 80 or 443`). Without any words every frame matches. Names are not looked up.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Filter {
    /// In reverse Polish notation; nothing wants everything.
    steps: Vec<Step>,
}

/// Why a text is no filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// Where in the text, in bytes.
    pub at: usize,
    /// What is allowed there.
    pub allowed: &'static str,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filter, byte {}: {} is allowed here", self.at, self.allowed)
    }
}

impl core::error::Error for FilterError {}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Test(Test),
    Not,
    And,
    Or,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    Protocol(Protocol),
    Host {
        protocol: Option<Protocol>,
        direction: Direction,
        network: Network,
    },
    Station {
        direction: Direction,
        address: [u8; 6],
    },
    Port {
        protocol: Option<Protocol>,
        direction: Direction,
        ports: RangeInclusive<u16>,
    },
    /// Bytes at most.
    Less(usize),
    /// Bytes at least.
    Greater(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Ether,
    Ip,
    Ip6,
    Arp,
    Tcp,
    Udp,
    Icmp,
    Icmp6,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Source,
    Destination,
    Either,
    Both,
}

/// An address with the bits of it that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) address: IpAddr,
    pub(crate) bits: u8,
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        parser::parse(text).map(|steps| Self { steps })
    }
}

impl Filter {
    /// Whether a frame is wanted, of which these are the first bytes and so many are all.
    pub fn matches(&self, bytes: &[u8], frame_bytes: usize) -> bool {
        if self.steps.is_empty() {
            return true;
        }
        let frame = Frame::new(bytes);
        // The top of the stack is its lowest bit; there are no more values on it than terms.
        let mut stack = 0_u128;
        for step in &self.steps {
            stack = match step {
                Step::Test(test) => stack << 1 | u128::from(test.holds(&frame, frame_bytes)),
                Step::Not => stack ^ 1,
                Step::And => stack >> 1 & (!1 | stack & 1),
                Step::Or => stack >> 1 | stack & 1,
            };
        }
        stack & 1 == 1
    }
}

impl Test {
    fn holds(&self, frame: &Frame<'_>, frame_bytes: usize) -> bool {
        let is = |protocol: &Option<Protocol>| protocol.is_none_or(|it| it.holds(frame));
        match self {
            Self::Protocol(protocol) => protocol.holds(frame),
            Self::Host { protocol, direction, network } => {
                is(protocol) && direction.holds(frame.addresses(), |it| network.contains(it))
            }
            Self::Station { direction, address } => {
                direction.holds(frame.stations(), |it| it == *address)
            }
            Self::Port { protocol, direction, ports } => {
                is(protocol) && direction.holds(frame.ports(), |it| ports.contains(&it))
            }
            Self::Less(bytes) => frame_bytes <= *bytes,
            Self::Greater(bytes) => frame_bytes >= *bytes,
        }
    }
}

impl Protocol {
    fn holds(self, frame: &Frame<'_>) -> bool {
        match self {
            Self::Ether => true,
            Self::Ip => frame.ether_type() == IPV4,
            Self::Ip6 => frame.ether_type() == IPV6,
            Self::Arp => frame.ether_type() == ARP,
            Self::Tcp => frame.protocol() == Some(6),
            Self::Udp => frame.protocol() == Some(17),
            Self::Icmp => frame.ether_type() == IPV4 && frame.protocol() == Some(1),
            Self::Icmp6 => frame.ether_type() == IPV6 && frame.protocol() == Some(58),
        }
    }
}

impl Direction {
    fn holds<T: Copy>(self, [source, destination]: [Option<T>; 2], is: impl Fn(T) -> bool) -> bool {
        let (source, destination) = (source.is_some_and(&is), destination.is_some_and(&is));
        match self {
            Self::Source => source,
            Self::Destination => destination,
            Self::Either => source || destination,
            Self::Both => source && destination,
        }
    }
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.bits);
                let differ = own.to_bits() ^ other.to_bits();
                differ.checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.bits);
                let differ = own.to_bits() ^ other.to_bits();
                differ.checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
