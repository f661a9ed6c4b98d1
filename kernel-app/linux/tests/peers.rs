//! Each kind of half-dead peer against each protocol, by real sockets: who is slow but steady gets everything, and who takes
//! nothing, drips, falls silent or never closes is let go, and others have its place. What time each has is shown in memory,
//! under a clock that is moved by hand: crates/endpoints/tests/peers.rs.

mod appliance;

use appliance::{Appliance, Folder, PATIENCE, free_port, wait_for_port};
use aqueduct::appliance_capnp::{calculator, directory};
use capnp::capability::FromClientHook;
use endpoints::rpc::{Limits, Rpc};
use flow::task::Executor;
use flow::time::Timers;
use flow::{Flow, memory};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

/// Bytes of an answer at least, which no buffer between takes as a whole: the client's is small.
const ANSWER_BYTES: usize = 1_000_000;
/// What a client's kernel is asked to hold; it holds twice as much.
const CLIENT_BUFFER_BYTES: usize = 8 << 10;
/// What a slow and steady client does in a tenth of a second.
const STEADY_BYTES: usize = 2_000;
const TENTH: Duration = Duration::from_millis(100);
/// How long it does that: three of the time-outs.
const STEADY_TENTHS: usize = 60;
/// Kinds of peers that are to be let go.
const KINDS: usize = 4;

struct Protocol {
    name: &'static str,
    port: fn(&World) -> u16,
    /// A question with an answer of [`ANSWER_BYTES`].
    asks: fn() -> Vec<u8>,
    /// After so many bytes of it a peer is in the middle of a message.
    middle: usize,
    /// Something after which the server closes.
    ends: &'static [u8],
}

static PROTOCOLS: [Protocol; 3] = [
    Protocol {
        name: "http",
        port: |world| world.appliance.port,
        asks: || b"GET /large HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n".to_vec(),
        middle: 30,
        ends: b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    },
    // A message of too many segments.
    Protocol {
        name: "rpc",
        port: |world| world.rpc,
        asks: rpc_echo,
        middle: 1000,
        ends: &[0xff; 64],
    },
    // No ZMTP signature.
    Protocol {
        name: "zmq",
        port: |world| world.zmq,
        asks: zmq_echo,
        middle: 1000,
        ends: &[b'a'; 64],
    },
];

/// What a client vat says that asks for the calculator and has it send bytes back.
fn rpc_echo() -> Vec<u8> {
    let executor = Executor::new(|body| {
        body();
        Ok(())
    });
    let vat = Rpc::new(Limits::default(), &executor.spawner(), &Timers::new());
    let (near, mut far) = memory::pair(2 * ANSWER_BYTES);
    let directory: directory::Client = vat.connect_flow(near);
    let mut get = directory.get_request();
    get.get().set_name("calculator");
    let calculator: calculator::Client =
        FromClientHook::new(get.send().pipeline.get_service().as_cap());
    let mut echo = calculator.echo_request();
    echo.get().set_data(&vec![b'a'; ANSWER_BYTES]);
    let _call = echo.send();
    executor.run_until_stalled();
    let mut said = Vec::new();
    let read = far.poll_read_with(&mut Context::from_waker(Waker::noop()), &mut |bytes| {
        said.extend_from_slice(bytes);
        bytes.len()
    });
    assert!(read.is_ready() && said.len() > ANSWER_BYTES, "{} bytes", said.len());
    said
}

/// A DEALER's greeting and READY (RFC 23 sections 3.2 and 3.3), and a request that is sent back: an empty part, and a long
/// one, which is a mark and CBOR.
fn zmq_echo() -> Vec<u8> {
    let mut said = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0];
    said.extend_from_slice(b"NULL");
    said.resize(64, 0);
    let ready = b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\0";
    said.extend_from_slice(&[4, ready.len() as u8]);
    said.extend_from_slice(ready);
    let body = b"p\xa1\x64echo\x7a";
    said.extend_from_slice(&[1, 0, 2]);
    said.extend_from_slice(&((body.len() + 4 + ANSWER_BYTES) as u64).to_be_bytes());
    said.extend_from_slice(body);
    said.extend_from_slice(&(ANSWER_BYTES as u32).to_be_bytes());
    said.resize(said.len() + ANSWER_BYTES, b'a');
    said
}

/// A process and the ports of its services.
struct World {
    appliance: Appliance,
    rpc: u16,
    zmq: u16,
}

impl World {
    fn start(config: &str) -> Self {
        let [http, rpc, zmq] = [free_port(), free_port(), free_port()];
        let folder = Folder::new(config);
        let mut command = folder.command_after("");
        command.args(["--http", &format!("127.0.0.1:{http}")]);
        command.args(["--rpc-port", &rpc.to_string(), "--zmq-port", &zmq.to_string()]);
        let child = wait_for_port(&mut command, http).expect("it starts");
        Self { appliance: Appliance { child, port: http, _folder: folder }, rpc, zmq }
    }

    fn connect(&self, protocol: &Protocol) -> TcpStream {
        let port = (protocol.port)(self);
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(CLIENT_BUFFER_BYTES).unwrap();
        socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

/// Takes an answer slowly and steadily, and what is left at once.
fn take_steadily(world: &World, protocol: &Protocol) {
    let mut stream = world.connect(protocol);
    stream.write_all(&(protocol.asks)()).unwrap();
    let mut taken = 0;
    let mut buffer = [0; STEADY_BYTES];
    let mut take = |what: &str| {
        let count = stream.read(&mut buffer).unwrap_or_else(|error| {
            panic!("{}, {what}: after {taken} bytes: {error}", protocol.name)
        });
        assert!(count > 0, "{}, {what}: the end after {taken} bytes", protocol.name);
        taken += count;
        taken
    };
    for _ in 0..STEADY_TENTHS {
        take("steadily");
        std::thread::sleep(TENTH);
    }
    while take("at once") < ANSWER_BYTES {}
}

#[test]
fn a_client_that_reads_slowly_and_steadily_gets_everything() {
    let world = World::start(
        "[http]\nwrite_timeout_seconds = 2\n[rpc]\nstrangers = [\"*\"]\nstall_timeout_seconds = 2\n\
         [zmq]\nwrite_timeout_seconds = 2\n",
    );
    std::thread::scope(|scope| {
        for protocol in &PROTOCOLS {
            scope.spawn(|| take_steadily(&world, protocol));
        }
    });
}

/// Peers of each kind that is to be let go; the one that drips does so in a thread of its own.
fn half_dead(world: &World, protocol: &Protocol) -> [TcpStream; KINDS] {
    let question = (protocol.asks)();
    let say = |bytes: &[u8]| {
        let mut stream = world.connect(protocol);
        stream.write_all(bytes).unwrap();
        stream
    };
    let takes_nothing = say(&question);
    let is_silent = say(&question[..protocol.middle]);
    let drips = say(&question[..protocol.middle]);
    let mut dripping = drips.try_clone().unwrap();
    std::thread::spawn(move || {
        let start = Instant::now();
        while start.elapsed() < PATIENCE && dripping.write_all(b"x").is_ok() {
            std::thread::sleep(TENTH);
        }
    });
    let mut never_closes = say(protocol.ends);
    let end = std::io::copy(&mut never_closes, &mut std::io::sink());
    end.unwrap_or_else(|error| panic!("{}: no end: {error}", protocol.name));
    [takes_nothing, is_silent, drips, never_closes]
}

/// A place among so many connections is free again only when one of theirs is gone.
#[test]
fn peers_that_take_nothing_drip_are_silent_or_never_close_are_let_go() {
    for protocol in &PROTOCOLS {
        let world = World::start(&format!(
            "[tcp]\nconnections_max = {KINDS}\n\
             [http]\nhead_timeout_seconds = 1\nwrite_timeout_seconds = 1\nlinger_timeout_seconds = 1\n\
             [rpc]\nstrangers = [\"*\"]\nstall_timeout_seconds = 1\n\
             [zmq]\nhandshake_timeout_seconds = 1\nstall_timeout_seconds = 1\nwrite_timeout_seconds = 1\n"
        ));
        let _half_dead = half_dead(&world, protocol);
        let question = (protocol.asks)();
        let mut others: Vec<_> = (0..KINDS).map(|_| world.connect(protocol)).collect();
        for other in &mut others {
            // Whose question is not answered before is cut off in its middle, too, but not unheard.
            let mut asking = other.try_clone().unwrap();
            let question = question.clone();
            std::thread::spawn(move || asking.write_all(&question));
            let heard = other.read(&mut [0; 1]);
            assert_eq!(heard.ok(), Some(1), "{}: there is no place", protocol.name);
        }
    }
}
