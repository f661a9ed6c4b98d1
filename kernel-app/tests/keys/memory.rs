//! The appliance on a platform of flows in memory, and what a client of it sees.

use aqueduct::app::{self, App};
use aqueduct::context::Context;
use aqueduct::platform::Platform;
use aqueduct::service::{ServiceEntry, Table, WebRoutes};
use aqueduct::{log_ring, services};
use config::{Bundle, Config, cpio};
use core::task::{self, Poll, Waker};
use core::time::Duration;
use flow::ledger::Ledger;
use flow::memory::{MemoryFlow, MemoryNetwork};
use flow::registry::StaticRegistry;
use flow::task::{Executor, block_on};
use flow::time::Timers;
use flow::{Connector, Flow, FlowExt, Target};
use std::rc::Rc;
use std::sync::Once;
use sweep::{Memory, VsockHost, target};
use web::{Request, Response, Routes, Status};

/// What a flow holds, in bytes, in each direction.
const CAPACITY_BYTES: usize = 4096;
/// Bytes of the page that does not fit into a flow.
const LONG_BYTES: usize = 10_000;
/// Longest time that is waited for something to end.
const PATIENCE: Duration = Duration::from_secs(200);

/// A running appliance and its clock.
pub(crate) struct World {
    network: MemoryNetwork,
    host: VsockHost,
    executor: Executor,
    timers: Timers,
    context: Context<Memory>,
    app: App,
    port: u16,
}

impl World {
    /// Starts the appliance with this configuration, a site in each of two folders, and a route that
    /// reads bodies.
    pub(crate) fn new(config: &Config) -> Self {
        let network = MemoryNetwork::new(CAPACITY_BYTES, 1000);
        let executor = Executor::new(|body| {
            body();
            Ok(())
        });
        let timers = Timers::new();
        let registry = Rc::new(StaticRegistry::default());
        let host = VsockHost::new(vsock::Limits::default());
        let vsock = Some(host.machine.clone());
        let platform =
            Memory { network: network.clone(), memory_bytes: 256 << 20, vsock, clock: None };
        // Of a database nothing is seen here, and it needs an authority, which the bundle has not.
        let config = Config { databases: Vec::new(), ..config.clone() };
        let port = config.http.port;
        let context = Context::new(platform, config, bundle(), registry, &executor, &timers);
        let app = App::start(&context, &WithEcho).unwrap();
        let world = Self { network, host, executor, timers, context, app, port };
        world.run();
        world
    }

    /// What peers make the appliance hold.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.context.ledger
    }

    /// Whether something listens on a port.
    pub(crate) fn is_open(&self, port: u16) -> bool {
        block_on(self.network.connect(&target(port))).is_ok()
    }

    /// Whether something listens at a Unix-domain socket.
    pub(crate) fn is_open_at(&self, path: &str) -> bool {
        block_on(self.network.connect(&Target::Unix(path.parse().unwrap()))).is_ok()
    }

    /// Whether something listens on a vsock port.
    pub(crate) fn is_open_to_host(&self, port: u32) -> bool {
        self.host.connect(self.timers.now(), port).is_ok()
    }

    /// Whether something listens at a path of shared memory.
    pub(crate) fn shares_memory_at(&self, path: &str) -> bool {
        block_on(self.network.connect(&Target::SharedMemory(path.into()))).is_ok()
    }

    /// The status of the answer to a request.
    pub(crate) fn status(&self, request: &str) -> String {
        let answer = self.ask(request);
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    }

    /// The answer to a request, which may be binary: its text is lossy.
    pub(crate) fn answer(&self, request: &str) -> String {
        self.ask(request)
    }

    /// The status of a page.
    pub(crate) fn get(&self, path: &str) -> String {
        self.status(&format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n"))
    }

    /// What a page says.
    pub(crate) fn content(&self, path: &str) -> String {
        let answer = self.ask(&format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n"));
        answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, content)| content.to_owned())
    }

    /// The status of the answer to a request with so many fields more of so many bytes.
    pub(crate) fn ask_with_fields(&self, fields: usize, bytes: usize) -> String {
        let fields: String =
            (0..fields).map(|n| format!("x{n}: {}\r\n", "v".repeat(bytes))).collect();
        self.status(&format!("GET /page HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n"))
    }

    /// The status of the answer to a body of which so many bytes are declared.
    pub(crate) fn post(&self, declared: usize) -> String {
        let body = "b".repeat(declared);
        self.status(&format!(
            "POST /echo HTTP/1.1\r\nHost: a.example\r\nContent-Length: {declared}\r\n\r\n{body}"
        ))
    }

    /// Whether a request leaves a line in the log.
    pub(crate) fn logs_access(&self) -> bool {
        static LOG: Once = Once::new();
        let outlet = log_ring::Outlet { write: |_| {}, now: || Duration::ZERO };
        LOG.call_once(|| log_ring::install(outlet, log::LevelFilter::Info));
        // Other tests write lines, too.
        let lines =
            || log_ring::tail(usize::MAX).iter().filter(|line| line.contains("/logged")).count();
        let before = lines();
        self.get("/logged");
        lines() > before
    }

    /// How long after these bytes the appliance ends the connection, in whole seconds.
    pub(crate) fn cut_after(&self, bytes: &str) -> Duration {
        let mut flow = self.connect();
        self.send(&mut flow, bytes);
        self.time_until(|| {
            let mut ended = false;
            while let Some(count) = receive(&mut flow, &mut |_| {}) {
                ended |= count == 0;
                if ended {
                    break;
                }
            }
            ended
        })
    }

    /// How long after a request for a page, of which nothing is read, its connection is given up.
    pub(crate) fn dropped_after(&self, path: &str) -> Duration {
        let mut flow = self.connect();
        self.send(&mut flow, &format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n"));
        assert_eq!(self.context.services.connections(), 1);
        self.time_until(|| self.context.services.connections() == 0)
    }

    /// Whether so many clients get an answer that all keep their connections.
    pub(crate) fn serves_at_once(&self, clients: usize) -> bool {
        let mut flows: Vec<_> = (0..clients).map(|_| self.connect()).collect();
        flows.iter_mut().all(|flow| {
            self.send(flow, "GET /page HTTP/1.1\r\nHost: a.example\r\n\r\n");
            receive(flow, &mut |_| {}).is_some_and(|count| count > 0)
        })
    }

    /// How long the appliance goes on with a request after it was asked to stop.
    pub(crate) fn gives_up_after(&self) -> Duration {
        let mut flow = self.connect();
        self.send(&mut flow, "GET /long HTTP/1.1\r\nHost: a.example\r\n\r\n");
        self.app.stop();
        self.time_until(|| self.app.has_stopped(0))
    }

    /// Bytes of the machine's memory.
    #[allow(dead_code, reason = "for the test of a bundle's memory")]
    pub(crate) fn memory_bytes(&self) -> usize {
        self.context.platform.memory_bytes()
    }

    /// The status of the answer to a bundle at the admin port, and what it says.
    #[allow(dead_code, reason = "for the test of a bundle's memory")]
    pub(crate) fn put_bundle(&self, archive: &[u8]) -> (String, String) {
        const ADMIN: u16 = 9001;
        let mut flow = block_on(self.network.connect(&target(ADMIN))).unwrap();
        let length = archive.len();
        self.send(
            &mut flow,
            &format!(
                "PUT /api/v1/bundle HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            ),
        );
        for piece in archive.chunks(CAPACITY_BYTES) {
            block_on(flow.write_all(piece)).unwrap();
            self.run();
        }
        let mut answer = Vec::new();
        while receive(&mut flow, &mut |bytes| answer.extend_from_slice(bytes))
            .is_some_and(|n| n > 0)
        {
            self.run();
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        let said = answer.split_once("\r\n\r\n").map_or_else(String::new, |it| it.1.to_owned());
        (status, said)
    }

    fn connect(&self) -> MemoryFlow {
        block_on(self.network.connect(&target(self.port))).unwrap()
    }

    fn send(&self, flow: &mut MemoryFlow, bytes: &str) {
        block_on(flow.write_all(bytes.as_bytes())).unwrap();
        self.run();
    }

    fn ask(&self, request: &str) -> String {
        let mut flow = self.connect();
        self.send(&mut flow, request);
        let mut answer = Vec::new();
        while receive(&mut flow, &mut |bytes| answer.extend_from_slice(bytes))
            .is_some_and(|n| n > 0)
        {
            self.run();
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn run(&self) {
        assert!(!self.executor.run(100_000), "a task runs for ever");
    }

    /// Lets time pass until something holds; says how long that took, in whole seconds.
    fn time_until(&self, mut holds: impl FnMut() -> bool) -> Duration {
        let start = self.timers.now();
        while self.timers.now() < start + PATIENCE {
            if holds() {
                return self.timers.now() - start;
            }
            self.timers.advance(self.timers.now() + Duration::from_secs(1));
            self.run();
        }
        Duration::MAX
    }
}

/// The product's services, and a route that reads the body.
struct WithEcho;

impl Table for WithEcho {
    fn entries<P: Platform>(&self) -> Vec<ServiceEntry<P>> {
        let web = WebRoutes::new(|context| app::routes(Routes::new().any("/echo", echo), context));
        Vec::from([
            ServiceEntry::web("http", &web, services::http::open),
            ServiceEntry::web("https", &web, services::https::open),
            ServiceEntry::web("fastcgi", &web, services::fastcgi::open),
            ServiceEntry::web("gopher", &web, services::gopher::open),
            ServiceEntry::new("rpc", services::rpc::open),
            ServiceEntry::new("vats", services::vats::open),
            ServiceEntry::new("zmq", services::zmq::open),
            ServiceEntry::new("admin", services::admin::open),
        ])
    }
}

async fn echo(mut request: Request) -> Response {
    match request.body().collect(1000).await {
        Ok(body) => Response::ok("text/plain", body),
        Err(_) => Response::plain(Status::BAD_REQUEST),
    }
}

/// What has arrived, at most a flow's worth: `None` for nothing yet, 0 for the end.
fn receive(flow: &mut MemoryFlow, take: &mut dyn FnMut(&[u8])) -> Option<usize> {
    let mut cx = task::Context::from_waker(Waker::noop());
    let read = flow.poll_read_with(&mut cx, &mut |bytes| {
        take(bytes);
        bytes.len()
    });
    match read {
        Poll::Pending => None,
        Poll::Ready(outcome) => Some(outcome.unwrap_or(0)),
    }
}

fn bundle() -> Bundle<'static> {
    let long = vec![b'x'; LONG_BYTES];
    // What `authorities` of [tls] names in its row: it is read at the start.
    let authority = include_bytes!("../../../tests/sweep/tls/cert.pem");
    let files: [(&str, &[u8]); 8] = [
        ("a", authority),
        ("site/page", b"site page"),
        ("site/folder/start", b"start"),
        ("site/long", &long),
        ("site/long.html", &long),
        ("other/page", b"other page"),
        ("other/folder/start", b"start"),
        ("other/long", &long),
    ];
    let mut writer = cpio::Writer::new();
    for (path, bytes) in files {
        writer.file(path, bytes, 1_700_000_000).unwrap();
    }
    Bundle::parse(writer.finish().leak()).unwrap()
}
