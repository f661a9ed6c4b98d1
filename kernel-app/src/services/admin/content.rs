//! Content: another bundle's site in place of the one that is served, without a restart.

#[cfg(feature = "disk")]
mod disk;

use super::api::bad;
use crate::Platform;
use crate::context::Context;
use crate::live_site::LiveSite;
use crate::live_site::prepared::{Prepared, Unfit};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cell::Cell;
use core::time::Duration;
use flow::time::Timers;
use web::{ContentLength, Request, Response, Routes, Status, sharing};

/// What of the machine's memory a bundle may take, with what is kept of its files: the one before it is held until the last
/// answer with it has been sent.
const MEMORY_DIVISOR: usize = 4;
/// How long a bundle may take to come: so long, and as long again as its bytes take at the least rate. Others wait for it.
const GRACE: Duration = Duration::from_secs(30);
const BYTES_PER_SECOND_MIN: u64 = 64 << 10;

/// Adds the path, whose requests have more content than others'.
pub(super) fn routes<P: Platform>(context: &Context<P>) -> Routes {
    let content = Rc::new(Content {
        live: context.live_site(),
        timers: context.timers.clone(),
        bytes_max: bytes_max(context),
        memory_bytes_max: memory_bytes_max(context),
        is_busy: Cell::new(false),
    });
    let routes = Routes::new().put("/api/v1/bundle", sharing(&content, put));
    #[cfg(feature = "disk")]
    let routes = routes.post("/api/v1/bundle", disk::route(context, &content));
    routes
}

/// Bytes of the longest bundle.
pub(super) fn bytes_max<P: Platform>(context: &Context<P>) -> usize {
    context.config.conf.site_bytes_max.min(memory_bytes_max(context))
}

fn memory_bytes_max<P: Platform>(context: &Context<P>) -> usize {
    context.platform.memory_bytes() / MEMORY_DIVISOR
}

struct Content {
    live: Rc<LiveSite>,
    timers: Timers,
    bytes_max: usize,
    /// With what is kept of its files.
    memory_bytes_max: usize,
    /// One bundle comes at a time, so that no more than one is held beside what is served.
    is_busy: Cell<bool>,
}

/// Ends with the request that began it, however that ends.
struct Busy(Rc<Content>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.is_busy.set(false);
    }
}

/// Serves the site of the bundle that is the request's content. Nothing changes unless all of it is right.
async fn put(content: Rc<Content>, mut request: Request) -> Result<Response, Response> {
    let too_long = || {
        refusal(
            Status::CONTENT_TOO_LARGE,
            format!(
                "a bundle of at most {} bytes: site_bytes_max in [conf], and a quarter of the memory",
                content.bytes_max
            ),
        )
    };
    if let ContentLength::Known(bytes) = request.content_length()
        && bytes > content.bytes_max as u64
    {
        return Err(too_long().closing());
    }
    if content.is_busy.replace(true) {
        return Err(refusal(Status::CONFLICT, "another bundle is coming".into()).closing());
    }
    let _busy = Busy(content.clone());
    let archive = content.collect(&mut request).await.map_err(|fault| match fault {
        Fault::TooLong => too_long().closing(),
        Fault::TooSlow => refusal(
            Status::REQUEST_TIMEOUT,
            format!(
                "a bundle within {} seconds, and one more for each {BYTES_PER_SECOND_MIN} bytes of it",
                GRACE.as_secs()
            ),
        )
        .closing(),
        Fault::NoMemory => Response::plain(Status::SERVICE_UNAVAILABLE).closing(),
        Fault::Incomplete => {
            refusal(Status::BAD_REQUEST, "a bundle that comes whole".into()).closing()
        }
    })?;
    if archive.is_empty() {
        return Err(bad("a bundle, as `cargo xtask bundle DIR --out FILE` makes it\n"));
    }
    let archive = Bytes::from(archive);
    let prepared = content.live.prepare(&archive, content.memory_bytes_max).await;
    Ok(serve(prepared.map_err(refused)?, "a new bundle").await)
}

fn refused(unfit: Unfit) -> Response {
    match unfit {
        Unfit::Archive(text) => refusal(Status::BAD_REQUEST, text),
        Unfit::TooLarge(text) => refusal(Status::CONTENT_TOO_LARGE, text),
        Unfit::Content(text) => refusal(Status::UNPROCESSABLE_CONTENT, text),
    }
}

/// Serves what is prepared, and says so with what a boot would warn of.
async fn serve(prepared: Prepared<'_>, source: &str) -> Response {
    let warnings: String =
        prepared.warnings().iter().map(|warning| format!("warning: {warning}\n")).collect();
    let (files, before) = prepared.serve();
    before.drop_in_slices().await;
    log::info!("site: {files} files of {source}, as the admin port was told");
    let text = format!("{files} files are served now\n{warnings}");
    Response::ok("text/plain; charset=utf-8", text)
}

/// What is allowed, or what is wrong, as a line.
fn refusal(status: Status, text: String) -> Response {
    bad(text + "\n").with_status(status)
}

enum Fault {
    TooLong,
    TooSlow,
    NoMemory,
    Incomplete,
}

impl Content {
    /// The content. It is not weighed as its sender's, of whom there is one at a time, who is an operator: the bound is this one.
    async fn collect(&self, request: &mut Request) -> Result<Vec<u8>, Fault> {
        let bytes_max = self.bytes_max;
        let mut whole = Vec::new();
        if let ContentLength::Known(bytes) = request.content_length() {
            let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes <= bytes_max);
            let reserved = whole.try_reserve_exact(bytes.ok_or(Fault::TooLong)?);
            reserved.map_err(|_| Fault::NoMemory)?;
        }
        let start = self.timers.now();
        loop {
            let share = Duration::from_secs(whole.len() as u64 / BYTES_PER_SECOND_MIN);
            let deadline = start.saturating_add(GRACE).saturating_add(share);
            let next = self.timers.before(deadline, request.body().next()).await;
            let next = next.map_err(|_| Fault::TooSlow)?.map_err(|_| Fault::Incomplete)?;
            let Some(bytes) = next else { return Ok(whole) };
            if bytes.len() > bytes_max - whole.len() {
                return Err(Fault::TooLong);
            }
            whole.try_reserve(bytes.len()).map_err(|_| Fault::NoMemory)?;
            whole.extend_from_slice(&bytes);
            // A trickle that is always there in time is not waited for, and so not noticed above.
            if self.timers.now() > deadline {
                return Err(Fault::TooSlow);
            }
        }
    }
}
