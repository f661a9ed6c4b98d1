//! A service of another vat, called by a request.

#[cfg(feature = "vats")]
use alloc::format;
#[cfg(feature = "vats")]
use alloc::string::ToString;
use aqueduct::Platform;
use aqueduct::context::Context;
use web::{Request, Response, Status};

/// What the calculator of a name in `[capabilities]` sends back for `hello`, or why it does not.
#[cfg(feature = "vats")]
pub(crate) async fn echo<P: Platform>(context: Context<P>, request: Request) -> Response {
    let name = request.parameter_text("name").unwrap_or_default().to_string();
    match echoed(&context, &name).await {
        Ok(text) => Response::ok("text/plain", text),
        Err(error) => {
            Response::ok("text/plain", format!("{error}\n")).with_status(Status::BAD_GATEWAY)
        }
    }
}

#[cfg(feature = "vats")]
async fn echoed<P: Platform>(
    context: &Context<P>,
    name: &str,
) -> Result<alloc::vec::Vec<u8>, alloc::boxed::Box<dyn core::error::Error>> {
    use aqueduct::appliance_capnp::calculator;
    let calculator: calculator::Client = context.capability(name)?;
    let mut asked = calculator.echo_request();
    asked.get().set_data(b"hello");
    let answer = asked.send().promise.await?;
    Ok(answer.get()?.get_data()?.to_vec())
}

/// This build has none.
#[cfg(not(feature = "vats"))]
pub(crate) async fn echo<P: Platform>(_: Context<P>, _: Request) -> Response {
    Response::plain(Status::NOT_FOUND)
}
