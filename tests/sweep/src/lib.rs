//! The appliance in memory: its services over flows of [`flow::memory`], clients beside it with tasks of their own, and a
//! clock that is moved by hand. What a test does to the server happens in [`World::run`], and to nobody else.
#![forbid(unsafe_code)]

mod conversations;
mod handlers;
mod hogs;
mod vsock_host;

pub use conversations::{CONVERSATIONS, Conversation, HTTPS, Handle};
pub use handlers::panic_at;
pub use hogs::{HOGS, Hog, Speech, small_requests, speeches};
pub use vsock_host::VsockHost;

use aqueduct::app::{self, App};
use aqueduct::context::Context;
use aqueduct::platform::{ListenError, Platform};
use aqueduct::service::{ServiceEntry, Table, WebRoutes};
use aqueduct::services;
use config::{Bundle, Config, cpio};
use endpoints::zmq::Host;
use flow::memory::{MemoryListener, MemoryNetwork};
use flow::registry::StaticRegistry;
use flow::task::Executor;
use flow::time::{Timers, earlier};
use flow::{Listeners, Target, UnixPath};
use inspect::{Family, MetricVisitor, Reading, Sample};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Duration;
use vsock::{Limits, VsockNetwork};

/// What a flow holds, in bytes, in each direction: less than some messages of the conversations.
const CAPACITY_BYTES: usize = 700;
const FASTCGI_PORT: u16 = 9000;
const GOPHER_PORT: u16 = 70;
const VSOCK_PORT: u32 = 80;
/// Longer than any time-out of a service.
const PATIENCE: Duration = Duration::from_secs(300);

/// A running appliance, its clients, and their clock.
pub struct World {
    network: MemoryNetwork,
    host: VsockHost,
    server: Executor,
    clients: Executor,
    timers: Timers,
    context: Context<Memory>,
    _app: App,
}

/// What the appliance has in hand. At rest it is always the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gauges {
    /// Tasks.
    pub tasks: usize,
    /// Connections of each service, and in all.
    pub connections: Vec<(&'static str, u64)>,
    /// What the ledger says that peers make it hold.
    pub held_bytes: usize,
}

impl World {
    /// Starts the appliance, with a handler of each protocol that waits as often as [`Conversation`]s ask.
    ///
    /// # Panics
    /// When it does not start.
    pub fn new(config: &Config) -> Self {
        Self::with_flows(config, CAPACITY_BYTES)
    }

    /// As [`new`](Self::new), with flows that hold so many bytes.
    ///
    /// # Panics
    /// When it does not start.
    pub fn with_flows(config: &Config, capacity_bytes: usize) -> Self {
        let network = MemoryNetwork::new(capacity_bytes, 1000);
        let (server, clients) = (Executor::new(catch_panic), Executor::new(catch_panic));
        let timers = Timers::new();
        let registry = Rc::new(StaticRegistry::default());
        let host = VsockHost::new(Limits { connections_max: 16, ..Limits::default() });
        host.machine.catch_panics(catch_panic);
        let vsock = Some(host.machine.clone());
        let platform =
            Memory { network: network.clone(), memory_bytes: 64 << 20, vsock, clock: None };
        let mut config = config.clone();
        config.vsock.http_port = VSOCK_PORT;
        (config.fastcgi.port, config.gopher.port) = (Some(FASTCGI_PORT), Some(GOPHER_PORT));
        // Sessions that nobody visits any more are gone at rest.
        config.sessions.idle_timeout = PATIENCE / 5;
        config.tls.port = Some(443);
        config.rpc.port = Some(7000);
        let context = Context::new(platform, config, bundle(), registry, &server, &timers);
        let app = App::start(&context, &Services).expect("the appliance starts");
        let world = Self { network, host, server, clients, timers, context, _app: app };
        world.run(&|turn| turn());
        world
    }

    /// Lets server and clients run until they wait for time. The server's turns are `around`'s to make.
    pub fn run(&self, around: &dyn Fn(&mut dyn FnMut())) {
        loop {
            around(&mut || self.server.run_until_stalled());
            self.clients.run_until_stalled();
            let has_moved = self.host.carry_around(self.timers.now(), around);
            if !has_moved && self.server.is_idle() && self.clients.is_idle() {
                return;
            }
        }
    }

    /// Has a client hold a conversation, and says what it saw; `None` when that does not end.
    pub fn converse(
        &self,
        conversation: &Conversation,
        around: &dyn Fn(&mut dyn FnMut()),
    ) -> Option<Result<String, String>> {
        let seen = Rc::new(Cell::new(None));
        let (result, talk) = (seen.clone(), (conversation.talk)(self.handle()));
        let task = self.clients.spawner().spawn("conversation", async move {
            result.set(Some(talk.await));
        });
        let start = self.timers.now();
        self.run(around);
        loop {
            if let Some(seen) = seen.take() {
                self.clients.spawner().cancel(task);
                return Some(seen);
            }
            if !self.advance(start + PATIENCE, around) {
                self.clients.spawner().cancel(task);
                return None;
            }
        }
    }

    /// Lets time pass until nothing is left that waits for it, and says what the appliance has in hand then.
    pub fn rest(&self, around: &dyn Fn(&mut dyn FnMut())) -> Gauges {
        let end = self.timers.now() + PATIENCE;
        self.run(around);
        while self.advance(end, around) {}
        self.gauges()
    }

    /// What the appliance has in hand.
    pub fn gauges(&self) -> Gauges {
        let services = self.context.services.all();
        let mut connections: Vec<_> =
            services.iter().map(|(name, service)| (*name, service.connections() as u64)).collect();
        let mut held = HeldByZmq::default();
        self.context.inspector.visit_metrics(&mut held);
        connections.extend(held.0);
        connections.push(("all", self.context.services.connections() as u64));
        connections.push(("vsock", self.host.machine.connections() as u64));
        Gauges {
            tasks: self.context.spawner.tasks().len(),
            connections,
            held_bytes: self.context.ledger.held_bytes(),
        }
    }

    /// Panics that were caught in the appliance.
    pub fn panics(&self) -> u64 {
        self.context.spawner.panics()
    }

    /// The appliance's context.
    pub fn context(&self) -> &Context<Memory> {
        &self.context
    }

    /// What a client needs.
    pub fn handle(&self) -> Handle {
        Handle {
            network: self.network.clone(),
            vsock: self.host.network.clone(),
            spawner: self.clients.spawner(),
            timers: self.timers.clone(),
        }
    }

    /// Lets a second pass, and does what is due in it.
    pub fn second(&self, around: &dyn Fn(&mut dyn FnMut())) {
        let end = self.timers.now() + Duration::from_secs(1);
        while self.advance(end, around) {}
        self.timers.advance(end);
        self.run(around);
    }

    /// Moves the clock to the next deadline; false when there is none until `end`.
    fn advance(&self, end: Duration, around: &dyn Fn(&mut dyn FnMut())) -> bool {
        let next = earlier(self.timers.next_deadline(), self.host.machine.next_deadline());
        let next = next.filter(|next| *next <= end);
        let Some(next) = next else { return false };
        self.timers.advance(next.max(self.timers.now() + Duration::from_millis(1)));
        self.run(around);
        true
    }
}

/// What ZeroMQ's callers have in hand.
#[derive(Default)]
struct HeldByZmq(Vec<(&'static str, u64)>);

impl MetricVisitor for HeldByZmq {
    fn family(&mut self, _: &Family) {}

    fn sample(&mut self, family: &Family, sample: &Sample<'_>) {
        if let ("zmq_held" | "zmq_requests_in_flight", Reading::Number(number)) =
            (family.name, sample.reading)
        {
            self.0.push((family.name, number));
        }
    }
}

/// Unwinds for want of memory.
///
/// # Panics
/// Always.
pub fn no_memory(bytes: usize) {
    panic!("no memory for {bytes} bytes");
}

/// Keeps panics that are provoked to themselves, and shows those of a test.
pub fn say_only_own_panics() {
    let say = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.location().is_some_and(|place| place.file().contains("tests/sweep/tests")) {
            say(panic);
        }
    }));
}

fn catch_panic(body: &mut dyn FnMut()) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|_| "a panic".into())
}

impl Handle {
    pub(crate) fn host(&self) -> Host {
        Host {
            spawner: self.spawner.clone(),
            timers: self.timers.clone(),
            entropy: Rc::new(|bytes| bytes.fill(7)),
            ledger: None,
        }
    }
}

/// The product's services, whose handlers wait on their way.
struct Services;

impl Table for Services {
    fn entries<P: Platform>(&self) -> Vec<ServiceEntry<P>> {
        let web = WebRoutes::new(|context| {
            let routes = handlers::routes(trial::routes(context), context);
            app::routes(routes, context)
        });
        Vec::from([
            ServiceEntry::web("http", &web, services::http::open),
            ServiceEntry::web("https", &web, services::https::open),
            ServiceEntry::web("fastcgi", &web, services::fastcgi::open),
            ServiceEntry::web("gopher", &web, services::gopher::open),
            ServiceEntry::new("rpc", |context| {
                services::rpc::open_to_all(context, handlers::directory)
            }),
            ServiceEntry::new("vats", services::vats::open),
            ServiceEntry::new("zmq", handlers::open_zmq),
        ])
    }
}

/// What is shown by TLS, for the name `here`.
pub const CERTIFICATE: &[u8] = include_bytes!("../tls/cert.pem");
/// Its private key.
pub const KEY: &[u8] = include_bytes!("../tls/key.pem");

fn bundle() -> Bundle<'static> {
    static ARCHIVE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut writer = cpio::Writer::new();
        writer.file("site/page", b"a page of the site", 1_700_000_000).expect("a path");
        writer.file("tls/cert.pem", CERTIFICATE, 1_700_000_000).expect("a path");
        writer.file("tls/key.pem", KEY, 1_700_000_000).expect("a path");
        writer.finish()
    });
    Bundle::parse(&ARCHIVE).expect("a bundle")
}

/// A platform of flows in memory, and nothing else.
#[derive(Clone)]
pub struct Memory {
    /// Where ports are [`target`]s.
    pub network: MemoryNetwork,
    /// What the machine has, in bytes.
    pub memory_bytes: usize,
    /// The sockets by which its host reaches it, if it has any.
    pub vsock: Option<VsockNetwork>,
    /// By which polls of tasks are measured.
    pub clock: Option<fn() -> Duration>,
}

impl Platform for Memory {
    type Listener = MemoryListener;
    type Connector = MemoryNetwork;

    fn listen(&self, port: u16, _backlog: usize) -> Result<MemoryListener, ListenError> {
        self.network.listen(&target(port)).ok_or(ListenError::InUse)
    }

    fn listen_at_path(
        &self,
        path: &UnixPath,
        _mode: u32,
        _backlog: usize,
    ) -> Result<MemoryListener, ListenError> {
        self.network.listen(&Target::Unix(path.clone())).ok_or(ListenError::InUse)
    }

    fn listen_at(&self, path: &str, _backlog: usize) -> Result<Listeners, ListenError> {
        let listener = self.network.listen(&Target::SharedMemory(path.into()));
        listener.map(Listeners::new).ok_or(ListenError::InUse)
    }

    /// Flows of this network stand for those by rings, of which there are none: what can be seen of them is described.
    fn shared_memory(&self) -> Option<shared_ring::Rings> {
        Some(shared_ring::Rings::default())
    }

    fn connector(&self) -> MemoryNetwork {
        self.network.clone()
    }

    fn vsock(&self) -> Option<VsockNetwork> {
        self.vsock.clone()
    }

    fn wall_clock(&self) -> Duration {
        Duration::from_secs(1_700_000_000)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }

    fn records_sessions(&self) -> bool {
        true
    }

    fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    fn are_operators_local(&self) -> bool {
        true
    }

    fn clock(&self) -> Option<fn() -> Duration> {
        self.clock
    }
}

/// The same platform, of which others than this machine reach what listens for operators.
#[derive(Clone)]
pub struct Remote(pub Memory);

impl Platform for Remote {
    type Listener = MemoryListener;
    type Connector = MemoryNetwork;

    fn listen(&self, port: u16, backlog: usize) -> Result<MemoryListener, ListenError> {
        self.0.listen(port, backlog)
    }

    fn connector(&self) -> MemoryNetwork {
        self.0.connector()
    }

    fn wall_clock(&self) -> Duration {
        self.0.wall_clock()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.0.fill_random(bytes);
    }

    fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }
}

/// A port of the appliance's.
pub fn target(port: u16) -> Target {
    Target::Name("here".into(), port)
}
