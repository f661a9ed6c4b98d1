//! `capnp-rpc-peer serve ADDRESS` serves the demo's `empty` and `echo`; `capnp-rpc-peer bench
//! ADDRESS` measures, and prints what our own peer and the one in C++ print; `capnp-rpc-peer memory
//! ADDRESS` counts what both ends, in one process, allocate.

extern crate alloc;

#[allow(unused, clippy::all)]
#[rustfmt::skip]
#[path = "../../../../../../tests/rpc-demo/src/demo_capnp.rs"]
mod demo_capnp;

use capnp::Error;
use capnp_rpc::{RpcSystem, rpc_twoparty_capnp::Side, twoparty};
use demo_capnp::demo;
use futures::AsyncReadExt;
use futures::io::{BufReader, BufWriter};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::compat::TokioAsyncReadCompatExt;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

const CALLS: u32 = 100_000;
const IN_FLIGHT: usize = 12;
const LONE_CALLS: u32 = 20_000;
const LARGE_BYTES: usize = 1 << 20;
const LARGE_CALLS: u32 = 300;
/// Calls over which memory is counted.
const COUNTED_CALLS: u32 = 10_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [verb, address] = &arguments[..] else {
        panic!("usage: capnp-rpc-peer serve|bench|memory ADDRESS");
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let local = tokio::task::LocalSet::new();
    match &**verb {
        "serve" => local.block_on(&runtime, serve(address)),
        "bench" => local.block_on(&runtime, bench(address)),
        "memory" => local.block_on(&runtime, memory(address)),
        other => panic!("no verb {other}"),
    }
}

struct Demo;

impl demo::Server for Demo {
    async fn empty(
        self: Rc<Self>,
        _: demo::EmptyParams,
        _: demo::EmptyResults,
    ) -> Result<(), Error> {
        Ok(())
    }

    async fn echo(
        self: Rc<Self>,
        params: demo::EchoParams,
        mut results: demo::EchoResults,
    ) -> Result<(), Error> {
        results.get().set_data(params.get()?.get_data()?);
        Ok(())
    }
}

fn network(stream: TcpStream, side: Side) -> Box<dyn capnp_rpc::VatNetwork<Side>> {
    stream.set_nodelay(true).unwrap();
    let (reader, writer) = TokioAsyncReadCompatExt::compat(stream).split();
    let (reader, writer) = (BufReader::new(reader), BufWriter::new(writer));
    Box::new(twoparty::VatNetwork::new(reader, writer, side, Default::default()))
}

async fn serve(address: &str) {
    let listener = TcpListener::bind(address).await.unwrap();
    let demo: demo::Client = capnp_rpc::new_client(Demo);
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let system = RpcSystem::new(network(stream, Side::Server), Some(demo.clone().client));
        tokio::task::spawn_local(system);
    }
}

async fn connect(address: &str) -> demo::Client {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut system = RpcSystem::new(network(stream, Side::Client), None);
    let demo: demo::Client = system.bootstrap(Side::Server);
    tokio::task::spawn_local(system);
    demo.empty_request().send().promise.await.unwrap();
    demo
}

async fn in_flight(demo: &demo::Client, calls: u32) {
    let mut waiting = VecDeque::new();
    for _ in 0..calls {
        waiting.push_back(demo.empty_request().send().promise);
        if waiting.len() == IN_FLIGHT
            && let Some(call) = waiting.pop_front()
        {
            call.await.unwrap();
        }
    }
    for call in waiting {
        call.await.unwrap();
    }
}

async fn memory(address: &str) {
    let served = address.to_owned();
    tokio::task::spawn_local(async move { serve(&served).await });
    tokio::task::yield_now().await;
    let demo = connect(address).await;
    in_flight(&demo, 1_000).await;
    let early = counted(&demo).await;
    let life = Region::new(ALLOCATOR);
    in_flight(&demo, 3 * CALLS).await;
    let life = life.change();
    let late = counted(&demo).await;
    let kept = life.bytes_allocated as f64 - life.bytes_deallocated as f64;
    println!("bytes_per_call_early {early:.1} bytes");
    println!("bytes_per_call_late {late:.1} bytes");
    println!("kept_per_call {:.3} bytes", kept / f64::from(3 * CALLS));
}

async fn counted(demo: &demo::Client) -> f64 {
    let region = Region::new(ALLOCATOR);
    in_flight(demo, COUNTED_CALLS).await;
    region.change().bytes_allocated as f64 / f64::from(COUNTED_CALLS)
}

async fn bench(address: &str) {
    let demo = connect(address).await;
    let start = Instant::now();
    in_flight(&demo, CALLS).await;
    println!("calls_12_in_flight {:.0} per_s", f64::from(CALLS) / start.elapsed().as_secs_f64());

    let start = Instant::now();
    for _ in 0..LONE_CALLS {
        demo.empty_request().send().promise.await.unwrap();
    }
    println!("lone_call {:.2} us", start.elapsed().as_secs_f64() * 1e6 / f64::from(LONE_CALLS));

    let data = vec![1; LARGE_BYTES];
    let start = Instant::now();
    for _ in 0..LARGE_CALLS {
        let mut request = demo.echo_request();
        request.get().set_data(&data);
        request.send().promise.await.unwrap();
    }
    let mib = f64::from(LARGE_CALLS) / start.elapsed().as_secs_f64();
    println!("echo_1_mib {mib:.0} mib_per_s");
}
