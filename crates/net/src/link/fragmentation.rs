//! Fragmentation of what is longer than a packet may be (RFC 791 section 3.2, RFC 8200 section 4.5).

use crate::device::{Transmit, TxFrame};
use crate::wire::extension::FRAGMENT;
use crate::wire::{ETHERNET, IPV4, IPV6};
use alloc::vec::Vec;
use core::net::IpAddr;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv6Packet,
};

/// What is to be sent, whatever the length of packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Datagram {
    /// Our hardware address and the next hop's.
    pub(crate) hardware: (EthernetAddress, EthernetAddress),
    /// Source and destination, of one version of IP.
    pub(crate) ends: (IpAddr, IpAddr),
    pub(crate) protocol: IpProtocol,
    pub(crate) payload: Vec<u8>,
}

/// A part of its payload.
struct Fragment<'a> {
    payload: &'a [u8],
    /// Where it begins.
    offset: usize,
    is_last: bool,
    id: u16,
}

impl Datagram {
    /// Sends it in fragments, as packets of at most `mtu` bytes. What the device has no room for is lost, as on a wire, and
    /// the rest, which is of no use without it.
    pub(crate) fn send_fragments(&self, mtu: usize, id: u16, output: &mut dyn Transmit) {
        let header_bytes = if self.ends.0.is_ipv4() { IPV4 } else { IPV6 + FRAGMENT_HEADER };
        // All but the last are so many times eight octets.
        let fragment_bytes = mtu.saturating_sub(header_bytes) & !7;
        if fragment_bytes == 0 {
            return;
        }
        let mut offset = 0;
        for payload in self.payload.chunks(fragment_bytes) {
            let is_last = offset + payload.len() == self.payload.len();
            let fragment = Fragment { payload, offset, is_last, id };
            let frame = TxFrame::new(ETHERNET + header_bytes + payload.len());
            if !output.transmit(frame, &mut |frame| self.emit(&fragment, frame)) {
                return;
            }
            offset += payload.len();
        }
    }

    fn emit(&self, fragment: &Fragment<'_>, frame: &mut [u8]) {
        let mut ethernet = EthernetFrame::new_unchecked(frame);
        ethernet.set_src_addr(self.hardware.0);
        ethernet.set_dst_addr(self.hardware.1);
        match self.ends {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                ethernet.set_ethertype(EthernetProtocol::Ipv4);
                let mut ip = Ipv4Packet::new_unchecked(ethernet.payload_mut());
                ip.set_version(4);
                ip.set_header_len(IPV4 as u8);
                ip.set_dscp(0);
                ip.set_ecn(0);
                ip.set_total_len((IPV4 + fragment.payload.len()) as u16);
                ip.set_ident(fragment.id);
                ip.clear_flags();
                ip.set_more_frags(!fragment.is_last);
                ip.set_frag_offset(fragment.offset as u16);
                ip.set_hop_limit(HOP_LIMIT);
                ip.set_next_header(self.protocol);
                ip.set_src_addr(source);
                ip.set_dst_addr(destination);
                ip.fill_checksum();
                ip.payload_mut().copy_from_slice(fragment.payload);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                ethernet.set_ethertype(EthernetProtocol::Ipv6);
                let mut ip = Ipv6Packet::new_unchecked(ethernet.payload_mut());
                ip.set_version(6);
                ip.set_traffic_class(0);
                ip.set_flow_label(0);
                ip.set_payload_len((FRAGMENT_HEADER + fragment.payload.len()) as u16);
                ip.set_next_header(IpProtocol::from(FRAGMENT));
                ip.set_hop_limit(HOP_LIMIT);
                ip.set_src_addr(source);
                ip.set_dst_addr(destination);
                let (header, payload) = ip.payload_mut().split_at_mut(FRAGMENT_HEADER);
                let [high, low] =
                    (fragment.offset as u16 | u16::from(!fragment.is_last)).to_be_bytes();
                let [id_high, id_low] = fragment.id.to_be_bytes();
                let protocol = self.protocol.into();
                header.copy_from_slice(&[protocol, 0, high, low, 0, 0, id_high, id_low]);
                payload.copy_from_slice(fragment.payload);
            }
            _ => unreachable!("both ends are of one version of IP"),
        }
    }
}

/// RFC 8200 section 4.5.
const FRAGMENT_HEADER: usize = 8;
const HOP_LIMIT: u8 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::reassembly::Reassembly;
    use core::time::Duration;

    /// A device that takes so many frames.
    struct Taken(Vec<Vec<u8>>, usize);

    impl Transmit for Taken {
        fn is_ready(&mut self) -> bool {
            self.0.len() < self.1
        }

        fn transmit(&mut self, frame: TxFrame, build: &mut dyn FnMut(&mut [u8])) -> bool {
            // As the device's memory is, not empty.
            let mut bytes = std::vec![0xa5; frame.bytes()];
            let is_ready = self.is_ready();
            if is_ready {
                build(&mut bytes);
                self.0.push(bytes);
            }
            is_ready
        }
    }

    fn datagram(ends: [&str; 2], payload_bytes: usize) -> Datagram {
        let [source, destination] = ends.map(|end| end.parse().unwrap());
        Datagram {
            hardware: (EthernetAddress([2; 6]), EthernetAddress([4; 6])),
            ends: (source, destination),
            protocol: IpProtocol::Udp,
            payload: (0..payload_bytes).map(|byte| byte as u8).collect(),
        }
    }

    const V4: [&str; 2] = ["10.0.0.1", "10.0.0.2"];
    const V6: [&str; 2] = ["fd00::1", "fd00::2"];

    #[test]
    fn rfc_791_and_8200_4_5_fragments_fit_and_make_the_packet_again() {
        for (ends, header_bytes) in [(V4, IPV4), (V6, IPV6)] {
            for (mtu, bytes) in [(1500, 4008), (1500, 1481), (1280, 65_000), (1281, 2 * 1232)] {
                let datagram = datagram(ends, bytes);
                let mut taken = Taken(Vec::new(), usize::MAX);
                datagram.send_fragments(mtu, 0x1234, &mut taken);
                let (last, others) = taken.0.split_last().unwrap();
                assert!(others.iter().all(|frame| ETHERNET + mtu - frame.len() < 8));
                assert!(last.len() <= ETHERNET + mtu);
                let mut reassembly = Reassembly::default();
                let mut take = |frame: &Vec<u8>| reassembly.take(Duration::ZERO, frame);
                let whole: Vec<_> = taken.0.iter().filter_map(&mut take).collect();
                let [whole] = &whole[..] else { panic!("{} packets", whole.len()) };
                assert_eq!(whole.len(), ETHERNET + header_bytes + bytes);
                assert_eq!(whole[ETHERNET + header_bytes..], datagram.payload);
                assert_eq!((&whole[..6], &whole[6..12]), (&[4; 6][..], &[2; 6][..]));
            }
        }
    }

    #[test]
    fn nothing_follows_a_fragment_that_the_device_has_no_room_for() {
        let mut taken = Taken(Vec::new(), 2);
        datagram(V4, 9_000).send_fragments(1500, 1, &mut taken);
        assert_eq!(taken.0.len(), 2);
        datagram(V6, 9_000).send_fragments(40, 1, &mut Taken(Vec::new(), 0));
    }

    #[test]
    fn rfc_791_3_1_and_8200_4_5_headers_of_fragments_to_the_byte() {
        for (ends, expected) in [
            (
                V4,
                [
                    &[8, 0, 0x45, 0, 0, 28, 0x12, 0x34, 0x20, 1, 64, 17][..],
                    &[0x45, 0, 0, 21, 0x12, 0x34, 0, 2, 64, 17],
                ],
            ),
            (V6, [&[0x86, 0xdd, 0x60, 0, 0, 0, 0, 16, 44, 64], &[0x60, 0, 0, 0, 0, 9, 44, 64]]),
        ] {
            let mtu = if ends == V4 { 35 } else { 63 };
            let mut taken = Taken(Vec::new(), 9);
            datagram(ends, 17).send_fragments(mtu, 0x1234, &mut taken);
            let [_, second, last] = &taken.0[..] else { panic!("{} frames", taken.0.len()) };
            assert_eq!(second[..12], [4, 4, 4, 4, 4, 4, 2, 2, 2, 2, 2, 2]);
            assert_eq!(second[12..12 + expected[0].len()], *expected[0]);
            assert_eq!(last[14..14 + expected[1].len()], *expected[1]);
            if ends == V6 {
                assert_eq!(second[54..62], [17, 0, 0, 9, 0, 0, 0x12, 0x34]);
                assert_eq!(last[54..62], [17, 0, 0, 16, 0, 0, 0x12, 0x34]);
            }
            // Where no eight bytes fit, nothing leaves.
            let mut none = Taken(Vec::new(), 9);
            datagram(ends, 17).send_fragments(if ends == V4 { 27 } else { 55 }, 1, &mut none);
            assert_eq!(none.0.len(), 0);
        }
    }
}
