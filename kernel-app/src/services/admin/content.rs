//! Content: another bundle's site in place of the one that is served, without a restart.

use super::api::bad;
use crate::Platform;
use crate::context::Context;
use crate::live_site::LiveSite;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cell::Cell;
use web::{ContentLength, Request, Response, Routes, Status, sharing};

/// What of the machine's memory a bundle may have: the one before it is held until the last answer with it has been sent.
const MEMORY_DIVISOR: usize = 4;

/// Adds the path, whose requests have more content than others'.
pub(super) fn routes<P: Platform>(context: &Context<P>) -> Routes {
    let content = Rc::new(Content {
        live: context.live_site(),
        bytes_max: bytes_max(context),
        is_busy: Cell::new(false),
    });
    Routes::new().put("/api/v1/bundle", sharing(&content, put))
}

/// Bytes of the longest bundle.
pub(super) fn bytes_max<P: Platform>(context: &Context<P>) -> usize {
    context.config.conf.site_bytes_max.min(context.platform.memory_bytes() / MEMORY_DIVISOR)
}

struct Content {
    live: Rc<LiveSite>,
    bytes_max: usize,
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
    let too_large = || {
        let text = format!(
            "a bundle of at most {} bytes: site_bytes_max in [conf], and a quarter of the memory\n",
            content.bytes_max
        );
        bad(text).with_status(Status::CONTENT_TOO_LARGE)
    };
    if let ContentLength::Known(bytes) = request.content_length()
        && bytes > content.bytes_max as u64
    {
        return Err(too_large().closing());
    }
    if content.is_busy.replace(true) {
        return Err(bad("another bundle is coming\n").with_status(Status::CONFLICT).closing());
    }
    let _busy = Busy(content.clone());
    let archive = collect(&mut request, content.bytes_max).await.map_err(|fault| match fault {
        Fault::TooLong => too_large(),
        Fault::NoMemory => Response::plain(Status::SERVICE_UNAVAILABLE).closing(),
        Fault::Incomplete => Response::plain(Status::BAD_REQUEST).closing(),
    })?;
    if archive.is_empty() {
        return Err(bad("a bundle, as `cargo xtask bundle DIR --out FILE` makes it\n"));
    }
    let prepared = content
        .live
        .prepare(&Bytes::from(archive))
        .map_err(|faults| bad(format!("{faults}\n")).with_status(Status::UNPROCESSABLE_CONTENT))?;
    let files = prepared.serve();
    log::info!("site: {files} files of a new bundle, as the admin port was told");
    Ok(Response::ok("text/plain; charset=utf-8", format!("{files} files are served now\n")))
}

enum Fault {
    TooLong,
    NoMemory,
    Incomplete,
}

/// The content. It is not weighed as its sender's, of whom there is one at a time, who is an operator: the bound is this one.
async fn collect(request: &mut Request, bytes_max: usize) -> Result<Vec<u8>, Fault> {
    let mut whole = Vec::new();
    if let ContentLength::Known(bytes) = request.content_length() {
        let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes <= bytes_max);
        let reserved = whole.try_reserve_exact(bytes.ok_or(Fault::TooLong)?);
        reserved.map_err(|_| Fault::NoMemory)?;
    }
    while let Some(bytes) = request.body().next().await.map_err(|_| Fault::Incomplete)? {
        if bytes.len() > bytes_max - whole.len() {
            return Err(Fault::TooLong);
        }
        whole.try_reserve(bytes.len()).map_err(|_| Fault::NoMemory)?;
        whole.extend_from_slice(&bytes);
    }
    Ok(whole)
}
