//! A peer that sends any frame, and any TCP segment near what the stack said last: no panic, and
//! the stack holds no more than its limits.

use flow::task::Executor;
use flow::{Flow, FlowExt, Listener};
use net::device::{Capabilities, NetDevice, RxFrame, Transmit, TxFrame};
use net::{Config, Limits, Stack};
use smoltcp::wire::{
    EthernetFrame, Icmpv4Packet, Icmpv6Packet, IpProtocol, Ipv4Packet, Ipv6Packet,
};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 2];
const CONNECTIONS_MAX: usize = 3;

pub(crate) fn target(data: &[u8]) {
    let cable = Cable::default();
    let limits = Limits {
        connections_max: CONNECTIONS_MAX,
        half_open_max: 8,
        time_wait_max: 2,
        ..Limits::default()
    };
    let addresses = vec![([10, 0, 0, 1].into(), 24), ("fd00::1".parse().expect("it is one"), 64)];
    let config = Config { addresses, dhcp: false, slaac: false, limits, ..Config::default() };
    let mut stack = Stack::new(cable.clone(), &config, OWN, [7; 64], Duration::ZERO);
    let tasks = Executor::new(|body| {
        body();
        Ok(())
    });
    echo(&mut stack, &tasks);
    let mut now = Duration::from_secs(1);
    for act in data.split(|byte| *byte == 0xff) {
        let [first, act @ ..] = act else { continue };
        now += Duration::from_millis(1 << (first >> 4));
        let frame = if first & 1 == 0 { any_frame(act) } else { near_segment(&cable, act) };
        let mut frame = frame;
        complete(&mut frame);
        cable.0.borrow_mut().incoming.push_back(frame);
        while stack.ingress(now) {}
        tasks.run(100);
        stack.egress(now);
        let gauges = stack.gauges();
        assert!(gauges.connections <= CONNECTIONS_MAX && gauges.half_open <= 8);
        assert!(gauges.time_wait <= 2);
    }
}

fn echo(stack: &mut Stack, tasks: &Executor) {
    let mut listener = stack.listen(80).expect("nobody listens yet");
    let spawner = tasks.spawner();
    tasks.spawner().spawn("accept", async move {
        while let Ok(mut flow) = listener.accept().await {
            spawner.spawn("echo", async move {
                let mut buffer = [0; 3_000];
                while let Ok(count @ 1..) = flow.read(&mut buffer).await {
                    if flow.write_all(&buffer[..count]).await.is_err() {
                        return;
                    }
                }
                flow.finish();
            });
        }
    });
}

/// Ethernet's header and what the input says.
fn any_frame(act: &[u8]) -> Vec<u8> {
    let kind = match act.first() {
        Some(byte) if byte & 3 == 0 => [0x08, 0x06],
        Some(byte) if byte & 3 == 1 => [0x86, 0xdd],
        _ => [0x08, 0x00],
    };
    [&OWN[..], &PEER, &kind, act].concat()
}

/// A segment whose numbers are those that the stack expects, moved by what the input says.
fn near_segment(cable: &Cable, act: &[u8]) -> Vec<u8> {
    let mut act = act.iter().copied();
    let mut next = || act.next().unwrap_or(0);
    let (ack, seq) = cable.0.borrow().last;
    let seq = seq.wrapping_add(next() as i8 as u32);
    let ack = ack.wrapping_add(next() as i8 as u32);
    let (flags, port, window) = (next(), next() & 3, [next(), next()]);
    let options = next() & 0x0c;
    let length = usize::from(next()) * 8;
    let total = 40 + usize::from(options) + length;
    let [high, low] = (total as u16).to_be_bytes();
    let mut frame = [&OWN[..], &PEER, &[8, 0]].concat();
    frame.extend([0x45, 0, high, low, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1]);
    frame.extend([0x20, port, 0, 80]);
    frame.extend(seq.to_be_bytes());
    frame.extend(ack.to_be_bytes());
    frame.extend([(20 + options) << 2, flags, window[0], window[1], 0, 0, 0, 0]);
    frame.extend((0..options).map(|_| next()));
    frame.resize(14 + total, b'x');
    frame
}

#[derive(Clone, Default)]
struct Cable(Rc<RefCell<Ends>>);

#[derive(Default)]
struct Ends {
    incoming: VecDeque<Vec<u8>>,
    /// The number after the last that the stack sent, and the one that it expects.
    last: (u32, u32),
}

impl NetDevice for Cable {
    fn receive(&mut self, handle: &mut dyn FnMut(RxFrame<'_>, &mut dyn Transmit)) -> bool {
        let incoming = self.0.borrow_mut().incoming.pop_front();
        let Some(mut frame) = incoming else { return false };
        handle(RxFrame::Lent(&mut frame), self);
        true
    }

    fn transmitter(&mut self) -> &mut dyn Transmit {
        self
    }

    /// The input need not guess checksums.
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            transmit_checksums: true,
            receive_checksums: true,
            ..Capabilities::new(1500)
        }
    }
}

impl Transmit for Cable {
    fn is_ready(&mut self) -> bool {
        true
    }

    fn transmit(&mut self, frame: TxFrame, build: &mut dyn FnMut(&mut [u8])) -> bool {
        let len = frame.bytes();
        let mut bytes = vec![0; len];
        frame.write(build, &mut bytes);
        if bytes[12..14] == [8, 0] && bytes[23] == 6 {
            let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four"));
            let header = usize::from(bytes[46] >> 4) * 4;
            let taken = (len - 34 - header) as u32 + u32::from(bytes[47] & 3 != 0);
            self.0.borrow_mut().last = (word(38).wrapping_add(taken), word(42));
        }
        true
    }
}

/// Writes the checksums that no device vouches for, where the input has a place for them.
fn complete(frame: &mut [u8]) {
    let Ok(mut ethernet) = EthernetFrame::new_checked(frame) else { return };
    if let Ok(mut ip) = Ipv4Packet::new_checked(ethernet.payload_mut()) {
        ip.fill_checksum();
        if ip.next_header() == IpProtocol::Icmp
            && let Ok(mut message) = Icmpv4Packet::new_checked(ip.payload_mut())
        {
            message.fill_checksum();
        }
    } else if let Ok(mut ip) = Ipv6Packet::new_checked(ethernet.payload_mut()) {
        let (from, to) = (ip.src_addr(), ip.dst_addr());
        if ip.next_header() == IpProtocol::Icmpv6
            && let Ok(mut message) = Icmpv6Packet::new_checked(ip.payload_mut())
        {
            message.fill_checksum(&from, &to);
        }
    }
}
