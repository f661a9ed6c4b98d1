//! Serves requests on one connection in memory, for `valgrind --tool=callgrind`: instructions per request are the difference of
//! two runs, those of weighing the difference to a run without a ledger.
//!
//! `cost REQUESTS [weighed]`.

use endpoints::http::{Server, ServerConfig};
use flow::ledger::Ledger;
use flow::memory::MemoryNetwork;
use flow::task::{Executor, block_on};
use flow::time::Timers;
use flow::{Connector, FlowExt, Target};
use web::{Request, Response};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let requests: usize = arguments.next().map_or(1000, |count| count.parse().expect("a number"));
    let ledger = Ledger::new(64 << 20);
    let weighed = arguments.next().map(|_| ledger.service("http", 32 << 20, 16 << 20));
    let executor = Executor::new(|body| {
        body();
        Ok(())
    });
    let (network, timers) = (MemoryNetwork::new(4096, 1), Timers::new());
    let target: Target = "web:80".parse().expect("a target");
    let config = ServerConfig { ledger: weighed, ..ServerConfig::default() };
    let handler = async |_: Request| Response::ok("text/plain", "hello");
    let server = Server::new(config, &executor.spawner(), &timers, handler);
    let listener = network.listen(&target).expect("a port");
    executor.spawner().spawn("listener", server.serve(listener));
    while executor.run(100) {}
    let mut flow = block_on(network.connect(&target)).expect("a connection");
    for _ in 0..requests {
        block_on(flow.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")).expect("room");
        while executor.run(100) {}
        let taken = block_on(flow.read_with(|bytes| (bytes.len(), bytes.len())));
        assert!(taken.is_ok_and(|count| count > 0));
    }
}
