//! What the peer is told of the window.

use super::super::window::ReceiveWindow;
use super::*;

#[test]
fn the_peer_is_told_of_room_when_it_knows_of_little_and_there_is_much_more() {
    for (limit, held, known, is_told) in [
        // Half of the buffer more, where it does not know of more than that.
        (65_535, 0, 0, true),
        (65_535, 0, 32_767, true),
        (65_535, 0, 32_768, false),
        (65_535, 0, 65_535, false),
        (65_535, 32_768, 0, true),
        (65_535, 32_769, 2_000, false),
        // More than it knows of, where that is less than two segments.
        (65_535, 50_000, 1_999, true),
        (65_535, 50_000, 2_000, false),
        (65_535, 63_000, 1_267, true),
        (65_535, 63_001, 1_267, false),
        (65_535, 63_000, 1_268, false),
        // A segment at least.
        (65_535, 64_535, 0, true),
        (65_535, 64_536, 0, false),
        // Small buffers.
        (3_001, 0, 1_501, true),
        (3_001, 0, 1_502, false),
        (3_999, 0, 1_999, true),
        (3_999, 0, 2_000, false),
        (4_001, 0, 2_000, true),
        (4_001, 0, 2_001, false),
    ] {
        let mut rig = Rig::new(plain());
        rig.connection.receive.advertised = THEIRS + limit;
        rig.arrives(&segment(0, Flags::NONE), held as usize);
        rig.sent();
        rig.connection.receive_window = ReceiveWindow::new(limit);
        rig.connection.receive.advertised = THEIRS + held + known;
        rig.connection.after_reading(&mut rig.shared, rig.now);
        let sent = rig.sent();
        assert_eq!(sent.len(), usize::from(is_told), "{limit} {held} {known}");
        let window = if is_told { limit - held } else { known };
        let info = rig.connection.info(&rig.shared.config);
        assert_eq!((info.receive_window, info.receive_queue), (window, held));
    }
}
