//! What the ZeroMQ port serves: a function from a [`Request`] to a [`Reply`], as CBOR, plain or
//! compressed; the pipelines are those of [`make_server`].
//!
//! In Python: `req.send(b"p" + cbor2.dumps({"upper": "water"}))` is answered with
//! `b"p" + cbor2.dumps("WATER")`.

use crate::Platform;
use crate::app::Context;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use endpoints::http::{self, Response, Status};
use endpoints::pipe::{Client, Compress, Service, make_client, make_server};
use endpoints::zmq::{Bind, Connect, Host};
use flow::{Listener, Target};
use serde::{Deserialize, Serialize};

/// Longest text that another appliance is asked to transform, in bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is asked for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Request {
    /// The same text.
    Echo(String),
    /// The text in capitals.
    Upper(String),
    /// The numbers, the other way around.
    Reverse(Vec<i64>),
    /// The sum of the numbers; it wraps.
    Sum(Vec<i64>),
}

/// The answer, as itself.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// To [`Request::Echo`] and [`Request::Upper`].
    Text(String),
    /// To [`Request::Reverse`].
    Numbers(Vec<i64>),
    /// To [`Request::Sum`].
    Number(i64),
}

/// Serves [`transform`] to whoever connects to `listener`.
pub fn open<P: Platform>(context: &Context<P>, listener: impl Listener + 'static) -> Service {
    make_server(&host(context), transform, Bind(listener))
}

/// The service.
pub async fn transform(request: Request) -> Reply {
    match request {
        Request::Echo(text) => Reply::Text(text),
        Request::Upper(text) => Reply::Text(text.to_uppercase()),
        Request::Reverse(mut numbers) => {
            numbers.reverse();
            Reply::Numbers(numbers)
        }
        Request::Sum(numbers) => {
            Reply::Number(numbers.iter().fold(0, |sum: i64, number| sum.wrapping_add(*number)))
        }
    }
}

/// The service of another appliance, for requests that are answered with a text.
pub fn texts_of<P: Platform>(context: &Context<P>, service: Target) -> Client<Request, String> {
    make_client(&host(context), Connect::new(context.platform.connector(), service))
}

/// An HTTP route of the debug endpoints: has the body put in capitals by the ZeroMQ service at the
/// address that the path names. A session of one appliance that calls another's service.
pub async fn transform_elsewhere<P: Platform>(
    context: Context<P>,
    mut request: http::Request,
) -> Response {
    let Some(service) = service_of(&request) else {
        return Response::plain(Status::BAD_REQUEST);
    };
    let Ok(body) = request.body().collect(TEXT_BYTES_MAX).await else {
        return Response::plain(Status::CONTENT_TOO_LARGE);
    };
    let Ok(text) = String::from_utf8(body) else {
        return Response::plain(Status::BAD_REQUEST);
    };
    let client = texts_of(&context, service).patience(PATIENCE);
    match client.call(Request::Upper(text), Compress::Reply).await {
        Ok(text) => Response::ok("text/plain; charset=utf-8", text.into_bytes()),
        Err(error) => {
            log::info!("/_test/transform: {error}");
            Response::plain(Status::BAD_GATEWAY)
        }
    }
}

fn service_of(request: &http::Request) -> Option<Target> {
    core::str::from_utf8(request.parameter("service")?).ok()?.parse().ok()
}

fn host<P: Platform>(context: &Context<P>) -> Host {
    let platform = context.platform.clone();
    Host {
        spawner: context.spawner.clone(),
        timers: context.timers.clone(),
        entropy: Rc::new(move |bytes| platform.fill_random(bytes)),
    }
}
