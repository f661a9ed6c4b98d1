//! Calls to a vat over a flow in memory, by a client that costs next to nothing: what a call costs the server.
//!
//! `valgrind --tool=callgrind target/release/examples/rpc_cost CALLS IN_FLIGHT [HOLDERS]` counts instructions; the
//! difference of two numbers of calls is that of the calls alone. With HOLDERS each call asks for an object that so
//! many connections hold.

use endpoints::rpc::{Limits, Peer, Rpc};
use flow::memory::MemoryFlow;
use flow::task::Executor;
use flow::time::Timers;
use flow::{Address, Flow, FlowExt};
use rpc::rpc_capnp::message;
use rpc_demo::demo::Demo;
use rpc_demo::demo_capnp::demo;

fn main() {
    let numbers: Vec<u32> =
        std::env::args().skip(1).map(|text| text.parse().expect("a number")).collect();
    let [calls, in_flight, ..] = numbers[..] else {
        eprintln!("rpc_cost CALLS IN_FLIGHT [HOLDERS]");
        return;
    };
    let executor = Executor::new(|body| {
        body();
        Ok(())
    });
    let (spawner, timers) = (executor.spawner(), Timers::new());
    let rpc = Rpc::new(Limits::default(), &spawner, &timers);
    let object: demo::Client = rpc.client(Demo::new(&rpc, "demo"));
    let connect = || {
        let (near, far) = flow::memory::pair(1 << 16);
        let object = object.clone();
        rpc.serve_flow(far, &Peer::unknown(Address::Memory(1)), |_| Some(object));
        near
    };
    let holders = numbers.get(2).copied();
    let _held: Vec<MemoryFlow> = (1..holders.unwrap_or(1))
        .map(|_| {
            let mut flow = connect();
            send(&executor, &mut flow, &bootstrap(0));
            flow
        })
        .collect();
    let mut flow = connect();
    let first = send(&executor, &mut flow, &bootstrap(0));
    assert!(first > 0);
    let batch: Vec<u8> = (1..=in_flight)
        .flat_map(|question| match holders {
            None => call(question),
            Some(_) => [bootstrap(question), finish(question)].concat(),
        })
        .collect();
    let mut bytes = 0;
    for _ in 0..calls / in_flight {
        bytes += send(&executor, &mut flow, &batch);
    }
    println!("{calls} calls, {bytes} bytes of answers");
}

/// Sends, and reads what is answered; how many bytes.
fn send(executor: &Executor, flow: &mut MemoryFlow, bytes: &[u8]) -> usize {
    flow::task::block_on(async { flow.write_all(bytes).await.expect("an open flow") });
    executor.run_until_stalled();
    let take = &mut |bytes: &mut [u8]| bytes.len();
    let read = std::future::poll_fn(|cx| flow.poll_read_with(cx, take));
    flow::task::block_on(read).expect("an answer")
}

fn build(write: impl FnOnce(message::Builder<'_>)) -> Vec<u8> {
    let mut draft = capnp::message::Builder::new_default();
    write(draft.init_root());
    let mut out = Vec::new();
    capnp::serialize::write_message(&mut out, &draft).expect("memory");
    out
}

fn bootstrap(question: u32) -> Vec<u8> {
    build(|message| message.init_bootstrap().set_question_id(question))
}

fn finish(question: u32) -> Vec<u8> {
    build(|message| message.init_finish().set_question_id(question))
}

/// `echo` of a hundred bytes.
fn call(question: u32) -> Vec<u8> {
    build(|message| {
        let mut call = message.init_call();
        call.set_question_id(question);
        call.set_interface_id(<demo::Client as capnp::traits::HasTypeId>::TYPE_ID);
        call.set_method_id(1);
        call.reborrow().init_target().set_imported_cap(0);
        let params = call.init_params().get_content();
        params.init_as::<demo::echo_params::Builder<'_>>().set_data(&[7; 100]);
    })
}
