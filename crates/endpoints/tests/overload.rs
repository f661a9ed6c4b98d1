//! Memory is short: what a service says to new requests and connections, and that it serves again afterwards.

use endpoints::http::{Server, ServerConfig};
use endpoints::zmq::{Bind, Connect, Host, Options, SocketType, ZmqSocket};
use flow::ledger::Ledger;
use flow::memory::{MemoryFlow, MemoryNetwork};
use flow::task::{Executor, block_on};
use flow::time::Timers;
use flow::{Connector, FlowExt, Target};
use std::rc::Rc;
use std::time::Duration;
use web::{Request, Response};

const LIMIT: usize = 1 << 20;

fn executor() -> Executor {
    Executor::new(|body| {
        body();
        Ok(())
    })
}

fn ask(flow: &mut MemoryFlow, executor: &Executor) -> String {
    block_on(flow.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
    executor.run_until_stalled();
    let text = block_on(
        flow.read_with(|bytes| (bytes.len(), String::from_utf8_lossy(bytes).into_owned())),
    );
    text.unwrap()
}

#[test]
fn http_refuses_requests_with_503_and_says_when_to_come_again() {
    let (executor, timers) = (executor(), Timers::new());
    let network = MemoryNetwork::new(4096, 64);
    let target: Target = "web:80".parse().unwrap();
    let ledger = Ledger::new(LIMIT);
    let service = ledger.service("http", LIMIT, LIMIT);
    let config = ServerConfig { ledger: Some(service), ..ServerConfig::default() };
    let handler = async |_: Request| Response::ok("text/plain", "hello");
    let server = Server::new(config, &executor.spawner(), &timers, handler);
    executor.spawner().spawn("listener", server.serve(network.listen(&target).unwrap()));
    executor.run_until_stalled();
    let mut flow = block_on(network.connect(&target)).unwrap();
    assert!(ask(&mut flow, &executor).starts_with("HTTP/1.1 200"));

    let reserve = ledger.reserve();
    reserve.set(LIMIT);
    let mut other = block_on(network.connect(&target)).unwrap();
    for flow in [&mut other, &mut flow] {
        let answer = ask(flow, &executor);
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("\r\nRetry-After: 1\r\n"), "{answer}");
    }
    drop(reserve);
    for flow in [&mut flow, &mut other] {
        assert!(ask(flow, &executor).starts_with("HTTP/1.1 200"));
    }
}

#[test]
fn zmq_accepts_no_peer_and_does_again() {
    let (executor, timers) = (executor(), Timers::new());
    let network = MemoryNetwork::new(4096, 64);
    let target: Target = "queue:1".parse().unwrap();
    let ledger = Ledger::new(LIMIT);
    let mut host = Host {
        spawner: executor.spawner(),
        timers: timers.clone(),
        entropy: Rc::new(|bytes| bytes.fill(7)),
        ledger: None,
    };
    let client = ZmqSocket::new(&host, Options::new(SocketType::Push));
    host.ledger = Some(ledger.service("zmq", LIMIT, LIMIT));
    let server = ZmqSocket::new(&host, Options::new(SocketType::Pull));
    server.attach(Bind(network.listen(&target).unwrap()));
    let reserve = ledger.reserve();
    reserve.set(LIMIT);
    client.attach(Connect::new(network, target));
    let mut now = Duration::ZERO;
    let mut run = || {
        for _ in 0..20 {
            now += Duration::from_secs(1);
            timers.advance(now);
            executor.run_until_stalled();
        }
    };
    run();
    assert_eq!((client.ready_peers(), server.ready_peers()), (0, 0));
    drop(reserve);
    run();
    assert_eq!((client.ready_peers(), server.ready_peers()), (1, 1));
}
