//! Cap'n Proto RPC by way of HTTP: a call to another appliance, by whatever transport the path names.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use aqueduct::Platform;
use aqueduct::appliance_capnp::{calculator, directory};
use aqueduct::context::Context;
use capnp::capability::FromClientHook;
use core::error::Error;
use core::time::Duration;
use endpoints::rpc::{Limits, Rpc};
use flow::{Flow, Target};
use web::{Request, Response, Status};

/// Longest content that is echoed, in bytes.
const CONTENT_BYTES_MAX: usize = 1 << 20;

/// The vat of such calls.
pub(crate) fn vat<P: Platform>(context: &Context<P>) -> Rpc {
    Rpc::new(Limits::default(), &context.spawner, &context.timers)
}

/// What the calculator of the appliance at a target sends back for the content, or why it does not.
pub(crate) async fn echo<P: Platform>(
    context: Context<P>,
    vat: Rpc,
    mut request: Request,
) -> Response {
    let target = request.parameter_text("server").and_then(|server| server.parse().ok());
    let Some(target) = target else { return Response::plain(Status::BAD_REQUEST) };
    let Ok(content) = request.body().collect(CONTENT_BYTES_MAX).await else {
        return Response::plain(Status::CONTENT_TOO_LARGE);
    };
    match echoed(&context, &vat, &target, &content).await {
        Ok(echo) => Response::ok("application/octet-stream", echo),
        Err(error) => {
            Response::ok("text/plain", format!("{error}\n")).with_status(Status::BAD_GATEWAY)
        }
    }
}

async fn echoed<P: Platform>(
    context: &Context<P>,
    vat: &Rpc,
    target: &Target,
    content: &[u8],
) -> Result<Vec<u8>, Box<dyn Error>> {
    let directory: directory::Client = vat.connect(&context.connector(), target).await?;
    let mut asked = directory.get_request();
    asked.get().set_name("calculator");
    let found = asked.send().promise.await?;
    let calculator: calculator::Client = found.get()?.get_service().get_as_capability()?;
    let mut asked = calculator.echo_request();
    asked.get().set_data(content);
    let answer = asked.send().promise.await?;
    Ok(answer.get()?.get_data()?.to_vec())
}

/// How long so many calls of the calculator at a flow's other end take, each made when the last has its answer.
pub(crate) async fn lone(
    vat: &Rpc,
    flow: impl Flow + 'static,
    count: usize,
    clock: impl Fn() -> Duration,
) -> Result<Duration, capnp::Error> {
    let directory: directory::Client = vat.connect_flow(flow);
    let mut get = directory.get_request();
    get.get().set_name("calculator");
    let calculator: calculator::Client =
        FromClientHook::new(get.send().pipeline.get_service().as_cap());
    let mut number = calculator.value_request();
    number.get().set_number(1.0);
    let value = number.send().promise.await?.get()?.get_value()?;
    let start = clock();
    for _ in 0..count {
        value.read_request().send().promise.await?;
    }
    Ok(clock() - start)
}
