//! A ZeroMQ peer for tests: our sockets over the kernel's TCP, told what to do by arguments.
//!
//! ```text
//! zmq-peer echo   SOCKET                 send each message back
//! zmq-peer bridge SOCKET SOCKET          send each message of the first by the second
//! zmq-peer ask    SOCKET COUNT BYTES     requests that an echo must answer; prints "ok COUNT"
//! zmq-peer flood  SOCKET COUNT BYTES     send messages, numbered in their first 8 bytes
//! zmq-peer drain  SOCKET COUNT           receive messages; prints "ok COUNT BYTES"
//! zmq-peer serve  SOCKET                 a service: the sum of a list, or an error
//! zmq-peer call   SOCKET COUNT           calls that service, COUNT at a time
//! zmq-peer bench ...                     one side of a row of bench/bench.py
//! zmq-peer codecs MEGABYTES              pipelines beside straight-line code; prints CPU seconds
//!
//! SOCKET: TYPE (bind PORT | connect HOST:PORT)+ [OPTION=VALUE]* --
//! options: identity plain=USER:PASSWORD plain-server=USER:PASSWORD curve=SERVERKEY:SECRET
//!          curve-server=SECRET subscribe heartbeat=MILLISECONDS hwm relaxed correlate
//! ```

mod arguments;
mod bench;
mod codecs;
mod host;
// The Linux process's own flows.
#[path = "../../../../kernel-app/linux/src"]
#[allow(dead_code, reason = "the process uses more of it")]
mod kernel {
    pub mod sockets;
}

use arguments::{Place, SocketPlan};
use endpoints::pipe::{CallFailed, Compress, make_client, make_server};
use endpoints::zmq::{Bind, Bytes, Connect, Message, RecvFailed, SocketType, ZmqSocket};
use host::World;
use std::time::Duration;

fn main() {
    host::log_to_stderr();
    let mut words = std::env::args().skip(1);
    let verb = words.next().unwrap_or_default();
    if verb == "bench" {
        return bench::run(&words.collect::<Vec<_>>());
    }
    if verb == "codecs" {
        return codecs::run(number(words.next()));
    }
    let mut words = words.peekable();
    let plan = SocketPlan::parse(&mut words);
    let world = World::new();
    match verb.as_str() {
        "echo" => {
            let socket = open(&world, &plan);
            world.run(echo(socket));
        }
        "bridge" => {
            let out = open(&world, &SocketPlan::parse(&mut words));
            let socket = open(&world, &plan);
            world.run(bridge(socket, out));
        }
        "ask" => world.run(ask(open(&world, &plan), number(words.next()), number(words.next()))),
        "flood" => {
            world.run(flood(open(&world, &plan), number(words.next()), number(words.next())))
        }
        "drain" => world.run(drain(open(&world, &plan), number(words.next()))),
        "serve" => serve(&world, &plan),
        "call" => call(&world, &plan, number(words.next())),
        _ => panic!("unknown verb {verb:?}"),
    }
}

fn number(word: Option<String>) -> usize {
    word.and_then(|word| word.parse().ok()).expect("a number")
}

fn open(world: &World, plan: &SocketPlan) -> ZmqSocket {
    let socket = ZmqSocket::new(&world.host, plan.options.clone());
    for topic in &plan.topics {
        socket.subscribe(topic.clone());
    }
    for place in &plan.places {
        match place {
            Place::Bind(port) => socket.attach(Bind(world.listen(*port))),
            Place::Connect(target) => {
                socket.attach(Connect::new(world.connector(), target.clone()));
            }
        }
    }
    println!("ready");
    socket
}

async fn echo(socket: ZmqSocket) {
    loop {
        let message = socket.recv().await.unwrap();
        socket.send(message).await.unwrap();
    }
}

async fn bridge(from: ZmqSocket, to: ZmqSocket) {
    loop {
        let message = from.recv().await.unwrap();
        to.send(message).await.unwrap();
    }
}

async fn ask(socket: ZmqSocket, count: usize, len: usize) {
    let mut lost = 0;
    for number in 0..count {
        let mut request = Message::new(vec![number as u8; len]);
        request.push(Bytes::copy_from_slice(&number.to_be_bytes()));
        socket.send(request.clone()).await.unwrap();
        match socket.recv().await {
            Ok(reply) => assert!(reply == request, "another reply"),
            Err(RecvFailed::Refused(_)) => lost += 1,
            Err(RecvFailed::Closed) => panic!("closed"),
        }
    }
    println!("ok {count} lost {lost}");
}

async fn flood(socket: ZmqSocket, count: usize, len: usize) {
    let mut body = vec![0x5A; len.max(8)];
    for number in 0..count as u64 {
        body[..8].copy_from_slice(&number.to_be_bytes());
        let body = Bytes::copy_from_slice(&body);
        socket.send(Message::new(body)).await.unwrap();
    }
    socket.close(Duration::from_secs(60)).await;
    println!("ok {count}");
}

async fn drain(socket: ZmqSocket, count: usize) {
    let mut bytes = 0;
    for _ in 0..count {
        bytes += socket.recv().await.unwrap().body_bytes();
    }
    println!("ok {count} {bytes}");
}

/// The sum of a list; a list that starts with 0 panics.
fn serve(world: &World, plan: &SocketPlan) {
    let handler = async |list: Vec<u64>| {
        assert!(list.first() != Some(&0), "a zero");
        (list.iter().sum::<u64>(), list)
    };
    for place in &plan.places {
        match place {
            Place::Bind(port) => make_server(&world.host, handler, Bind(world.listen(*port))),
            Place::Connect(target) => {
                let connect = Connect::new(world.connector(), target.clone());
                make_server(&world.host, handler, connect)
            }
        };
    }
    println!("ready");
    world.run(std::future::pending::<()>());
}

fn call(world: &World, plan: &SocketPlan, count: usize) {
    type Sum = (u64, Vec<u64>);
    let client = match &plan.places[0] {
        Place::Bind(port) => make_client::<Vec<u64>, Sum>(&world.host, Bind(world.listen(*port))),
        Place::Connect(target) => {
            make_client(&world.host, Connect::new(world.connector(), target.clone()))
        }
    };
    let calls: Vec<_> = (1..=count as u64)
        .map(|number| {
            let client = client.clone();
            let compress = [Compress::No, Compress::Reply, Compress::Both][number as usize % 3];
            world.host.spawner.spawn_joinable("call", async move {
                let list: Vec<u64> = (number..number + 1000).collect();
                let (sum, back) = client.call(list.clone(), compress).await.unwrap();
                assert!(sum == list.iter().sum() && back == list);
            })
        })
        .collect();
    world.run(async move {
        for call in calls {
            call.await.unwrap();
        }
        let million: Vec<u64> = (1..=1_000_000).collect();
        for compress in [Compress::No, Compress::Both] {
            let (_, back) = client.call(million.clone(), compress).await.unwrap();
            assert!(back == million);
        }
        let failed = client.call(vec![0], Compress::No).await;
        assert!(matches!(failed, Err(CallFailed::Remote(_))), "{failed:?}");
        println!("ok {count}");
    });
}

/// Types by their names.
fn socket_type(name: &str) -> SocketType {
    SocketType::from_name(name.to_uppercase().as_bytes()).expect("a socket type")
}
