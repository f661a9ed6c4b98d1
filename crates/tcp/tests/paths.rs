//! Goodput over modelled paths, in simulated time: the same on every machine.
//!
//! `cargo test --release -p aqueduct-tcp --test paths -- --ignored --nocapture` prints the table.

mod support;

use support::{Net, Path};
use tcp::{Algorithm, Config, Duration};

/// A row of the table: a path, and what share of its rate is reached at least.
struct Row {
    name: &'static str,
    path: Path,
    cubic: f64,
    bbr: f64,
}

const GIGABIT: u64 = 125_000_000;

fn path(rate: u64, delay_micros: u64) -> Path {
    Path { rate, delay: Duration::from_micros(delay_micros), ..Path::CLEAN }
}

fn rows() -> Vec<Row> {
    let loss = |path: Path, percent: f64| Path { loss: (percent * 10_000.0) as u32, ..path };
    let disorder = |path: Path, percent: f64, micros: u64| Path {
        reordering: (percent * 10_000.0) as u32,
        reordering_by: Duration::from_micros(micros),
        ..path
    };
    let slow = || Path { queue_packets: 60, ..path(50_000_000 / 8, 10_000) };
    let hundred = || Path { queue_packets: 200, ..path(100_000_000 / 8, 5_000) };
    vec![
        Row { name: "clean, 0 ms", path: path(GIGABIT, 50), cubic: 0.90, bbr: 0.85 },
        Row { name: "1 % loss, 0 ms", path: loss(path(GIGABIT, 50), 1.0), cubic: 0.2, bbr: 0.8 },
        Row { name: "5 % loss, 0 ms", path: loss(path(GIGABIT, 50), 5.0), cubic: 0.03, bbr: 0.6 },
        Row { name: "25 ms", path: path(GIGABIT / 2, 25_000), cubic: 0.5, bbr: 0.4 },
        Row {
            name: "1 % loss, 25 ms",
            path: loss(path(GIGABIT / 2, 25_000), 1.0),
            cubic: 0.0,
            bbr: 0.4,
        },
        Row {
            name: "0.5 % reordered, 5 ms",
            path: disorder(path(GIGABIT / 2, 5_000), 0.5, 3_000),
            cubic: 0.5,
            bbr: 0.5,
        },
        Row {
            name: "5 % reordered, 25 ms",
            path: disorder(path(GIGABIT / 2, 25_000), 5.0, 10_000),
            cubic: 0.4,
            bbr: 0.4,
        },
        Row { name: "50 Mbit/s, 10 ms, queue of 60", path: slow(), cubic: 0.85, bbr: 0.85 },
        Row { name: "50 Mbit/s, 10 ms, 5 % loss", path: loss(slow(), 5.0), cubic: 0.03, bbr: 0.85 },
        Row {
            name: "100 Mbit/s, 5 ms, 0.1 % loss",
            path: loss(hundred(), 0.1),
            cubic: 0.4,
            bbr: 0.85,
        },
        Row {
            name: "100 Mbit/s, 5 ms, 1 % loss",
            path: loss(hundred(), 1.0),
            cubic: 0.1,
            bbr: 0.85,
        },
        Row {
            name: "100 Mbit/s, 5 ms, 5 % loss",
            path: loss(hundred(), 5.0),
            cubic: 0.03,
            bbr: 0.85,
        },
    ]
}

struct Outcome {
    share: f64,
    stall: Duration,
    timeouts: u64,
    undone: u64,
    resent: f64,
}

fn measure(seed: u64, row: &Row, algorithm: Algorithm, seconds: u64) -> Outcome {
    let config = Config { congestion_control: algorithm, ..Config::default() };
    let back = Path { rate: 0, reordering: 0, ..row.path.clone() };
    let mut net = Net::new(seed, [config.clone(), config], &[back, row.path.clone()]);
    net.hosts[1].to_send = u64::MAX;
    for host in &mut net.hosts {
        host.checks = false;
    }
    net.run_until(Duration::from_secs(seconds), |_| false);
    let received = net.hosts[0].received as f64;
    let counters = net.hosts[1].shared.counters;
    Outcome {
        share: received / seconds as f64 / (row.path.rate as f64 * 1_448.0 / 1_526.0),
        stall: net.hosts[0].longest_stall,
        timeouts: counters.retransmission_timeouts,
        undone: counters.undone,
        resent: counters.bytes_retransmitted as f64 / received.max(1.0),
    }
}

fn table(rows: Vec<Row>, seconds: u64) {
    let mut problems = Vec::new();
    println!(
        "{:34} {:>6} {:>9} {:>8} {:>8} {:>6} {:>7}",
        "path", "", "of link", "MiB/s", "stall ms", "RTOs", "resent"
    );
    for row in rows {
        for (algorithm, least) in [(Algorithm::Cubic, row.cubic), (Algorithm::Bbr, row.bbr)] {
            let outcome = measure(7, &row, algorithm, seconds);
            println!(
                "{:34} {:>6} {:>9.3} {:>8.2} {:>8} {:>6} {:>6.1}% {:>4} undone",
                row.name,
                format!("{algorithm:?}"),
                outcome.share,
                outcome.share * row.path.rate as f64 / 1_048_576.0,
                outcome.stall.micros() / 1_000,
                outcome.timeouts,
                outcome.resent * 100.0,
                outcome.undone,
            );
            if outcome.share < least {
                problems.push(format!("{} {algorithm:?}: {} < {least}", row.name, outcome.share));
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

/// The rows whose rates are low enough for a debug build.
#[test]
fn shares_of_slow_links() {
    table(rows().into_iter().filter(|row| row.path.rate < 20_000_000).collect(), 6);
}

#[test]
#[ignore = "a minute in a debug build"]
fn shares_of_all_links() {
    let only = std::env::var("ROW").unwrap_or_default();
    table(rows().into_iter().filter(|row| row.name.contains(&only)).collect(), 10);
}

/// A page of which a run of segments is lost, over a round trip of 25 ms: how long until all of it is there, and how often a
/// timer had to help.
fn run_of_losses(segments: u64, skipped: u64, lost: u64) -> (Duration, u64) {
    let config = Config::default();
    let way = path(GIGABIT, 12_500);
    let mut net = Net::new(1, [config.clone(), config], &[way.clone(), way]);
    net.hosts[1].to_send = segments * 1_448;
    let mut count = 0;
    net.tap = Some(Box::new(move |from, _, packet| {
        count += u64::from(from == 1 && !packet.data.is_empty());
        !(skipped + 1..=skipped + lost).contains(&count) || from == 0 || packet.data.is_empty()
    }));
    let begin = net.now;
    net.run_until(Duration::from_secs(20), |net| net.hosts[0].received == segments * 1_448);
    assert_eq!(net.hosts[0].received, segments * 1_448);
    (net.now.since(begin), net.hosts[1].shared.counters.retransmission_timeouts)
}

#[test]
fn rfc_9937_a_run_of_losses_is_repaired_by_doubling() {
    // After the handshake, the request's way and the first flight: 1, 2, 4, 8 and 5 again, and the rest in three round trips.
    let rows = [(71, 11, 10, 200), (71, 11, 20, 300), (71, 31, 40, 375), (725, 300, 60, 250)];
    for (segments, skipped, lost, limit) in rows {
        let (time, timeouts) = run_of_losses(segments, skipped, lost);
        assert_eq!(timeouts, 0, "{lost} of {segments}");
        assert!(time <= Duration::from_millis(limit), "{lost} of {segments}: {time:?}");
    }
}
