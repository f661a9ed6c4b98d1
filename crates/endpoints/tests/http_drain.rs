//! A web server that drains: who is there is served to the end, and its place is free at once.

use endpoints::http::{Server, ServerConfig};
use flow::memory::MemoryNetwork;
use flow::task::{Executor, block_on};
use flow::time::Timers;
use flow::{ConnectError, Connector, FlowExt, Target};
use web::{Request, Response, Routes};

async fn page(_: Request) -> Response {
    Response::ok("text/plain", "hello")
}

#[test]
fn nobody_is_accepted_by_a_server_that_drains_and_a_successor_may_listen() {
    let executor = Executor::new(|body| {
        body();
        Ok(())
    });
    let (spawner, timers) = (executor.spawner(), Timers::new());
    let server =
        || Server::new(ServerConfig::default(), &spawner, &timers, Routes::new().get("/", page));
    let network = MemoryNetwork::new(4096, 4);
    let target: Target = "web:80".parse().unwrap();
    let first = server();
    spawner.spawn("first", first.clone().serve(network.listen(&target).unwrap()));
    executor.run_until_stalled();
    let mut open = block_on(network.connect(&target)).unwrap();
    block_on(open.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n")).unwrap();
    executor.run_until_stalled();
    assert!(network.listen(&target).is_none());

    first.drain();
    executor.run_until_stalled();
    let refused = block_on(network.connect(&target)).err();
    assert_eq!(refused, Some(ConnectError::Refused));
    let successor = server();
    spawner.spawn("successor", successor.clone().serve(network.listen(&target).unwrap()));
    executor.run_until_stalled();
    block_on(network.connect(&target)).unwrap();
    executor.run_until_stalled();
    assert_eq!((first.connections(), successor.connections()), (1, 0));

    block_on(open.write_all(b"\r\n")).unwrap();
    executor.run_until_stalled();
    let answer =
        block_on(open.read_with(|bytes| (bytes.len(), bytes.starts_with(b"HTTP/1.1 200"))));
    assert_eq!(answer, Ok(true));
}
