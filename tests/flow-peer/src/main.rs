//! A peer over whatever flows a process has, so that one way is measured beside another with all else the same.
//!
//! `flow-peer serve TARGET` serves the next two at an address or a path: `flow-peer bulk TARGET MEBIBYTES` sends so much, and
//! `flow-peer round-trips TARGET COUNT` sends a byte and waits for one, so often. `flow-peer calls TARGET COUNT` makes so
//! many calls to the appliance's calculator, one after another. Each prints `name value unit`.
//! `flow-peer database ADDRESS CHECK|LOAD` is a client of PostgreSQL.
#![forbid(unsafe_code)]

extern crate alloc;

mod database;
mod turns;

use aqueduct::appliance_capnp::{calculator, directory};
use capnp::capability::FromClientHook;
use endpoints::rpc::{Limits, Rpc};
use flow::{ConnectError, Connector, Flow, FlowError, FlowExt, Listener, Target};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};
use turns::Turns;

/// What a client asks for by its first byte.
const SINK: u8 = b's';
const ECHO: u8 = b'e';

/// For how long who is not there is waited for.
const START_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);

static CHUNK: [u8; 64 << 10] = [7; 64 << 10];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [verb, target, number @ ..] = &arguments[..] else {
        eprintln!("usage: flow-peer serve TARGET, or bulk|round-trips|calls TARGET NUMBER");
        std::process::exit(2);
    };
    let target: Target = target.parse().expect("a target");
    if verb == "database" {
        let [check, words @ ..] = number else { panic!("which check?") };
        return database::check(&Turns::new(), target, check, words);
    }
    let count: usize = number.first().map_or(0, |word| word.parse().expect("a number"));
    let turns = Turns::new();
    match (&**verb, &target) {
        ("serve", Target::Address(address)) => serve(&turns, turns.listen(*address)),
        ("serve", Target::SharedMemory(path)) => serve(&turns, turns.listen_at(Path::new(path))),
        (_, Target::SharedMemory(_)) => ask(&turns, verb, turns.memory.connector(), &target, count),
        _ => ask(&turns, verb, turns.connector(), &target, count),
    }
}

fn serve(turns: &Turns, mut listener: impl Listener + 'static) {
    let spawner = turns.executor.spawner();
    turns.run(async move {
        loop {
            let mut flow = listener.accept().await.expect("a listener");
            // Whoever goes in the middle has measured enough.
            spawner.spawn("client", async move {
                let _ = attend(&mut flow).await;
                flow.finish();
            });
        }
    });
}

async fn attend(flow: &mut impl Flow) -> Result<(), FlowError> {
    let mut verb = [0];
    flow.read(&mut verb).await?;
    let mut bytes = 0_u64;
    loop {
        let mut echoed = Vec::new();
        let count = flow
            .read_with(|read| {
                if verb[0] == ECHO {
                    echoed.extend_from_slice(read);
                }
                (read.len(), read.len())
            })
            .await?;
        if count == 0 {
            return flow.write_all(&bytes.to_le_bytes()).await;
        }
        bytes += count as u64;
        if verb[0] == ECHO {
            flow.write_all(&echoed).await?;
        }
    }
}

fn ask<C: Connector>(turns: &Turns, verb: &str, connector: C, target: &Target, count: usize) {
    let mut flow = connect(turns, connector, target);
    match verb {
        "bulk" => {
            let start = Instant::now();
            let bytes = turns.run(async move { bulk(&mut flow, count).await }).expect("a sink");
            assert_eq!(bytes, (count as u64) << 20);
            println!("bulk {:.1} mib_per_s", count as f64 / start.elapsed().as_secs_f64());
        }
        "round-trips" => {
            let start = Instant::now();
            turns.run(async move { round_trips(&mut flow, count).await }).expect("an echo");
            println!("round_trip {:.3} us", start.elapsed().as_secs_f64() * 1e6 / count as f64);
        }
        "calls" => calls(turns, flow, count),
        other => panic!("no verb {other}"),
    }
}

/// A server may not listen yet.
fn connect<C: Connector>(turns: &Turns, connector: C, target: &Target) -> C::Flow {
    let (connector, start) = (Rc::new(connector), Instant::now());
    loop {
        let (connector, target) = (connector.clone(), target.clone());
        match turns.run(async move { connector.connect(&target).await }) {
            Err(ConnectError::Refused | ConnectError::NoSuchPath)
                if start.elapsed() < START_LIMIT =>
            {
                std::thread::sleep(PAUSE);
            }
            outcome => return outcome.expect("a server there"),
        }
    }
}

async fn bulk(flow: &mut impl Flow, mebibytes: usize) -> Result<u64, FlowError> {
    flow.write_all(&[SINK]).await?;
    for _ in 0..(mebibytes << 20) / CHUNK.len() {
        let mut rest = &CHUNK[..];
        while !rest.is_empty() {
            let written = std::future::poll_fn(|cx| flow.poll_write(cx, rest)).await?;
            rest = &rest[written..];
        }
    }
    flow.finish();
    let (mut answer, mut filled) = ([0; 8], 0);
    while filled < answer.len() {
        match flow.read(&mut answer[filled..]).await? {
            0 => return Err(FlowError::Reset),
            count => filled += count,
        }
    }
    Ok(u64::from_le_bytes(answer))
}

async fn round_trips(flow: &mut impl Flow, count: usize) -> Result<(), FlowError> {
    flow.write_all(&[ECHO]).await?;
    for _ in 0..count {
        flow.write_all(b"x").await?;
        flow.read(&mut [0]).await?;
    }
    Ok(())
}

fn calls(turns: &Turns, flow: impl Flow + 'static, count: usize) {
    let vat = Rpc::new(Limits::default(), &turns.executor.spawner(), &turns.timers);
    let directory: directory::Client = vat.connect_flow(flow);
    let mut get = directory.get_request();
    get.get().set_name("calculator");
    let calculator: calculator::Client =
        FromClientHook::new(get.send().pipeline.get_service().as_cap());
    let mut number = calculator.value_request();
    number.get().set_number(1.0);
    let answer = turns.run(number.send().promise).expect("a value");
    let value = answer.get().expect("results").get_value().expect("a value");
    let start = Instant::now();
    turns.run(async move {
        for _ in 0..count {
            value.read_request().send().promise.await.expect("an answer");
        }
    });
    println!("lone_call {:.3} us", start.elapsed().as_secs_f64() * 1e6 / count as f64);
}
