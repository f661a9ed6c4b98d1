//! A peer over whatever flows a process has, so that one way is measured beside another with all else the same.
//!
//! `flow-peer serve TARGET` serves the next two at an address or a path: `flow-peer bulk TARGET MEBIBYTES` sends so much, and
//! `flow-peer round-trips TARGET COUNT` sends a byte and waits for one, so often. `flow-peer calls TARGET COUNT` makes so
//! many calls to the appliance's calculator, one after another. Each prints `name value unit`.
//! `flow-peer database ADDRESS CHECK|LOAD` is a client of PostgreSQL. `flow-peer zws-serve ADDRESS` and `flow-peer zws-ask ADDRESS`
//! are ZeroMQ sockets over WebSockets.
#![forbid(unsafe_code)]

extern crate alloc;

mod database;
mod turns;
mod zws;

use endpoints::rpc::{Limits, Rpc};
use flow::{ConnectError, Connector, Listener, Target};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};
use trial::loads::{self, Load};
use turns::Turns;

/// For how long who is not there is waited for.
const START_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);

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
    let turns = Turns::new();
    match (&**verb, &target) {
        ("zws-serve", Target::Address(address)) => zws::serve(&turns, *address),
        ("zws-ask", _) => zws::ask(&turns, &target),
        ("serve", Target::Address(address)) => serve(&turns, turns.listen(*address)),
        ("serve", Target::SharedMemory(path)) => serve(&turns, turns.listen_at(Path::new(path))),
        (_, Target::SharedMemory(_)) => {
            ask(&turns, verb, turns.memory.connector(), &target, number);
        }
        _ => ask(&turns, verb, turns.connector(), &target, number),
    }
}

fn serve(turns: &Turns, listener: impl Listener + 'static) {
    let spawner = turns.executor.spawner();
    turns.run(async move { loads::serve(&spawner, listener).await });
}

fn ask<C: Connector>(turns: &Turns, verb: &str, connector: C, target: &Target, number: &[String]) {
    let load: Load = verb.parse().expect("bulk, round-trips or calls");
    let count = number.first().and_then(|word| word.parse().ok()).expect("a number");
    let flow = connect(turns, connector, target);
    let vat = Rpc::new(Limits::default(), &turns.executor.spawner(), &turns.timers);
    let start = Instant::now();
    let measured = async move { loads::measure(load, count, flow, &vat, || start.elapsed()).await };
    println!("{}", turns.run(measured).expect("a peer that serves this"));
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
