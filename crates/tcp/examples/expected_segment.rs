//! What the expected segment costs: run under `valgrind --tool=callgrind --toggle-collect='*::measured'`.
//!
//! `cargo build --release -p aqueduct-tcp --example expected_segment`, then the example with `request`, `request-ts`, `send` or `receive`.

use bytes::Bytes;
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
    let open = Open { initial: SeqNumber(100), mss: 1_460, path_mss: None, timestamp_offset: 0 };
    let offered = shared.config.syn_options(1_460, 0, None);
    let handshake = Handshake {
        peer_initial: SeqNumber(500),
        answered: offered,
        offered,
        window: 60_000,
        advertised: 65_535,
        ecn: false,
        round_trip: Some(Duration::from_micros(100)),
    };
    let mut connection = Connection::from_handshake(&mut shared, now, &open, &handshake);
    match what.as_str() {
        "send" => send(&mut connection, &mut shared, now),
        "receive" => receive(&mut connection, &mut shared, now),
        _ => requests(&mut connection, &mut shared, now, timestamps),
    }
    println!("{} predicted", shared.counters.segments_predicted);
}

fn header(round: u32, seq: SeqNumber, ack: SeqNumber, timestamps: bool) -> Segment {
    let mut segment = Segment::new(seq, ack, Flags::ACK);
    segment.window = 60_000;
    if timestamps {
        let timestamps = Some(Timestamps { value: round, echo: 0 });
        segment.options = Options { timestamps, ..Options::NONE };
    }
    segment
}

fn requests(connection: &mut Connection, shared: &mut Shared, start: Instant, timestamps: bool) {
    let (mut seq, mut ack) = (SeqNumber(501), SeqNumber(101));
    let request = [b'x'; 80];
    for round in 0..ROUNDS {
        let now = start + Duration::from_micros(u64::from(round) * 100);
        let segment = header(round, seq, ack, timestamps);
        let sent = measured(connection, shared, now, &segment, &request);
        seq = seq + request.len() as u32;
        ack = ack + sent;
    }
    println!("{ROUNDS} requests");
}

/// 64 MiB of shared bytes, acknowledged as they were sent.
fn send(connection: &mut Connection, shared: &mut Shared, start: Instant) {
    let whole = Bytes::from(vec![7; 1 << 20]);
    let (mut left, mut ack, mut round) = (Bytes::new(), SeqNumber(101), 0);
    let mut now = start;
    let mut total = 0_usize;
    while total < 64 << 20 {
        if left.is_empty() {
            left = whole.clone();
        }
        now = now + Duration::from_micros(100);
        round += 1;
        let sent = measured_send(connection, shared, now, &mut left);
        total += sent as usize;
        let mut at = 0;
        while at < sent {
            let part = (sent - at).min(44 * 1_460);
            at += part;
            ack = ack + part;
            measured_acknowledgement(
                connection,
                shared,
                now,
                &header(round, SeqNumber(501), ack, false),
            );
        }
    }
    println!("64 MiB sent in {round} turns");
}

#[inline(never)]
fn measured_send(
    connection: &mut Connection,
    shared: &mut Shared,
    now: Instant,
    left: &mut Bytes,
) -> u32 {
    connection.share(shared, left);
    let mut sent = 0;
    while let Some(transmit) = connection.poll_transmit(shared, now, 65_160) {
        for slice in connection.payload(&transmit) {
            black_box(slice.shared());
        }
        sent += transmit.len;
    }
    sent
}

#[inline(never)]
fn measured_acknowledgement(
    connection: &mut Connection,
    shared: &mut Shared,
    now: Instant,
    segment: &Segment,
) {
    connection.handle_segment(shared, now, segment, Payload::NONE);
    while black_box(connection.poll_event()).is_some() {}
}

/// 64 MiB in segments of 64 KiB, which are read at once and where they lie.
fn receive(connection: &mut Connection, shared: &mut Shared, start: Instant) {
    let data = vec![7; 43 * 1_460];
    let (mut seq, mut total, mut round) = (SeqNumber(501), 0, 0);
    while total < 64 << 20 {
        round += 1;
        let now = start + Duration::from_micros(u64::from(round) * 100);
        let segment = header(round, seq, SeqNumber(101), false);
        measured_receive(connection, shared, now, &segment, &data);
        seq = seq + data.len() as u32;
        total += data.len();
    }
    println!("64 MiB received in {round} segments");
}

#[inline(never)]
fn measured_receive(
    connection: &mut Connection,
    shared: &mut Shared,
    now: Instant,
    segment: &Segment,
    data: &[u8],
) {
    connection.handle_segment(shared, now, segment, Payload::Slice(data));
    while black_box(connection.poll_event()).is_some() {}
    let len = black_box(connection.received_mut()).len();
    connection.consume(shared, now, len);
    while black_box(connection.poll_transmit(shared, now, 65_160)).is_some() {}
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
