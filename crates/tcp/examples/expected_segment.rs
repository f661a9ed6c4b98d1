//! What the expected segment costs: run under `valgrind --tool=callgrind --toggle-collect='*::measured'`.
//!
//! `cargo build --release -p tcp --example expected_segment`, then the example with `idle`, `request` or `bulk`.

use std::hint::black_box;
use tcp::options::Timestamps;
use tcp::{
    Config, Connection, Duration, Flags, Handshake, Instant, Open, Options, Payload, Segment,
    SeqNumber, Shared,
};

const ROUNDS: u32 = 10_000;

fn main() {
    let what = std::env::args().nth(1).unwrap_or_default();
    println!("{} bytes of state", size_of::<Connection>());
    let timestamps = what.ends_with("-ts");
    let config = Config { timestamps, ..Config::default() };
    let mut shared = Shared::new(config);
    let now = Instant::from_micros(1_000_000);
    let open = Open { initial: SeqNumber(100), mss: 1_460, timestamp_offset: 0 };
    let offered = shared.config.syn_options(1_460, 0, None);
    let handshake = Handshake {
        peer_initial: SeqNumber(500),
        answered: offered,
        offered,
        window: 512,
        advertised: 65_535,
        ecn: false,
        round_trip: Some(Duration::from_micros(100)),
    };
    let mut connection = Connection::from_handshake(&mut shared, now, &open, &handshake);
    let before = shared.counters.segments_predicted;
    let (mut seq, mut ack) = (SeqNumber(501), SeqNumber(101));
    let request = [b'x'; 80];
    for round in 0..ROUNDS {
        let now = now + Duration::from_micros(u64::from(round) * 100);
        let mut segment = Segment::new(seq, ack, Flags::ACK | Flags::PSH);
        segment.window = 512;
        if timestamps {
            segment.options =
                Options { timestamps: Some(Timestamps { value: round, echo: 0 }), ..Options::NONE };
        }
        let sent = measured(&mut connection, &mut shared, now, &segment, &request);
        seq = seq + request.len() as u32;
        ack = ack + sent;
    }
    let predicted = shared.counters.segments_predicted - before;
    println!("{ROUNDS} requests, {predicted} predicted");
}

/// A request comes, is read, and answered; the answer is acknowledged by the next request.
#[inline(never)]
fn measured(
    connection: &mut Connection,
    shared: &mut Shared,
    now: Instant,
    segment: &Segment,
    request: &[u8],
) -> u32 {
    connection.handle_segment(shared, now, segment, Payload::Slice(request));
    while black_box(connection.poll_event()).is_some() {}
    let len = black_box(connection.received_mut()).len();
    connection.consume(shared, now, len);
    let room = connection.room(shared);
    room[..200].fill(7);
    connection.filled(shared, 200);
    let mut sent = 0;
    while let Some(transmit) = connection.poll_transmit(shared, now, 65_536) {
        for slice in connection.payload(&transmit) {
            black_box(slice.bytes());
        }
        sent += transmit.len;
    }
    black_box(connection.next_deadline());
    sent
}
