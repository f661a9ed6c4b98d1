//! Each kind of peer against each protocol, over flows in memory and under a clock that is moved by hand: who is slow but
//! steady gets everything, and who does not move is let go at the time that the limits say, neither before nor after.
//!
//! A protocol is a [`Protocol`]: what a peer says, and the times that it has. All are in [`PROTOCOLS`].

use endpoints::http::{Limits, Server, ServerConfig};
use endpoints::pipe::make_server;
use endpoints::rpc::{self, Rpc};
use endpoints::zmq::{Bind, Host};
use flow::ledger::Ledger;
use flow::memory::{self, MemoryFlow, MemoryNetwork};
use flow::task::{Executor, block_on};
use flow::time::Timers;
use flow::{Connector, Flow, Target};
use rpc_demo::demo::Demo;
use rpc_demo::demo_capnp::demo as schema;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use web::{Request, Response};

/// What a flow holds, in bytes, in each direction: far less than the long messages.
const CAPACITY_BYTES: usize = 1000;
/// What the slowest peer takes, or sends, that is served to the end, in bytes per second.
const STEADY_BYTES: usize = 600;
const SECOND: Duration = Duration::from_secs(1);
/// Nobody is held for longer who does what these peers do.
const PATIENCE: Duration = Duration::from_secs(1000);

/// What comes before small messages, and one of them.
type Flood = fn() -> (Vec<u8>, Vec<u8>);

struct Protocol {
    name: &'static str,
    /// Serves; how many connections there are.
    serve: fn(&Lab) -> Box<dyn Fn() -> usize>,
    /// Asks for an answer of some 100,000 bytes.
    asks: fn() -> Vec<u8>,
    /// A message of some 100,000 bytes that is answered.
    tells: fn() -> Vec<u8>,
    floods: &'static [Flood],
    /// The server closes after an answer; else the peer does.
    closes: bool,
    /// Something after which the server closes, having said why.
    ends: fn() -> Vec<u8>,
    /// Bytes of it after which a peer falls silent, each in the middle of something else, and after how many seconds of
    /// silence there is no connection.
    stops: &'static [(usize, u64)],
    /// How long a peer may take nothing, or send nothing in the middle of the last of the stops.
    pause: (Duration, Duration),
    /// How long a peer that takes nothing has, beyond the pause, to take the reason of its end.
    farewell: Duration,
    /// Whole messages that a peer may drip, each of which has the time of one.
    messages: u32,
    /// How long a peer may stay that was answered for the last time.
    linger: Duration,
}

static PROTOCOLS: [&Protocol; 3] = [&HTTP, &RPC, &ZMQ];

static HTTP: Protocol = Protocol {
    name: "http",
    serve: |lab| {
        let handler = async |mut request: Request| {
            let body = request.body().collect(1 << 20).await;
            Response::ok("text/plain", body.unwrap_or_default()).closing()
        };
        let config = ServerConfig::default();
        let server = Server::new(config, &lab.executor.spawner(), &lab.timers, handler);
        let listener = lab.network.listen(&target()).unwrap();
        lab.executor.spawner().spawn("listener", server.clone().serve(listener));
        Box::new(move || server.connections())
    },
    asks: || http_post(&[b'a'; 100_000]),
    tells: || http_post(&[b'a'; 100_000]),
    floods: &[|| {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        (head.into(), b"1\r\nx\r\n".to_vec())
    }],
    closes: true,
    ends: || http_post(b"a"),
    stops: &[(0, 15), (7, 15), (40, 15), (1000, 35)],
    pause: (Duration::from_secs(60), Duration::from_secs(30)),
    farewell: Duration::ZERO,
    messages: 1,
    linger: Duration::from_secs(5),
};

/// Its connections may be silent for ever between two messages, and end when the peer ends them.
static RPC: Protocol = Protocol {
    name: "rpc",
    serve: |lab| {
        let rpc = Rpc::new(rpc::Limits::default(), &lab.executor.spawner(), &lab.timers);
        let service: schema::Client = rpc.client(Demo::new(&rpc, "demo"));
        let offering = rpc.offer(lab.network.listen(&target()).unwrap(), service);
        lab.executor.spawner().spawn("listener", async {
            offering.await;
        });
        Box::new(move || rpc.connections())
    },
    asks: rpc_echo,
    tells: rpc_echo,
    // A bootstrap and its finish; and what neither has nor wants an answer: a finish of nothing.
    floods: &[
        || (Vec::new(), [rpc_message(8), rpc_message(4)].concat()),
        || (Vec::new(), rpc_message(4)),
    ],
    closes: false,
    // A message of half a million segments.
    ends: || vec![0xff; 64],
    stops: &[(3, 60), (7, 60), (40, 60), (1000, 60)],
    pause: (Duration::from_secs(60), Duration::from_secs(60)),
    farewell: Duration::from_secs(60),
    messages: 2,
    linger: Duration::ZERO,
};

/// As RPC; before its handshake is done, a peer has half a minute for that.
static ZMQ: Protocol = Protocol {
    name: "zmq",
    serve: |lab| {
        let host = Host {
            spawner: lab.executor.spawner(),
            timers: lab.timers.clone(),
            entropy: Rc::new(|bytes| bytes.fill(7)),
            ledger: None,
        };
        let listener = Bind(lab.network.listen(&target()).unwrap());
        make_server(&host, async |text: String| text, listener);
        let spawner = lab.executor.spawner();
        Box::new(move || spawner.tasks().iter().filter(|task| task.name == "zmq peer").count())
    },
    asks: zmq_echo,
    tells: zmq_echo,
    // Messages of parts without bytes; PINGs; commands that nobody knows.
    floods: &[
        || (zmq_hello(), vec![1, 0, 1, 0, 0, 0]),
        || (zmq_hello(), b"\x04\x07\x04PING\0\0".to_vec()),
        || (zmq_hello(), b"\x04\x04\x03FOO".to_vec()),
    ],
    closes: false,
    // No ZMTP signature.
    ends: || vec![b'a'; 64],
    stops: &[(0, 32), (30, 32), (70, 32), (2000, 62)],
    pause: (Duration::from_secs(60), Duration::from_secs(60)),
    farewell: Duration::ZERO,
    messages: 2,
    linger: Duration::from_secs(2),
};

/// What a client vat says that asks for the demo object and has it send 100,000 bytes back.
fn rpc_echo() -> Vec<u8> {
    let (executor, timers) = (
        Executor::new(|body| {
            body();
            Ok(())
        }),
        Timers::new(),
    );
    let vat = Rpc::new(rpc::Limits::default(), &executor.spawner(), &timers);
    let (near, mut far) = memory::pair(1 << 20);
    let demo: schema::Client = vat.connect_flow(near);
    let mut request = demo.echo_request();
    request.get().set_data(&[b'a'; 100_000]);
    let _call = request.send();
    executor.run_until_stalled();
    let mut said = Vec::new();
    let read = far.poll_read_with(&mut Context::from_waker(Waker::noop()), &mut |bytes| {
        said.extend_from_slice(bytes);
        bytes.len()
    });
    assert!(read.is_ready() && said.len() > 100_000, "{} bytes", said.len());
    said
}

/// A frame of one message about question 1: of that union tag in rpc.capnp, a bootstrap (8) or a finish (4).
fn rpc_message(tag: u64) -> Vec<u8> {
    // One segment of five words: the root and the struct's body have one data word each, and the body a pointer.
    let words = [5 << 32, 0x1_0001_0000_0000, tag, 0x1_0001_0000_0000, 1, 0];
    words.iter().flat_map(|word: &u64| word.to_le_bytes()).collect()
}

/// A DEALER's greeting and READY (RFC 23 sections 3.2 and 3.3).
fn zmq_hello() -> Vec<u8> {
    let mut said = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0];
    said.extend_from_slice(b"NULL");
    said.resize(64, 0);
    let ready = b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\0";
    said.extend_from_slice(&[4, ready.len() as u8]);
    said.extend_from_slice(ready);
    said
}

/// A request of 100,000 bytes.
fn zmq_echo() -> Vec<u8> {
    let mut said = zmq_hello();
    // An empty part, and a long one: a mark and a CBOR text.
    said.extend_from_slice(&[1, 0, 2]);
    said.extend_from_slice(&100_006_u64.to_be_bytes());
    said.extend_from_slice(b"p\x7a");
    said.extend_from_slice(&100_000_u32.to_be_bytes());
    said.resize(said.len() + 100_000, b'a');
    said
}

fn http_post(body: &[u8]) -> Vec<u8> {
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn target() -> Target {
    "service:80".parse().unwrap()
}

/// Whose flows hold so many bytes in each direction.
fn lab(capacity_bytes: usize) -> Lab {
    let executor = Executor::new(|body| {
        body();
        Ok(())
    });
    let network = MemoryNetwork::new(capacity_bytes, 8);
    Lab { network, executor, timers: Timers::new() }
}

struct Lab {
    network: MemoryNetwork,
    executor: Executor,
    timers: Timers,
}

impl Lab {
    fn run(&self) {
        self.executor.run_until_stalled();
    }

    fn wait(&self, period: Duration) {
        self.timers.advance(self.timers.now() + period);
        self.run();
    }
}

/// A peer that does by hand what it does.
struct Peer<'a> {
    lab: &'a Lab,
    flow: MemoryFlow,
    taken: usize,
    /// The server ended its side.
    ended: bool,
}

impl<'a> Peer<'a> {
    fn new(lab: &'a Lab) -> Self {
        let flow = block_on(lab.network.connect(&target())).unwrap();
        lab.run();
        Self { lab, flow, taken: 0, ended: false }
    }

    /// It has the whole answer.
    fn is_done(&self, protocol: &Protocol) -> bool {
        self.ended || (!protocol.closes && self.taken > 100_000)
    }

    /// Sends as much as it can at once; how much. `None` if the connection is gone.
    fn send(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut sent = 0;
        while sent < bytes.len() {
            match self.flow.poll_write(&mut cx, &bytes[sent..]) {
                Poll::Ready(Ok(count)) => sent += count,
                Poll::Ready(Err(_)) => return None,
                Poll::Pending => break,
            }
            self.lab.run();
        }
        Some(sent)
    }

    /// Takes at most so many bytes at once. `None` if the connection is gone.
    fn take(&mut self, bytes_max: usize) -> Option<()> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut left = bytes_max;
        while left > 0 && !self.ended {
            let mut is_end = false;
            let taken = self.flow.poll_read_with(&mut cx, &mut |bytes| {
                is_end = bytes.is_empty();
                bytes.len().min(left)
            });
            match taken {
                Poll::Ready(Ok(count)) => {
                    self.taken += count;
                    left -= count;
                    self.ended = is_end;
                }
                Poll::Ready(Err(_)) => return None,
                Poll::Pending => break,
            }
            self.lab.run();
        }
        Some(())
    }
}

/// What costs by the message, not by the byte, is taken by the message: others have their turn meanwhile.
#[test]
fn who_sends_nothing_but_small_messages_does_not_keep_others_waiting() {
    const FLOOD_BYTES: usize = 256 << 10;
    const MESSAGES_MAX: usize = 1200;
    for protocol in PROTOCOLS {
        for (kind, flood) in protocol.floods.iter().enumerate() {
            let lab = lab(2 * FLOOD_BYTES);
            let _connections = (protocol.serve)(&lab);
            let mut peer = Peer::new(&lab);
            let (hello, message) = flood();
            peer.send(&hello);
            let room = |peer: &mut Peer<'_>| {
                let mut room = 0;
                let mut look = |space: &mut [u8]| {
                    room = space.len();
                    0
                };
                let _ =
                    peer.flow.poll_write_with(&mut Context::from_waker(Waker::noop()), &mut look);
                room
            };
            let empty = room(&mut peer);
            let mut cx = Context::from_waker(Waker::noop());
            let count = FLOOD_BYTES / message.len();
            let messages = message.repeat(count);
            assert_eq!(peer.flow.poll_write(&mut cx, &messages), Poll::Ready(Ok(messages.len())));
            let mut turns = 0;
            while room(&mut peer) < empty {
                // Whoever gives way has his next turn after all others.
                lab.executor.turn(10_000);
                let _ = peer.flow.poll_read_with(&mut cx, &mut |bytes| bytes.len());
                turns += 1;
                assert!(turns < count, "{}, flood {kind}: not all is taken", protocol.name);
            }
            let each = count / turns;
            assert!(each <= MESSAGES_MAX, "{}, flood {kind}: {each} in a turn", protocol.name);
        }
    }
}

/// Runs `body` against each protocol, and after it a peer that is as it should be.
fn against_each(body: impl Fn(&Protocol, &Lab, &dyn Fn() -> usize)) {
    for protocol in PROTOCOLS {
        let lab = lab(CAPACITY_BYTES);
        let connections = (protocol.serve)(&lab);
        body(protocol, &lab, &connections);
        let name = protocol.name;
        assert_eq!(connections(), 0, "{name}: nobody is left behind");
        converse(protocol, &lab, &(protocol.asks)(), (usize::MAX, usize::MAX));
        assert_eq!(connections(), 0, "{name}: a peer as it should be is served and let go");
    }
}

/// A whole exchange, of which so many bytes are sent and taken each second.
fn converse(protocol: &Protocol, lab: &Lab, message: &[u8], rates: (usize, usize)) {
    let (name, (send_rate, take_rate)) = (protocol.name, rates);
    let mut peer = Peer::new(lab);
    let mut rest = message;
    let start = lab.timers.now();
    while !peer.is_done(protocol) {
        let piece = &rest[..rest.len().min(send_rate)];
        let sent = peer.send(piece).unwrap_or_else(|| panic!("{name}: cut off while it sends"));
        rest = &rest[sent..];
        peer.take(take_rate).unwrap_or_else(|| {
            panic!("{name}: cut off after {} bytes, {:?}", peer.taken, lab.timers.now() - start)
        });
        lab.wait(SECOND);
        assert!(lab.timers.now() - start < PATIENCE, "{name}: stalled");
    }
    assert!(peer.taken > 100_000, "{name}: {} bytes", peer.taken);
    peer.flow.finish();
    lab.run();
    drop(peer);
    lab.wait(protocol.linger);
}

/// How long, in whole seconds, until there are no connections; `during` does what the peer goes on with.
fn gone_after(lab: &Lab, connections: &dyn Fn() -> usize, mut during: impl FnMut()) -> Duration {
    let start = lab.timers.now();
    while connections() > 0 {
        assert!(lab.timers.now() - start < PATIENCE, "it is never let go");
        lab.wait(SECOND);
        during();
    }
    lab.timers.now() - start
}

#[test]
fn a_reader_that_is_slow_and_steady_gets_everything() {
    against_each(|protocol, lab, _| {
        converse(protocol, lab, &(protocol.asks)(), (usize::MAX, STEADY_BYTES));
    });
}

#[test]
fn a_writer_that_is_slow_and_steady_is_heard_to_the_end() {
    against_each(|protocol, lab, _| {
        converse(protocol, lab, &(protocol.tells)(), (STEADY_BYTES, usize::MAX));
    });
}

/// Sends all of a question.
fn ask(protocol: &Protocol, peer: &mut Peer<'_>) {
    let question = (protocol.asks)();
    assert_eq!(peer.send(&question), Some(question.len()), "{}", protocol.name);
}

#[test]
fn a_reader_that_pauses_has_its_time_and_no_more() {
    against_each(|protocol, lab, connections| {
        let mut peer = Peer::new(lab);
        ask(protocol, &mut peer);
        lab.wait(protocol.pause.0 - SECOND);
        // It goes on in time, and pauses again.
        peer.take(50_000).expect("the pause was not too long");
        let gone = gone_after(lab, connections, || {});
        assert_eq!(gone, protocol.pause.0 + protocol.farewell, "{}", protocol.name);
        assert_eq!(peer.take(usize::MAX), None, "{}: what it got is not the whole", protocol.name);
    });
}

#[test]
fn a_reader_that_drips_is_let_go() {
    against_each(|protocol, lab, connections| {
        let mut peer = Peer::new(lab);
        ask(protocol, &mut peer);
        let gone = gone_after(lab, connections, || {
            let _ = peer.take(250);
        });
        // Each second it falls behind by half of one.
        let bound = 2 * protocol.pause.0 + protocol.farewell + SECOND;
        assert!(gone <= bound, "{}: after {gone:?}", protocol.name);
        assert!(gone >= protocol.pause.0, "{}: after {gone:?}", protocol.name);
        assert!(peer.taken < 50_000, "{}: {} bytes", protocol.name, peer.taken);
    });
}

#[test]
fn a_peer_that_is_silent_in_the_middle_has_its_time_and_no_more() {
    against_each(|protocol, lab, connections| {
        for &(stop, seconds) in protocol.stops {
            let mut peer = Peer::new(lab);
            peer.send(&(protocol.tells)()[..stop]).unwrap();
            let gone = gone_after(lab, connections, || {
                let _ = peer.take(usize::MAX);
            });
            assert_eq!(gone.as_secs(), seconds, "{}, {stop}", protocol.name);
        }
        let (_, last) = protocol.stops[protocol.stops.len() - 1];
        assert_eq!(last, (protocol.pause.1 + protocol.linger).as_secs(), "{}", protocol.name);
    });
}

#[test]
fn a_writer_that_drips_is_let_go_wherever_it_is() {
    against_each(|protocol, lab, connections| {
        for &(stop, silent_seconds) in protocol.stops {
            let message = (protocol.tells)();
            let mut peer = Peer::new(lab);
            peer.send(&message[..stop]).unwrap();
            let mut rest = message[stop..].iter();
            let gone = gone_after(lab, connections, || {
                // A byte each second, for as long as anybody listens.
                let _ = rest.next().and_then(|byte| peer.send(&[*byte]));
                let _ = peer.take(usize::MAX);
            });
            let bound = protocol.messages * protocol.pause.0 + 2 * protocol.linger;
            assert!(gone <= bound, "{}, {stop}: {gone:?}", protocol.name);
            // Nobody has less time than who says nothing at all.
            assert!(gone.as_secs() >= silent_seconds, "{}, {stop}: {gone:?}", protocol.name);
        }
    });
}

#[test]
fn a_peer_that_never_closes_is_let_go() {
    against_each(|protocol, lab, connections| {
        for goes_on in [false, true] {
            let mut peer = Peer::new(lab);
            let said = (protocol.ends)();
            assert_eq!(peer.send(&said), Some(said.len()), "{}", protocol.name);
            peer.take(usize::MAX).expect("what there is to say");
            // A server that closes at once leaves nothing to wait for.
            assert!(peer.ended, "{}: the server does not close", protocol.name);
            let gone = gone_after(lab, connections, || {
                // What nobody reads.
                let _ = goes_on.then(|| peer.send(b"a"));
            });
            assert!(gone <= 2 * protocol.linger, "{}: after {gone:?}", protocol.name);
            assert!(gone >= protocol.linger, "{}: after {gone:?}", protocol.name);
        }
    });
}

#[test]
fn the_times_are_those_of_the_limits() {
    let limits = Limits::default();
    let http = PROTOCOLS.iter().find(|protocol| protocol.name == "http").unwrap();
    assert_eq!(http.pause, (limits.write_timeout, limits.body_timeout));
    assert_eq!(http.linger, limits.linger_timeout);
}

/// HTTP's: what one connection holds, by the service's ledger.
#[test]
fn what_a_connection_holds_is_weighed_and_given_back() {
    let executor = Executor::new(|body| {
        body();
        Ok(())
    });
    let lab =
        Lab { network: MemoryNetwork::new(CAPACITY_BYTES, 8), executor, timers: Timers::new() };
    let ledger = Ledger::unbounded().service("http", usize::MAX, usize::MAX);
    let config = ServerConfig { ledger: Some(ledger.clone()), ..ServerConfig::default() };
    let server =
        Server::new(config, &lab.executor.spawner(), &lab.timers, async |mut request: Request| {
            let body = request.body().collect(1 << 20).await;
            Response::ok("text/plain", body.unwrap_or_default())
        });
    let listener = lab.network.listen(&target()).unwrap();
    lab.executor.spawner().spawn("listener", server.serve(listener));
    let mut peer = Peer::new(&lab);
    let idle = ledger.held_bytes();
    let (head, body) =
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n", [b'x'; 50_000]);
    let (start, rest) = head.split_at(30);
    peer.send(start.as_bytes()).unwrap();
    assert!(ledger.held_bytes() >= idle + 30, "a part of a head");
    peer.send(rest.as_bytes()).unwrap();
    for (at, part) in body.chunks(10_000).enumerate() {
        peer.send(part).unwrap();
        let sent = (at + 1) * 10_000 - CAPACITY_BYTES;
        assert!(ledger.held_bytes() >= idle + sent, "a body that a handler collects: {sent}");
    }
    assert!(ledger.held_bytes() >= idle + 50_000 - CAPACITY_BYTES, "an answer that is not taken");
    while peer.taken < 50_000 {
        peer.take(1000).unwrap();
    }
    assert_eq!(ledger.held_bytes(), idle, "nothing is left");
}

/// HTTP's: a client that sends all of an upload before it looks for an answer, as most do.
#[test]
fn rfc9112_9_6_a_refused_upload_gets_its_status() {
    for (length, coding) in [
        (2 << 20, "Content-Length: 2097152"),
        (8 << 20, "Content-Length: 8388608"),
        (8 << 20, "Transfer-Encoding: chunked"),
    ] {
        for handler_wants in [false, true] {
            let executor = Executor::new(|body| {
                body();
                Ok(())
            });
            let network = MemoryNetwork::new(CAPACITY_BYTES, 8);
            let lab = Lab { network, executor, timers: Timers::new() };
            let handler = move |mut request: Request| async move {
                if handler_wants {
                    let _ = request.body().next().await;
                }
                Response::plain(web::Status::METHOD_NOT_ALLOWED)
            };
            let limits = Limits { body_bytes_max: 3 << 20, ..Limits::default() };
            let config = ServerConfig { limits, ..ServerConfig::default() };
            let server = Server::new(config, &lab.executor.spawner(), &lab.timers, handler);
            let listener = lab.network.listen(&target()).unwrap();
            lab.executor.spawner().spawn("listener", server.clone().serve(listener));
            let mut peer = Peer::new(&lab);
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{coding}\r\n\r\n");
            peer.send(head.as_bytes()).unwrap();
            let chunk = [b"10000\r\n", &[b'x'; 1 << 16][..], b"\r\n"].concat();
            let piece =
                if coding.ends_with("chunked") { &*chunk } else { &chunk[7..7 + (1 << 16)] };
            for at in 0..length >> 16 {
                assert_eq!(peer.send(piece), Some(piece.len()), "{coding}, piece {at}");
                lab.wait(SECOND / 10);
            }
            peer.take(usize::MAX).expect("an answer");
            assert!(peer.taken > 50 && peer.ended, "{coding}: {} bytes", peer.taken);
            lab.wait(5 * SECOND);
            assert_eq!(server.connections(), 0);
        }
    }
}
