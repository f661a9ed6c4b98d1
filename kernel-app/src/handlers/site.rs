//! Static files: the site in the boot bundle.

use crate::settings::http::{HttpSettings, SiteSettings};
use crate::{Platform, context::Context};
use alloc::borrow::ToOwned;
use core::time::Duration;
use flow::time::Timers;
use web::files::{self, Options, Variant};
use web::{Answer, Handler, Request, Response, Status};

/// What answers where nothing is, if the site has it.
const NOT_FOUND_PAGE: &str = "404.html";

/// Serves the bundle's files from the memory that the boot loader put them in.
pub struct Site {
    files: files::Site,
    timers: Timers,
    wall_clock_start: Duration,
}

impl Site {
    /// The files under the configured root.
    pub fn new<P: Platform>(context: &Context<P>) -> Self {
        let SiteSettings { root, index } = HttpSettings::new(&context.config.http).site;
        let under_root = |path: &'static str| path.strip_prefix(&*root)?.strip_prefix('/');
        let files = context.bundle.files().filter_map(|file| {
            // The bundle's inode numbers are hashes of the content: nothing is read here.
            let tag = u64::from(file.inode) << 32 | file.bytes.len() as u64 & 0xffff_ffff;
            let content = Variant::tagged(file.bytes, tag);
            Some((under_root(file.path)?.to_owned(), content, Some(file.mtime.into())))
        });
        // Lives as long as the appliance.
        let index = alloc::boxed::Box::leak(index.into_boxed_str());
        let files = files::Site::new(files, Options { index, ..Options::default() });
        log::info!("site: {} files under {root}/", files.len());
        Self { files, timers: context.timers.clone(), wall_clock_start: context.wall_clock_start() }
    }

    fn not_found(&self, request: &Request) -> Response {
        let page = self.files.content(NOT_FOUND_PAGE);
        let wants_page = request.header("accept").is_some_and(|types| {
            types.windows(b"text/html".len()).any(|part| part == b"text/html")
        });
        match page {
            Some(page) if wants_page => Response::new(Status::NOT_FOUND)
                .with_content("text/html; charset=utf-8", page.clone()),
            _ => Response::plain(Status::NOT_FOUND),
        }
    }
}

impl Handler for Site {
    fn answer(&self, request: Request) -> Answer {
        let now = (self.wall_clock_start + self.timers.now()).as_secs();
        let mut response = self.files.answer(&request, "", now);
        if response.status() == Status::NOT_FOUND {
            response = self.not_found(&request);
        }
        Answer::Now(response.into())
    }
}
