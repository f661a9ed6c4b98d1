//! Static files: the site in the boot bundle, or on a disk.

use crate::live_site::{Files, LiveSite};
use crate::settings::http::{HttpSettings, SiteSettings};
use crate::{Platform, context::Context};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use bytes::Bytes;
use config::Bundle;
use core::time::Duration;
use flow::time::Timers;
use web::files::{self, Options, Variant};
use web::{Answer, Handler, Request, Response, Status};

/// What answers where nothing is, if the site has it.
const NOT_FOUND_PAGE: &str = "404.html";

/// Serves the bundle's files from the memory that the boot loader put them in, or a disk's from there. Clones serve the
/// same.
#[derive(Clone)]
pub struct Site {
    live: Rc<LiveSite>,
    timers: Timers,
    wall_clock_start: Duration,
}

impl Site {
    /// The files under the configured root.
    pub fn new<P: Platform>(context: &Context<P>) -> Self {
        let (live, timers) = (context.live_site(), context.timers.clone());
        Self { live, timers, wall_clock_start: context.wall_clock_start() }
    }

    /// Whether a file answers that request: it is static, for [sessions](web::session::SessionRoute::beside) under the
    /// same paths.
    pub fn has(&self, request: &Request) -> bool {
        self.live.served().has(request.path(), "")
    }

    /// The answer where nothing is: the site's own page, if it has one and the client takes pages.
    fn nothing(&self, request: &Request) -> Answer {
        let plain = || Answer::Now(Response::plain(Status::NOT_FOUND).into());
        let Some(page) = self.live.served().page(NOT_FOUND_PAGE, Status::NOT_FOUND, request) else {
            return plain();
        };
        let wants_page = request.header("accept").is_some_and(|types| {
            types.windows(b"text/html".len()).any(|part| part == b"text/html")
        });
        let answer = if wants_page { page } else { plain() };
        // RFC 9110 section 12.5.5: a cache must not give the one to who wants the other.
        answer.map(|mut reply| {
            reply.response = reply.response.with_header("Vary", "Accept");
            reply
        })
    }
}

/// How the site is served, and where in the bundle it is.
pub(crate) fn options<P: Platform>(context: &Context<P>) -> (Options, String) {
    let SiteSettings { root, index } = HttpSettings::new(&context.config.http).site;
    // Lives as long as the appliance.
    let index: &'static str = alloc::boxed::Box::leak(index.into_boxed_str());
    (Options { index, ..Options::default() }, root)
}

/// What is served at first.
pub(crate) fn served<P: Platform>(
    context: &Context<P>,
    root: &str,
    options: &Options,
) -> files::Site {
    on_disk(context, options).unwrap_or_else(|| in_bundle(&context.bundle, root, options.clone()))
}

/// The bundle's files below the site's root, where they lie.
pub(crate) fn of_bundle(bundle: &Bundle<'static>, root: &str) -> Files {
    let below = |path: &'static str| path.strip_prefix(root)?.strip_prefix('/');
    let files = bundle.files();
    files
        .filter_map(|it| Some((below(it.path)?.to_owned(), Bytes::from_static(it.bytes))))
        .collect()
}

/// The files of the bundle below `root/`.
fn in_bundle(bundle: &Bundle<'static>, root: &str, options: Options) -> files::Site {
    let under_root = |path: &'static str| path.strip_prefix(root)?.strip_prefix('/');
    let files = bundle.files().filter_map(|file| {
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
    let has_index = has_index(bundle.files().filter_map(|file| under_root(file.path)), &options);
    made(files, &format!("{root}/"), has_index, options)
}

/// The site of a disk, if the appliance has one there.
#[cfg(feature = "disk")]
fn on_disk<P: Platform>(context: &Context<P>, options: &Options) -> Option<files::Site> {
    let site = context.disk_site.as_ref()?;
    let has_index = has_index(site.paths(), options);
    Some(made(site.variants(), &site.name(), has_index, options.clone()))
}

#[cfg(not(feature = "disk"))]
fn on_disk<P: Platform>(_: &Context<P>, _: &Options) -> Option<files::Site> {
    None
}

fn has_index<'a>(mut paths: impl Iterator<Item = &'a str>, options: &Options) -> bool {
    paths.any(|path| path.rsplit('/').next() == Some(options.index))
}

fn made(
    files: impl IntoIterator<Item = (String, Variant, Option<u64>)>,
    place: &str,
    has_index: bool,
    options: Options,
) -> files::Site {
    let index = options.index;
    let files = files::Site::new(files, options);
    log::info!("site: {} files under {place}", files.len());
    // A machine without a bundle has no site.
    if !files.is_empty() && !has_index {
        log::warn!("[http] index: no file under {place} is named {index}, so `/` finds nothing");
    }
    files
}

impl Handler for Site {
    fn answer(&self, request: Request) -> Answer {
        let now = (self.wall_clock_start + self.timers.now()).as_secs();
        match self.live.served().answer(&request, "", now) {
            Answer::Now(reply) if reply.response.status() == Status::NOT_FOUND => {
                self.nothing(&request)
            }
            answer => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use web::testing;

    const ALL: Options = Options { index: "index.html", cache_control: None, ranges_max: 1 };

    /// A site with that page and no other.
    fn site(page: Option<&'static str>) -> Site {
        let page = page.map(|text| (NOT_FOUND_PAGE.to_owned(), Variant::new(text), None));
        Site {
            live: Rc::new(LiveSite::of(files::Site::new(page, ALL), ALL)),
            timers: Timers::new(),
            wall_clock_start: Duration::ZERO,
        }
    }

    #[test]
    fn what_depends_on_accept_says_so() {
        let page = Some("<h1>nothing here</h1>");
        for (page, accept, is_page, vary) in [
            (page, Some("text/html,*/*"), true, Some("Accept")),
            (page, Some("image/png"), false, Some("Accept")),
            (page, None, false, Some("Accept")),
            (None, Some("text/html"), false, None),
        ] {
            let ask = testing::get("/nothing");
            let ask = match accept {
                Some(types) => ask.header("Accept", types),
                None => ask,
            };
            let seen = ask.ask(&site(page));
            assert_eq!(seen.status(), Status::NOT_FOUND);
            let content_type = seen.response().content_type().unwrap();
            assert_eq!(content_type.starts_with("text/html"), is_page);
            assert_eq!(is_page, Some(seen.text()) == page);
            assert_eq!(seen.header("vary"), vary);
        }
    }
}
