//! Provoked faults: what a machine has to survive or to report, as routes.

use alloc::format;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::Poll;
use flow::task::Spawner;
use machine::fault_injection::{self, Fault};
use machine::memory::usage;
use web::{Request, Response, Routes, Status};

/// Panics between two turns of the loop: others are served meanwhile.
const PANICS_PER_TURN: u64 = 16;

/// Adds the routes.
pub(crate) fn routes(routes: Routes, spawner: &Spawner) -> Routes {
    let spawner = spawner.clone();
    routes
        .any("/_test/panics/:count", move |request| panics(request, spawner.clone()))
        .any("/_test/fault/:name", fault)
        .any("/_test/exhaust", exhaust)
        .any("/_test/log/:count", log_lines)
        .any("/_test/memory", memory)
        .any("/_test/clock", clock)
}

/// Panics that often, each caught, and tells what the heap held before and after.
async fn panics(request: Request, spawner: Spawner) -> Response {
    let Some(count) = number(&request) else { return Response::plain(Status::BAD_REQUEST) };
    let before = usage().used_bytes;
    let mut caught = 0;
    for number in 1..=count {
        let panicking = spawner.catching(async move {
            assert!(number == 0, "asked to, time {number}");
        });
        caught += u64::from(panicking.await.is_err());
        if number % PANICS_PER_TURN == 0 {
            next_turn().await;
        }
    }
    let outcome = format!("caught {caught} before {before} after {}", usage().used_bytes);
    // Who asked for a million may not have waited.
    log::info!("{outcome}");
    text(outcome)
}

/// Makes the CPU fault.
async fn fault(request: Request) -> Response {
    let Some(fault) = request.parameter("name").and_then(Fault::named) else {
        return Response::plain(Status::BAD_REQUEST);
    };
    fault_injection::fault(fault);
    text(format!("{fault:?} did no harm\n"))
}

/// Takes memory until there is no more.
async fn exhaust(_request: Request) -> Response {
    const PART_BYTES: usize = 4096;
    let mut parts = Vec::new();
    loop {
        parts.push(alloc::vec![1_u8; PART_BYTES]);
    }
}

/// Writes that many lines to the log at once.
async fn log_lines(request: Request) -> Response {
    let Some(count) = number(&request) else { return Response::plain(Status::BAD_REQUEST) };
    for number in 1..=count {
        // The access log's lines are not limited.
        log::info!(target: "access", "line {number} of {count} that a test asked for");
    }
    text(format!("{count} lines\n"))
}

/// How full the heap is.
async fn memory(_request: Request) -> Response {
    let usage = usage();
    text(format!("used {} of {}\n", usage.used_bytes, usage.total_bytes))
}

/// Both clocks, in nanoseconds; the first one is read often enough that it would show a step back.
async fn clock(_request: Request) -> Response {
    const READINGS: usize = 10_000;
    let mut now = machine::clock::now();
    let mut steps_back = 0;
    for _ in 0..READINGS {
        let next = machine::clock::now();
        steps_back += usize::from(next < now);
        now = next;
    }
    let wall = machine::clock::wall();
    text(format!("now {} wall {} back {steps_back}\n", now.as_nanos(), wall.as_nanos()))
}

fn number(request: &Request) -> Option<u64> {
    core::str::from_utf8(request.parameter("count")?).ok()?.parse().ok()
}

fn text(text: alloc::string::String) -> Response {
    Response::ok("text/plain", text.into_bytes())
}

async fn next_turn() {
    let mut waited = false;
    poll_fn(|cx| {
        if waited {
            return Poll::Ready(());
        }
        waited = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
