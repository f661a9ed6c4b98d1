//! For tests only: routes that exist when the configuration says `[debug] endpoints = true`.

use super::zmq;
use crate::Platform;
use crate::app::Context;
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use endpoints::http::{Request, Response, Status};
use endpoints::pipe::Compress;
use flow::Target;

/// Longest body that is echoed, in bytes.
const ECHO_BYTES_MAX: usize = 64 << 20;
/// Longest text that another appliance is asked to transform, in bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends the body back.
pub async fn echo(mut request: Request) -> Response {
    match request.body().collect(ECHO_BYTES_MAX).await {
        Ok(body) => Response::ok("application/octet-stream", body),
        Err(_) => Response::plain(Status::CONTENT_TOO_LARGE),
    }
}

/// Takes the body and forgets it; says how many bytes it had.
pub async fn sink(mut request: Request) -> Response {
    let mut bytes = 0;
    loop {
        match request.body().next().await {
            Ok(Some(part)) => bytes += part.len(),
            Ok(None) => return Response::ok("text/plain", format!("{bytes}\n").into_bytes()),
            Err(_) => return Response::plain(Status::BAD_REQUEST),
        }
    }
}

/// Panics, as a handler with a bug does.
pub async fn panic(_request: Request) -> Response {
    panic!("asked to by /_test/panic");
}

/// Has the body put in capitals by the ZeroMQ service at the address that the path names: a session
/// of one appliance that calls another's service.
pub async fn transform<P: Platform>(context: Context<P>, mut request: Request) -> Response {
    let Some(service) = service_of(&request) else {
        return Response::plain(Status::BAD_REQUEST);
    };
    let Ok(body) = request.body().collect(TEXT_BYTES_MAX).await else {
        return Response::plain(Status::CONTENT_TOO_LARGE);
    };
    let Ok(text) = String::from_utf8(body) else {
        return Response::plain(Status::BAD_REQUEST);
    };
    let client = zmq::texts_of(&context, service).patience(PATIENCE);
    match client.call(zmq::Request::Upper(text), Compress::Reply).await {
        Ok(text) => Response::ok("text/plain; charset=utf-8", text.into_bytes()),
        Err(error) => {
            log::info!("/_test/transform: {error}");
            Response::plain(Status::BAD_GATEWAY)
        }
    }
}

fn service_of(request: &Request) -> Option<Target> {
    core::str::from_utf8(request.parameter("service")?).ok()?.parse().ok()
}
