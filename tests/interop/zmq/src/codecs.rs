//! Objects there and back through serialise, compress, send, decompress, deserialise: by
//! pipelines over ZeroMQ, and by the same codec libraries on whole buffers over plain TCP.

use crate::host::World;
use endpoints::pipe::{
    AsyncSink, Fault, NodeExt, Source, ZmqSink, ZmqSource, cbor, prepend, skip, transfer, zlib,
};
use endpoints::zmq::{Bind, Connect, Options, SocketType, ZmqSocket};
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Reading {
    sensor: String,
    values: Vec<u64>,
    scale: f64,
}

/// About 60 KB of CBOR, a walk in small steps: it shrinks to about a third.
fn reading(number: u64) -> Reading {
    let mut state = number;
    let mut value = 40_000_u64;
    let mut step = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        value = value + (state >> 61) - 3;
        value
    };
    Reading {
        sensor: format!("sensor-{}", number % 100),
        values: (0..16_000).map(|_| step()).collect(),
        scale: 0.25,
    }
}

pub fn run(megabytes: usize) {
    let len = cbor4ii::serde::to_vec(Vec::new(), &reading(0)).unwrap().len();
    let packed = miniz_oxide::deflate::compress_to_vec_zlib(
        &cbor4ii::serde::to_vec(Vec::new(), &reading(0)).unwrap(),
        6,
    );
    let count = (megabytes * 1_000_000 / len) as u64;
    println!("{count} objects of {len} bytes, {} compressed", packed.len());
    // In turns, so that a busy machine is busy for both.
    for _ in 0..3 {
        let piped = cpu_seconds(|| piped(count));
        let straight = cpu_seconds(|| straight(count));
        println!("pipelines {piped:.2} s, straight {straight:.2} s, ratio {:.3}", piped / straight);
    }
}

fn cpu_seconds(work: impl FnOnce()) -> f64 {
    let before = cpu_now();
    work();
    cpu_now() - before
}

/// User and system time of this process so far, in the kernel's ticks of 1/100 s.
fn cpu_now() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

struct Readings {
    next: u64,
    count: u64,
}

impl Source for Readings {
    type Item = Reading;

    async fn next(&mut self) -> Result<Option<(Reading, usize)>, Fault> {
        if self.next == self.count {
            return Ok(None);
        }
        self.next += 1;
        Ok(Some((reading(self.next), 128_000)))
    }
}

struct Check {
    next: u64,
    count: u64,
}

impl AsyncSink<Reading> for Check {
    async fn put(&mut self, back: Reading) -> Result<(), Fault> {
        self.next += 1;
        assert_eq!(back.values.len(), 16_000);
        // Enough is enough: the socket never ends by itself.
        if self.next == self.count { Err(Fault::Source("done")) } else { Ok(()) }
    }

    async fn end(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

fn piped(count: u64) {
    let world = World::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let pull = ZmqSocket::new(&world.host, Options::new(SocketType::Pull));
    pull.attach(Bind(world.listen(port)));
    let push = ZmqSocket::new(&world.host, Options::new(SocketType::Push));
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    push.attach(Connect::new(world.connector(), address.into()));
    let there = cbor::encode().then(zlib::deflate(6)).then(prepend(b"z"));
    let back = skip(b"z").then(zlib::inflate()).then(cbor::decode::<Reading>());
    let sending = transfer(Readings { next: 0, count }, there, ZmqSink::new(push));
    world.host.spawner.spawn("there", async move {
        sending.await.unwrap();
    });
    let receiving = transfer(ZmqSource::new(pull), back, Check { next: 0, count });
    world.run(async move {
        assert_eq!(receiving.await, Err(Fault::Source("done")));
    });
}

fn straight(count: u64) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let sender = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        for number in 1..=count {
            let bytes = cbor4ii::serde::to_vec(Vec::new(), &reading(number)).unwrap();
            let packed = miniz_oxide::deflate::compress_to_vec_zlib(&bytes, 6);
            stream.write_all(&(packed.len() as u64).to_be_bytes()).unwrap();
            stream.write_all(&packed).unwrap();
        }
    });
    let (mut stream, _) = listener.accept().unwrap();
    for _ in 0..count {
        let mut len = [0; 8];
        stream.read_exact(&mut len).unwrap();
        let mut packed = vec![0; u64::from_be_bytes(len) as usize];
        stream.read_exact(&mut packed).unwrap();
        let bytes = miniz_oxide::inflate::decompress_to_vec_zlib(&packed).unwrap();
        let back: Reading = cbor4ii::serde::from_slice(&bytes).unwrap();
        assert_eq!(back.values.len(), 16_000);
    }
    sender.join().unwrap();
}
