//! Request bodies that are sent back or counted, and a handler that panics.

use alloc::format;
use aqueduct::turn_watch::TURN_MAX;
use core::time::Duration;
use web::{Request, Response, Status};

/// Longest body that is echoed, in bytes.
const ECHO_BYTES_MAX: usize = 64 << 20;

/// Sends the body back.
pub(crate) async fn echo(mut request: Request) -> Response {
    match request.body().collect(ECHO_BYTES_MAX).await {
        Ok(body) => Response::ok("application/octet-stream", body),
        Err(_) => Response::plain(Status::CONTENT_TOO_LARGE),
    }
}

/// Takes the body and forgets it; says how many bytes it had.
pub(crate) async fn sink(mut request: Request) -> Response {
    let mut bytes = 0;
    loop {
        match request.body().next().await {
            Ok(Some(part)) => bytes += part.len(),
            Ok(None) => return Response::ok("text/plain", format!("{bytes}\n").into_bytes()),
            Err(_) => return Response::plain(Status::BAD_REQUEST),
        }
    }
}

/// Keeps all others waiting for longer than a turn of the loop may take, as a handler that computes does.
pub(crate) async fn stall(clock: Option<fn() -> Duration>) -> Response {
    let Some(clock) = clock else { return Response::plain(Status::NOT_IMPLEMENTED) };
    let end = clock() + TURN_MAX + Duration::from_millis(100);
    while clock() < end {
        core::hint::spin_loop();
    }
    Response::ok("text/plain", "done\n")
}

/// Panics, as a handler with a bug does.
pub(crate) async fn panic(_request: Request) -> Response {
    panic!("asked to by /_test/panic");
}
