//! A TAP as a network card. Linux puts virtio's header before each frame, so that long frames cross
//! in one piece and checksums stay undone where both ends are on this machine.
//!
//! More than half of the process's time in a bulk transfer goes into copies, of which there are as many as over the
//! kernel's sockets: what is received stays in the page that the kernel wrote it to. With a copy from there into the
//! connection's buffers, receiving took a third more CPU. Taking only 64 or 128 KiB per round of the loop changed
//! nothing. `cargo xtask bench native` measures it.

use net::device::{Capabilities, Counters, NetDevice, PAGE_BYTES, RxFrame, Transmit, TxFrame};
use offload::header::{CHECKSUM_VALID, Header, NEEDS_CHECKSUM, Segmentation};
use offload::{ETHERNET_BYTES, Transport};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType};
use std::cell::OnceCell;
use std::io::{self, IoSlice};
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use tun_rs::{DeviceBuilder, Layer, SyncDevice, VIRTIO_NET_HDR_LEN};

/// A TAP, one frame at a time in each direction: the kernel has the queues.
pub(crate) struct TapCard {
    device: Rc<SyncDevice>,
    mtu_bytes: usize,
    /// Of what is before each frame.
    header_bytes: usize,
    /// The frame received last, behind its header, in a page that the stack may keep.
    received: Box<[u8]>,
    received_bytes: usize,
    transmitter: TapTransmitter,
    /// What was received; what was sent, the transmitter counts.
    counters: Counters,
    /// The kernel had no frame when it was last asked.
    is_drained: bool,
    /// Why the TAP is gone for good.
    gone: Rc<OnceCell<io::Error>>,
}

/// The way of frames to the kernel.
struct TapTransmitter {
    device: Rc<SyncDevice>,
    header_bytes: usize,
    /// Where frames are built, behind their headers.
    buffer: Box<[u8]>,
    counters: Counters,
}

impl TapCard {
    /// Opens the TAP `name`, which is made when there is none and the process may. IP packets are
    /// at most `mtu_bytes_max` long, and as long as the TAP takes.
    pub(crate) fn open(name: &str, mtu_bytes_max: usize) -> io::Result<Self> {
        let was_there = exists(name)?;
        let device = DeviceBuilder::new()
            .name(name)
            .layer(Layer::L2)
            .with(|builder| {
                builder.offload(true);
            })
            .inherit_enable_state()
            .build_sync()?;
        device.set_nonblocking(true)?;
        let mtu_bytes = usize::from(device.mtu()?).min(mtu_bytes_max);
        let header_bytes = find_header_bytes(&device)?;
        tell_state(name, was_there, is_up(&device, header_bytes));
        let device = Rc::new(device);
        Ok(Self {
            transmitter: TapTransmitter {
                device: device.clone(),
                header_bytes,
                buffer: buffer(header_bytes + LONG_FRAME_BYTES),
                counters: Counters::default(),
            },
            counters: Counters::default(),
            device,
            mtu_bytes,
            header_bytes,
            received: buffer(PAGE_BYTES),
            received_bytes: 0,
            is_drained: false,
            gone: Rc::default(),
        })
    }

    /// The address of our end: the kernel's with another last bit, so that a process started again
    /// is found at once by neighbours that remember it.
    pub(crate) fn hardware_address(&self) -> io::Result<[u8; 6]> {
        let mut address = self.device.mac_address()?;
        // Locally administered, unicast (IEEE 802, section 8.2).
        address[0] = address[0] & 0xfc | 2;
        address[5] ^= 1;
        Ok(address)
    }

    /// Says why, as soon as the TAP is gone for good.
    pub(crate) fn gone(&self) -> Rc<OnceCell<io::Error>> {
        self.gone.clone()
    }

    /// For waiting.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.device.as_raw_fd()
    }

    /// Takes the next whole and sound frame from the kernel; false when there is none.
    fn advance(&mut self) -> bool {
        self.is_drained = false;
        while self.gone.get().is_none() {
            match self.device.recv(&mut self.received) {
                Ok(bytes) if is_sound(&self.received[..bytes], self.header_bytes) => {
                    self.received_bytes = bytes;
                    self.counters.received_frames += 1;
                    self.counters.received_bytes += (bytes - self.header_bytes) as u64;
                    return true;
                }
                Ok(_) => self.counters.received_dropped += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => {
                    self.gone.get_or_init(|| error);
                }
            }
        }
        self.is_drained = true;
        false
    }
}

/// The header's length at least, and what of it has a meaning: a TAP leaves out virtio's last field unless it is asked
/// not to.
const HEADER_BYTES: usize = VIRTIO_NET_HDR_LEN;
/// The longest that is known: Linux has none above 24.
const HEADER_BYTES_MAX: usize = 64;
/// The longest frame in either direction: an IP packet's limit.
const LONG_FRAME_BYTES: usize = ETHERNET_BYTES + 65_535;
const _: () = assert!(HEADER_BYTES_MAX + LONG_FRAME_BYTES <= PAGE_BYTES);

fn buffer(bytes: usize) -> Box<[u8]> {
    vec![0; bytes].into_boxed_slice()
}

/// The length of what is before each frame. A TAP that stays keeps the one that the program before us had, such as QEMU's
/// 12, and only an ioctl (`TUNSETVNETHDRSZ`) sets another, which is no call of safe code. But frames without room for an
/// Ethernet header are refused: so the shortest that is not tells. It is all zeros, from no address and to none.
fn find_header_bytes(device: &SyncDevice) -> io::Result<usize> {
    let is_long_enough = |bytes: &usize| match send_empty(device, *bytes) {
        // An interface that is down takes none, which it says after it has looked at the length.
        Err(error) => error.kind() != io::ErrorKind::InvalidInput,
        Ok(_) => true,
    };
    (HEADER_BYTES..=HEADER_BYTES_MAX)
        .find(is_long_enough)
        .ok_or_else(|| io::Error::other(format!("its header is above {HEADER_BYTES_MAX} bytes")))
}

/// Whether the interface takes frames: one that is down refuses them all.
fn is_up(device: &SyncDevice, header_bytes: usize) -> bool {
    send_empty(device, header_bytes).is_ok()
}

fn send_empty(device: &SyncDevice, header_bytes: usize) -> io::Result<usize> {
    let zeros = [0; HEADER_BYTES_MAX + ETHERNET_BYTES];
    device.send(&zeros[..header_bytes + ETHERNET_BYTES])
}

/// Whether this network has an interface of that name.
fn exists(name: &str) -> io::Result<bool> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    match rustix::net::netdevice::name_to_index(socket, name) {
        Ok(_) => Ok(true),
        Err(Errno::NODEV) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Says what an operator who mistyped the name, or forgot a command, wonders about.
fn tell_state(name: &str, was_there: bool, is_up: bool) {
    if !was_there {
        log::warn!("TAP {name} was not there and was made; it goes when this process ends");
    }
    if !is_up {
        log::warn!(
            "TAP {name} is down, so nobody is reached; `ip link set {name} up` changes that"
        );
    }
}

impl NetDevice for TapCard {
    fn receive(&mut self, handle: &mut dyn FnMut(RxFrame<'_>, &mut dyn Transmit)) -> bool {
        let has_frame = self.advance();
        if has_frame {
            let frame = self.header_bytes..self.received_bytes;
            handle(RxFrame::Page(&mut self.received, frame), &mut self.transmitter);
        }
        has_frame
    }

    fn transmitter(&mut self) -> &mut dyn Transmit {
        &mut self.transmitter
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            mtu_bytes: self.mtu_bytes,
            transmit_checksums: true,
            receive_checksums: true,
            segmentation_ipv4: NonZeroUsize::new(LONG_FRAME_BYTES),
            segmentation_ipv6: NonZeroUsize::new(LONG_FRAME_BYTES),
        }
    }

    fn link_up(&self) -> bool {
        self.gone.get().is_none()
    }

    fn prepare_to_wait(&mut self) -> bool {
        self.is_drained
    }

    fn driver(&self) -> &'static str {
        "tap"
    }

    fn counters(&self) -> Counters {
        let sent = self.transmitter.counters;
        Counters {
            sent_frames: sent.sent_frames,
            sent_bytes: sent.sent_bytes,
            sent_segmented: sent.sent_segmented,
            sent_dropped: sent.sent_dropped,
            ..self.counters
        }
    }
}

impl Transmit for TapTransmitter {
    /// There is always room: the kernel takes a frame into its stack while we write it.
    fn is_ready(&mut self) -> bool {
        true
    }

    /// The kernel gathers the frame: only its head is built here.
    fn transmit(&mut self, frame: TxFrame, build: &mut dyn FnMut(&mut [u8])) -> bool {
        let bytes = frame.bytes();
        let Some(start) = self.buffer.get_mut(..self.header_bytes + frame.head_bytes) else {
            self.counters.sent_dropped += 1;
            build(&mut vec![0; frame.head_bytes]);
            return true;
        };
        let (header, head) = start.split_at_mut(self.header_bytes);
        build(head);
        let fields = Header::leaving(head, bytes, frame.segment_bytes);
        header[..HEADER_BYTES].copy_from_slice(&fields.emit()[..HEADER_BYTES]);
        let sent = match &frame.tail {
            None => self.device.send(start),
            Some(tail) => {
                let parts = [IoSlice::new(start), IoSlice::new(tail)];
                rustix::io::writev(&self.device, &parts).map_err(io::Error::from)
            }
        };
        match sent {
            Ok(_) => {
                self.counters.sent_frames += 1;
                self.counters.sent_bytes += bytes as u64;
                self.counters.sent_segmented += u64::from(frame.segment_bytes.is_some());
            }
            Err(error) => {
                self.counters.sent_dropped += 1;
                tell_lost(bytes, &error);
            }
        }
        true
    }
}

/// What the kernel refuses is lost, as on a wire: its end may be down.
fn tell_lost(frame_bytes: usize, error: &io::Error) {
    log::debug!("a frame of {frame_bytes} bytes is lost: {error}");
}

/// A whole frame, with a checksum that is right, or that the kernel has checked, or that was never
/// made since the frame did not leave this machine; and not several UDP packets in one, which the
/// stack cannot take apart.
fn is_sound(packet: &[u8], header_bytes: usize) -> bool {
    let Some((header, frame)) = packet.split_at_checked(header_bytes) else { return false };
    let (flags, coalesced) = (header[0], header[1] & !SEGMENTS_HAVE_ECN);
    if frame.len() < ETHERNET_BYTES || !COALESCED.contains(&coalesced) {
        return false;
    }
    flags & (NEEDS_CHECKSUM | CHECKSUM_VALID) != 0
        || Transport::find(frame).is_none_or(|transport| transport.is_intact(frame))
}

/// What a received frame may be: one segment, or several of TCP.
const COALESCED: [u8; 3] = [0, Segmentation::Tcp4 as u8, Segmentation::Tcp6 as u8];
const SEGMENTS_HAVE_ECN: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{
        EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress, IpProtocol,
        Ipv4Address, Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
    };
    use std::num::NonZeroU16;

    const TCP_AT: usize = ETHERNET_BYTES + 20;

    /// A TCP segment, its checksum right.
    fn frame(payload: &[u8]) -> Vec<u8> {
        let (from, to) = (Ipv4Address::new(10, 9, 0, 1), Ipv4Address::new(10, 9, 0, 2));
        let tcp = TcpRepr {
            src_port: 1024,
            dst_port: 80,
            control: TcpControl::None,
            seq_number: TcpSeqNumber(1),
            ack_number: Some(TcpSeqNumber(2)),
            window_len: 3,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload,
        };
        let ip = Ipv4Repr {
            src_addr: from,
            dst_addr: to,
            next_header: IpProtocol::Tcp,
            payload_len: tcp.buffer_len(),
            hop_limit: 64,
        };
        let ethernet = EthernetRepr {
            src_addr: EthernetAddress([2; 6]),
            dst_addr: EthernetAddress([4; 6]),
            ethertype: EthernetProtocol::Ipv4,
        };
        let mut bytes = vec![0; TCP_AT + tcp.buffer_len()];
        let all = ChecksumCapabilities::default();
        ethernet.emit(&mut EthernetFrame::new_unchecked(&mut bytes));
        ip.emit(&mut Ipv4Packet::new_unchecked(&mut bytes[ETHERNET_BYTES..]), &all);
        let mut packet = TcpPacket::new_unchecked(&mut bytes[TCP_AT..]);
        tcp.emit(&mut packet, &IpAddress::Ipv4(from), &IpAddress::Ipv4(to), &all);
        bytes
    }

    fn packet(header: [u8; 2], frame: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[..2].copy_from_slice(&header);
        bytes.extend_from_slice(frame);
        bytes
    }

    /// What the kernel makes of it: the sum from where it is told, complemented.
    fn completed(mut frame: Vec<u8>, header: Header) -> Vec<u8> {
        let header = header.emit();
        let word = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
        let (start, offset) = (word(6), word(8));
        let mut sum: u32 = 0;
        for pair in frame[start..].chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        }
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        frame[start + offset..][..2].copy_from_slice(&(!sum as u16).to_be_bytes());
        frame
    }

    #[test]
    fn the_kernel_completes_the_checksum_that_is_left_to_it() {
        for length in [0, 1, 2, 999] {
            let right = frame(&vec![0xa5; length]);
            let mut sent = right.clone();
            sent[TCP_AT + 16..][..2].fill(0);
            let header = Header::leaving(&mut sent, right.len(), None);
            assert_ne!(sent, right);
            assert_eq!(completed(sent, header), right, "{length} bytes");
        }
    }

    #[test]
    fn a_long_frame_says_where_to_cut() {
        let mut long = frame(&[7; 60_000]);
        let len = long.len();
        let bytes = Header::leaving(&mut long, len, NonZeroU16::new(1460)).emit();
        let headers = (TCP_AT + 20) as u8;
        assert_eq!(bytes[..6], [NEEDS_CHECKSUM, 1, headers, 0, 0xb4, 0x05]);
        let one = Header::leaving(&mut long, len, None).emit();
        assert_eq!(one[1..6], [0; 5]);
    }

    #[test]
    fn what_nobody_vouches_for_is_checked() {
        let good = frame(b"hello");
        let mut bad = good.clone();
        bad[TCP_AT + 20] ^= 1;
        assert!(is_sound(&packet([0, 0], &good), HEADER_BYTES));
        assert!(!is_sound(&packet([0, 0], &bad), HEADER_BYTES));
        for flag in [NEEDS_CHECKSUM, CHECKSUM_VALID] {
            assert!(is_sound(&packet([flag, 0], &bad), HEADER_BYTES));
        }
    }

    #[test]
    fn only_coalesced_tcp_is_taken() {
        let good = frame(b"hello");
        for (kind, taken) in [(0, true), (1, true), (4, true), (0x81, true), (3, false), (5, false)]
        {
            let packet = packet([CHECKSUM_VALID, kind], &good);
            assert_eq!(is_sound(&packet, HEADER_BYTES), taken, "kind {kind}");
        }
    }

    #[test]
    fn pieces_of_frames_are_not_taken() {
        let whole = packet([CHECKSUM_VALID, 0], &frame(b"hello"));
        for length in 0..HEADER_BYTES + ETHERNET_BYTES {
            assert!(!is_sound(&whole[..length], HEADER_BYTES), "{length} bytes");
        }
    }
}
