//! The engine against itself, on wires that do what wires do. A failure names its seed.

mod support;

use support::{MSS, Net, Packet, Path, Random};
use tcp::{Algorithm, Config, Duration, Event, Flags, Segment, SeqNumber, State};

fn config() -> Config {
    Config::default()
}

/// So many, or those that `SEEDS=FROM-TO` says, for a long run.
fn seeds(count: u64) -> std::ops::Range<u64> {
    let text = std::env::var("SEEDS").unwrap_or_default();
    let range =
        text.split_once('-').and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    range.unwrap_or(0..count)
}

/// Nothing of a connection that ended is left.
fn assert_clean(net: &mut Net) {
    for host in &mut net.hosts {
        host.connection.release(&mut host.shared);
        assert_eq!(host.shared.memory.held_bytes(), 0);
    }
}

#[test]
fn a_clean_wire_carries_both_ways_and_ends() {
    let mut net = Net::new(1, [config(), config()], &[Path::CLEAN, Path::CLEAN]);
    net.hosts[0].to_send = 300_000;
    net.hosts[1].to_send = 2_000_000;
    assert!(net.run(Duration::from_secs(60)), "it ends");
    assert_eq!((net.hosts[0].received, net.hosts[1].received), (2_000_000, 300_000));
    for host in &net.hosts {
        assert_eq!(host.shared.counters.segments_retransmitted, 0);
        assert!(host.events.contains(&Event::Connected) && host.peer_finished);
    }
    assert_clean(&mut net);
}

fn wire(random: &mut Random) -> Path {
    Path {
        delay: Duration::from_micros(random.below(40_000)),
        rate: [0, 0, 1_000_000, 10_000_000][random.below(4) as usize],
        queue_packets: 10 + random.below(100) as usize,
        loss: [0, 1_000, 20_000, 100_000][random.below(4) as usize],
        duplication: [0, 10_000][random.below(2) as usize],
        reordering: [0, 5_000, 50_000, 300_000][random.below(4) as usize],
        reordering_by: Duration::from_micros(random.below(30_000)),
        marking: [0, 20_000][random.below(2) as usize],
        mss: [65_535, 65_535, 65_535, 1_300][random.below(4) as usize],
    }
}

fn settings(random: &mut Random) -> Config {
    let algorithms = [Algorithm::Cubic, Algorithm::Reno, Algorithm::Bbr, Algorithm::Off];
    Config {
        congestion_control: algorithms[random.below(4) as usize],
        timestamps: random.below(4) > 0,
        sack: random.below(4) > 0,
        window_scaling: random.below(4) > 0,
        ecn: random.below(2) == 0,
        nagle: random.below(2) == 0,
        pacing: random.below(2) == 0,
        receive_initial_bytes: [3_000, 65_536][random.below(2) as usize],
        receive_bytes_max: [3_000, 65_536, 1 << 20][random.below(3) as usize],
        ..config()
    }
}

fn transfer(seed: u64) {
    let mut random = Random(seed);
    let configs = [settings(&mut random), settings(&mut random)];
    let paths = [wire(&mut random), wire(&mut random)];
    let about = format!("seed {seed}: {configs:?} {paths:?}");
    let mut net = Net::new(seed, configs, &paths);
    for index in 0..2 {
        net.hosts[index].to_send = random.below(300_000);
        net.hosts[index].gso_bytes = [1_460, 65_536][random.below(2) as usize];
        net.hosts[index].in_place = random.below(2) == 0;
        net.hosts[index].reads = [500, usize::MAX][random.below(2) as usize];
    }
    let sums = [net.hosts[1].to_send, net.hosts[0].to_send];
    let ended = net.run(Duration::from_secs(600));
    let infos = [
        net.hosts[0].connection.info(&Config::default()),
        net.hosts[1].connection.info(&Config::default()),
    ];
    assert!(ended, "{about}\n{infos:?}");
    assert_eq!([net.hosts[0].received, net.hosts[1].received], sums, "{about}\n{infos:?}");
    assert_clean(&mut net);
}

#[test]
fn any_wire_carries_everything_exactly_once() {
    for seed in seeds(300) {
        transfer(seed);
    }
}

/// After the wire has been bad, it goes on within a retransmission time-out of when it is good again.
#[test]
fn no_stall_is_longer_than_a_timeout_after_the_wire_is_good_again() {
    for seed in 0..40 {
        let mut random = Random(seed);
        let path = Path { delay: Duration::from_millis(random.below(30)), ..Path::CLEAN };
        let mut net = Net::new(seed, [config(), config()], &[path.clone(), path.clone()]);
        net.hosts[1].to_send = 50_000_000;
        net.hosts[0].checks = false;
        net.hosts[1].checks = false;
        net.run_until(Duration::from_secs(10), |net| net.hosts[0].received > 500_000);
        let bad = Path { loss: 1_000_000, ..path.clone() };
        let way = random.below(3) as usize;
        for index in 0..2 {
            if way == index || way == 2 {
                net.set_path(index, bad.clone());
            }
        }
        let outage = Duration::from_millis(50 + random.below(1_500));
        net.run_until(outage, |_| false);
        let (good_at, received) = (net.now, net.hosts[0].received);
        net.set_path(0, path.clone());
        net.set_path(1, path.clone());
        let timeout = Duration::from_secs(4);
        assert!(
            net.run_until(timeout, |net| net.hosts[0].received > received + 100_000),
            "seed {seed}: nothing within {timeout:?} after {good_at:?}, outage {outage:?}: {:#?}",
            net.hosts[1].connection.info(&Config::default())
        );
    }
}

/// Through losses, disorder and queues that overflow, data comes again within a time-out.
#[test]
fn no_stall_in_many_downloads_is_longer_than_a_timeout() {
    for seed in 0..100 {
        let mut random = Random(seed);
        let path = Path {
            delay: Duration::from_micros(random.below(25_000)),
            loss: [0, 1_000, 10_000][random.below(3) as usize],
            reordering: [0, 5_000, 50_000][random.below(3) as usize],
            reordering_by: Duration::from_micros(random.below(10_000)),
            rate: [6_250_000, 50_000_000][random.below(2) as usize],
            queue_packets: 60,
            ..Path::CLEAN
        };
        let mut net = Net::new(seed, [config(), config()], &[path.clone(), path.clone()]);
        net.hosts[1].to_send = 1_000_000;
        assert!(net.run(Duration::from_secs(300)), "seed {seed}");
        assert_eq!(net.hosts[0].received, 1_000_000);
        // The handshake may lose a SYN; after it, a round trip and 200 ms with its variation.
        let stall = net.hosts[0].longest_stall;
        assert!(stall <= Duration::from_millis(400), "seed {seed}: {stall:?} {path:?}");
    }
}

#[test]
fn lost_handshakes_and_ends_are_sent_again() {
    for seed in 0..60 {
        let path = Path { loss: 300_000, ..Path::CLEAN };
        let mut net = Net::new(seed, [config(), config()], &[path.clone(), path]);
        net.hosts[0].to_send = 100;
        net.hosts[1].to_send = 100;
        let ended = net.run(Duration::from_secs(400));
        assert!(ended, "seed {seed}: {:?}", [0, 1].map(|host| net.hosts[host].connection.state()));
        assert_eq!((net.hosts[0].received, net.hosts[1].received), (100, 100), "seed {seed}");
    }
}

#[test]
fn a_black_hole_is_found() {
    let hole = Path { mss: 1_300, ..Path::CLEAN };
    let mut net = Net::new(3, [config(), config()], &[Path::CLEAN, hole]);
    net.hosts[1].to_send = 1_000_000;
    assert!(net.run(Duration::from_secs(60)));
    assert_eq!(net.hosts[0].received, 1_000_000);
    assert!(net.hosts[1].events.contains(&Event::PathMss));
    // RFC 8899 section 5.2: what passes is found again, to a few bytes.
    let mss = net.hosts[1].connection.mss();
    assert!((1_280..=1_300).contains(&mss), "{mss}");
    assert_eq!(net.hosts[1].shared.counters.retransmission_timeouts, 3);
    assert_eq!(net.hosts[1].shared.counters.black_holes, 1);
}

#[test]
fn what_a_router_says_of_the_path_is_acted_on_at_once() {
    let path = Path { delay: Duration::from_millis(20), ..Path::CLEAN };
    let mut net = Net::new(4, [config(), config()], &[path.clone(), path]);
    net.hosts[1].to_send = 3_000_000;
    net.run_until(Duration::from_secs(9), |net| net.hosts[0].received > 100_000);
    let narrow = Path { mss: 1_000, delay: Duration::from_millis(20), ..Path::CLEAN };
    net.set_path(1, narrow);
    net.run_until(Duration::from_millis(5), |_| false);
    let before = net.now;
    net.hosts[1].connection.handle_path_mss(before, 1_000, None);
    assert!(net.run(Duration::from_secs(60)));
    assert_eq!(net.hosts[0].received, 3_000_000);
    assert_eq!(net.hosts[1].shared.counters.retransmission_timeouts, 0);
    assert!(net.now.since(before) < Duration::from_secs(2));
}

/// Nothing passes for a while, and then everything that did.
fn outage(net: &mut Net, path: Path) {
    net.set_path(1, Path { loss: 1_000_000, ..path.clone() });
    net.hosts[1].to_send += 500_000;
    let sent = net.hosts[1].to_send;
    net.run_until(Duration::from_secs(5), |_| false);
    assert!(net.hosts[0].received < sent);
    net.set_path(1, path);
    carry(net, 3_000_000);
}

#[test]
fn rfc_8899_4_3_an_outage_says_nothing_of_the_path() {
    let mut net = Net::new(6, [config(), config()], &[path_of_20_ms(), path_of_20_ms()]);
    net.hosts.iter_mut().for_each(|host| host.finishes = false);
    carry(&mut net, 500_000);
    for _ in 0..3 {
        outage(&mut net, path_of_20_ms());
        assert_eq!(net.hosts[1].connection.mss(), MSS);
    }
    assert!(net.hosts[1].shared.counters.black_holes > 0);
    assert!(!net.hosts[1].events.contains(&Event::PathMss), "nobody is told");
}

#[test]
fn rfc_8899_4_3_what_a_router_said_outlives_an_outage_and_is_not_renewed() {
    let mut net = behind_a_narrow_path();
    let wider = Path { mss: 1_350, ..path_of_20_ms() };
    outage(&mut net, wider.clone());
    assert_eq!(net.hosts[1].connection.mss(), 1_300);
    assert!(!net.hosts[1].events.contains(&Event::PathMss), "nobody is told");
    net.now = net.now + Duration::from_secs(595);
    carry(&mut net, 500_000);
    let mss = net.hosts[1].connection.mss();
    assert!((1_334..=1_350).contains(&mss), "after ten minutes from when it was said: {mss}");
}

/// A host that knows from another connection that the path takes segments of 1,300 bytes, on one that does.
fn behind_a_narrow_path() -> Net {
    let narrow = Path { mss: 1_300, ..path_of_20_ms() };
    let mut net = Net::new(5, [config(), config()], &[path_of_20_ms(), narrow]);
    net.hosts.iter_mut().for_each(|host| host.finishes = false);
    carry(&mut net, 1_000);
    net.hosts[1].connection.handle_path_mss(net.now, 1_300, None);
    carry(&mut net, 500_000);
    assert_eq!(net.hosts[1].shared.counters.segments_retransmitted, 0);
    net
}

fn path_of_20_ms() -> Path {
    Path { delay: Duration::from_millis(20), ..Path::CLEAN }
}

fn carry(net: &mut Net, bytes: u64) {
    net.hosts[1].to_send += bytes;
    let sent = net.hosts[1].to_send;
    assert!(net.run_until(Duration::from_secs(60), |net| net.hosts[0].received == sent));
}

#[test]
fn rfc_8899_5_1_1_after_ten_minutes_a_larger_size_is_tried_again() {
    let mut net = behind_a_narrow_path();
    net.set_path(1, path_of_20_ms());
    for (waits, mss) in [(590, 1_300), (11, MSS)] {
        net.now = net.now + Duration::from_secs(waits);
        carry(&mut net, 500_000);
        assert_eq!(net.hosts[1].connection.mss(), mss);
    }
    assert!(net.hosts[1].events.contains(&Event::PathMss));
    assert_eq!(net.hosts[1].shared.counters.segments_retransmitted, 0);
}

#[test]
fn rfc_8899_3_a_path_that_has_not_become_wider_costs_the_probes_and_no_window() {
    let mut net = behind_a_narrow_path();
    for _ in 0..2 {
        net.now = net.now + Duration::from_secs(601);
        let before = net.hosts[1].shared.counters;
        carry(&mut net, 1_000_000);
        let host = &net.hosts[1];
        assert!((1_284..=1_300).contains(&host.connection.mss()), "{}", host.connection.mss());
        // 1,460, and then halfway between what passes and what does not.
        let resent = host.shared.counters.segments_retransmitted - before.segments_retransmitted;
        assert!((5..=10).contains(&resent), "{resent}");
        assert_eq!(host.shared.counters.retransmission_timeouts, 0);
        assert_eq!(host.shared.counters.recoveries, 0);
    }
}

#[test]
fn a_reader_that_stops_closes_the_window_and_a_lost_update_is_asked_for() {
    for seed in 0..20 {
        let path = Path { loss: 50_000, ..Path::CLEAN };
        let mut net = Net::new(seed, [config(), config()], &[path.clone(), path]);
        net.hosts[1].to_send = 400_000;
        net.hosts[0].reads = 0;
        net.run_until(Duration::from_secs(3 + seed), |_| false);
        net.run_until(Duration::from_secs(9), |net| net.hosts[0].connection.received_len() > 0);
        let info = net.hosts[0].connection.info(&Config::default());
        assert!(
            info.receive_queue > 0 && info.receive_queue <= info.receive_limit + 256,
            "{info:?}"
        );
        net.hosts[0].reads = usize::MAX;
        assert!(net.run(Duration::from_secs(100)), "seed {seed}");
        assert_eq!(net.hosts[0].received, 400_000);
    }
}

/// Segments of somebody who sees nothing and guesses, in all states: what is sent arrives nevertheless.
#[test]
fn hostile_segments_do_not_harm() {
    for seed in 0..60 {
        let mut random = Random(seed ^ 0xabcd);
        let path = Path { delay: Duration::from_millis(5), ..Path::CLEAN };
        let mut net = Net::new(seed, [config(), config()], &[path.clone(), path]);
        net.hosts[0].to_send = 100_000;
        net.hosts[1].to_send = 100_000;
        let mut hostile = Random(seed);
        while !net.hosts.iter().all(|host| host.is_over()) && net.step() {
            // A SYN without a number that could be wrong is believed in SYN-SENT: simultaneous open.
            if net.hosts.iter().any(|host| host.connection.state() == State::SynSent) {
                continue;
            }
            let seq = SeqNumber(hostile.next() as u32);
            let ack = SeqNumber(hostile.next() as u32);
            let flags = Flags(hostile.next() as u8 & 0x3f);
            let mut segment = Segment::new(seq, ack, flags);
            segment.window = hostile.next() as u16;
            let data = vec![0xee; random.below(u64::from(MSS)) as usize];
            net.arrive(random.below(2) as usize, &Packet { segment, data });
            assert!(net.now.micros() < 600_000_000, "seed {seed} ends");
        }
        net.turn();
        assert_eq!(
            (net.hosts[0].received, net.hosts[1].received),
            (100_000, 100_000),
            "seed {seed}"
        );
    }
}
