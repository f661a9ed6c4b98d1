//! Calls per second, time of a lone call, large messages, and what calls cost in memory.
//!
//! Every measurement prints `name value unit` lines.

use crate::transport::Transport;
use crate::wire::{self, Wire};
use aqueduct::appliance_capnp::calculator::{self, value};
use aqueduct::appliance_capnp::directory;
use rpc_demo::demo_capnp::demo;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System as SystemAllocator;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<SystemAllocator> = &INSTRUMENTED_SYSTEM;

const CALLS: u32 = 100_000;
const IN_FLIGHT: usize = 12;
const LONE_CALLS: u32 = 20_000;
const LARGE_BYTES: usize = 1 << 20;
const LARGE_CALLS: u32 = 300;
/// Calls over which memory is counted, after the connection's first thousand and at its end.
const COUNTED_CALLS: u32 = 10_000;

/// Of a demo.
pub(crate) fn bench(stream: TcpStream) {
    let mut wire = Wire::new(stream, "client");
    let demo: demo::Client = wire.system.bootstrap(wire.conn);
    speed(&mut wire, || demo.empty_request().send().promise);
    let data = vec![1; LARGE_BYTES];
    large(|| {
        let mut request = demo.echo_request();
        request.get().set_data(&data);
        wire.run(request.send().promise).expect("an echo");
    });
    plain();
}

/// Of the appliance's calculator: a call reads a value.
pub(crate) fn bench_appliance(stream: Transport) {
    let mut wire = Wire::over(stream, "client");
    let calculator = calculator(&mut wire);
    let value = value(&mut wire, &calculator);
    speed(&mut wire, || value.read_request().send().promise);
    let data = vec![1; LARGE_BYTES];
    large(|| {
        let mut request = calculator.echo_request();
        request.get().set_data(&data);
        wire.run(request.send().promise).expect("an echo");
    });
}

/// Of a demo: as many calls, so many together, and the next ones when all of those are answered. So the server has the
/// same to read and to write whatever the machine does beside it.
pub(crate) fn calls(stream: TcpStream, count: u32, in_flight: u32) {
    let mut wire = Wire::new(stream, "client");
    let demo: demo::Client = wire.system.bootstrap(wire.conn);
    together(&mut wire, count, in_flight, || demo.empty_request().send().promise);
}

/// The same of the appliance's calculator: a call reads a value.
pub(crate) fn calls_appliance(stream: TcpStream, count: u32, in_flight: u32) {
    let mut wire = Wire::new(stream, "client");
    let calculator = calculator(&mut wire);
    let value = value(&mut wire, &calculator);
    together(&mut wire, count, in_flight, || value.read_request().send().promise);
}

/// What this whole program allocates for a call, both ends being in it, early and late in the
/// connection's life.
pub(crate) fn memory(address: &str) {
    let listener = TcpListener::bind(address).expect("a free address");
    let address = listener.local_addr().expect("an address");
    let server = std::thread::spawn(move || {
        wire::serve(listener.accept().expect("a connection").0, &Arc::default());
    });
    let mut wire = Wire::new(TcpStream::connect(address).expect("our server"), "client");
    let demo: demo::Client = wire.system.bootstrap(wire.conn);
    let mut calls = |count| in_flight(&mut wire, count, || demo.empty_request().send().promise);
    calls(1_000);
    let early = counted(&mut calls);
    let life = Region::new(ALLOCATOR);
    calls(3 * CALLS);
    let life = life.change();
    let late = counted(&mut calls);
    let kept = life.bytes_allocated as f64 - life.bytes_deallocated as f64;
    println!("bytes_per_call_early {early:.1} bytes");
    println!("bytes_per_call_late {late:.1} bytes");
    println!("kept_per_call {:.3} bytes", kept / f64::from(3 * CALLS));
    drop((demo, wire));
    server.join().expect("the server's end");
}

fn counted(calls: &mut impl FnMut(u32)) -> f64 {
    let region = Region::new(ALLOCATOR);
    calls(COUNTED_CALLS);
    region.change().bytes_allocated as f64 / f64::from(COUNTED_CALLS)
}

fn speed<F: Future<Output = Result<T, capnp::Error>>, T>(wire: &mut Wire, send: impl Fn() -> F) {
    wire.run(send()).expect("an answer");
    let start = Instant::now();
    in_flight(wire, CALLS, &send);
    println!("calls_12_in_flight {:.0} per_s", f64::from(CALLS) / start.elapsed().as_secs_f64());
    let start = Instant::now();
    for _ in 0..LONE_CALLS {
        wire.run(send()).expect("an answer");
    }
    println!("lone_call {:.2} us", start.elapsed().as_secs_f64() * 1e6 / f64::from(LONE_CALLS));
}

fn calculator(wire: &mut Wire) -> calculator::Client {
    let directory: directory::Client = wire.system.bootstrap(wire.conn);
    let mut request = directory.get_request();
    request.get().set_name("calculator");
    let service = wire.run(request.send().promise).expect("a service");
    let service = service.get().expect("results").get_service();
    service.get_as_capability().expect("a capability")
}

fn value(wire: &mut Wire, calculator: &calculator::Client) -> value::Client {
    let mut request = calculator.value_request();
    request.get().set_number(1.0);
    let value = wire.run(request.send().promise).expect("a value");
    value.get().expect("results").get_value().expect("a value")
}

/// One future for all of them: nothing is sent while one of a batch is still to be made, or is answered already.
fn together<F, T>(wire: &mut Wire, count: u32, in_flight: u32, send: impl Fn() -> F)
where
    F: Future<Output = Result<T, capnp::Error>>,
{
    wire.run(async {
        for _ in 0..count / in_flight {
            let batch: Vec<F> = (0..in_flight).map(|_| send()).collect();
            for call in batch {
                call.await.expect("an answer");
            }
        }
    });
}

fn in_flight<F, T>(wire: &mut Wire, calls: u32, send: impl Fn() -> F)
where
    F: Future<Output = Result<T, capnp::Error>>,
{
    let mut waiting = VecDeque::new();
    for _ in 0..calls {
        waiting.push_back(send());
        if waiting.len() == IN_FLIGHT
            && let Some(call) = waiting.pop_front()
        {
            wire.run(call).expect("an answer");
        }
    }
    for call in waiting {
        wire.run(call).expect("an answer");
    }
}

fn large(mut echo: impl FnMut()) {
    echo();
    let start = Instant::now();
    (0..LARGE_CALLS).for_each(|_| echo());
    let mib = f64::from(LARGE_CALLS) / start.elapsed().as_secs_f64();
    println!("echo_1_mib {mib:.0} mib_per_s");
}

/// An echo of as many bytes without RPC, from a thread that sends back what it reads.
fn plain() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let echo = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut buffer = vec![0; wire::BUFFER_BYTES];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            stream.write_all(&buffer[..count]).expect("the client");
        }
    });
    let mut stream = TcpStream::connect(address).expect("our echo");
    stream.set_nodelay(true).expect("a socket");
    let mut data = vec![1; LARGE_BYTES];
    let start = Instant::now();
    for _ in 0..LARGE_CALLS {
        stream.write_all(&data).expect("the echo");
        stream.read_exact(&mut data).expect("the echo");
    }
    let mib = f64::from(LARGE_CALLS) / start.elapsed().as_secs_f64();
    println!("plain_echo_1_mib {mib:.0} mib_per_s");
    drop(stream);
    echo.join().expect("the echo's end");
}
