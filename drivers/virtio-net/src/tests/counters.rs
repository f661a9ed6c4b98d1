//! What a card says that it did.

use super::*;
use crate::Counters;

#[test]
fn counters_say_what_happened() {
    let mut card = Card::new(ALL);
    let begun = NetDevice::counters(&card.net);
    // The receive buffers are shown to a device that waits for them.
    assert_eq!(begun, Counters { notifications: 1, ..Counters::default() });
    card.deliver(2, &[1; 60]);
    card.deliver(2, &[1; 5000]);
    card.deliver(2, &[1; 13]);
    card.deliver(2, &[1; 14]);
    while card.receive().is_some() {}
    card.side.want_doorbell_after(RECEIVE_QUEUE, card.side.available(RECEIVE_QUEUE) - 1);
    assert!(card.send(&[1; 70]));
    card.net.flush();
    assert!(card.send_in_segments(&transmit::tcp(false, &[7; 3000], false), 1440));
    assert!(card.send(&[1; 65_550]));
    card.side.interrupt();
    assert!(card.net.prepare_to_wait());
    let expected = Counters {
        received_frames: 3,
        received_bytes: 60 + 5000 + 14,
        received_dropped: 1,
        sent_frames: 2,
        sent_bytes: 70 + 54 + 3000,
        sent_segmented: 1,
        sent_dropped: 1,
        notifications: 3,
        interrupts: 1,
        refused: 0,
    };
    assert_eq!(NetDevice::counters(&card.net), expected);
    assert_eq!(card.side.doorbells(RECEIVE_QUEUE) + card.side.doorbells(TRANSMIT_QUEUE), 3);
}
