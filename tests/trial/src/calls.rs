//! Cap'n Proto RPC by way of HTTP: a call to another appliance, by whatever transport the path names.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use aqueduct::Platform;
use aqueduct::appliance_capnp::{calculator, directory};
use aqueduct::context::Context;
use core::error::Error;
use endpoints::rpc::{Limits, Rpc};
use flow::Target;
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
