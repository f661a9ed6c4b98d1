//! Health: whether the appliance lives, and whether it takes visitors.

use crate::Platform;
use crate::context::Context;
use crate::service::Services;
use alloc::rc::Rc;
use web::session::SessionHost;
use web::{Request, Response, Routes, Status, sharing};

/// The paths that need no token: they tell nothing else.
pub(super) const PATHS: [&[u8]; 2] = [b"/healthz", b"/readyz"];

struct State {
    services: Services,
    sessions: SessionHost,
}

/// Adds `/healthz`, 200 as long as anything is answered, and `/readyz`, 503 while the appliance takes no visitors.
pub(crate) fn add<P: Platform>(routes: Routes, context: &Context<P>) -> Routes {
    let state = State { services: context.services.clone(), sessions: context.sessions.clone() };
    routes.get("/healthz", live).get("/readyz", sharing(&Rc::new(state), ready))
}

async fn live(_: Request) -> Response {
    Response::ok("text/plain; charset=utf-8", "live\n")
}

async fn ready(state: Rc<State>, _: Request) -> Response {
    let (text, is_ready) = if state.services.are_draining() {
        ("stopping\n", false)
    } else if !state.sessions.is_admitting() {
        ("starting: saved sessions are on their way\n", false)
    } else {
        ("ready\n", true)
    };
    let response = Response::ok("text/plain; charset=utf-8", text);
    if is_ready { response } else { response.with_status(Status::SERVICE_UNAVAILABLE) }
}
