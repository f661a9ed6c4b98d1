//! A service of another vat, called by a request.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use aqueduct::Platform;
use aqueduct::appliance_capnp::calculator;
use aqueduct::context::Context;
use core::error::Error;
use web::{Request, Response, Status};

/// What the calculator of a name in `[capabilities]` sends back for `hello`, or why it does not.
pub(crate) async fn echo<P: Platform>(context: Context<P>, request: Request) -> Response {
    let name = request.parameter_text("name").unwrap_or_default().to_string();
    match echoed(&context, &name).await {
        Ok(text) => Response::ok("text/plain", text),
        Err(error) => {
            Response::ok("text/plain", format!("{error}\n")).with_status(Status::BAD_GATEWAY)
        }
    }
}

async fn echoed<P: Platform>(context: &Context<P>, name: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let calculator: calculator::Client = context.capability(name)?;
    let mut asked = calculator.echo_request();
    asked.get().set_data(b"hello");
    let answer = asked.send().promise.await?;
    Ok(answer.get()?.get_data()?.to_vec())
}
