//! Segments: the fields of a TCP header, without the wire format, ports and checksum.

use crate::options::Options;
use crate::sequence::SeqNumber;
use core::fmt;
use core::ops::BitOr;

/// The header of a segment (RFC 9293 section 3.1), as read or to be written by who knows the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Number of the first octet (of SYN, if it is set).
    pub seq: SeqNumber,
    /// The next number that the sender expects; counts only with ACK.
    pub ack: SeqNumber,
    /// The control bits.
    pub flags: Flags,
    /// As on the wire: not scaled.
    pub window: u16,
    /// As on the wire; counts only with URG.
    pub urgent: u16,
    /// The congestion codepoint of the IP header (RFC 3168 section 5).
    pub ecn: Ecn,
    /// The options that this engine knows.
    pub options: Options,
}

impl Segment {
    /// One without options and window.
    pub const fn new(seq: SeqNumber, ack: SeqNumber, flags: Flags) -> Self {
        Self { seq, ack, flags, window: 0, urgent: 0, ecn: Ecn::NotCapable, options: Options::NONE }
    }

    /// Octets of sequence space that it takes with so many bytes of data: SYN and FIN count.
    pub const fn sequence_len(&self, data_len: u32) -> u32 {
        data_len + self.flags.has(Flags::SYN) as u32 + self.flags.has(Flags::FIN) as u32
    }
}

/// The control bits of a TCP header.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// None: a null segment.
    pub const NONE: Self = Self(0);
    /// No more data.
    pub const FIN: Self = Self(0x01);
    /// Synchronize sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement field counts.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer counts.
    pub const URG: Self = Self(0x20);
    /// ECN-Echo (RFC 3168 section 6.1).
    pub const ECE: Self = Self(0x40);
    /// Congestion Window Reduced (RFC 3168 section 6.1).
    pub const CWR: Self = Self(0x80);

    /// All of `flags` are set.
    #[inline]
    pub const fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// One of `flags` is set.
    #[inline]
    pub const fn has_any(self, flags: Self) -> bool {
        self.0 & flags.0 != 0
    }

    /// Those without `flags`.
    #[must_use]
    #[inline]
    pub const fn without(self, flags: Self) -> Self {
        Self(self.0 & !flags.0)
    }
}

impl BitOr for Flags {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Flags {
    /// As tcpdump has it: `S`, `F`, `R`, `P`, `.`, `U`, `E`, `W`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [
            (Self::SYN, "S"),
            (Self::FIN, "F"),
            (Self::RST, "R"),
            (Self::PSH, "P"),
            (Self::URG, "U"),
            (Self::ECE, "E"),
            (Self::CWR, "W"),
            (Self::ACK, "."),
        ];
        if *self == Self::NONE {
            return formatter.write_str("none");
        }
        letters
            .iter()
            .filter(|(flag, _)| self.has(*flag))
            .try_for_each(|(_, letter)| formatter.write_str(letter))
    }
}

/// The congestion codepoint of an IP header (RFC 3168 section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ecn {
    /// Routers must drop it when there is congestion.
    #[default]
    NotCapable,
    /// ECT(1); received as ECT(0) is, never sent.
    Capable1,
    /// ECT(0).
    Capable0,
    /// CE: a router saw congestion.
    Congestion,
}

impl Ecn {
    /// From the two low bits of an IPv4 type of service or an IPv6 traffic class.
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::NotCapable,
            1 => Self::Capable1,
            2 => Self::Capable0,
            _ => Self::Congestion,
        }
    }

    /// The two bits.
    pub const fn bits(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn rfc_9293_3_4_syn_and_fin_take_a_number_each() {
        let zero = SeqNumber(0);
        assert_eq!(Segment::new(zero, zero, Flags::ACK | Flags::PSH).sequence_len(5), 5);
        assert_eq!(Segment::new(zero, zero, Flags::SYN | Flags::FIN).sequence_len(0), 2);
    }

    #[test]
    fn flags_print_as_tcpdump_prints_them() {
        assert_eq!(format!("{:?}", Flags::SYN | Flags::ACK), "S.");
        assert_eq!(format!("{:?}", Flags::NONE), "none");
    }

    #[test]
    fn rfc_3168_5_codepoints() {
        for bits in 0..4 {
            assert_eq!(Ecn::from_bits(bits | 0xfc).bits(), bits);
        }
        assert_eq!(Ecn::from_bits(2), Ecn::Capable0);
    }

    #[test]
    fn flags_are_those_of_the_wire_and_print_one_by_one() {
        let all = [
            (Flags::FIN, 0x01, "F"),
            (Flags::SYN, 0x02, "S"),
            (Flags::RST, 0x04, "R"),
            (Flags::PSH, 0x08, "P"),
            (Flags::ACK, 0x10, "."),
            (Flags::URG, 0x20, "U"),
            (Flags::ECE, 0x40, "E"),
            (Flags::CWR, 0x80, "W"),
        ];
        for (flag, bit, letter) in all {
            assert_eq!((flag.0, format!("{flag:?}").as_str()), (bit, letter));
            let rest = Flags(0xff).without(flag);
            assert_eq!((rest.0, rest | flag, flag | flag), (0xff - bit, Flags(0xff), flag));
            assert!(!rest.has(flag) && !rest.has_any(flag) && rest.has_any(Flags(0xff)));
            assert!(Flags(0xff).has(flag) && !flag.has(Flags(0xff)) && flag.has_any(Flags(0xff)));
            assert!(flag.has(Flags::NONE) && !flag.has_any(Flags::NONE));
        }
        assert_eq!(format!("{:?}", Flags(0xff)), "SFRPUEW.");
        let (one, two) = (SeqNumber(1), SeqNumber(2));
        let lengths = [Flags::NONE, Flags::SYN, Flags::FIN, Flags::SYN | Flags::FIN, Flags::RST];
        let lengths = lengths.map(|flags| Segment::new(one, two, flags).sequence_len(7));
        assert_eq!(lengths, [7, 8, 8, 9, 7]);
        let codepoints = [Ecn::NotCapable, Ecn::Capable1, Ecn::Capable0, Ecn::Congestion];
        assert_eq!(codepoints.map(Ecn::bits), [0, 1, 2, 3]);
        assert_eq!([0, 1, 2, 3].map(Ecn::from_bits), codepoints);
    }
}
