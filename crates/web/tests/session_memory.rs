//! What sessions cost in bytes. Alone in its process: the allocator counts all.

use flow::Address;
use flow::task::Executor;
use flow::time::Timers;
use peak_alloc::PeakAlloc;
use std::cell::Cell;
use std::rc::Rc;
use web::session::{Ended, Limits, Mapper, Session, SessionHost, SessionRoute};
use web::{Body, Handler, Request, RequestHead, Response};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const NEWCOMERS_MAX: usize = 1000;

async fn counter(mut session: Session) -> Result<(), Ended> {
    loop {
        session.next().await?.reply(Response::ok("text/plain", "x"));
    }
}

struct World {
    executor: Executor,
    host: SessionHost,
    route: SessionRoute,
}

impl World {
    fn new(sessions_max: usize, newcomers_max: usize) -> Self {
        let executor = Executor::new(|body| {
            body();
            Ok::<(), String>(())
        });
        let count = Cell::new(0_u64);
        let limits = Limits { sessions_max, newcomers_max, ..Limits::default() };
        let host = SessionHost::new(&executor.spawner(), &Timers::new(), limits, move |bytes| {
            count.set(count.get() + 1);
            bytes.fill(0);
            bytes[..8].copy_from_slice(&count.get().to_be_bytes());
        });
        let route = host.route("/", Mapper::cookie(), counter);
        Self { executor, host, route }
    }

    /// A visitor without a cookie.
    fn visit(&self) {
        let head = RequestHead::new("GET", "/", [("Host", &b"a"[..])]);
        let request = Request::new(head, Body::empty(), Address::Memory(1));
        let answer = self.route.answer(request).into_future();
        let is_answered = Rc::new(Cell::new(false));
        let answered = is_answered.clone();
        self.executor.spawner().spawn("visitor", async move {
            answer.await;
            answered.set(true);
        });
        self.executor.run_until_stalled();
        assert!(is_answered.get());
    }
}

#[test]
fn sessions_are_small_and_a_flood_of_them_is_flat() {
    const MANY: usize = 50_000;
    let many = World::new(MANY, MANY);
    let before = MEMORY.current_usage();
    (0..MANY).for_each(|_| many.visit());
    assert_eq!(many.host.len(), MANY);
    let each = (MEMORY.current_usage() - before) / MANY;
    println!("{each} bytes for each of {MANY} sessions that wait");
    assert!((920..1024).contains(&each), "{each} bytes");
    drop(many);

    let flooded = World::new(MANY, NEWCOMERS_MAX);
    (0..20 * NEWCOMERS_MAX).for_each(|_| flooded.visit());
    let before = MEMORY.current_usage();
    (0..MANY).for_each(|_| flooded.visit());
    assert_eq!(flooded.host.len(), 1000);
    assert_eq!(MEMORY.current_usage(), before, "those that came displaced as many");
}
