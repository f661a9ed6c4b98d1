//! The site in the boot bundle.

use crate::{Platform, app::Context};
use alloc::rc::Rc;
use config::Bundle;
use endpoints::http::{Answer, Handler, Request, Response, Status};

/// Serves the bundle's files.
pub struct Site {
    bundle: Rc<Bundle<'static>>,
}

impl Site {
    /// The files under the configured root.
    pub fn new<P: Platform>(context: &Context<P>) -> Self {
        Self { bundle: context.bundle.clone() }
    }
}

impl Handler for Site {
    fn answer(&self, request: Request) -> Answer {
        let path = core::str::from_utf8(request.path()).unwrap_or("/");
        let mut name = alloc::format!("site{path}");
        if name.ends_with('/') {
            name.push_str("index.html");
        }
        let response = match self.bundle.get(&name) {
            Some(file) => Response::ok("text/html", file.bytes),
            None => Response::plain(Status::NOT_FOUND),
        };
        Answer::Now(response.into())
    }
}
