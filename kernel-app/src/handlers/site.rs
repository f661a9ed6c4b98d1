//! Static files: the site in the boot bundle.

use crate::settings::http::{HttpSettings, SiteSettings};
use crate::{Platform, context::Context};
use alloc::borrow::ToOwned;
use alloc::rc::Rc;
use core::time::Duration;
use flow::time::Timers;
use web::files::{self, Options, Variant};
use web::{Answer, Data, Handler, Request, Response, Status};

/// What answers where nothing is, if the site has it.
const NOT_FOUND_PAGE: &str = "404.html";

/// Serves the bundle's files from the memory that the boot loader put them in. Clones serve the same.
#[derive(Clone)]
pub struct Site {
    files: Rc<files::Site>,
    timers: Timers,
    wall_clock_start: Duration,
}

impl Site {
    /// The files under the configured root.
    pub fn new<P: Platform>(context: &Context<P>) -> Self {
        let SiteSettings { root, index } = HttpSettings::new(&context.config.http).site;
        let under_root = |path: &'static str| path.strip_prefix(&*root)?.strip_prefix('/');
        let has_index = context.bundle.files().any(|file| {
            under_root(file.path).is_some_and(|path| path.rsplit('/').next() == Some(&*index))
        });
        let files = context.bundle.files().filter_map(|file| {
            // Our own bundles say a hash of the content: then nothing is read here.
            let content = match file.content_hash {
                Some(hash) => {
                    let tag = u64::from(hash) << 32 | file.bytes.len() as u64 & 0xffff_ffff;
                    Variant::tagged(file.bytes, tag)
                }
                None => Variant::new(file.bytes),
            };
            Some((under_root(file.path)?.to_owned(), content, Some(file.mtime.into())))
        });
        // Lives as long as the appliance.
        let index = alloc::boxed::Box::leak(index.into_boxed_str());
        let files = files::Site::new(files, Options { index, ..Options::default() });
        log::info!("site: {} files under {root}/", files.len());
        // A machine without a bundle has no site.
        if !files.is_empty() && !has_index {
            log::warn!(
                "[http] index: no file under {root}/ is named {index}, so `/` finds nothing"
            );
        }
        let (files, timers) = (Rc::new(files), context.timers.clone());
        Self { files, timers, wall_clock_start: context.wall_clock_start() }
    }

    /// Whether a file answers that request: it is static, for [sessions](web::session::SessionRoute::beside) under the
    /// same paths.
    pub fn has(&self, request: &Request) -> bool {
        self.files.has(request.path(), "")
    }
}

/// The answer where nothing is; `page` is the site's own.
fn not_found(page: Option<&Data>, accept: Option<&[u8]>) -> Response {
    let Some(page) = page else { return Response::plain(Status::NOT_FOUND) };
    let wants_page = accept
        .is_some_and(|types| types.windows(b"text/html".len()).any(|part| part == b"text/html"));
    let response = if wants_page {
        Response::new(Status::NOT_FOUND).with_content("text/html; charset=utf-8", page.clone())
    } else {
        Response::plain(Status::NOT_FOUND)
    };
    // RFC 9110 section 12.5.5: a cache must not give the one to who wants the other.
    response.with_header("Vary", "Accept")
}

impl Handler for Site {
    fn answer(&self, request: Request) -> Answer {
        let now = (self.wall_clock_start + self.timers.now()).as_secs();
        let mut response = self.files.answer(&request, "", now);
        if response.status() == Status::NOT_FOUND {
            response = not_found(self.files.content(NOT_FOUND_PAGE), request.header("accept"));
        }
        Answer::Now(response.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_depends_on_accept_says_so() {
        let page = Data::from("<h1>nothing here</h1>");
        for (page, accept, is_page, vary) in [
            (Some(&page), Some(&b"text/html,*/*"[..]), true, Some(&b"Accept"[..])),
            (Some(&page), Some(b"image/png"), false, Some(b"Accept")),
            (Some(&page), None, false, Some(b"Accept")),
            (None, Some(b"text/html"), false, None),
        ] {
            let response = not_found(page, accept);
            assert_eq!(response.status(), Status::NOT_FOUND);
            assert_eq!(response.content_type().unwrap().starts_with("text/html"), is_page);
            assert_eq!(response.header("vary"), vary);
        }
    }
}
