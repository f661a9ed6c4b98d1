//! A peer that sends any frame, and any TCP segment near what the stack said last: no panic, and
//! the stack holds no more than its limits.
#![no_main]

use flow::task::Executor;
use flow::{Flow, FlowExt, Listener};
use libfuzzer_sys::fuzz_target;
use net::{Config, Limits, Stack};
use smoltcp::phy::{Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium};
use smoltcp::phy::{RxToken, TxToken};
use smoltcp::time::Instant;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 2];
const CONNECTIONS_MAX: usize = 3;

fuzz_target!(|data: &[u8]| {
    let cable = Cable::default();
    let limits = Limits {
        connections_max: CONNECTIONS_MAX,
        half_open_max: 8,
        time_wait_max: 2,
        ..Limits::default()
    };
    let addresses = vec![([10, 0, 0, 1].into(), 24), ("fd00::1".parse().expect("it is one"), 64)];
    let config = Config { addresses, limits, ..Config::default() };
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
        cable.0.borrow_mut().incoming.push_back(frame);
        while stack.ingress(now) {}
        tasks.run(100);
        stack.egress(now);
        let gauges = stack.gauges();
        assert!(gauges.connections <= CONNECTIONS_MAX && gauges.half_open <= 8);
        assert!(gauges.time_wait <= 2);
    }
});

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

struct Arrived(Vec<u8>);

struct Leaving(Cable);

impl RxToken for Arrived {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Leaving {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let value = f(&mut frame);
        if frame[12..14] == [8, 0] && frame[23] == 6 {
            let word = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().expect("four"));
            let header = usize::from(frame[46] >> 4) * 4;
            let taken = (len - 34 - header) as u32 + u32::from(frame[47] & 3 != 0);
            self.0.0.borrow_mut().last = (word(38).wrapping_add(taken), word(42));
        }
        value
    }
}

impl net::Card for Cable {}

impl Device for Cable {
    type RxToken<'a> = Arrived;
    type TxToken<'a> = Leaving;

    fn receive(&mut self, _: Instant) -> Option<(Arrived, Leaving)> {
        let frame = self.0.borrow_mut().incoming.pop_front()?;
        Some((Arrived(frame), Leaving(self.clone())))
    }

    fn transmit(&mut self, _: Instant) -> Option<Leaving> {
        Some(Leaving(self.clone()))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut caps = DeviceCapabilities::default();
        caps.medium = Medium::Ethernet;
        caps.max_transmission_unit = 1514;
        // The input need not guess checksums.
        caps.checksum = ChecksumCapabilities::ignored();
        caps.checksum.tcp = Checksum::None;
        caps
    }
}
