//! What connections cost in bytes, and that their number costs no work.

use flow::task::Executor;
use flow::{Connector, FlowExt, Listener, Target};
use net::{Config, Limits, Stack};
use sim::{Link, Random, Wire};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The system's allocator, which counts bytes in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator as it came; counting touches no memory
// that is allocated.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `dealloc`'s contract, and the pointer came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn in_use() -> usize {
    IN_USE.load(Ordering::Relaxed)
}

/// A server and a client whose memories are told apart by what runs when.
struct Crowd {
    server: Stack,
    client: Stack,
    server_tasks: Executor,
    client_tasks: Executor,
    wire: Wire,
    now: Duration,
    /// Bytes that the server's turns have taken.
    server_bytes: isize,
}

impl Crowd {
    fn new() -> Self {
        let link = Link { queue: 1 << 20, ..Link::default() };
        let (wire, [left, right]) = Wire::new(link, 1);
        wire.log_at_most(0);
        let mut random = Random::new(5);
        let mut stack = |device, host: u8, addresses: Vec<(IpAddr, u8)>| {
            let limits = Limits { listen_backlog: 1_000, ..Limits::default() };
            let config =
                Config { addresses, dhcp: false, slaac: false, limits, ..Config::default() };
            Stack::new(device, &config, [2, 0, 0, 0, 0, host], random.seed(), Duration::ZERO)
        };
        let addresses = (0..4).map(|net| ([10, 0, net, 1].into(), 8)).collect();
        let server = stack(left, 1, addresses);
        let client = stack(right, 2, vec![([10, 0, 0, 2].into(), 8)]);
        let catch = |body: &mut dyn FnMut()| {
            body();
            Ok(())
        };
        let (server_tasks, client_tasks) = (Executor::new(catch), Executor::new(catch));
        let now = Duration::ZERO;
        Self { server, client, server_tasks, client_tasks, wire, now, server_bytes: 0 }
    }

    fn turn(&mut self) {
        self.now += Duration::from_micros(100);
        self.wire.advance(self.now);
        let before = in_use() as isize;
        while self.server.ingress(self.now) {}
        self.server_tasks.run(100_000);
        self.server.egress(self.now);
        self.server_bytes += in_use() as isize - before;
        while self.client.ingress(self.now) {}
        self.client_tasks.run(100_000);
        self.client.egress(self.now);
    }
}

const CONNECTIONS: usize = 50_000;

#[test]
fn fifty_thousand_idle_connections_take_a_kibibyte_each() {
    let mut crowd = Crowd::new();
    let mut listener = crowd.server.listen(80).unwrap();
    let spawner = crowd.server_tasks.spawner();
    crowd.server_tasks.spawner().spawn("accept", async move {
        while let Ok(mut flow) = listener.accept().await {
            spawner.spawn("serve", async move {
                let mut byte = [0];
                while let Ok(1) = flow.read(&mut byte).await {
                    flow.write_all(&byte).await.unwrap();
                }
            });
        }
    });
    let connector = crowd.client.connector();
    let flows = Rc::new(RefCell::new(Vec::new()));
    let opened = flows.clone();
    crowd.client_tasks.spawner().spawn("open", async move {
        for number in 0..CONNECTIONS {
            let target = Target::Address(([10, 0, (number % 4) as u8, 1], 80).into());
            let flow = connector.connect(&target).await.unwrap();
            opened.borrow_mut().push(flow);
        }
    });
    // Frames under way are counted with the side that makes them; none is when all are open.
    while flows.borrow().len() < CONNECTIONS {
        crowd.turn();
    }
    for _ in 0..10 {
        crowd.turn();
    }
    assert_eq!(crowd.server.gauges().connections, CONNECTIONS);
    let each = crowd.server_bytes as usize / CONNECTIONS;
    println!("{each} bytes per idle connection, {} MiB in all", crowd.server_bytes >> 20);
    assert!((900..=1_100).contains(&each), "{each} bytes per connection");
    let flow = flows.borrow_mut().pop().unwrap();
    one_works_among_all(&mut crowd, flow);
}

/// With all others idle, a request takes the turns and task polls that it takes alone.
fn one_works_among_all(crowd: &mut Crowd, mut flow: net::TcpFlow) {
    let polls = |crowd: &Crowd| -> u64 {
        crowd.server_tasks.spawner().tasks().iter().map(|task| task.polls).sum()
    };
    let (before, frames) = (polls(crowd), crowd.wire.sent());
    let done = Cell::new(false);
    let mut request = std::pin::pin!(async {
        for _ in 0..100 {
            flow.write_all(b"x").await.unwrap();
            assert_eq!(flow.read(&mut [0]).await, Ok(1));
        }
        done.set(true);
    });
    let waker = std::task::Waker::noop();
    while !done.get() {
        let _ = request.as_mut().poll(&mut std::task::Context::from_waker(waker));
        crowd.turn();
    }
    assert_eq!(polls(crowd) - before, 100);
    // A question and an answer each; the last acknowledgement may wait.
    let frames = crowd.wire.sent() - frames;
    assert!((200..=201).contains(&frames), "{frames} frames");
}
