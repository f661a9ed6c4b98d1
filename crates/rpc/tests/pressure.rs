//! Back-pressure: where there is no room for a peer's calls they wait, and nothing waits for ever. Vats on links that
//! hold a few bytes, with large messages both ways, and a peer that reads by the reference implementation's rules.

mod peer;

use peer::{NOW, Peer, Said};
use rpc::{CallId, Cap, ConnId, Event, Kind, Limits, ObjectId, Payload, Vat};
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

/// A vat with one call at work, before whose limits stands a second; then a call that has no room.
fn full(limits: Limits) -> (Peer, Vec<CallId>) {
    let mut peer = Peer::new(limits);
    peer.send(&peer::bootstrap(0));
    peer.said();
    peer.send(&[peer::call_with(1, 0, &[], 20), peer::call_with(2, 0, &[], 20)].concat());
    let asked = peer.asked().into_iter().map(|(call, _)| call).collect();
    assert!(peer.vat.wants_input(peer.conn));
    peer.send(&[peer::call_with(3, 0, &[], 20), peer::finish(1)].concat());
    (peer, asked)
}

/// Limits of which each is reached by two calls.
fn narrow() -> [Limits; 2] {
    let limits = Limits::default();
    [Limits { answers_max: 2, ..limits }, Limits { call_bytes_max: 700, ..limits }]
}

#[test]
fn a_call_without_room_waits_in_the_stream_and_what_is_behind_it_with_it() {
    for limits in narrow() {
        let (mut peer, asked) = full(limits);
        assert_eq!(asked.len(), 2);
        assert!(!peer.vat.wants_input(peer.conn));
        assert_eq!(peer.unread, peer::finish(1));
        assert!(peer.asked().is_empty());
        peer.vat.reply(asked[1], Payload::results(0));
        assert!(peer.vat.wants_input(peer.conn), "an answer makes room");
        assert_eq!(peer.asked().len(), 1);
        let named = std::iter::from_fn(|| peer.vat.take_transmittable()).any(|c| c == peer.conn);
        assert!(named, "whoever drives the connection is told");
        peer.send(&[]);
        assert!(peer.unread.is_empty());
        peer.vat.reply(asked[0], Payload::results(0));
        peer.is_served();
    }
}

#[test]
fn while_the_peer_owes_an_answer_its_calls_are_taken_twice_and_then_refused() {
    for limits in narrow() {
        let mut peer = Peer::new(limits);
        peer.send(&peer::bootstrap(0));
        let theirs = peer.vat.bootstrap(peer.conn);
        let ours = peer.vat.call(theirs, 1, 1, Payload::params(0));
        for question in 1..=6 {
            peer.send(&peer::call_with(question, 0, &[], 20));
        }
        let asked = peer.asked();
        assert_eq!(asked.len(), 4);
        assert_eq!(peer.failures(), [(5, Kind::Overloaded), (6, Kind::Overloaded)]);
        // What it owes is read, whatever it asks.
        peer.send(&peer::return_to(1));
        assert!(peer.vat.result(ours).is_some());
        for (call, _) in asked {
            peer.vat.reply(call, Payload::results(0));
        }
        peer.vat.release_call(ours);
        peer.send(&peer::return_to(0));
        peer.vat.release(theirs);
        peer.is_served();
    }
}

#[test]
fn what_the_vat_asks_the_peer_lets_a_call_in_that_waits() {
    for limits in narrow() {
        let (mut peer, _) = full(limits);
        peer.vat.bootstrap(peer.conn);
        assert!(peer.vat.wants_input(peer.conn));
        assert_eq!(peer.asked().len(), 1);
    }
}

#[test]
fn a_refused_call_leaves_nothing() {
    let mut peer = Peer::new(Limits { answers_max: 1, ..Limits::default() });
    peer.send(&peer::bootstrap(0));
    let _ours = peer.vat.bootstrap(peer.conn);
    for question in 1..=2 {
        peer.send(&peer::call_with(question, 0, &[], 0));
    }
    peer.said();
    let before = (peer.vat.table_sizes(peer.conn), peer.vat.live());
    assert_eq!(peer.vat.all_table_sizes(), before.0, "it has one connection");
    peer.send(&peer::build(|message| {
        let mut call = message.init_call();
        call.set_question_id(3);
        call.reborrow().init_target().init_promised_answer();
        call.init_params().init_cap_table(1).get(0).set_sender_hosted(5);
    }));
    let output = peer.output();
    let said = peer::said(&output);
    assert!(matches!(said[..], [Said::Failed { question: 3, finish_needed: false, .. }]));
    assert!(peer::releases_params(&output), "the capabilities that it brought");
    assert_eq!((peer.vat.table_sizes(peer.conn), peer.vat.live()), before);
}

#[test]
fn a_call_that_waits_for_too_long_is_refused() {
    let limits = Limits { answers_max: 1, ..Limits::default() };
    let mut peer = Peer::new(limits);
    peer.send(&peer::bootstrap(0));
    peer.said();
    let second = Duration::from_secs(1);
    peer.send_at(second, &[peer::call_with(1, 0, &[], 0), peer::call_with(2, 0, &[], 0)].concat());
    let asked = peer.asked();
    let deadline = second + limits.stall_timeout;
    assert_eq!(peer.vat.next_deadline(second, peer.conn), Some(deadline));
    peer.vat.handle_timeout(deadline - Duration::from_millis(1), peer.conn);
    assert!(peer.said().is_empty());
    peer.vat.handle_timeout(deadline, peer.conn);
    assert_eq!(peer.failures(), [(2, Kind::Overloaded)]);
    peer.vat.reply(asked[0].0, Payload::results(0));
    peer.is_served();
}

#[test]
fn one_call_alone_may_be_longer_than_all_together() {
    let mut peer = Peer::new(Limits { call_bytes_max: 1_000, ..Limits::default() });
    peer.send(&[peer::bootstrap(0), peer::call_with(1, 0, &[], 1000)].concat());
    assert_eq!(peer.asked().len(), 1);
    peer.send(&peer::call_with(2, 0, &[], 0));
    assert!(!peer.vat.wants_input(peer.conn));
}

#[test]
fn a_peer_that_does_not_read_has_its_calls_wait_and_its_answers_read() {
    let limits = Limits { unsent_bytes_high: 500, ..Limits::default() };
    let mut peer = Peer::new(limits);
    for question in 0..1_000 {
        peer.send(&peer::bootstrap(question));
    }
    assert!(!peer.vat.wants_input(peer.conn));
    let held = peer.vat.held_bytes(peer.conn);
    assert!(held < 20_000, "{held} bytes");
    let mut answered = 0;
    while !peer.unread.is_empty() || peer.vat.has_output(peer.conn) {
        answered += peer.said().len();
        peer.send(&[]);
    }
    assert_eq!(answered, 1_000);
}

#[test]
fn results_that_nobody_reads_fail_before_the_connection_does() {
    let limits = Limits { unsent_bytes_max: 100_000, ..Limits::default() };
    let mut peer = Peer::new(limits);
    peer.send(&peer::bootstrap(0));
    for question in 1..=20 {
        peer.send(&peer::call_with(question, 0, &[], 0));
    }
    for (call, _) in peer.asked() {
        peer.vat.reply(call, results(20_000));
    }
    assert!(!peer.vat.is_closed(peer.conn));
    let failed = peer.failures();
    assert_eq!(failed.len(), 17, "{failed:?}");
    peer.is_served();
}

#[test]
fn calls_that_the_peer_does_not_read_fail_before_the_connection_does() {
    let limits = Limits { unsent_bytes_max: 100_000, ..Limits::default() };
    let mut peer = Peer::new(limits);
    let theirs = peer.vat.bootstrap(peer.conn);
    let calls: Vec<_> =
        (0..20).map(|_| peer.vat.call(theirs, 1, 1, params(&[0; 20_000]))).collect();
    let failed = |call: &&CallId| peer.vat.result(**call).is_some();
    assert_eq!(calls.iter().filter(failed).count(), 17);
    assert!(!peer.vat.is_closed(peer.conn));
}

#[test]
fn results_that_are_never_finished_are_bounded() {
    let limits = Limits { call_bytes_max: 50_000, ..Limits::default() };
    let mut peer = Peer::new(limits);
    peer.send(&peer::bootstrap(0));
    let mut refused = 0;
    for question in 1..=1_000 {
        peer.send(&peer::call_with(question, 0, &[], 0));
        for (call, _) in peer.asked() {
            let cap = peer.vat.object(ObjectId(7));
            peer.vat.reply(call, with_cap(cap));
        }
        refused += peer.failures().len();
    }
    assert!(refused > 800, "{refused}");
    let held = peer.vat.held_bytes(peer.conn);
    assert!(held < 500_000, "{held} bytes");
    // A peer that finishes is served again.
    for question in 0..=1_000 {
        peer.send(&peer::finish(question));
    }
    peer.is_served();
}

#[test]
fn output_is_given_back_as_it_leaves() {
    let mut peer = Peer::new(Limits::default());
    peer.send(&peer::bootstrap(0));
    peer.said();
    let idle = peer.vat.held_bytes(peer.conn);
    for question in 1..=100 {
        peer.send(&peer::call_with(question, 0, &[], 0));
    }
    for (call, _) in peer.asked() {
        peer.vat.reply(call, results(10_000));
    }
    let mut left = 1_000_000;
    let mut buffer = [0; 1_000];
    loop {
        let count = peer.vat.poll_transmit(NOW, peer.conn, &mut buffer);
        if count < buffer.len() {
            break;
        }
        left = usize::saturating_sub(left, count);
        let held = peer.vat.held_bytes(peer.conn);
        assert!(held <= left + left / 2 + 100_000, "{held} bytes held for {left}");
    }
    assert!(peer.vat.held_bytes(peer.conn) <= idle + (32 << 10));
}

#[test]
fn what_a_connection_holds_is_weighed() {
    let mut peer = Peer::new(Limits::default());
    peer.send(&peer::bootstrap(0));
    peer.said();
    let idle = peer.vat.held_bytes(peer.conn);
    let grown = |peer: &Peer| peer.vat.held_bytes(peer.conn) - idle;
    let long = peer::call_with(1, 0, &[], 100_000);
    peer.send(&long[..400_000]);
    assert!((400_000..900_000).contains(&grown(&peer)), "half a message: {}", grown(&peer));
    peer.send(&long[400_000..]);
    assert!((800_000..820_000).contains(&grown(&peer)), "a call: {}", grown(&peer));
    let (call, _) = peer.asked().pop().unwrap();
    let cap = peer.vat.object(ObjectId(7));
    peer.vat.reply(call, with_cap(cap));
    assert!(grown(&peer) < 20_000, "an answer: {}", grown(&peer));
    peer.said();
    peer.send(&peer::finish(1));
    assert!(grown(&peer) < 20_000, "nothing: {}", grown(&peer));
}

fn params(data: &[u8]) -> Payload {
    let mut params = Payload::params(data.len() as u32 / 8 + 1);
    params.build(&[], |mut content| content.set_as::<capnp::data::Owned>(data)).unwrap().unwrap();
    params
}

fn results(bytes: usize) -> Payload {
    let mut results = Payload::results(bytes as u32 / 8 + 1);
    results
        .build(&[], |mut content| content.set_as::<capnp::data::Owned>(&vec![0_u8; bytes][..]))
        .unwrap()
        .unwrap();
    results
}

fn with_cap(cap: Cap) -> Payload {
    let mut results = Payload::results(0);
    let slot = |mut root: capnp::any_pointer::Builder<'_>| {
        root.set_as_capability(rpc::slot::Slot(0).hook());
    };
    results.build(&[Some(cap)], slot).unwrap();
    results
}

/// When a vat reads.
#[derive(Clone, Copy)]
enum Reading {
    /// As this one says.
    Ours,
    /// As the reference implementation with a flow limit: not while the calls that it has not answered have more
    /// bytes. It knows no limits besides.
    Reference { flow_limit_bytes: usize },
}

/// What a call asks for: so many bytes of results, after a call back with so many bytes of parameters that asks for
/// as many, if any.
#[derive(Clone, Copy, Debug)]
struct Wish {
    results: usize,
    call_back: Option<usize>,
    /// Answered when all others are.
    late: bool,
}

impl Wish {
    fn params(self, bytes: usize) -> Payload {
        let call_back = self.call_back.map_or(0, |bytes| bytes + 1);
        let mut data = vec![0; bytes.max(17)];
        data[..8].copy_from_slice(&(self.results as u64).to_le_bytes());
        data[8..16].copy_from_slice(&(call_back as u64).to_le_bytes());
        data[16] = self.late.into();
        params(&data)
    }

    fn read(payload: &Payload) -> (Self, usize) {
        let read = payload.read(|content| {
            let data: capnp::data::Reader<'_> = content.get_as()?;
            let number = |at: usize| u64::from_le_bytes(data[at..at + 8].try_into().unwrap());
            let (results, call_back) = (number(0) as usize, (number(8) as usize).checked_sub(1));
            Ok((Self { results, call_back, late: data[16] != 0 }, data.len()))
        });
        read.unwrap()
    }
}

/// A vat, its application, and what is on its way to it.
struct End {
    vat: Vat,
    conn: ConnId,
    peer: Cap,
    reading: Reading,
    wire: VecDeque<u8>,
    made: HashSet<CallId>,
    late: Vec<(CallId, Wish)>,
    /// Calls to answer once a call of ours has returned.
    waiting: Vec<(CallId, CallId, Wish)>,
    unanswered_bytes: usize,
    bytes_of: HashMap<CallId, usize>,
    failed: usize,
    held_max: usize,
}

impl End {
    fn new(limits: Limits, reading: Reading) -> Self {
        let limits = match reading {
            Reading::Ours => limits,
            Reading::Reference { .. } => Limits {
                answers_max: usize::MAX,
                call_bytes_max: usize::MAX,
                unsent_bytes_high: usize::MAX,
                unsent_bytes_max: usize::MAX,
                ..limits
            },
        };
        let mut vat = Vat::new(limits);
        let offered = vat.object(ObjectId(1));
        let conn = vat.connect(Some(offered));
        let peer = vat.bootstrap(conn);
        Self {
            vat,
            conn,
            peer,
            reading,
            wire: VecDeque::new(),
            made: HashSet::new(),
            late: Vec::new(),
            waiting: Vec::new(),
            unanswered_bytes: 0,
            bytes_of: HashMap::new(),
            failed: 0,
            held_max: 0,
        }
    }

    fn call(&mut self, wish: Wish, bytes: usize) {
        let call = self.vat.call(self.peer, 1, 1, wish.params(bytes));
        self.made.insert(call);
    }

    fn reads(&self) -> bool {
        match self.reading {
            Reading::Ours => self.vat.wants_input(self.conn),
            Reading::Reference { flow_limit_bytes } => self.unanswered_bytes <= flow_limit_bytes,
        }
    }

    /// Reads some bytes; whether there were any.
    fn read(&mut self, bytes: usize) -> bool {
        let count = bytes.min(self.wire.len());
        if count == 0 || !self.reads() {
            return false;
        }
        let front: Vec<u8> = self.wire.iter().take(count).copied().collect();
        let taken = self.vat.handle_input(NOW, self.conn, &front);
        self.wire.drain(..taken);
        self.held_max = self.held_max.max(self.vat.held_bytes(self.conn));
        taken > 0
    }

    /// Does what arrived asks for; whether anything.
    fn work(&mut self) -> bool {
        let mut moved = false;
        while let Some(event) = self.vat.poll_event() {
            moved = true;
            match event {
                Event::Call { call, params, .. } => {
                    let (wish, bytes) = Wish::read(&params);
                    self.unanswered_bytes += bytes;
                    self.bytes_of.insert(call, bytes);
                    match wish.call_back {
                        Some(bytes) => {
                            let asks = Wish { results: bytes, call_back: None, late: wish.late };
                            let back = self.vat.call(self.peer, 1, 1, asks.params(bytes));
                            self.waiting.push((back, call, wish));
                        }
                        None if wish.late => self.late.push((call, wish)),
                        None => self.answer(call, wish),
                    }
                }
                Event::Returned(call) => {
                    if let Some(at) = self.waiting.iter().position(|(back, ..)| *back == call) {
                        let (back, call, wish) = self.waiting.swap_remove(at);
                        self.vat.release_call(back);
                        self.answer(call, wish);
                    } else {
                        self.failed += usize::from(self.vat.result(call).unwrap().is_err());
                        self.made.remove(&call);
                        self.vat.release_call(call);
                    }
                }
                Event::Disconnected { reason, .. } => panic!("disconnected: {reason}"),
                _ => {}
            }
        }
        moved
    }

    fn answer(&mut self, call: CallId, wish: Wish) {
        self.unanswered_bytes -= self.bytes_of.remove(&call).unwrap();
        self.vat.reply(call, results(wish.results));
    }
}

/// Runs two vats over links that hold `wire_bytes`, until nothing moves; panics if something is left then.
fn run(ends: &mut [End; 2], wire_bytes: usize) {
    loop {
        let mut moved = false;
        for index in 0..2 {
            let [one, two] = &mut *ends;
            let (from, to) = if index == 0 { (one, two) } else { (two, one) };
            let mut buffer = vec![0; wire_bytes - to.wire.len()];
            let count = from.vat.poll_transmit(NOW, from.conn, &mut buffer);
            to.wire.extend(&buffer[..count]);
            moved |= count > 0;
            moved |= to.read(wire_bytes.min(300));
            moved |= to.work();
        }
        if moved {
            continue;
        }
        // Each application answers in the end, one by one.
        let late = ends.iter_mut().find_map(|end| Some((end.late.pop()?, end)));
        let Some(((call, wish), end)) = late else { break };
        end.answer(call, wish);
    }
    for end in ends {
        let sizes = end.vat.table_sizes(end.conn);
        assert!(end.made.is_empty(), "{} calls never returned; {sizes:?}", end.made.len());
        assert!(end.wire.is_empty() && end.waiting.is_empty());
    }
}

fn small() -> Limits {
    Limits {
        answers_max: 20,
        call_bytes_max: 40_000,
        unsent_bytes_high: 10_000,
        unsent_bytes_max: 4_000_000,
        ..Limits::default()
    }
}

#[test]
fn two_vats_that_both_have_much_unsent_go_on() {
    for wire_bytes in [1, 100, 4_000] {
        let mut ends = [0, 1].map(|_| End::new(small(), Reading::Ours));
        let bytes = if wire_bytes == 1 { 5_000 } else { 200_000 };
        for end in &mut ends {
            for _ in 0..8 {
                end.call(Wish { results: bytes, call_back: None, late: false }, bytes);
            }
        }
        run(&mut ends, wire_bytes);
        assert_eq!(ends.each_ref().map(|end| end.failed), [0, 0]);
    }
}

#[test]
fn results_both_ways_that_are_longer_than_all_buffers_go_on() {
    let mut ends = [0, 1].map(|_| End::new(small(), Reading::Ours));
    for end in &mut ends {
        for _ in 0..15 {
            end.call(Wish { results: 100_000, call_back: Some(50_000), late: false }, 17);
        }
    }
    run(&mut ends, 1_000);
    assert_eq!(ends.each_ref().map(|end| end.failed), [0, 0]);
}

#[test]
fn a_peer_by_the_reference_implementations_rules_goes_on() {
    for flow_limit_bytes in [0, 50_000, usize::MAX] {
        let reference = Reading::Reference { flow_limit_bytes };
        let mut ends = [End::new(small(), Reading::Ours), End::new(small(), reference)];
        for end in &mut ends {
            for _ in 0..8 {
                end.call(Wish { results: 100_000, call_back: None, late: true }, 10_000);
            }
        }
        run(&mut ends, 1_000);
    }
}

#[test]
fn seeded_loads_always_go_on() {
    for seed in 0..300 {
        let mut state = seed;
        let mut below = |bound: u64| random(&mut state) % bound;
        let reading = match below(3) {
            // A flow limit that a call in the other direction waits behind is the reference implementation's own
            // deadlock (rpc.h, `setFlowLimit`): then nothing calls back here.
            0 => Reading::Reference { flow_limit_bytes: below(100_000) as usize },
            1 => Reading::Reference { flow_limit_bytes: usize::MAX },
            _ => Reading::Ours,
        };
        let calls_back = !matches!(reading, Reading::Reference { flow_limit_bytes: 0..100_000 });
        let mut ends = [End::new(small(), Reading::Ours), End::new(small(), reading)];
        for _ in 0..below(100) {
            let call_back = (calls_back && below(4) == 0).then(|| below(30_000) as usize);
            let wish = Wish { results: below(30_000) as usize, call_back, late: below(3) == 0 };
            ends[below(2) as usize].call(wish, below(10_000) as usize);
        }
        let wire_bytes = 1 + below(3_000) as usize;
        run(&mut ends, wire_bytes);
        for end in ends.iter().filter(|end| matches!(end.reading, Reading::Ours)) {
            assert!(end.held_max < 6_000_000, "seed {seed}: {} bytes", end.held_max);
        }
    }
}

/// A legitimate client: it writes as it can and reads what comes.
#[test]
fn seventy_thousand_pipelined_calls_are_answered() {
    let mut ends = [0, 1].map(|_| End::new(Limits::default(), Reading::Ours));
    ends[1].reading = Reading::Reference { flow_limit_bytes: usize::MAX };
    let [_, client] = &mut ends;
    client.vat = Vat::new(Limits { questions_max: 100_000, ..Limits::default() });
    client.conn = client.vat.connect(None);
    client.peer = client.vat.bootstrap(client.conn);
    ends[0].vat = Vat::new(Limits::default());
    let offered = ends[0].vat.object(ObjectId(1));
    ends[0].conn = ends[0].vat.connect(Some(offered));
    for _ in 0..70_000 {
        ends[1].call(Wish { results: 50, call_back: None, late: false }, 17);
    }
    run(&mut ends, 65_536);
    assert_eq!(ends[1].failed, 0);
}

/// All results hold a capability, and no finish comes before all calls were sent.
#[test]
fn seventy_thousand_pipelined_calls_with_capabilities_are_answered() {
    let mut peer = Peer::new(Limits::default());
    peer.send(&peer::bootstrap(0));
    let cap = peer.vat.object(ObjectId(7));
    let (mut answered, mut failed) = (0, 0);
    for question in 1..=70_000 {
        peer.send(&peer::call_on_answer(question, 0, &[]));
        for (call, _) in peer.asked() {
            let cap = peer.vat.retain(cap);
            peer.vat.reply(call, with_cap(cap));
        }
        for said in peer.said() {
            match said {
                Said::Results { .. } => answered += 1,
                _ => failed += 1,
            }
        }
    }
    assert_eq!((answered, failed), (70_001, 0));
    let held = peer.vat.held_bytes(peer.conn);
    assert!((50_000_000..150_000_000).contains(&held), "{held}");
    for question in 0..=70_000 {
        peer.send(&peer::finish(question));
    }
    assert!(peer.vat.held_bytes(peer.conn) < 200_000);
    peer.is_served();
}

/// An object of a service is held by everybody.
#[test]
fn an_object_with_thousands_of_holders_is_exported_and_let_go_in_any_order() {
    let mut vat = Vat::new(Limits::default());
    let object = vat.object(ObjectId(1));
    let mut conns: Vec<_> = (0..6_000)
        .map(|_| {
            let offered = vat.retain(object);
            vat.connect(Some(offered))
        })
        .collect();
    for conn in &conns {
        let both = [peer::bootstrap(0), peer::bootstrap(1)].concat();
        assert_eq!(vat.handle_input(NOW, *conn, &both), both.len());
        assert_eq!(vat.table_sizes(*conn).exports, 1, "twice the same");
    }
    let mut state = 7;
    while !conns.is_empty() {
        let at = random(&mut state) as usize % conns.len();
        let conn = conns.swap_remove(at);
        match at % 3 {
            0 => vat.forget(conn),
            _ => {
                for question in 0..2 {
                    let finish = peer::finish(question);
                    assert_eq!(vat.handle_input(NOW, conn, &finish), finish.len());
                }
                assert_eq!(vat.table_sizes(conn).exports, 0);
                vat.forget(conn);
            }
        }
    }
    vat.release(object);
    assert_eq!(vat.live(), (0, 0));
}

/// SplitMix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
