//! ZeroMQ by way of HTTP: a request is put to another appliance's service, or becomes a [`script`].

use crate::script::{self, Place};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use aqueduct::Platform;
use aqueduct::context::Context;
use aqueduct::handlers::transform::Request;
use aqueduct::services::zmq::host;
use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;
use endpoints::pipe::{Client, Compress, make_client};
use endpoints::zmq::{Connect, Host};
use flow::registry::Query;
use flow::{Flow, FlowError, FlowExt, Target};
use web::{Reply, Response, Status};

/// Longest text that another appliance is asked to transform, in bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest line of words of a script, in bytes.
const WORDS_BYTES_MAX: usize = 1024;

/// Has the body put in capitals by the ZeroMQ service that the
/// path names, as `10.9.0.2:5555` or as `transform@alpha`.
pub(crate) async fn transform_elsewhere<P: Platform>(
    context: Context<P>,
    mut request: web::Request,
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
    let client = texts_of(&context, service).timeout(PATIENCE);
    match client.call(Request::Upper(text), Compress::Reply).await {
        Ok(text) => Response::ok("text/plain; charset=utf-8", text.into_bytes()),
        Err(error) => {
            log::info!("/_test/transform: {error}");
            Response::plain(Status::BAD_GATEWAY)
        }
    }
}

/// The connection becomes a [`script`]'s. Its client sends a line of words and reads `ready`, then
/// what the script says at its end; when the client goes, so does the script.
pub(crate) async fn run_script<P: Platform>(context: Context<P>, _request: web::Request) -> Reply {
    let head = Response::new(Status::SWITCHING_PROTOCOLS).with_header("Upgrade", "zmq-trial");
    Reply::upgrade(head, move |mut flow| async move {
        // A client that has gone needs no answer.
        let _ = converse(&context, &mut *flow).await;
        flow.finish();
    })
}

async fn converse<P: Platform>(context: &Context<P>, flow: &mut dyn Flow) -> Result<(), FlowError> {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") && line.len() < WORDS_BYTES_MAX {
        let mut byte = [0];
        if flow.read(&mut byte).await? == 0 {
            return Ok(());
        }
        line.extend_from_slice(&byte);
    }
    let mut script = match script::open(context, &String::from_utf8_lossy(&line)) {
        Ok(script) => script,
        Err(why) => return flow.write_all(format!("error: {why}\n").as_bytes()).await,
    };
    flow.write_all(b"ready\n").await?;
    let said = poll_fn(|cx| match script.as_mut().poll(cx) {
        Poll::Ready(said) => Poll::Ready(Some(said)),
        // Nothing comes but the client's end.
        Poll::Pending => flow.poll_read_with(cx, &mut |bytes| bytes.len()).map(|_| None),
    });
    match said.await {
        Some(said) => flow.write_all(format!("{said}\n").as_bytes()).await,
        None => Ok(()),
    }
}

impl<P: Platform> Place for Context<P> {
    type Listener = P::Listener;
    type Connector = P::Connector;

    fn host(&self) -> Host {
        host(self)
    }

    fn listen(&self, port: u16) -> Result<P::Listener, String> {
        let backlog = self.config.tcp.listen_backlog;
        self.platform.listen(port, backlog).map_err(|error| error.to_string())
    }

    fn connector(&self) -> P::Connector {
        self.platform.connector()
    }
}

/// The service of another appliance, for requests that are answered with a text.
fn texts_of<P: Platform>(context: &Context<P>, service: Target) -> Client<Request, String> {
    make_client(&host(context), Connect::new(context.connector(), service))
}

fn service_of(request: &web::Request) -> Option<Target> {
    let text = core::str::from_utf8(request.parameter("service")?).ok()?;
    let by_name = || text.parse().ok().map(|query: Query| query.target());
    text.parse().ok().or_else(by_name)
}
