//! The services of this crate, with routes of an application's own in front of the site's: what most tables are made of.

use crate::context::Context;
use crate::service::{Opened, ServiceEntry, WebRoutes};
use crate::{Platform, app, services};
use alloc::boxed::Box;
use alloc::vec::Vec;
use web::Routes;

/// All services that the build carries, each by its feature of this crate: `http`, `https`, `fastcgi`, `gopher`, `rpc`, `vats`,
/// `zmq` and `admin`, in this order.
///
/// ```
/// use aqueduct::Platform;
/// use aqueduct::service::{ServiceEntry, Table};
/// use aqueduct::standard::Standard;
/// use web::{Request, Response, Routes};
///
/// struct Greeter;
///
/// impl Table for Greeter {
///     fn entries<P: Platform>(&self) -> Vec<ServiceEntry<P>> {
///         Standard::new(|_| Routes::new().get("/greet", greet)).entries()
///     }
/// }
///
/// async fn greet(_: Request) -> Response {
///     Response::ok("text/plain; charset=utf-8", "hello\n")
/// }
/// ```
pub struct Standard<P: Platform> {
    web: WebRoutes<P>,
    rpc: Box<OpenService<P>>,
    more: Vec<ServiceEntry<P>>,
}

type OpenService<P> = dyn FnOnce(&Context<P>) -> Opened;

impl<P: Platform> Standard<P> {
    /// With these routes. They come before those of the configuration and the site, and are the same for HTTP, HTTPS, FastCGI and
    /// Gopher; `own` runs once, when the first of these opens.
    pub fn new(own: impl Fn(&Context<P>) -> Routes + 'static) -> Self {
        let web = WebRoutes::new(move |context| app::routes(own(context), context));
        Self { web, rpc: Box::new(open_rpc), more: Vec::new() }
    }

    /// With `rpc` opened otherwise than by [`services::rpc::open`]. Without the feature `rpc` it is never opened.
    #[must_use]
    pub fn with_rpc(mut self, open: impl FnOnce(&Context<P>) -> Opened + 'static) -> Self {
        self.rpc = Box::new(open);
        self
    }

    /// With one more service, which starts after the others.
    #[must_use]
    pub fn with_service(mut self, entry: ServiceEntry<P>) -> Self {
        self.more.push(entry);
        self
    }

    /// The entries of the table.
    #[allow(unused_variables, reason = "a build may carry none of the services that use it")]
    pub fn entries(self) -> Vec<ServiceEntry<P>> {
        let Self { web, rpc, more } = self;
        let standard: [ServiceEntry<P>; _] = [
            #[cfg(feature = "http")]
            ServiceEntry::web("http", &web, services::http::open),
            #[cfg(feature = "https")]
            ServiceEntry::web("https", &web, services::https::open),
            #[cfg(feature = "fastcgi")]
            ServiceEntry::web("fastcgi", &web, services::fastcgi::open),
            #[cfg(feature = "gopher")]
            ServiceEntry::web("gopher", &web, services::gopher::open),
            #[cfg(feature = "rpc")]
            ServiceEntry::new("rpc", rpc),
            #[cfg(feature = "vats")]
            ServiceEntry::new("vats", services::vats::open),
            #[cfg(feature = "zmq")]
            ServiceEntry::new("zmq", services::zmq::open),
            #[cfg(feature = "admin")]
            ServiceEntry::new("admin", services::admin::open),
        ];
        standard.into_iter().chain(more).collect()
    }
}

#[cfg(feature = "rpc")]
fn open_rpc<P: Platform>(context: &Context<P>) -> Opened {
    services::rpc::open(context)
}

#[cfg(not(feature = "rpc"))]
fn open_rpc<P: Platform>(_: &Context<P>) -> Opened {
    Ok(None)
}
