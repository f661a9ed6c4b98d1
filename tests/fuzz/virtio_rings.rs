//! A virtio network device that does anything to its rings: no panic, nothing outside the rings is
//! touched (the fake device's memory sees to that), and a stopped card starts anew.

use bytes::Bytes;
use machine::virtio::fake::{self, Chain, DeviceSide, Offer};
use machine::virtio::{Kind, feature};
use net::device::{NetDevice, TxFrame};
use std::cell::RefCell;
use virtio_net::{Settings, VirtioNet};

const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;
const BUFFERS: u16 = 16;
const BUFFER_BYTES: usize = 256;

thread_local! {
    /// Cards keep their memory for ever, so there is one, started anew for each input.
    static CARD: RefCell<(VirtioNet, DeviceSide)> = RefCell::new(card());
}

pub(crate) fn target(data: &[u8]) {
    CARD.with_borrow_mut(|(net, side)| {
        net.restart().expect("the device offers the same");
        for act in data.chunks_exact(6) {
            device_acts(side, act);
            driver_acts(net, act[0]);
        }
    });
}

fn card() -> (VirtioNet, DeviceSide) {
    // CSUM, GUEST_CSUM, MAC, MRG_RXBUF, STATUS.
    let features = 1 | 1 << 1 | 1 << 5 | 1 << 15 | 1 << 16;
    let (device, side) = fake::device(Offer {
        kind: Kind::Network,
        features: features | feature::EVENT_IDX | feature::VERSION_1,
        configuration: vec![2, 0, 0, 0, 0, 1, 1, 0, 1, 0, 0, 0],
        queue_sizes: vec![BUFFERS, BUFFERS],
    });
    let settings = Settings {
        receive_buffers: BUFFERS,
        receive_buffer_bytes: BUFFER_BYTES,
        transmit_frames: BUFFERS,
        transmit_bytes: 8192,
    };
    (VirtioNet::open(device, &settings).expect("the offer is enough"), side)
}

fn device_acts(side: &DeviceSide, act: &[u8]) {
    let queue = u16::from(act[0] >> 7);
    let word = u32::from_le_bytes([act[2], act[3], act[4], act[5]]);
    match act[1] % 8 {
        0 | 1 => receive_one(side, act),
        2 => {
            if let Some(chain) = side.take(TRANSMIT) {
                // A second part is lent memory, which a device that has lied may come too late for.
                side.read(&Chain { buffers: chain.buffers[..1].to_vec(), ..chain });
                side.put(TRANSMIT, chain.id.into(), word);
            }
        }
        3 => drop(side.put(queue, word, u32::from(act[0]))),
        4 => drop(side.put(queue, word & 15, word >> 20)),
        5 => drop(side.set_put(queue, word as u16)),
        6 => side.scribble(queue, u64::from(act[2] % 128), &act[3..]),
        _ => {
            side.set_status(act[2]);
            side.configure(6, act[3]);
        }
    }
}

/// A buffer filled with a header and what the input says, returned rightly or nearly so.
fn receive_one(side: &DeviceSide, act: &[u8]) {
    let Some(chain) = side.take(RECEIVE) else { return };
    let mut bytes = [0x45; BUFFER_BYTES];
    bytes[..12].fill(0);
    (bytes[0], bytes[10]) = (act[2], act[3] % 20);
    bytes[24..30].copy_from_slice(&[8, 0, 0x45, 0, 0, act[4]]);
    side.write(&chain, &bytes);
    side.put(RECEIVE, chain.id.into(), BUFFER_BYTES as u32 - u32::from(act[5] & 15));
}

fn driver_acts(net: &mut VirtioNet, how: u8) {
    if how & 1 != 0 {
        while net.receive(&mut |mut frame, answer| {
            let sum = frame.iter().map(|&byte| u64::from(byte)).sum::<u64>();
            frame.fill(4);
            let answer_frame = TxFrame::new(60 + sum as usize % 1000);
            answer.transmit(answer_frame, &mut |buffer| buffer.fill(1));
        }) {}
    }
    if how & 2 != 0 {
        let frame = TxFrame::new(usize::from(how) * 6);
        net.transmitter().transmit(frame, &mut |buffer| buffer.fill(2));
    }
    if how & 8 != 0 {
        let tail = Some(Bytes::from(vec![3; usize::from(how)]));
        let frame = TxFrame { tail, ..TxFrame::new(60) };
        net.transmitter().transmit(frame, &mut |buffer| buffer.fill(2));
    }
    if how & 4 != 0 {
        net.prepare_to_wait();
    }
}
