//! Properties that hold for every segment in every state.

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use support::{Host, Net, Path, Random};
use tcp::options::{SackBlocks, Timestamps};
use tcp::{
    Algorithm, Config, Connection, Duration, Flags, Instant, Payload, Segment, SeqNumber, State,
};

/// So many, or those that `SEEDS=FROM-TO` says, for a long run.
fn seeds(count: u64) -> std::ops::Range<u64> {
    let text = std::env::var("SEEDS").unwrap_or_default();
    let range =
        text.split_once('-').and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    range.unwrap_or(0..count)
}

/// All that is to be seen of a connection but its counters and what it is about to answer.
fn picture(connection: &Connection) -> String {
    format!("{:?} {}", connection.info(&Config::default()), connection.received_len())
}

/// A connection in some state with data on its way, taken out of a transfer at some time.
fn midway(seed: u64) -> (Net, Random) {
    let mut random = Random(seed);
    let config =
        Config { timestamps: random.below(2) == 0, sack: random.below(4) > 0, ..Config::default() };
    let path = Path {
        delay: Duration::from_millis(random.below(20)),
        loss: [0, 50_000][random.below(2) as usize],
        rate: 1_000_000,
        ..Path::CLEAN
    };
    let mut net = Net::new(seed, [config.clone(), config], &[path.clone(), path]);
    for host in &mut net.hosts {
        host.to_send = random.below(60_000);
    }
    let steps = random.below(150);
    for _ in 0..steps {
        if !net.step() {
            break;
        }
    }
    (net, random)
}

/// Numbers near those that matter, and others.
fn near(random: &mut Random, numbers: &[SeqNumber]) -> SeqNumber {
    let number = numbers[random.below(numbers.len() as u64) as usize];
    match random.below(8) {
        0 => SeqNumber(random.next() as u32),
        1 => number + random.below(100_000) as u32,
        2 => number - random.below(100_000) as u32,
        3 => number + 1,
        4 => number - 1,
        _ => number,
    }
}

struct Known {
    next: SeqNumber,
    edge: SeqNumber,
}

/// RCV.NXT and the right edge, as the last segment that left said.
fn known(net: &mut Net, index: usize) -> Option<(Segment, Known)> {
    let now = net.now;
    let host = &mut net.hosts[index];
    // A segment outside of all windows makes the connection say where it is.
    let probe = Segment::new(SeqNumber(0), SeqNumber(0), Flags::SYN);
    host.connection.handle_segment(&mut host.shared, now, &probe, Payload::NONE);
    let mut last = None;
    while let Some(transmit) = host.connection.poll_transmit(&mut host.shared, now, 0) {
        last = Some(transmit.segment);
    }
    let segment = last?;
    // Half of the hosts scale: the edge is only known to be at least that.
    let edge = segment.ack + u32::from(segment.window);
    Some((segment, Known { next: segment.ack, edge }))
}

#[test]
fn an_unacceptable_segment_changes_nothing() {
    let mut tried = 0;
    for seed in 0..400 {
        let (mut net, mut random) = midway(seed);
        let index = random.below(2) as usize;
        if !net.hosts[index].connection.state().is_synchronized()
            || net.hosts[index].connection.state() == State::TimeWait
        {
            continue;
        }
        net.now = net.now + Duration::from_secs(2);
        let Some((segment, known)) = known(&mut net, index) else { continue };
        let host = &mut net.hosts[index];
        let now = net.now;
        for _ in 0..50 {
            let before = picture(&host.connection);
            let far = 8 << 20;
            let old = random.below(2) == 0;
            let len = random.below(1_000) as u32;
            // Entirely before the window, or entirely behind it; or an acknowledgement that cannot be.
            let seq = match random.below(3) {
                0 => known.next - (2_000 + random.below(100_000) as u32),
                1 => known.edge + far + random.below(100_000) as u32,
                _ => known.next,
            };
            let is_outside = seq != known.next;
            let mut flags = Flags::ACK;
            if random.below(4) == 0 {
                flags = flags | Flags::PSH | Flags::URG;
            }
            if is_outside && random.below(3) == 0 {
                flags = flags | [Flags::FIN, Flags::RST, Flags::SYN][random.below(3) as usize];
            }
            let ack = if is_outside {
                near(&mut random, &[segment.seq])
            } else if old {
                segment.seq - ((1 << 24) + random.below(1 << 20) as u32)
            } else {
                segment.seq + (1 << 24)
            };
            let mut attack = Segment::new(seq, ack, flags);
            attack.window = random.next() as u16;
            if let Some(theirs) = segment.options.timestamps {
                attack.options.timestamps = Some(Timestamps {
                    value: theirs.echo + random.below(50) as u32,
                    echo: theirs.value,
                });
            }
            let data = vec![0xbb; len as usize];
            host.connection.handle_segment(&mut host.shared, now, &attack, Payload::Slice(&data));
            while host.connection.poll_transmit(&mut host.shared, now, 0).is_some() {}
            assert_eq!(before, picture(&host.connection), "seed {seed}: {attack:?} +{len}");
            tried += 1;
        }
    }
    assert!(tried > 3_000, "{tried}");
}

/// A segment with numbers near those of the last one that left.
fn attack(host: &mut Host, now: Instant, random: &mut Random) -> Segment {
    let mut numbers = vec![SeqNumber(random.next() as u32)];
    let mut acks = numbers.clone();
    let mut clock = 0;
    let mut sent = Vec::new();
    while let Some(transmit) = host.connection.poll_transmit(&mut host.shared, now, 65_536) {
        sent.push(transmit);
        assert!(sent.len() < 20_000, "it ends");
    }
    if let Some(transmit) = sent.last() {
        numbers =
            vec![transmit.segment.ack, transmit.segment.ack + u32::from(transmit.segment.window)];
        acks = vec![transmit.segment.seq, transmit.segment.seq + transmit.len];
        clock = transmit.segment.options.timestamps.map_or(0, |it| it.echo);
    }
    let flags = match random.below(6) {
        0 => Flags(random.next() as u8),
        1 => Flags::ACK | Flags::FIN,
        _ => Flags::ACK,
    };
    let mut segment = Segment::new(near(random, &numbers), near(random, &acks), flags);
    segment.window = random.next() as u16;
    if random.below(3) > 0 {
        segment.options.timestamps = Some(Timestamps {
            value: clock.wrapping_add(random.below(3) as u32),
            echo: random.next() as u32,
        });
    }
    let mut sack = SackBlocks::NONE;
    for _ in 0..random.below(5) {
        sack.push(near(random, &acks), near(random, &acks));
    }
    segment.options.sack = sack;
    segment
}

/// Segments whose numbers are near to what matters, in every state: nothing panics, memory is counted right, and
/// what the connection says about itself makes sense.
#[test]
fn near_misses_do_no_harm() {
    let mut states = std::collections::BTreeSet::new();
    for seed in seeds(300) {
        let (mut net, mut random) = midway(seed);
        let index = random.below(2) as usize;
        for _ in 0..200 {
            let mut now = net.now;
            let host = &mut net.hosts[index];
            states.insert(format!("{:?}", host.connection.state()));
            let segment = attack(host, now, &mut random);
            let data = vec![1; random.below(3_000) as usize];
            host.connection.handle_segment(&mut host.shared, now, &segment, Payload::Slice(&data));
            match random.below(8) {
                0 => {
                    let len = host.connection.received_mut().len();
                    host.connection.consume(&mut host.shared, now, len);
                }
                1 => {
                    host.connection.write(&mut host.shared, &data);
                }
                2 => {
                    now = now + Duration::from_micros(random.below(500_000));
                    if host.connection.next_deadline() <= now {
                        host.connection.handle_timeout(&mut host.shared, now);
                    }
                }
                3 if random.below(20) == 0 => host.connection.close(&mut host.shared),
                4 if random.below(20) == 0 => {
                    host.connection.handle_path_mss(now, random.next() as u16, None);
                }
                _ => {}
            }
            while host.connection.poll_event().is_some() {}
            let info = host.connection.info(&Config::default());
            assert!(info.out_of_order <= info.receive_limit + 65_536, "seed {seed}: {info:?}");
            net.now = now;
        }
        let host = &mut net.hosts[index];
        host.connection.release(&mut host.shared);
        assert_eq!(host.shared.memory.held_bytes(), 0, "seed {seed}");
    }
    assert!(states.len() >= 7, "{states:?}");
}

/// A budget that is used up makes connections slow, not wrong.
#[test]
fn a_small_budget_is_kept_and_everything_arrives() {
    for seed in 0..20 {
        let config = Config { buffers_bytes_max: 40 << 10, ..Config::default() };
        let path = Path { loss: 20_000, delay: Duration::from_millis(3), ..Path::CLEAN };
        let mut net = Net::new(seed, [config.clone(), config], &[path.clone(), path]);
        net.hosts[0].to_send = 200_000;
        net.hosts[1].to_send = 200_000;
        let mut most = 0;
        net.run_until(Duration::from_secs(200), |net| {
            most = most.max(net.hosts[0].shared.memory.held_bytes());
            net.hosts.iter().all(|host| host.received == 200_000)
        });
        assert!(most <= 40 << 10);
        assert_eq!(
            (net.hosts[0].received, net.hosts[1].received),
            (200_000, 200_000),
            "seed {seed}"
        );
    }
}

/// What left, with its time.
type Trace = Rc<RefCell<Vec<(usize, Instant, Segment, usize)>>>;

fn traced(seed: u64, header_prediction: bool) -> (Trace, u64) {
    let mut random = Random(seed);
    let algorithms = [Algorithm::Cubic, Algorithm::Reno, Algorithm::Bbr];
    let config = Config {
        header_prediction,
        timestamps: random.below(2) == 0,
        sack: random.below(4) > 0,
        ecn: random.below(2) == 0,
        congestion_control: algorithms[random.below(3) as usize],
        ..Config::default()
    };
    let path = Path {
        delay: Duration::from_millis(random.below(30)),
        loss: [0, 10_000][random.below(2) as usize],
        reordering: [0, 10_000][random.below(2) as usize],
        reordering_by: Duration::from_millis(5),
        marking: [0, 10_000][random.below(2) as usize],
        rate: 3_000_000,
        ..Path::CLEAN
    };
    let mut net = Net::new(seed, [config.clone(), config], &[path.clone(), path]);
    net.hosts[0].to_send = random.below(200_000);
    net.hosts[1].to_send = random.below(400_000);
    let trace = Trace::default();
    let sink = trace.clone();
    net.tap = Some(Box::new(move |from, at, packet| {
        sink.borrow_mut().push((from, at, packet.segment, packet.data.len()));
        true
    }));
    assert!(net.run(Duration::from_secs(300)), "seed {seed}");
    (trace, net.hosts.iter().map(|host| host.shared.counters.segments_predicted).sum())
}

/// Header prediction and RFC 9293's order of questions send the same segments at the same times.
#[test]
fn the_short_way_and_the_long_way_come_to_the_same() {
    let mut predicted = 0;
    for seed in 0..100 {
        let (short, count) = traced(seed, true);
        let (long, none) = traced(seed, false);
        assert_eq!(none, 0);
        predicted += count;
        let (short, long) = (short.borrow(), long.borrow());
        for (index, (short, long)) in short.iter().zip(long.iter()).enumerate() {
            assert_eq!(short, long, "seed {seed}, segment {index}");
        }
        assert_eq!(short.len(), long.len(), "seed {seed}");
    }
    assert!(predicted > 5_000, "{predicted}");
}
