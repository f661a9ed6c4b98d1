//! What an interface says that it did.

use super::*;

#[test]
fn counters_say_what_happened_also_when_the_backend_is_gone() {
    let mut bench = Bench::new();
    let mut backend = bench.connect();
    let [transmit, _receive] = bind_events(&bench).try_into().unwrap();
    for payload in [100, 200] {
        backend.send(&tcp_frame(payload), 1, false);
        assert!(bench.receive().is_some());
    }
    // Nobody vouches for the first, and the other has no whole Ethernet header.
    backend.send(&tcp_frame(100), 0, false);
    backend.send(&[1; 13], 1, false);
    // No offer had that id.
    for _ in 0..2 {
        backend.answer(0xffff, 0, 0, 60);
    }
    backend.publish();
    backend.send(&[1; 14], 1, false);
    assert_eq!(bench.receive(), Some(vec![1; 14]));
    bench.send(&[1; 60], None);
    bench.send(&tcp_frame(20_000), Some(1448));
    for _ in 0..3 {
        bench.send(&[1; 60], None);
    }
    // Of three it says that they failed.
    let _done = backend.take().map(|sent| backend.complete(&sent));
    let long = backend.take().unwrap();
    while let Some(sent) = backend.take() {
        backend.answer_sent(sent.ids[0], -1);
    }
    assert!(bench.card.transmitter().is_ready());
    backend.complete(&long);
    bench.send(&[1; 65_536], None);
    transmit.notify();
    assert!(bench.card.prepare_to_wait());
    bench.send(&[1; 65_535], None);
    let expected = Counters {
        received_frames: 3,
        received_bytes: 154 + 254 + 14,
        received_dropped: 2,
        sent_frames: 6,
        sent_bytes: 4 * 60 + 20_054 + 65_535,
        sent_segmented: 1,
        sent_dropped: 1,
        notifications: 1,
        interrupts: 1,
        refused: 2 + 3,
    };
    assert_eq!(NetDevice::counters(&bench.card), expected);
    bench.set_backend("5");
    bench.send(&[1; 60], None);
    let expected = Counters { sent_dropped: 2, ..expected };
    assert_eq!(NetDevice::counters(&bench.card), expected);
    bench.set_backend("6");
    bench.set_backend("2");
    let mut backend = bench.connect();
    backend.send(&tcp_frame(20), 1, false);
    assert!(bench.receive().is_some());
    let Counters { received_frames, sent_frames, .. } = NetDevice::counters(&bench.card);
    assert_eq!((received_frames, sent_frames), (4, 6));
}

#[test]
fn without_memory_for_long_frames_a_page_is_the_longest() {
    let (store, mut daemon) = fake::connect();
    make_interface(&mut daemon);
    let settings = Settings { transmit_runs: 0, ..bench::SETTINGS };
    let (card, frontend) = bench::open_with(&store, &mut daemon, &settings);
    let mut bench = Bench::of(store, daemon, card, frontend);
    let mut backend = bench.connect();
    bench.send(&[1; 4097], None);
    bench.send(&[2; 4096], None);
    assert_eq!(backend.take().unwrap().bytes, [2; 4096]);
    let Counters { sent_frames, sent_dropped, .. } = bench.card.counters();
    assert_eq!((sent_frames, sent_dropped), (1, 1));
}
