//! Segment: what a frame says of a TCP connection, which is all that its window graph is drawn of.

use crate::frame::{Frame, array_at, u16_at};
use core::net::SocketAddr;
use tcp::options::{Options, SackBlocks};

pub use tcp::Flags as TcpFlags;

/// Most blocks of SACK in a segment (RFC 2018 section 3).
pub const SACK_BLOCKS_MAX: usize = SackBlocks::MAX;

/// A TCP segment, without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The sender's address and port.
    pub source: SocketAddr,
    /// The receiver's.
    pub destination: SocketAddr,
    /// The number of the first octet.
    pub sequence: u32,
    /// Octets of data.
    pub data_bytes: u32,
    /// The next number that the sender expects; with [`TcpFlags::ACK`] only.
    pub acknowledgement: u32,
    /// As on the wire: not scaled.
    pub window: u16,
    /// The control bits.
    pub flags: TcpFlags,
    /// By how many bits the sender's windows are shifted (RFC 7323 section 2), as a SYN says.
    pub window_shift: Option<u8>,
    /// What else has arrived: from the first number to before the second (RFC 2018).
    pub sack: [Option<(u32, u32)>; SACK_BLOCKS_MAX],
}

impl Segment {
    /// That of a frame, of which the headers are whole; none of others.
    pub fn of(frame: &[u8]) -> Option<Self> {
        const HEADER_BYTES: usize = 20;
        let frame = Frame::new(frame);
        let (at, end) = frame.tcp()?;
        let ([Some(from), Some(to)], [Some(from_port), Some(to_port)]) =
            (frame.addresses(), frame.ports())
        else {
            return None;
        };
        let header = frame.bytes.get(at..at + HEADER_BYTES)?;
        let header_bytes = usize::from(header[12] >> 4) * 4;
        let options = frame.bytes.get(at + HEADER_BYTES..at + header_bytes)?;
        let options = Options::parse(options);
        let flags = TcpFlags(header[13] & 0x3f);
        let mut sack = [None; SACK_BLOCKS_MAX];
        for (place, block) in sack.iter_mut().zip(options.sack.as_slice()) {
            *place = Some((block.start.0, block.end.0));
        }
        Some(Self {
            source: (from, from_port).into(),
            destination: (to, to_port).into(),
            sequence: u32_at(header, 4)?,
            data_bytes: u32::try_from(end.checked_sub(at + header_bytes)?).ok()?,
            acknowledgement: u32_at(header, 8)?,
            window: u16_at(header, 14)?,
            flags,
            // RFC 7323 section 2.2: it counts in a SYN only.
            window_shift: options.window_scale.filter(|_| flags.has(TcpFlags::SYN)),
            sack,
        })
    }

    /// The ports of a frame's segment, source and destination: for who looks at every frame, and is interested in few.
    pub fn ports_of(frame: &[u8]) -> Option<[u16; 2]> {
        let frame = Frame::new(frame);
        frame.tcp()?;
        let [Some(source), Some(destination)] = frame.ports() else { return None };
        Some([source, destination])
    }

    /// Octets of sequence space: SYN and FIN count (RFC 9293 section 3.4).
    pub fn sequence_bytes(&self) -> u32 {
        let has = |flag| u32::from(self.flags.has(flag));
        self.data_bytes + has(TcpFlags::SYN) + has(TcpFlags::FIN)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_be_bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    /// A frame over IPv4 from 10.0.0.1:1000 to 10.0.0.2:80, or over IPv6 from fd00::1 to fd00::2.
    pub(crate) fn frame(
        is_v6: bool,
        header: [u32; 2],
        flags: u8,
        options: &[u8],
        data: usize,
    ) -> Vec<u8> {
        let length = 20 + options.len() + data;
        let mut frame = vec![0; 12];
        if is_v6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend((length as u16).to_be_bytes());
            frame.extend([6, 64]);
            for last in [1, 2] {
                frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
            }
        } else {
            frame.extend([8, 0, 0x45, 0]);
            frame.extend((20 + length as u16).to_be_bytes());
            frame.extend([0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        }
        frame.extend([3, 0xe8, 0, 80]);
        frame.extend(header.map(u32::to_be_bytes).concat());
        frame.extend([((20 + options.len()) * 4) as u8, flags, 0x12, 0x34, 0, 0, 0, 0]);
        frame.extend(options);
        frame.resize(frame.len() + data, 7);
        frame
    }

    #[test]
    fn a_segment_is_read_of_both_families() {
        for is_v6 in [false, true] {
            let segment = Segment::of(&frame(is_v6, [5, 6], 0x18, &[], 100)).unwrap();
            assert_eq!((segment.sequence, segment.acknowledgement), (5, 6));
            assert_eq!((segment.data_bytes, segment.window), (100, 0x1234));
            assert_eq!((segment.source.port(), segment.destination.port()), (1000, 80));
            assert_eq!(Segment::ports_of(&frame(is_v6, [5, 6], 0x18, &[], 100)), Some([1000, 80]));
            assert_eq!(segment.source.is_ipv6(), is_v6);
            assert!(segment.flags.has(TcpFlags::PSH) && !segment.flags.has(TcpFlags::SYN));
            assert_eq!((segment.window_shift, segment.sack), (None, [None; 4]));
        }
    }

    #[test]
    fn options_count_where_they_may() {
        let with =
            |flags, options: &[u8]| Segment::of(&frame(false, [1, 2], flags, options, 0)).unwrap();
        assert_eq!(with(2, &[2, 4, 5, 0xb4, 1, 3, 3, 7]).window_shift, Some(7));
        assert_eq!(with(2, &[1, 3, 3, 200]).window_shift, Some(14));
        assert_eq!(with(16, &[1, 3, 3, 7]).window_shift, None);
        let sack = [&[1, 1, 5, 18][..], &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 9]].concat();
        assert_eq!(
            with(16, &[&sack[..], &[1, 1]].concat()).sack[..3],
            [Some((1, 2)), Some((5, 9)), None]
        );
        // Damaged ones, and what is behind the end.
        for damaged in [[5, 0, 0, 0], [5, 1, 0, 0], [5, 99, 0, 0], [0, 3, 3, 7], [1, 1, 1, 3]] {
            let segment = with(2, &damaged);
            assert_eq!((segment.window_shift, segment.sack), (None, [None; 4]));
        }
    }

    #[test]
    fn syn_and_fin_take_a_number_each_and_padding_is_no_data() {
        let mut padded = frame(false, [1, 2], 3, &[], 0);
        padded.resize(padded.len() + 6, 0);
        let segment = Segment::of(&padded).unwrap();
        assert_eq!((segment.data_bytes, segment.sequence_bytes()), (0, 2));
    }

    #[test]
    fn what_is_no_whole_segment_is_none() {
        let whole = frame(false, [1, 2], 2, &[1, 3, 3, 7], 50);
        for length in 0..whole.len() - 50 {
            assert_eq!(Segment::of(&whole[..length]), None, "{length}");
        }
        assert!(Segment::of(&whole[..whole.len() - 50]).is_some());
        let mut fragment = whole.clone();
        fragment[20] = 0x20;
        fragment[21] = 1;
        assert_eq!((Segment::of(&fragment), Segment::ports_of(&fragment)), (None, None));
        let mut udp = whole.clone();
        udp[23] = 17;
        assert_eq!((Segment::of(&udp), Segment::ports_of(&udp)), (None, None));
        // A header longer than its packet.
        let mut long = whole;
        long[17] = 30;
        assert_eq!(Segment::of(&long), None);
    }
}
