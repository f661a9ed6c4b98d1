//! A handler that panics at any of its waits: before and while it reads a body, before and while its answer's body is on
//! its way, and when it is dropped. It ends its request only: 500 if nothing of an answer was sent, else the connection.

use endpoints::http::{Server, ServerConfig};
use flow::memory::{MemoryFlow, MemoryNetwork};
use flow::task::{Executor, Spawner, yield_once};
use flow::time::Timers;
use flow::{Connector, FlowError, FlowExt, Target};
use std::cell::Cell;
use std::rc::Rc;
use web::{Content, Reply, Request, Response, Status};

/// Counts waits, and panics at the one that it is told.
#[derive(Clone, Default)]
struct Waits {
    seen: Rc<Cell<u32>>,
    panics_at: Rc<Cell<u32>>,
    panics_when_dropped: Rc<Cell<bool>>,
}

impl Waits {
    /// Waits until all others had their turn.
    async fn wait(&self) {
        yield_once().await;
        self.seen.set(self.seen.get() + 1);
        assert!(self.seen.get() != self.panics_at.get(), "asked to panic here");
    }
}

/// What a handler holds.
struct Held(Waits);

impl Drop for Held {
    fn drop(&mut self) {
        let asked = self.0.panics_when_dropped.take();
        assert!(!asked || std::thread::panicking(), "asked to panic when it is dropped");
    }
}

async fn answer(waits: Waits, mut request: Request) -> Reply {
    let held = Held(waits.clone());
    waits.wait().await;
    let mut length = 0;
    while let Ok(Some(bytes)) = request.body().next().await {
        waits.wait().await;
        length += bytes.len();
    }
    waits.wait().await;
    if request.path() == b"/whole" {
        return Response::ok("text/plain", vec![b'x'; length]).into();
    }
    let known = request.path() == b"/known";
    let head = Response::new(Status::OK).carrying(Content::Stream(known.then_some(9000)));
    Reply::stream(head, move |mut writer| async move {
        let _held = held;
        for _ in 0..3 {
            waits.wait().await;
            writer.write(vec![b'x'; 3000]).await;
        }
        waits.wait().await;
    })
}

struct World {
    executor: Executor,
    network: MemoryNetwork,
    server: Server,
    waits: Waits,
    tasks: usize,
}

impl World {
    fn new() -> Self {
        let executor = Executor::new(|body| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(body))
                .map_err(|_| String::from("boom"))
        });
        let (timers, network) = (Timers::new(), MemoryNetwork::new(700, 64));
        let waits = Waits::default();
        let config = ServerConfig::default();
        let handled = waits.clone();
        let server = Server::new(config, &executor.spawner(), &timers, move |request: Request| {
            answer(handled.clone(), request)
        });
        let listener = network.listen(&target()).unwrap();
        executor.spawner().spawn("listener", server.clone().serve(listener));
        executor.run_until_stalled();
        let tasks = executor.spawner().tasks().len();
        Self { executor, network, server, waits, tasks }
    }

    /// What a client sees that sends `request`, and how its connection ends.
    fn ask(&self, request: &str) -> (String, Result<(), FlowError>) {
        let seen = converse(&self.executor.spawner(), &self.network, request);
        self.executor.run_until_stalled();
        flow::task::block_on(seen).unwrap()
    }

    /// Nothing is left of earlier requests, and the next one is served right.
    fn is_as_before(&self, what: &str) {
        assert_eq!(self.server.connections(), 0, "{what}");
        assert_eq!(self.executor.spawner().tasks().len(), self.tasks, "{what}");
        self.waits.panics_at.set(0);
        self.waits.panics_when_dropped.set(false);
        let (text, end) = self.ask(&request("/whole", "abc"));
        assert!(
            text.starts_with("HTTP/1.1 200 ") && text.ends_with("\r\n\r\nxxx"),
            "{what}: {text}"
        );
        assert_eq!(end, Ok(()), "{what}");
    }
}

fn converse(
    spawner: &Spawner,
    network: &MemoryNetwork,
    request: &str,
) -> flow::task::TaskHandle<(String, Result<(), FlowError>)> {
    let (network, request) = (network.clone(), request.to_owned());
    spawner.spawn_joinable("client", async move {
        let mut flow: MemoryFlow = network.connect(&target()).await.unwrap();
        let _ = flow.write_all(request.as_bytes()).await;
        let mut seen = Vec::new();
        let end = loop {
            match flow.read_with(|bytes| (bytes.len(), bytes.to_vec())).await {
                Ok(bytes) if bytes.is_empty() => break Ok(()),
                Ok(bytes) => seen.extend_from_slice(&bytes),
                Err(error) => break Err(error),
            }
        };
        (String::from_utf8(seen).unwrap(), end)
    })
}

fn target() -> Target {
    "web:80".parse().unwrap()
}

fn request(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

#[test]
fn a_panic_at_any_wait_ends_its_request_only() {
    let world = World::new();
    let body = "water ".repeat(500);
    for path in ["/whole", "/known", "/chunked"] {
        world.waits.seen.set(0);
        let (text, end) = world.ask(&request(path, &body));
        assert_eq!((text.starts_with("HTTP/1.1 200 "), end), (true, Ok(())), "{path}: {text}");
        let waits = world.waits.seen.get();
        assert!(waits >= 4, "{path}: {waits}");
        let mut cut = 0;
        for at in 1..=waits {
            world.waits.seen.set(0);
            world.waits.panics_at.set(at);
            let (text, end) = world.ask(&request(path, &body));
            let what = format!("{path}, wait {at}");
            if text.starts_with("HTTP/1.1 500 ") {
                assert!(text.ends_with("\r\n\r\nInternal Server Error"), "{what}: {text}");
                assert_eq!((cut, end), (0, Ok(())), "{what}");
            } else {
                // Whoever was sent a part must not take it for the whole.
                assert_eq!(end, Err(FlowError::Reset), "{what}: {text}");
                assert!(!text.ends_with("0\r\n\r\n"), "{what}: {text}");
                cut += 1;
            }
            world.is_as_before(&what);
        }
        assert_eq!(cut > 0, path != "/whole", "{path}");
    }
}

#[test]
fn a_panic_when_a_handler_is_dropped_ends_its_request_only() {
    let world = World::new();
    for path in ["/whole", "/known", "/chunked"] {
        world.waits.panics_when_dropped.set(true);
        let _ = world.ask(&request(path, "abc"));
        world.is_as_before(path);
    }
    // Dropped, since its client is gone.
    let mut flow = flow::task::block_on(world.network.connect(&target())).unwrap();
    let head = "POST /whole HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc";
    flow::task::block_on(flow.write_all(head.as_bytes())).unwrap();
    world.executor.run_until_stalled();
    assert_eq!(world.server.connections(), 1);
    world.waits.panics_when_dropped.set(true);
    drop(flow);
    world.executor.run_until_stalled();
    world.is_as_before("the client is gone");
}

#[test]
fn a_panic_of_what_follows_an_upgrade_is_its_own() {
    let world = World::new();
    let timers = Timers::new();
    for at_once in [true, false] {
        let handler = move |_: Request| async move {
            let head = Response::new(Status::SWITCHING_PROTOCOLS).with_header("Upgrade", "boom");
            Reply::upgrade(head, move |mut flow| {
                assert!(!at_once, "asked to panic here");
                async move {
                    let _ = flow.read(&mut [0; 10]).await;
                    panic!("asked to panic here");
                }
            })
        };
        let config = ServerConfig::default();
        let server = Server::new(config, &world.executor.spawner(), &timers, handler);
        let other: Target = "other:80".parse().unwrap();
        let listener = world.network.listen(&other).unwrap();
        let serving = world.executor.spawner().spawn("other", server.clone().serve(listener));
        let mut flow = flow::task::block_on(async {
            let mut flow = world.network.connect(&other).await.unwrap();
            let text = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: boom\r\n\r\nx";
            flow.write_all(text.as_bytes()).await.unwrap();
            flow
        });
        world.executor.run_until_stalled();
        let end = flow::task::block_on(async {
            while let Ok(1..) = flow.read(&mut [0; 500]).await {}
            flow.write_all(b"x").await
        });
        assert_eq!(end, Err(FlowError::Reset));
        assert_eq!(server.connections(), 0);
        world.executor.spawner().cancel(serving);
        world.executor.run_until_stalled();
        world.is_as_before("upgraded");
    }
}
