//! Handlers of each protocol that wait several times on their way to an answer, and can be made to panic at any of these.

use aqueduct::Platform;
use aqueduct::appliance_capnp::directory;
use aqueduct::context::Context;
use aqueduct::handlers::transform::transform;
use aqueduct::service::{Offer, Opened, Service, listen};
use aqueduct::services::zmq::host;
use aqueduct::settings::zmq::ZmqSettings;
use capnp::Error;
use endpoints::pipe::{self, make_server_within};
use endpoints::rpc::Rpc;
use endpoints::websocket::{self, Deflate};
use endpoints::zmq::Bind;
use flow::task::yield_once;
use inspect::Inspector;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use web::session::{Ended, Mapper, Session};
use web::{Reply, Request, Response, Routes};

thread_local! {
    /// Waits until one of them panics; zero is never.
    static LEFT: Cell<u32> = const { Cell::new(0) };
}

/// Has the `n`-th wait of this thread's handlers from now on panic; says whether the one that was asked for before did.
pub fn panic_at(n: u32) -> bool {
    LEFT.replace(n) == 0
}

/// Waits until all others had their turn.
async fn wait() {
    yield_once().await;
    let left = LEFT.get();
    LEFT.set(left.saturating_sub(1));
    assert!(left != 1, "asked to panic here");
}

/// `/waits`: sends the body back, in capitals. `/echoes`: a WebSocket that sends each message
/// back, until one that is empty. `/visits/NAME`: a session for each name.
pub(crate) fn routes<P: Platform>(routes: Routes, context: &Context<P>) -> Routes {
    let routes = routes.session(&context.sessions, "/visits/:name", Mapper::path("name"), visits);
    let sockets = aqueduct::services::websocket::host(context);
    let routes = routes.get("/echoes", move |request| echoes(sockets.clone(), request));
    routes.any("/waits", async |mut request: Request| {
        wait().await;
        let body = request.body().collect(10_000).await;
        wait().await;
        let mut text = body.map(|body| body.to_vec()).unwrap_or_default();
        text.make_ascii_uppercase();
        wait().await;
        Response::ok("text/plain", text)
    })
}

/// Counts visits to the third, which is answered by a stream.
async fn visits(mut session: Session) -> Result<(), Ended> {
    wait().await;
    for visit in 1..3 {
        let mut hit = session.next().await?;
        wait().await;
        let content = hit.body().collect(1000).await.map_or(0, |content| content.len());
        wait().await;
        hit.reply(Response::ok("text/plain", format!("visit {visit}, {content} bytes")));
    }
    let mut stream = session.next().await?.stream(Response::ok("text/plain", ""));
    for part in ["the last ", "visit"] {
        wait().await;
        if stream.write(part.as_bytes().to_vec()).await.is_err() {
            return Ok(());
        }
    }
    stream.finish();
    Ok(())
}

async fn echoes(sockets: websocket::Host, request: Request) -> Reply {
    let options =
        websocket::Options { deflate: Some(Deflate::default()), ..websocket::Options::default() };
    sockets.accept(&request, options, async |mut socket| {
        wait().await;
        while let Some(message) = socket.next().await? {
            wait().await;
            let is_last = message.is_empty();
            wait().await;
            socket.send(message).await?;
            if is_last {
                break;
            }
        }
        Ok(())
    })
}

/// The appliance's directory, behind one that waits.
pub(crate) fn directory(vat: &Rpc, inner: directory::Client) -> directory::Client {
    vat.client(Slow(inner))
}

struct Slow(directory::Client);

impl directory::Server for Slow {
    async fn list(
        self: Rc<Self>,
        _: directory::ListParams,
        mut results: directory::ListResults,
    ) -> Result<(), Error> {
        wait().await;
        let listed = self.0.list_request().send().promise.await?;
        wait().await;
        results.set(listed.get()?)?;
        wait().await;
        Ok(())
    }

    async fn get(
        self: Rc<Self>,
        params: directory::GetParams,
        mut results: directory::GetResults,
    ) -> Result<(), Error> {
        wait().await;
        let mut request = self.0.get_request();
        request.get().set_name(params.get()?.get_name()?);
        wait().await;
        let found = request.send().promise.await?;
        results.set(found.get()?)?;
        wait().await;
        Ok(())
    }
}

/// The transform service, behind waits.
pub(crate) fn open_zmq<P: Platform>(context: &Context<P>) -> Opened {
    let ZmqSettings { port, limits, .. } = ZmqSettings::new(&context.config.zmq);
    let Some(port) = port else { return Ok(None) };
    let listener = Bind(listen(context, "zmq", port)?);
    let handler = async |request| {
        wait().await;
        let reply = transform(request).await;
        wait().await;
        reply
    };
    let server = make_server_within(&host(context), handler, listener, limits);
    Ok(Some(Rc::new(Transform(server))))
}

struct Transform(pipe::Service);

impl Service for Transform {
    fn offers(&self) -> Vec<Offer> {
        Vec::new()
    }

    fn connections(&self) -> usize {
        self.0.peers()
    }

    fn drain(&self, linger: Duration) {
        self.0.drain(linger);
    }

    fn inspect(&self, name: &'static str, inspector: &Inspector) {
        let server = self.0.clone();
        inspector.add_metrics(pipe::METRICS, move |visit| visit(Some(("service", &name)), &server));
    }
}
