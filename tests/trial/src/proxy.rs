//! A route that passes requests on to any other server: the proxy at work, over whatever the platform connects by.

use alloc::boxed::Box;
use alloc::string::String;
use aqueduct::Platform;
use aqueduct::context::Context;
use core::time::Duration;
use endpoints::http::proxy::Proxy;
use flow::registry::ResolvingConnector;
use flow::{Connector, Dispatcher, Target};
use web::{Answer, Handler, Reply, Request, Response, Status};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers `/…/:server/*path` with what `server` answers to `/path`.
pub(crate) struct Relay<C: Connector>(Proxy<C>);

impl Relay<ResolvingConnector<Dispatcher>> {
    /// A relay whose idle connections serve later requests.
    pub(crate) fn new<P: Platform>(context: &Context<P>) -> Self {
        let name = context.host_label();
        let connector = context.connector();
        Self(Proxy::new(name, connector, &context.spawner, &context.timers, CONNECT_TIMEOUT))
    }
}

impl<C: Connector + 'static> Handler for Relay<C> {
    fn answer(&self, request: Request) -> Answer {
        let proxy = self.0.clone();
        Answer::Later(Box::pin(async move { pass_on(proxy, request).await }))
    }
}

async fn pass_on<C: Connector + 'static>(proxy: Proxy<C>, request: Request) -> Reply {
    let (Some(target), Some(path)) = (target(&request), path(&request)) else {
        return Response::plain(Status::BAD_REQUEST).into();
    };
    match proxy.pass_on_as(&target, request, &path).await {
        Ok(reply) => reply,
        Err(not_passed) => {
            log::info!("/_test/relay: {target}: {}", not_passed.reason);
            Response::plain(not_passed.status()).into()
        }
    }
}

fn target(request: &Request) -> Option<Target> {
    request.parameter_text("server")?.parse().ok()
}

/// What is asked of the other server.
fn path(request: &Request) -> Option<String> {
    let mut path = String::from("/");
    path.push_str(core::str::from_utf8(request.parameter("path")?).ok()?);
    if let Some(query) = request.query() {
        path.push('?');
        path.push_str(core::str::from_utf8(query).ok()?);
    }
    Some(path)
}
