//! The wire between two stacks.

use crate::random::Random;
use net::device::{Capabilities, NetDevice, PAGE_BYTES, RxFrame, Transmit, TxFrame};
use smoltcp::wire::{IpAddress, Ipv4Packet, Ipv6Packet, TcpPacket};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::num::{NonZeroU16, NonZeroUsize};
use std::rc::Rc;
use std::time::Duration;

/// What the wire does to frames, in percent of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Lost.
    pub loss: u64,
    /// Delayed by up to ten times the wire's delay, so that later ones overtake them.
    pub reorder: u64,
    /// Delivered twice.
    pub duplicate: u64,
    /// One bit is wrong; checksums must be the stacks' own.
    pub corrupt: u64,
}

/// What the devices do for the stacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offloads {
    /// Nothing.
    #[default]
    None,
    /// Checksums, both ways.
    Checksums,
    /// Checksums, and segmentation of what is sent; what is received comes as it was sent, up to
    /// 64 KiB, as from a device that coalesces.
    Segmentation,
    /// The same, but the wire cuts frames to the link's size before the other side gets them.
    SegmentationSplit,
}

/// The properties of both directions.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// The largest IP packet, in bytes.
    pub mtu: usize,
    /// The time a frame travels.
    pub delay: Duration,
    /// What happens to frames.
    pub faults: Faults,
    /// What the devices do.
    pub offloads: Offloads,
    /// Frames that a device holds until the wire takes them; more are refused.
    pub queue: usize,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            mtu: 1500,
            delay: Duration::from_micros(100),
            faults: Faults::default(),
            offloads: Offloads::None,
            queue: 1024,
        }
    }
}

/// A wire with two ends.
#[derive(Clone)]
pub struct Wire(Rc<RefCell<State>>);

/// Takes away the frames it is true for: the end that sent it, and the frame.
pub type Filter = Box<dyn FnMut(usize, &[u8]) -> bool>;

struct State {
    link: Link,
    random: Random,
    now: Duration,
    /// By arrival and number: the receiving end and the frame.
    travelling: BTreeMap<(Duration, u64), (usize, Vec<u8>)>,
    sent: u64,
    arrived: [VecDeque<Vec<u8>>; 2],
    log: Vec<(Duration, Vec<u8>)>,
    log_max: usize,
    filter: Option<Filter>,
    link_up: bool,
}

impl Wire {
    /// A wire and its two ends.
    pub fn new(link: Link, seed: u64) -> (Self, [LinkDevice; 2]) {
        let wire = Self(Rc::new(RefCell::new(State {
            link,
            random: Random::new(seed),
            now: Duration::ZERO,
            travelling: BTreeMap::new(),
            sent: 0,
            arrived: Default::default(),
            log: Vec::new(),
            log_max: 200_000,
            filter: None,
            link_up: true,
        })));
        let ends = [0, 1].map(|end| LinkDevice { wire: wire.clone(), end });
        (wire, ends)
    }

    /// Keeps at most so many frames for the pcap file.
    pub fn log_at_most(&self, frames: usize) {
        self.0.borrow_mut().log_max = frames;
    }

    /// Changes what happens to frames from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.0.borrow_mut().link.faults = faults;
    }

    /// Says to both ends that their link is up or down; frames go on travelling.
    pub fn set_link_up(&self, up: bool) {
        self.0.borrow_mut().link_up = up;
    }

    /// Takes frames away from now on.
    pub fn set_filter(&self, filter: Option<Filter>) {
        self.0.borrow_mut().filter = filter;
    }

    /// Delivers what has arrived by `now`.
    pub fn advance(&self, now: Duration) {
        let mut state = self.0.borrow_mut();
        state.now = now;
        while let Some(entry) = state.travelling.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let (end, frame) = entry.remove();
            state.arrived[end].push_back(frame);
        }
    }

    /// When the next frame arrives.
    pub fn next_arrival(&self) -> Option<Duration> {
        self.0.borrow().travelling.first_key_value().map(|(key, _)| key.0)
    }

    /// A frame waits to be received.
    pub fn has_arrivals(&self) -> bool {
        self.0.borrow().arrived.iter().any(|queue| !queue.is_empty())
    }

    /// Frames that were sent, by both ends.
    pub fn sent(&self) -> u64 {
        self.0.borrow().sent
    }

    /// Lets `frame` arrive at `end` at once, as if somebody had sent it.
    pub fn inject(&self, end: usize, frame: Vec<u8>) {
        let mut state = self.0.borrow_mut();
        let now = state.now;
        state.log(now, &frame);
        state.arrived[end].push_back(frame);
    }

    /// Everything that was on the wire, with its time of sending.
    pub fn log(&self) -> Vec<(Duration, Vec<u8>)> {
        self.0.borrow().log.clone()
    }
}

impl State {
    fn log(&mut self, at: Duration, frame: &[u8]) {
        if self.log.len() < self.log_max {
            self.log.push((at, frame.to_vec()));
        }
    }

    fn send(&mut self, from: usize, frame: &[u8]) {
        self.log(self.now, frame);
        self.sent += 1;
        if self.filter.as_mut().is_some_and(|filter| filter(from, frame)) {
            return;
        }
        let faults = self.link.faults;
        if self.random.chance(faults.loss) {
            return;
        }
        let copies = 1 + u64::from(self.random.chance(faults.duplicate));
        for copy in 0..copies {
            let mut frame = frame.to_vec();
            // ARP has no checksum of its own: Ethernet's, which is not simulated, protects it.
            let protected = frame[12..14] == [0x08, 0x06];
            if self.random.chance(faults.corrupt) && !protected {
                let at = self.random.below(frame.len() as u64 - 14) as usize + 14;
                frame[at] ^= 1 << self.random.below(8);
            }
            let mut arrival = self.now + self.link.delay;
            if copy > 0 || self.random.chance(faults.reorder) {
                arrival += self.link.delay * self.random.below(10) as u32;
            }
            let number = self.sent * 2 + copy;
            self.travelling.insert((arrival, number), (1 - from, frame));
        }
    }
}

/// One end of a wire, as a device.
pub struct LinkDevice {
    wire: Wire,
    end: usize,
}

impl NetDevice for LinkDevice {
    fn receive(&mut self, handle: &mut dyn FnMut(RxFrame<'_>, &mut dyn Transmit)) -> bool {
        let arrived = self.wire.0.borrow_mut().arrived[self.end].pop_front();
        let Some(mut frame) = arrived else { return false };
        if self.wire.0.borrow().link.offloads == Offloads::Segmentation {
            // As a TAP: behind a header, and the page may be kept.
            let mut page = vec![0; PAGE_BYTES].into_boxed_slice();
            let place = 10..10 + frame.len();
            page[place.clone()].copy_from_slice(&frame);
            handle(RxFrame::Page(&mut page, place), self);
            assert_eq!(page.len(), PAGE_BYTES, "another page is in its place");
        } else {
            handle(RxFrame::Lent(&mut frame), self);
        }
        true
    }

    fn transmitter(&mut self) -> &mut dyn Transmit {
        self
    }

    fn capabilities(&self) -> Capabilities {
        let link = self.wire.0.borrow().link;
        let offloads = link.offloads != Offloads::None;
        let segments =
            matches!(link.offloads, Offloads::Segmentation | Offloads::SegmentationSplit);
        let longest = NonZeroUsize::new(65_535).filter(|_| segments);
        Capabilities {
            mtu_bytes: link.mtu,
            transmit_checksums: offloads,
            receive_checksums: offloads,
            segmentation_ipv4: longest,
            segmentation_ipv6: longest,
        }
    }

    fn link_up(&self) -> bool {
        self.wire.0.borrow().link_up
    }
}

impl Transmit for LinkDevice {
    fn is_ready(&mut self) -> bool {
        let state = self.wire.0.borrow();
        state.travelling.len() < state.link.queue
    }

    fn transmit(&mut self, frame: TxFrame, build: &mut dyn FnMut(&mut [u8])) -> bool {
        if !self.is_ready() {
            return false;
        }
        let mut bytes = vec![0; frame.bytes()];
        frame.write(build, &mut bytes);
        let mut state = self.wire.0.borrow_mut();
        let link = state.link;
        let split = link.offloads != Offloads::Segmentation;
        match frame.segment_bytes {
            None => {
                let len = bytes.len();
                assert!(len <= link.mtu + 14, "a frame of {len} bytes without segmentation");
            }
            Some(size) if !is_cut(&bytes, size) => panic!("nothing is to be cut"),
            Some(size) if split => {
                for segment in segments(&bytes, usize::from(size.get())) {
                    assert!(segment.len() <= link.mtu + 14, "a segment larger than the link takes");
                    state.send(self.end, &segment);
                }
                return true;
            }
            Some(_) => (),
        }
        if link.offloads != Offloads::None {
            fill_checksum(&mut bytes);
        }
        state.send(self.end, &bytes);
        true
    }
}

/// Whether a frame has data for more than one segment.
fn is_cut(frame: &[u8], size: NonZeroU16) -> bool {
    tcp_at(frame).is_some_and(|at| {
        let tcp = TcpPacket::new_unchecked(&frame[at..]);
        frame.len() - at - usize::from(tcp.header_len()) > usize::from(size.get())
    })
}

/// What a device with segmentation offload makes of a large frame.
fn segments(frame: &[u8], size: usize) -> Vec<Vec<u8>> {
    let Some(at) = tcp_at(frame) else { return vec![frame.to_vec()] };
    let tcp = TcpPacket::new_unchecked(&frame[at..]);
    let header = at + usize::from(tcp.header_len());
    let (seq, fin, psh) = (tcp.seq_number(), tcp.fin(), tcp.psh());
    let payload = &frame[header..];
    let count = payload.len().div_ceil(size);
    let cut = |number: usize| {
        let chunk = &payload[number * size..payload.len().min((number + 1) * size)];
        let mut segment = [&frame[..header], chunk].concat();
        let ip_len = (segment.len() - 14) as u16;
        if at == 34 {
            let mut ip = Ipv4Packet::new_unchecked(&mut segment[14..]);
            ip.set_total_len(ip_len);
            ip.fill_checksum();
        } else {
            Ipv6Packet::new_unchecked(&mut segment[14..]).set_payload_len(ip_len - 40);
        }
        let mut tcp = TcpPacket::new_unchecked(&mut segment[at..]);
        tcp.set_seq_number(seq + number * size);
        tcp.set_fin(fin && number + 1 == count);
        tcp.set_psh(psh && number + 1 == count);
        fill_checksum(&mut segment);
        segment
    };
    (0..count).map(cut).collect()
}

fn fill_checksum(frame: &mut [u8]) {
    let Some(at) = tcp_at(frame) else { return };
    let (ip, tcp) = frame[14..].split_at_mut(at - 14);
    let (source, destination) = if at == 34 {
        let ip = Ipv4Packet::new_unchecked(&*ip);
        (IpAddress::Ipv4(ip.src_addr()), IpAddress::Ipv4(ip.dst_addr()))
    } else {
        let ip = Ipv6Packet::new_unchecked(&*ip);
        (IpAddress::Ipv6(ip.src_addr()), IpAddress::Ipv6(ip.dst_addr()))
    };
    TcpPacket::new_unchecked(tcp).fill_checksum(&source, &destination);
}

/// Where the TCP header of a frame without IP options lies.
fn tcp_at(frame: &[u8]) -> Option<usize> {
    match (frame.get(12..14)?, frame.get(14)?) {
        ([0x08, 0x00], 0x45) if frame.get(23) == Some(&6) => Some(34),
        ([0x86, 0xdd], _) if frame.get(20) == Some(&6) => Some(54),
        _ => None,
    }
}
