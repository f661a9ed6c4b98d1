//! A backend that does anything: no panic, no frame longer than allowed, and it never has a page
//! that is lent.

use machine::xen::net::fake::{Backend, hold};
use machine::xen::net::{FRAME_BYTES_MAX, Offload, ReceiveRing, TransmitRing};
use std::cell::RefCell;

thread_local! {
    /// The same memory for every input: what devices were given is never given back.
    static RINGS: RefCell<(ReceiveRing, TransmitRing)> = RefCell::new((
        ReceiveRing::new(0, 32).expect("memory"),
        TransmitRing::new(0, 4, 1).expect("memory"),
    ));
}

/// What a byte of the input makes happen; its arguments follow it.
fn act(
    backend: &mut Backend,
    held: &mut Vec<u32>,
    receive: &mut ReceiveRing,
    transmit: &mut TransmitRing,
    step: &[u8; 8],
) {
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
        4 => {
            backend.answer_sent(half(0), half(2) as i16);
        }
        5 => {
            if let Some(offer) = backend.offer(word % 4) {
                hold(offer.reference, rest[4] % 2 == 0);
                held.push(offer.reference);
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
        _ => {
            backend.publish();
        }
    }
}

pub(crate) fn target(data: &[u8]) {
    RINGS.with_borrow_mut(|(receive, transmit)| {
        receive.end();
        transmit.end();
        receive.reset(0).expect("memory");
        transmit.reset(0).expect("memory");
        receive.publish();
        let mut backend = Backend::attach(transmit.reference(), receive.reference());
        let mut held = Vec::new();
        for step in data.as_chunks::<8>().0 {
            act(&mut backend, &mut held, receive, transmit, step);
        }
        for reference in held {
            hold(reference, false);
        }
    });
}
