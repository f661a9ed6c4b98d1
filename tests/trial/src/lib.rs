//! Trial appliance: the product's services, with routes and objects beside them that only tests want.
//!
//! It is the same library under a [table](aqueduct::service::Table) of its own. `bare/` makes an
//! image of it (`cargo xtask image --trial`), `linux/` the process `aqueduct-trial`. Never on a
//! machine that others can reach.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod bodies;
#[cfg(feature = "rpc")]
mod calls;
#[cfg(feature = "vats")]
mod capabilities;
#[cfg(feature = "database")]
mod databases;
mod helpers;
#[cfg(feature = "rpc")]
pub mod loads;
mod menus;
mod proxy;
pub mod relay;
pub mod script;
mod sessions;
mod sockets;
mod websockets;

use alloc::vec::Vec;
use aqueduct::Platform;
use aqueduct::context::Context;
use aqueduct::service::ServiceEntry;
use aqueduct::standard::Standard;
use web::Routes;
use web::session::Mapper;

/// The product's services, the routes of this crate, and `more` routes.
pub fn entries<P: Platform>(
    more: impl Fn(Routes, &Context<P>) -> Routes + 'static,
) -> Vec<ServiceEntry<P>> {
    let standard = Standard::new(move |context| more(routes(context), context));
    #[cfg(feature = "rpc")]
    let standard = standard.with_rpc(|context| {
        aqueduct::services::rpc::open_to_all(context, |vat, directory| {
            relay::directory(context, vat, directory)
        })
    });
    standard.entries()
}

/// What HTTP, FastCGI and Gopher serve for tests on any platform.
pub fn routes<P: Platform>(context: &Context<P>) -> Routes {
    let clock = context.platform.clock();
    let transform = context.clone();
    let script = context.clone();
    let host = aqueduct::services::websocket::host(context);
    let (client, asking) = (host.clone(), context.clone());
    let session = context.sessions.route("/_test/session", Mapper::cookie(), sessions::session);
    let routes = aqueduct::handlers::samples::routes(context, &host);
    #[cfg(feature = "vats")]
    let routes = {
        let context = context.clone();
        routes.get("/_test/capability/:name", move |request| {
            capabilities::echo(context.clone(), request)
        })
    };
    #[cfg(feature = "rpc")]
    let routes = {
        let routes = routes.nest("/_test/loads", loads::routes(context));
        let (context, vat) = (context.clone(), calls::vat(context));
        routes.post("/_test/call/:server", move |request| {
            calls::echo(context.clone(), vat.clone(), request)
        })
    };
    #[cfg(feature = "database")]
    let routes = {
        let (context, sleeper) = (context.clone(), context.clone());
        let sleeper = move |session| databases::sleeper(sleeper.clone(), session);
        routes
            .session(&context.sessions.clone(), "/_test/sleeper", Mapper::cookie(), sleeper)
            .get("/_test/database/:name/:what", move |request| {
                databases::ask(context.clone(), request)
            })
    };
    routes
        .any("/_test/echo", bodies::echo)
        .any("/_test/sink", bodies::sink)
        .any("/_test/panic", bodies::panic)
        .get("/_test/stall", move |_| bodies::stall(clock))
        .nest("/_test/web", helpers::routes(context))
        .any("/_test/session", session.clone())
        .any("/_test/session/:what", session)
        .session(
            &context.sessions,
            "/_test/named-session/:name",
            Mapper::path("name"),
            sessions::named,
        )
        .get("/_test/menu", menus::menu)
        .get("/_test/search", menus::search)
        .any("/_test/relay/:server/*path", proxy::Relay::new(context))
        .post("/_test/transform/:service", move |request| {
            sockets::transform_elsewhere(transform.clone(), request)
        })
        .get("/_test/websocket", move |request| websockets::echo(host.clone(), request))
        .get("/_test/websocket/:server", move |request| {
            websockets::ask(asking.clone(), client.clone(), request)
        })
        .get("/_test/zmq", move |request| sockets::run_script(script.clone(), request))
}
