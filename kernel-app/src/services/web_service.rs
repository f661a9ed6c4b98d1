//! Server of web requests as a service, whatever protocol they come by.

use crate::Platform;
use crate::context::Context;
use crate::service::{Offer, Opened, Service, listen};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::time::Duration;
#[cfg(feature = "inspection")]
use endpoints::server;
use endpoints::server::{Server, Traffic};
use flow::Listener;
use inspect::Inspector;
use web::server::ServerCore;
use web::session::SessionHost;

/// Serves on `port`.
pub(super) fn serve<P: Platform, C: ServerCore>(
    context: &Context<P>,
    server: Server<C>,
    port: u16,
) -> Opened {
    let listener = listen(context, C::NAME, port)?;
    let_in(context, "web listener", server.clone(), listener);
    opened(context, C::NAME, server, port)
}

/// A server that is called `name`, as a service.
pub(super) fn opened<P: Platform, C: ServerCore>(
    context: &Context<P>,
    name: &'static str,
    server: Server<C>,
    port: u16,
) -> Opened {
    let sessions = context.sessions.clone();
    Ok(Some(Rc::new(Web { name, server, port, sessions })))
}

/// Serves who comes, once visitors are let in.
pub(super) fn let_in<P: Platform, C: ServerCore>(
    context: &Context<P>,
    task: &'static str,
    server: Server<C>,
    listener: impl Listener + 'static,
) {
    let sessions = context.sessions.clone();
    context.spawner.spawn(task, async move {
        sessions.admitted().await;
        server.serve(listener).await;
    });
}

/// Lets others see what a server counts, as that of the service of this name.
#[cfg(feature = "inspection")]
pub(super) fn add_traffic(name: &'static str, traffic: Rc<Traffic>, inspector: &Inspector) {
    inspector.add_metrics(server::METRICS, move |visit| visit(Some(("service", &name)), &traffic));
}

/// Nobody looks.
#[cfg(not(feature = "inspection"))]
pub(super) fn add_traffic(_: &'static str, _: Rc<Traffic>, _: &Inspector) {}

struct Web<C: ServerCore> {
    name: &'static str,
    server: Server<C>,
    port: u16,
    sessions: SessionHost,
}

impl<C: ServerCore> Service for Web<C> {
    fn offers(&self) -> Vec<Offer> {
        [Offer { name: self.name, protocol: self.name, port: self.port }].into()
    }

    fn connections(&self) -> usize {
        self.server.connections()
    }

    fn drain(&self, _linger: Duration) {
        self.server.drain();
        self.sessions.drain();
    }

    fn inspect(&self, name: &'static str, inspector: &Inspector) {
        add_traffic(name, self.server.traffic(), inspector);
    }
}
