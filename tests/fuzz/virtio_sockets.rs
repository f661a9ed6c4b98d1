//! A virtio socket device that does anything to its rings: no panic, nothing beyond what it was lent is touched (the fake
//! device's memory sees to that), and no connection outlives its flow and its device.

use flow::{Flow, Listener};
use machine::virtio::fake::{self, Chain, DeviceSide, Offer};
use machine::virtio::{Kind, feature};
use std::cell::RefCell;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use virtio_vsock::{Settings, VirtioVsock};
use vsock::{Limits, VsockFlow};

const NOW: Duration = Duration::ZERO;
const CID: u8 = 3;
const PORT: u8 = 1;

thread_local! {
    /// Devices keep their memory for ever, so there is one, started anew for each input.
    static DEVICE: RefCell<(VirtioVsock, DeviceSide)> = RefCell::new(device());
}

pub(crate) fn target(data: &[u8]) {
    DEVICE.with_borrow_mut(|(vsock, side)| {
        for at in 0..8 {
            side.configure(at, if at == 0 { CID } else { 0 });
        }
        vsock.restart().expect("the device offers the same");
        act(vsock, side, data);
        vsock.network().shut_down();
        assert_eq!(vsock.network().connections(), 0, "those of an input are gone with its flows");
    });
}

fn act(vsock: &mut VirtioVsock, side: &DeviceSide, data: &[u8]) {
    let mut listener = vsock.network().listen(PORT.into(), 4).expect("nobody listens");
    let mut flows: Vec<VsockFlow> = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    for act in data.chunks_exact(6).take(200) {
        device_acts(side, act);
        vsock.ingress(NOW);
        if let Poll::Ready(Ok(flow)) = listener.poll_accept(&mut cx) {
            flows.push(flow);
        }
        for flow in &mut flows {
            let _ = flow.poll_read_with(&mut cx, &mut |bytes| bytes.len());
            let _ = flow.poll_write(&mut cx, &act[..usize::from(act[5] % 5) + 1]);
        }
        if act[5] & 0x80 != 0 {
            flows.pop();
        }
        vsock.egress(NOW);
        if act[5] & 0x40 != 0 {
            vsock.prepare_to_wait();
        }
    }
}

fn device() -> (VirtioVsock, DeviceSide) {
    let (device, side) = fake::device(Offer {
        kind: Kind::Socket,
        features: feature::VERSION_1,
        configuration: u64::from(CID).to_le_bytes().to_vec(),
        queue_sizes: vec![8; 3],
    });
    // Memory that a device was lent is never given back.
    let settings = Settings { receive_buffers: 4, receive_buffer_bytes: 1024, transmit_packets: 4 };
    let limits = Limits { connections_max: 4, ..Limits::default() };
    (VirtioVsock::open(device, &settings, limits).expect("the offer is enough"), side)
}

fn device_acts(side: &DeviceSide, act: &[u8]) {
    let queue = u16::from(act[1] % 3);
    let word = u32::from_le_bytes([act[2], act[3], act[4], act[5]]);
    match act[0] % 8 {
        0..=2 => {
            if let Some(chain) = side.take(0) {
                let packet = packet(act);
                side.write(&chain, &packet);
                let bytes = if act[5] == 0 { word } else { packet.len() as u32 };
                side.put(0, chain.id.into(), bytes);
            }
        }
        3 | 4 => {
            if let Some(chain) = side.take(1) {
                // A second part is lent memory, which a device that has lied may come too late for.
                side.read(&Chain { buffers: chain.buffers[..1].to_vec(), ..chain });
                side.put(1, chain.id.into(), 0);
            }
        }
        5 => {
            if let Some(chain) = side.take(2) {
                side.write(&chain, &[act[2] % 2, 0, 0, 0]);
                side.put(2, chain.id.into(), 4);
            }
        }
        6 if act[2].is_multiple_of(4) => drop(side.put(queue, word % 12, u32::from(act[5]) * 8)),
        6 => drop(side.set_put(queue, word as u16 % 16)),
        _ if act[2] == 0 => side.configure(usize::from(act[3] % 8), act[4]),
        _ => side.scribble(queue, u64::from(act[2] % 36) * 2, &act[3..5]),
    }
}

/// From one of a few ports, with as much payload as is said, or not.
fn packet(act: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 44];
    (packet[0], packet[8], packet[16], packet[20]) = (2, CID, act[2] % 4, PORT);
    (packet[24], packet[28], packet[30]) = (act[3] % 64, 1, act[4] % 9);
    (packet[32], packet[37]) = (act[5] % 4, 16);
    packet.resize(44 + usize::from(act[3] % 128), act[4]);
    packet
}
