//! A backend that does anything: no panic, no frame longer than allowed, and it never has a page
//! that is lent.
#![no_main]

use libfuzzer_sys::fuzz_target;
use machine::xen::net::fake::{Backend, hold};
use machine::xen::net::{FRAME_BYTES_MAX, Offload, ReceiveRing, TransmitRing};

/// What a byte of the input makes happen; its arguments follow it.
fn act(backend: &mut Backend, receive: &mut ReceiveRing, transmit: &mut TransmitRing, step: &[u8; 8]) {
    let [verb, rest @ ..] = *step;
    let half = |at: usize| u16::from_le_bytes([rest[at], rest[at + 1]]);
    let word = u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]);
    match verb % 9 {
        0 => backend.set_receive_responses(word),
        1 => backend.set_transmit_responses(word),
        2 => {
            let id = backend.offer(0).map_or(half(0), |offer| offer.id);
            backend.answer(id, half(0) % 5000, half(2), half(4) as i16);
        }
        3 => backend.answer_raw([word, u32::from(half(4))]),
        4 => backend.answer_sent(half(0), half(2) as i16),
        5 => {
            if let Some(offer) = backend.offer(word % 4) {
                hold(offer.reference, rest[4] % 2 == 0);
            }
        }
        6 => {
            let bytes = usize::from(half(0)).max(1).min(transmit.frame_bytes_max());
            if transmit.ready() == Ok(true) {
                transmit.buffer(bytes).fill(1);
                transmit.send(bytes, Offload::default());
                transmit.publish();
            }
        }
        7 => {
            if let Ok(Some(frame)) = receive.accept() {
                assert!(frame.bytes <= FRAME_BYTES_MAX);
                assert_eq!(receive.bytes().len(), frame.bytes);
            }
            receive.publish();
        }
        _ => backend.publish(),
    }
}

fuzz_target!(|data: &[u8]| {
    let (Ok(mut receive), Ok(mut transmit)) = (ReceiveRing::new(0, 32), TransmitRing::new(0, 4, 1)) else {
        return;
    };
    receive.publish();
    let mut backend = Backend::attach(transmit.reference(), receive.reference());
    for step in data.as_chunks::<8>().0 {
        act(&mut backend, &mut receive, &mut transmit, step);
    }
});
