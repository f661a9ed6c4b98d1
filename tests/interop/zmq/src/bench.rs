//! Our side of `bench/bench.py`: the same verbs as `bench/libzmq.c`.

use crate::host::World;
use endpoints::zmq::{Bind, Bytes, Connect, Message, Options, SocketType, ZmqSocket};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub fn run(words: &[String]) {
    let number = |at: usize| words.get(at).map_or(0, |word| word.parse::<usize>().unwrap());
    let (port, count, bytes) = (number(1) as u16, number(2), number(3));
    let world = World::new();
    let socket = |socket_type| ZmqSocket::new(&world.host, Options::new(socket_type));
    let bound = |socket_type| {
        let socket = socket(socket_type);
        socket.attach(Bind(world.listen(port)));
        println!("ready");
        socket
    };
    let connected = |socket_type| {
        let socket = socket(socket_type);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        socket.attach(Connect::new(world.connector(), address.into()));
        println!("ready");
        socket
    };
    match words[0].as_str() {
        "echo" => world.run(echo(bound(SocketType::Rep))),
        "drain" => world.run(drain(bound(SocketType::Pull), count)),
        "ask" => world.run(ask(connected(SocketType::Req), count, bytes)),
        "flood" => world.run(flood(connected(SocketType::Push), count, bytes)),
        verb => panic!("unknown verb {verb:?}"),
    }
}

async fn drain(socket: ZmqSocket, count: usize) {
    socket.recv().await.unwrap();
    let started = Instant::now();
    for _ in 1..count {
        socket.recv().await.unwrap();
    }
    println!("{:.6}", started.elapsed().as_secs_f64());
}

async fn ask(socket: ZmqSocket, count: usize, bytes: usize) {
    let mut started = Instant::now();
    for number in 0..count {
        socket.send(vec![0x5A; bytes]).await.unwrap();
        let reply = socket.recv().await.unwrap();
        assert_eq!(reply.first().len(), bytes);
        if number == 0 {
            started = Instant::now();
        }
    }
    println!("{:.6}", started.elapsed().as_secs_f64());
}

async fn flood(socket: ZmqSocket, count: usize, bytes: usize) {
    for _ in 0..count {
        // A fresh body for each message, as a program has that makes them.
        let body = Bytes::from(vec![0x5A; bytes]);
        socket.send(Message::new(body)).await.unwrap();
    }
    socket.close(Duration::from_secs(60)).await;
}

async fn echo(socket: ZmqSocket) {
    loop {
        let message = socket.recv().await.unwrap();
        socket.send(message).await.unwrap();
    }
}
