//! The whole interface against a backend and a xenstore daemon in this process.

mod bench;
mod counters;
mod events;
mod features;

use super::*;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use bench::{BACK, Bench, FRONT, make_front, make_interface, open_one, run, tcp_frame};
use machine::console::fake::LogLines;
use machine::xen::event::Port;
use machine::xen::net::fake::{Backend, is_granted};
use net::device::{NetDevice, TxFrame};
use xen_store::fake::{self, Daemon};

/// The backend's ends of the event channels, that for sent frames first.
fn bind_events(bench: &Bench) -> Vec<Port> {
    let names = ["event-channel", "event-channel-tx", "event-channel-rx"];
    let numbers = names.iter().filter_map(|name| bench.front(name));
    numbers.map(|number| Port::bind(1, number.parse().unwrap()).unwrap()).collect()
}

#[test]
fn the_offer_tells_all_that_the_backend_needs() {
    let bench = Bench::new();
    assert_eq!(bench.card.mac(), [0, 0x16, 0x3e, 1, 2, 3]);
    assert_eq!(bench.front("request-rx-copy").as_deref(), Some("1"));
    assert_eq!(bench.front("feature-rx-notify").as_deref(), Some("1"));
    assert_eq!(bench.front("feature-gso-tcpv4").as_deref(), Some("1"));
    assert!(bench.front("event-channel-tx").is_some() && bench.front("event-channel-rx").is_some());
    assert!(bench.front("event-channel").is_none());
    assert_eq!(bench.front("multi-queue-num-queues").as_deref(), Some("1"));
    assert!(!bench.card.link_up());
}

#[test]
fn frames_pass_both_ways() {
    let mut bench = Bench::new();
    let mut backend = bench.connect();
    backend.send(&tcp_frame(5000), 1, true);
    assert_eq!(bench.receive().unwrap(), tcp_frame(5000));
    bench.send(&tcp_frame(30_000), Some(1448));
    let sent = backend.take().unwrap();
    assert_eq!((sent.segment, sent.flags & 3), (Some(1448), 3));
    // RFC 9293, section 3.1: 10.0.0.1 + 10.0.0.2 + 6 + the length.
    let sum = 0x0a00 + 0x0001 + 0x0a00 + 0x0002 + 6 + 30_020;
    assert_eq!(sent.bytes[50..52], (sum as u16).to_be_bytes());
    let counters = bench.card.counters();
    assert_eq!(
        (counters.received_frames, counters.sent_frames, counters.sent_segmented),
        (1, 1, 1)
    );
}

#[test]
fn a_frame_that_nobody_vouches_for_is_checked() {
    let mut bench = Bench::new();
    let mut backend = bench.connect();
    backend.send(&tcp_frame(100), 0, false);
    assert_eq!(bench.receive(), None);
    let mut arp = vec![0xff; 60];
    arp[12..14].copy_from_slice(&[8, 6]);
    backend.send(&arp, 0, false);
    assert_eq!(bench.receive().unwrap(), arp);
    assert_eq!(bench.card.counters().received_dropped, 1);
}

#[test]
fn an_interface_that_is_taken_away_comes_back() {
    let mut bench = Bench::new();
    let mut backend = bench.connect();
    backend.send(&tcp_frame(10), 1, false);
    // As `xl network-detach` does it.
    bench.daemon.set(&format!("{BACK}/online"), "0");
    bench.set_backend("5");
    assert_eq!(bench.front("state").as_deref(), Some("6"));
    assert!(!bench.card.link_up());
    assert_eq!(bench.receive(), None);
    bench.send(&tcp_frame(10), None);
    assert_eq!(bench.card.counters().sent_dropped, 1);
    bench.set_backend("6");
    assert_eq!(bench.front("state").as_deref(), Some("6"), "nothing is begun anew");
    bench.daemon.remove(BACK);
    bench.daemon.remove(FRONT);
    bench.settle();
    make_interface(&mut bench.daemon);
    bench.settle();
    let mut backend = bench.connect();
    backend.send(&tcp_frame(20), 1, false);
    assert_eq!(bench.receive().unwrap(), tcp_frame(20));
}

#[test]
fn a_backend_that_starts_again_is_met_again() {
    let mut bench = Bench::new();
    bench.connect();
    bench.set_backend("5");
    bench.set_backend("6");
    assert_eq!(bench.front("state").as_deref(), Some("1"), "a new beginning");
    bench.set_backend("2");
    let mut backend = bench.connect();
    bench.send(&tcp_frame(10), None);
    assert!(backend.take().is_some());
}

#[test]
fn a_backend_that_attaches_again_without_a_word_finds_the_rings_as_they_were() {
    let mut bench = Bench::new();
    let mut backend = bench.connect();
    bench.set_backend("2");
    assert!(bench.card.link_up());
    bench.set_backend("4");
    backend.send(&tcp_frame(20), 1, false);
    assert_eq!(bench.receive().unwrap(), tcp_frame(20));
}

#[test]
fn a_backend_that_breaks_the_rules_is_left() {
    type Act = fn(&mut Backend, &mut Bench);
    let breakages: [(Fault, Act); 3] = [
        (Fault::ResponseIndex, |backend, bench| {
            backend.set_receive_responses(1 << 20);
            assert_eq!(bench.receive(), None);
        }),
        (Fault::ResponseIndex, |backend, bench| {
            backend.set_transmit_responses(1 << 20);
            while bench.card.link_up() {
                let transmitter = bench.card.transmitter();
                transmitter.transmit(TxFrame::new(60), &mut |buffer| buffer.fill(0));
                bench.card.flush();
            }
        }),
        (Fault::FrameSlots, |backend, bench| {
            for _ in 0..32 {
                let id = backend.offer(0).unwrap().id;
                backend.answer(id, 0, 4, 1);
            }
            backend.publish();
            assert_eq!(bench.receive(), None);
        }),
    ];
    for (fault, breakage) in breakages {
        let mut bench = Bench::new();
        let mut backend = bench.connect();
        assert_eq!(bench.card.fault(), None);
        breakage(&mut backend, &mut bench);
        assert!(!bench.card.link_up());
        assert_eq!(bench.card.fault(), Some(fault));
        assert!(bench.card.prepare_to_wait(), "nothing will come");
        bench.settle();
        assert_eq!(bench.front("state").as_deref(), Some("6"));
        // And it may try again.
        bench.set_backend("6");
        bench.set_backend("2");
        let mut backend = bench.connect();
        assert_eq!(bench.card.fault(), None);
        backend.send(&tcp_frame(20), 1, false);
        assert_eq!(bench.receive().unwrap(), tcp_frame(20));
    }
}

/// A lie that was seen is not forgotten when it is taken back.
#[test]
fn a_backend_that_mends_its_index_is_left_all_the_same() {
    let mut bench = Bench::new();
    let mut backend = bench.connect();
    for _ in 0..4 {
        bench.send(&[1; 60], None);
    }
    backend.set_transmit_responses(1 << 20);
    assert!(!bench.card.transmitter().is_ready());
    backend.set_transmit_responses(0);
    while let Some(sent) = backend.take() {
        backend.complete(&sent);
    }
    assert!(!bench.card.transmitter().is_ready());
    bench.card.flush();
    assert_eq!(bench.card.fault(), Some(Fault::ResponseIndex));
}

#[test]
fn a_backend_that_goes_has_no_page_any_more() {
    let mut bench = Bench::new();
    let mut backend = bench.connect();
    let rings = ["tx-ring-ref", "rx-ring-ref"].map(|name| bench.front(name).unwrap());
    let [transmit, receive] = rings.map(|text| text.parse().unwrap());
    let offer = backend.offer(0).unwrap();
    bench.send(&[1; 60], None);
    assert!(backend.take().is_some());
    for reference in [transmit, receive, offer.reference] {
        assert!(is_granted(reference));
    }
    bench.set_backend("5");
    for reference in [transmit, receive, offer.reference] {
        assert!(!is_granted(reference));
    }
}

/// A task that wakes for nothing costs a machine its sleep.
#[test]
fn an_interface_at_rest_asks_nobody_anything() {
    let mut bench = Bench::new();
    let _backend = bench.connect();
    let before = bench.store.counters();
    bench.settle();
    assert_eq!(bench.store.counters(), before);
    // A word that changes nothing is looked at by the task alone.
    bench.daemon.set(&format!("{BACK}/carrier"), "1");
    for _ in 0..100 {
        bench.step();
        assert!(bench.card.prepare_to_wait());
    }
    assert!(bench.store.counters().requests > before.requests);
}

/// io/netif.h, "Link state": `carrier` is 0 or 1, and without it the link is up.
#[test]
fn an_interface_without_a_carrier_sends_nothing_until_it_has_one() {
    let mut bench = Bench::new();
    let mut backend = bench.connect();
    backend.send(&tcp_frame(10), 1, false);
    bench.daemon.set(&format!("{BACK}/carrier"), "0");
    bench.settle();
    assert!(!bench.card.link_up());
    // What has come before is taken; an answer is dropped, and counted.
    assert!(bench.card.receive(&mut |_, output| {
        assert!(output.transmit(TxFrame::new(60), &mut |buffer| buffer.fill(0)));
    }));
    bench.send(&tcp_frame(10), None);
    assert_eq!((backend.take(), bench.card.counters().sent_dropped), (None, 2));
    assert!(bench.card.prepare_to_wait(), "nothing is left to do");
    bench.daemon.set(&format!("{BACK}/carrier"), "1");
    // Whoever would wait has to look at the link first.
    let was_told = (0..100).any(|_| {
        bench.step();
        !bench.card.prepare_to_wait()
    });
    assert!(was_told && bench.card.link_up());
    bench.send(&tcp_frame(10), None);
    assert!(backend.take().is_some());
    assert_eq!(bench.card.counters().sent_dropped, 2);
}

#[test]
fn an_interface_that_comes_back_under_another_number_is_the_same() {
    let mut bench = Bench::new();
    bench.connect();
    let other = FRONT.replace("vif/0", "vif/3");
    bench.daemon.remove(FRONT);
    bench.set_backend("6");
    bench.daemon.remove(BACK);
    bench.settle();
    assert!(!bench.card.link_up());
    make_interface(&mut bench.daemon);
    bench.daemon.remove(FRONT);
    make_front(&mut bench.daemon, &other);
    bench.settle();
    assert_eq!(bench.daemon.get(&format!("{other}/state")).as_deref(), Some("4"));
    bench.set_backend("4");
    assert!(bench.card.link_up());
}

#[test]
fn a_backend_that_can_do_less_than_the_first_is_not_used() {
    const REFUSAL: &str = "ERROR device/vif/0: this backend can do less than the one before";
    let mut lines = LogLines::of_this_thread();
    let mut bench = Bench::new();
    bench.connect();
    assert!(!lines.take().contains(REFUSAL));
    for (name, less, same) in
        [("feature-no-csum-offload", "1", "0"), ("feature-gso-tcpv4", "0", "1")]
    {
        bench.set_backend("5");
        bench.set_backend("6");
        bench.daemon.set(&format!("{BACK}/{name}"), less);
        bench.set_backend("2");
        assert_eq!(bench.front("state").as_deref(), Some("1"), "{name}");
        assert!(lines.take().contains(REFUSAL), "{name}");
        bench.daemon.set(&format!("{BACK}/{name}"), same);
        bench.daemon.set(&format!("{FRONT}/mtu"), "1400");
        bench.set_backend("2");
        bench.connect();
        assert_eq!(bench.card.capabilities().mtu_bytes, 1400);
        assert!(!lines.take().contains(REFUSAL), "{name}");
    }
}

#[test]
fn interfaces_are_told_once_each_also_when_they_come_later() {
    let (store, mut daemon) = fake::connect();
    let mut all = run(&store, &mut daemon, Interfaces::new(&store)).unwrap().unwrap();
    let mut fresh = |daemon: &mut Daemon| {
        let fresh = run(&store, daemon, all.fresh()).unwrap().unwrap();
        fresh.iter().map(|interface| interface.number).collect::<Vec<_>>()
    };
    assert_eq!(fresh(&mut daemon), []);
    // The toolstack writes node by node.
    let folder = "/local/domain/1/device/vif/7";
    daemon.set(&format!("{folder}/state"), "1");
    assert_eq!(fresh(&mut daemon), []);
    daemon.set(&format!("{folder}/mac"), "nonsense");
    assert_eq!(fresh(&mut daemon), []);
    make_front(&mut daemon, folder);
    assert_eq!(fresh(&mut daemon), [7]);
    assert_eq!(fresh(&mut daemon), []);
}

#[test]
fn of_two_with_one_address_the_first_is_used() {
    let (store, mut daemon) = fake::connect();
    let mut all = run(&store, &mut daemon, Interfaces::new(&store)).unwrap().unwrap();
    let folder = |number: u32| format!("/local/domain/1/device/vif/{number}");
    // Numbers are no words: 9 is before 10.
    for number in [10, 9] {
        make_front(&mut daemon, &folder(number));
    }
    make_front(&mut daemon, &folder(11));
    daemon.set(&format!("{}/mac", folder(11)), "00:16:3e:01:02:04");
    let mut fresh = |daemon: &mut Daemon| {
        let fresh = run(&store, daemon, all.fresh()).unwrap().unwrap();
        fresh.iter().map(|interface| interface.number).collect::<Vec<_>>()
    };
    assert_eq!(fresh(&mut daemon), [9, 11]);
    // When the first goes, the other is what comes back under another number, and no new one.
    daemon.remove(&folder(9));
    assert_eq!(fresh(&mut daemon), []);
    let now = run(&store, &mut daemon, Interfaces::now(&store)).unwrap().unwrap();
    assert_eq!(now.iter().map(|interface| interface.number).collect::<Vec<_>>(), [10, 11]);
}

#[test]
fn random_states_of_the_backend_are_survived() {
    for seed in 1..200_u64 {
        let mut state = seed;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let mut bench = Bench::new();
        for _ in 0..30 {
            match random(8) {
                0 => bench.daemon.remove(FRONT),
                1 => bench.daemon.remove(BACK),
                2 => make_interface(&mut bench.daemon),
                3 => bench.daemon.set(&format!("{BACK}/online"), &format!("{}", random(2))),
                4 => bench.send(&tcp_frame(random(3000) as usize), None),
                _ => bench.daemon.set(&format!("{BACK}/state"), &format!("{}", random(10))),
            }
            if random(2) == 0 {
                bench.settle();
            }
        }
        // Whatever happened, a toolstack that takes the interface away and gives it again is served.
        bench.daemon.remove(BACK);
        bench.daemon.remove(FRONT);
        bench.settle();
        make_interface(&mut bench.daemon);
        bench.settle();
        let mut backend = bench.connect();
        backend.send(&tcp_frame(20), 1, false);
        assert_eq!(bench.receive().unwrap(), tcp_frame(20), "seed {seed}");
    }
}

#[test]
fn an_error_says_what_is_short() {
    assert_eq!(format!("{}", Error::OutOfMemory), "no memory, grants or event channels left");
    let store = xen_store::Error::Disconnected;
    assert_eq!(format!("{}", Error::Store(store)), format!("xenstore: {store}"));
}
