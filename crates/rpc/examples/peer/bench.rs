//! Calls per second and time of a lone call.

use crate::demo_capnp::demo;
use crate::wire::Wire;
use std::collections::VecDeque;
use std::net::TcpStream;
use std::time::Instant;

const CALLS: u32 = 100_000;
const IN_FLIGHT: usize = 12;
const LONE_CALLS: u32 = 20_000;
const LARGE_BYTES: usize = 1 << 20;
const LARGE_CALLS: u32 = 100;

/// Prints `name value unit` lines.
pub(crate) fn bench(stream: TcpStream) {
    let mut wire = Wire::new(stream, "client");
    let demo: demo::Client = wire.system.bootstrap(wire.conn);
    wire.run(demo.empty_request().send().promise).expect("an answer");

    let start = Instant::now();
    let mut waiting = VecDeque::new();
    for _ in 0..CALLS {
        waiting.push_back(demo.empty_request().send().promise);
        if waiting.len() == IN_FLIGHT
            && let Some(call) = waiting.pop_front()
        {
            wire.run(call).expect("an answer");
        }
    }
    for call in waiting {
        wire.run(call).expect("an answer");
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("calls_12_in_flight {:.0} per_s", f64::from(CALLS) / seconds);

    let start = Instant::now();
    for _ in 0..LONE_CALLS {
        wire.run(demo.empty_request().send().promise).expect("an answer");
    }
    println!("lone_call {:.2} us", start.elapsed().as_secs_f64() * 1e6 / f64::from(LONE_CALLS));

    let data = vec![1; LARGE_BYTES];
    let start = Instant::now();
    for _ in 0..LARGE_CALLS {
        let mut request = demo.echo_request();
        request.get().set_data(&data);
        wire.run(request.send().promise).expect("an echo");
    }
    let mib = f64::from(LARGE_CALLS) / start.elapsed().as_secs_f64();
    println!("echo_1_mib {mib:.0} mib_per_s");
}
