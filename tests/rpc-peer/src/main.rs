//! A peer over kernel sockets, for interoperability tests and measurements.
//!
//! `rpc-peer serve ADDRESS` serves [`rpc_demo::demo::Demo`]; `rpc-peer check ADDRESS` calls every method of one and
//! says what came (`check-failed-only` when it has one kind of error only); `rpc-peer bench ADDRESS`
//! measures one, `rpc-peer bench-appliance ADDRESS` the appliance's calculator, `rpc-peer bench-secure-appliance REFERENCE`
//! the same by TLS, and `rpc-peer memory ADDRESS`
//! both ends in one process. `rpc-peer calls ADDRESS COUNT IN_FLIGHT` and `rpc-peer calls-appliance ...` make calls for
//! whoever counts what they cost the server.

#![forbid(unsafe_code)]

extern crate alloc;

mod bench;
mod check;
mod transport;
mod wire;

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use transport::Transport;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [verb, address, numbers @ ..] = &arguments[..] else {
        eprintln!(
            "usage: rpc-peer serve|check|check-failed-only|bench|bench-appliance|memory ADDRESS\n\
             or rpc-peer bench-secure-appliance REFERENCE\n\
             or rpc-peer calls|calls-appliance ADDRESS COUNT IN_FLIGHT"
        );
        std::process::exit(2);
    };
    let number = |at: usize| -> u32 {
        numbers.get(at).and_then(|word| word.parse().ok()).expect("COUNT IN_FLIGHT, two numbers")
    };
    match &**verb {
        "serve" => serve(address),
        "check" => check::check(|| connect(address), false),
        "check-failed-only" => check::check(|| connect(address), true),
        "bench" => bench::bench(connect(address)),
        "bench-appliance" => bench::bench_appliance(Transport::plain(connect(address))),
        "bench-secure-appliance" => {
            let reference = address.parse().expect("a reference");
            bench::bench_appliance(Transport::secure(&reference));
        }
        "calls" => bench::calls(connect(address), number(0), number(1)),
        "calls-appliance" => bench::calls_appliance(connect(address), number(0), number(1)),
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
