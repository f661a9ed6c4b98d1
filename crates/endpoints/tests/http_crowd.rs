//! Servers with a bound for all connections together, and work that ends when its client ends its side.

use endpoints::http::{Server, ServerConfig};
use flow::memory::{MemoryFlow, MemoryNetwork};
use flow::task::{Executor, block_on};
use flow::time::Timers;
use flow::{Connector, Flow, FlowExt, Target};
use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use web::{Content, Reply, Request, Response, Status};

struct World {
    network: MemoryNetwork,
    executor: Executor,
    server: Server,
    /// Handlers that are at work.
    at_work: Rc<Cell<usize>>,
}

/// Counted until it is dropped.
struct Counted(Rc<Cell<usize>>);

impl Counted {
    fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl World {
    fn new() -> Self {
        let executor = Executor::new(|body| {
            body();
            Ok(())
        });
        let (timers, network) = (Timers::new(), MemoryNetwork::new(4096, 64));
        let at_work = Rc::new(Cell::new(0));
        let count = at_work.clone();
        let config = ServerConfig::default();
        let handler = move |request: Request| {
            let count = count.clone();
            async move {
                match request.path() {
                    b"/never" => {
                        let _counted = Counted::new(&count);
                        std::future::pending().await
                    }
                    b"/stream" => {
                        let head = Response::new(Status::OK).carrying(Content::Stream(None));
                        Reply::stream(head, async move |mut writer| {
                            let _counted = Counted::new(&count);
                            writer.write(b"first".to_vec()).await;
                            std::future::pending::<()>().await;
                        })
                    }
                    _ => Response::ok("text/plain", "hello").into(),
                }
            }
        };
        let server = Server::new(config, &executor.spawner(), &timers, handler);
        let listener = network.listen(&target()).unwrap();
        executor.spawner().spawn("listener", server.clone().serve(listener));
        let world = Self { network, executor, server, at_work };
        world.run();
        world
    }

    fn run(&self) {
        assert!(!self.executor.run(10_000));
    }

    fn connect(&self) -> MemoryFlow {
        let flow = block_on(self.network.connect(&target())).unwrap();
        self.run();
        flow
    }

    fn ask(&self, flow: &mut MemoryFlow, path: &str) -> Option<String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        block_on(flow.write_all(request.as_bytes())).ok()?;
        self.run();
        read(flow)
    }
}

fn target() -> Target {
    "web:80".parse().unwrap()
}

/// What came, nothing if that is not over; none once it is.
fn read(flow: &mut MemoryFlow) -> Option<String> {
    let mut text = String::new();
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        let taken = flow.poll_read_with(&mut cx, &mut |bytes| {
            text.push_str(&String::from_utf8_lossy(bytes));
            bytes.len()
        });
        match taken {
            Poll::Pending => return Some(text),
            Poll::Ready(Ok(1..)) => {}
            Poll::Ready(_) if text.is_empty() => return None,
            Poll::Ready(_) => return Some(text),
        }
    }
}

#[test]
fn who_is_idle_longest_gives_way_and_nobody_at_work() {
    let world = World::new();
    world.server.limit_connections(3);
    let (mut first, mut second, mut third) = (world.connect(), world.connect(), world.connect());
    assert!(world.ask(&mut first, "/").unwrap().ends_with("hello"));
    // The second has asked nothing, the first something since, and the third is at work.
    assert_eq!(world.ask(&mut third, "/never"), Some(String::new()));
    let mut fourth = world.connect();
    assert_eq!((read(&mut first), read(&mut second)), (Some(String::new()), None));
    assert_eq!(world.server.connections(), 3);
    assert!(world.ask(&mut fourth, "/").unwrap().ends_with("hello"));
    assert_eq!(world.ask(&mut first, "/never"), Some(String::new()));
    assert_eq!(world.ask(&mut fourth, "/stream").unwrap().lines().next(), Some("HTTP/1.1 200 OK"));
    let mut fifth = world.connect();
    assert_eq!(world.ask(&mut fifth, "/"), None, "all are at work");
    assert_eq!((world.server.connections(), world.at_work.get()), (3, 3));
    drop(third);
    world.run();
    assert!(world.ask(&mut world.connect(), "/").unwrap().ends_with("hello"));
}

#[test]
fn work_ends_with_its_client_where_that_is_wanted() {
    for is_wanted in [false, true] {
        let world = World::new();
        world.server.end_with_clients(is_wanted);
        let (mut asks, mut listens, mut sends) =
            (world.connect(), world.connect(), world.connect());
        world.ask(&mut asks, "/never").unwrap();
        assert!(world.ask(&mut listens, "/stream").unwrap().contains("first"));
        assert_eq!(world.at_work.get(), 2);
        for flow in [&mut asks, &mut listens] {
            flow.finish();
        }
        // Who half-closes has an answer that is there at once.
        block_on(sends.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
        sends.finish();
        world.run();
        assert!(read(&mut sends).unwrap().ends_with("hello"));
        assert_eq!(world.at_work.get(), if is_wanted { 0 } else { 2 });
        // A reset always ends it.
        let before = world.at_work.get();
        let mut leaves = world.connect();
        world.ask(&mut leaves, "/never").unwrap();
        assert_eq!(world.at_work.get(), before + 1);
        drop(leaves);
        world.run();
        assert_eq!(world.at_work.get(), before);
    }
}
