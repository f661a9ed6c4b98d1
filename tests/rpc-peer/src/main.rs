//! A peer over kernel sockets, for interoperability tests and measurements.
//!
//! `rpc-peer serve ADDRESS` serves [`rpc_demo::demo::Demo`]; `rpc-peer check ADDRESS` calls every method of one and
//! says what came (`check-failed-only` when it has one kind of error only); `rpc-peer bench ADDRESS`
//! measures one, `rpc-peer bench-appliance ADDRESS` the appliance's calculator, and `rpc-peer memory ADDRESS`
//! both ends in one process.

#![forbid(unsafe_code)]

extern crate alloc;

mod bench;
mod check;
mod wire;

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [verb, address] = &arguments[..] else {
        eprintln!(
            "usage: rpc-peer serve|check|check-failed-only|bench|bench-appliance|memory ADDRESS"
        );
        std::process::exit(2);
    };
    match &**verb {
        "serve" => serve(address),
        "check" => check::check(|| connect(address), false),
        "check-failed-only" => check::check(|| connect(address), true),
        "bench" => bench::bench(connect(address)),
        "bench-appliance" => bench::bench_appliance(connect(address)),
        "memory" => bench::memory(address),
        other => panic!("no verb {other}"),
    }
}

fn connect(address: &str) -> TcpStream {
    TcpStream::connect(address).expect("a server there")
}

fn serve(address: &str) {
    let listener = TcpListener::bind(address).expect("a free address");
    println!("listening on {}", listener.local_addr().expect("an address"));
    let cancelled = Arc::default();
    for stream in listener.incoming() {
        let (stream, cancelled) = (stream.expect("a connection"), Arc::clone(&cancelled));
        std::thread::spawn(move || wire::serve(stream, &cancelled));
    }
}
