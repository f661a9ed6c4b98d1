//! Static files: the site in the boot bundle, or on a disk.

use crate::live_site::{Files, LiveSite};
use crate::service::StartError;
use crate::settings::site::{FolderSettings, media_types};
use crate::{Platform, context::Context};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use config::{Bundle, File, MEDIA_TYPES_FILE, NamedFiles};
use core::time::Duration;
use flow::time::Timers;
use web::files::redirects::{REDIRECTS_FILE, Redirects};
use web::files::{self, Options, Variant, prefers_page, wants_page};
use web::layer::Inner;
use web::{Answer, Content, Handler, Layer, Method, Request, RequestHead, Response, Status};

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
        self.live.of_host(request.authority()).served().has(request.path(), "")
    }

    /// What gives answers that are errors the site's own pages for them.
    pub fn error_pages(&self) -> ErrorPages {
        ErrorPages { live: self.live.clone() }
    }
}

impl Handler for Site {
    fn answer(&self, request: Request) -> Answer {
        let now = (self.wall_clock_start + self.timers.now()).as_secs();
        self.live.of_host(request.authority()).served().answer(&request, "", now)
    }
}

/// Puts pages in place of errors that say no more than their status, where the client takes pages: the site's own, or one that says
/// the status. Those that stay texts get the fields that rules say, as does the latter.
pub struct ErrorPages {
    live: Rc<LiveSite>,
}

impl Layer for ErrorPages {
    fn pass(&self, request: Request, inner: &Inner) -> Answer {
        let site = self.live.of_host(request.authority()).served();
        let head = RequestHead::clone(&request);
        inner.answer(request).map(move |mut reply| {
            let status = reply.response.status();
            if status.code() < 400 || !is_bare(&reply.response) {
                return reply;
            }
            let is_head = head.method() == Method::Head;
            let own = site.error_page(status, head.path(), is_head).filter(|_| wants_page(&head));
            let Some(Answer::Now(page)) = own else {
                let error = match !site.has_page_for(status) && prefers_page(&head) {
                    true => reply.response.with_content("text/html; charset=utf-8", page(status)),
                    false => reply.response,
                };
                // RFC 9110 section 12.5.5: a cache must not give the one to who wants the other.
                reply.response = site.with_rules(head.path(), error).varying_by("Accept");
                return reply;
            };
            let mut response = page.response;
            // What else there is to say of the error, as how to authenticate.
            for (name, value) in reply.response.headers() {
                let name = core::str::from_utf8(name).unwrap_or_default();
                if response.header(name).is_none() {
                    response = response.with_header(name, value);
                }
            }
            response.varying_by("Accept").into()
        })
    }
}

/// A page that says the status, and nothing of the request.
fn page(status: Status) -> String {
    let title = status.text().map_or_else(|| status.code().to_string(), ToOwned::to_owned);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<h1>{title}</h1>\n"
    )
}

/// Whether a response has no more content than its status.
fn is_bare(response: &Response) -> bool {
    match response.content() {
        Content::Full(data) => data.as_bytes() == response.status().reason().as_bytes(),
        Content::Empty => true,
        Content::Parts(_) | Content::Stream(_) => false,
    }
}

/// Which folders are served: the site's own, and those of other hosts.
pub(crate) fn folders<P: Platform>(context: &Context<P>) -> (FolderSettings, Vec<FolderSettings>) {
    let types = context.bundle.get(MEDIA_TYPES_FILE).map(|file| media_types(file.bytes));
    FolderSettings::all(&context.config, types.and_then(Result::ok).unwrap_or_default())
}

/// Refuses what the bundle has for its sites and cannot be used.
///
/// # Errors
/// The file, with the lines of it that are wrong.
pub(crate) fn check<P: Platform>(context: &Context<P>) -> Result<(), StartError> {
    let refused = |path: String, reason| StartError::Bundle { service: "the site", path, reason };
    let types = context.bundle.get(MEDIA_TYPES_FILE).map(|file| media_types(file.bytes));
    if let Some(Err(reason)) = types {
        return Err(refused(MEDIA_TYPES_FILE.to_owned(), reason));
    }
    let (own, hosts) = folders(context);
    for root in core::iter::once(own).chain(hosts).map(|folder| folder.root) {
        let path = format!("{root}/{REDIRECTS_FILE}");
        let Some(file) = context.bundle.get(&path) else { continue };
        let redirects = redirects(file.bytes).map_err(|reason| refused(path, reason))?;
        for hidden in redirects.hidden() {
            log::warn!("{root}/{hidden}");
        }
    }
    Ok(())
}

/// The redirects of a file.
///
/// # Errors
/// What is wrong with it, a line each.
pub(crate) fn redirects(file: &[u8]) -> Result<Redirects, String> {
    Redirects::parse(file)
        .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

/// What is served of a folder at first.
pub(crate) fn served<P: Platform>(context: &Context<P>, folder: &FolderSettings) -> files::Site {
    on_disk(context, folder).unwrap_or_else(|| {
        let FolderSettings { root, options, .. } = folder;
        let file = context.bundle.get(&format!("{root}/{REDIRECTS_FILE}"));
        let redirects = file.and_then(|file| redirects(file.bytes).ok()).unwrap_or_default();
        let options = Options { redirects: redirects.into(), ..options.clone() };
        in_bundle(&context.bundle, folder, options)
    })
}

/// The bundle's files below the site's root, where they lie.
pub(crate) fn of_bundle(bundle: &Bundle<'static>, root: &str) -> Files {
    let below = |path: &'static str| path.strip_prefix(root)?.strip_prefix('/');
    let files = bundle.files();
    files
        .filter_map(|it| Some((below(it.path)?.to_owned(), Bytes::from_static(it.bytes))))
        .collect()
}

/// The files of the bundle below the folder.
fn in_bundle(bundle: &Bundle<'static>, folder: &FolderSettings, options: Options) -> files::Site {
    let root = &*folder.root;
    let files = bundle.files().filter_map(|file| {
        let path = file.path.strip_prefix(root)?.strip_prefix('/')?;
        Some((path.to_owned(), variant(file, file.bytes), Some(file.mtime.into())))
    });
    let place = format!("{root}/");
    let paths = below(bundle, root).map(|(path, _)| path);
    let absent = absent_of(paths, &place, !folder.names.is_empty(), &options);
    made(files, &place, &absent, options)
}

/// A folder's files by their paths inside of it.
pub(crate) fn below<'a>(
    bundle: &'a Bundle<'a>,
    root: &'a str,
) -> impl Iterator<Item = (&'a str, &'a File<'a>)> {
    let files = bundle.files();
    files.filter_map(move |file| Some((file.path.strip_prefix(root)?.strip_prefix('/')?, file)))
}

/// Our own bundles say a hash of the content: then nothing is read here.
fn variant(file: &File<'_>, content: impl Into<web::Data>) -> Variant {
    match tag(file) {
        Some(tag) => Variant::tagged(content, tag),
        None => Variant::new(content),
    }
}

/// What tells the versions of a file apart, if its bundle says so.
pub(crate) fn tag(file: &File<'_>) -> Option<u64> {
    file.content_hash.map(|hash| u64::from(hash) << 32 | file.bytes.len() as u64 & 0xffff_ffff)
}

/// The folder on a disk, if the appliance has its site there.
#[cfg(feature = "disk")]
fn on_disk<P: Platform>(context: &Context<P>, folder: &FolderSettings) -> Option<files::Site> {
    let FolderSettings { names, root, options } = folder;
    let site = context.disk_site.as_ref()?;
    // The disk's own folder is the one that [storage] says.
    let site = if names.is_empty() { (**site).clone() } else { site.of_folder(root) };
    let options = Options { redirects: site.redirects(), ..options.clone() };
    let absent = absent_of(site.paths(), &site.name(), !names.is_empty(), &options);
    Some(made(site.variants(), &site.name(), &absent, options))
}

#[cfg(not(feature = "disk"))]
fn on_disk<P: Platform>(_: &Context<P>, _: &FolderSettings) -> Option<files::Site> {
    None
}

/// What the settings and the redirects of a `[[site_host]]` or of the site's own folder name and it has not, a line each.
pub(crate) fn absent_of<'a>(
    paths: impl Iterator<Item = &'a str>,
    place: &str,
    is_host: bool,
    options: &Options,
) -> Vec<String> {
    let Options { index, fallback, listing, errors, redirects, .. } = options;
    let fallback = fallback.as_deref().unwrap_or("");
    let paths: Vec<_> = paths.collect();
    let named = NamedFiles { is_host, index, fallback, listing: *listing, errors };
    let mut absent = named.absent(paths.iter().copied(), place);
    // A disk's name is no path.
    let between = if place.ends_with('/') { "" } else { ": " };
    let targets = redirects.absent_targets(paths.into_iter());
    absent.extend(targets.iter().map(|target| format!("{place}{between}{target}")));
    absent
}

fn made(
    files: impl IntoIterator<Item = (String, Variant, Option<u64>)>,
    place: &str,
    absent: &[String],
    options: Options,
) -> files::Site {
    let files = files::Site::new(files, options);
    let count = files.len();
    let what = if count == 1 { "file" } else { "files" };
    log::info!("site: {count} {what} under {place}");
    // A machine without a bundle has no site.
    for warning in absent.iter().filter(|_| !files.is_empty()) {
        log::warn!("{warning}");
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use web::testing;

    #[test]
    fn what_is_named_and_absent_is_told() {
        let options = Options { fallback: Some("app.html".into()), ..Options::default() };
        let told = absent_of(["index.html"].into_iter(), "shop/", false, &options);
        let expected = "[site] fallback: shop/ has no app.html, so nothing falls back on it";
        assert_eq!(told, [expected]);
        let told = absent_of(["a", "app.html"].into_iter(), "shop/", true, &options);
        assert!(told.len() == 1 && told[0].starts_with("[[site_host]] index: "), "{told:?}");
    }

    #[test]
    fn redirects_to_files_that_are_not_there_are_told_with_the_folder_or_the_disk() {
        let redirects = redirects(b"/a/* /gone.html 410\n").unwrap().into();
        let options = Options { redirects, ..Options::default() };
        for (place, before) in [("site/", "site/_redirects:1: "), ("disk 2", "disk 2: _redirects")]
        {
            let told = absent_of(["index.html"].into_iter(), place, false, &options);
            assert!(told.len() == 1 && told[0].starts_with(before), "{told:?}");
        }
    }

    /// Rules are for refusals of whoever is asked before the site, with a page and without.
    #[test]
    fn rules_are_for_errors_of_all() {
        use web::files::rules::{FieldRule, Pattern};
        struct Refused;
        impl Handler for Refused {
            fn answer(&self, _: Request) -> Answer {
                Answer::Now(Response::plain(Status::UNAUTHORIZED).into())
            }
        }
        let rule = |name: &str, value: &str| FieldRule {
            pattern: Pattern::new("/*").unwrap(),
            set: [(name.to_owned(), value.to_owned())].into(),
            removed: Vec::new(),
        };
        for page in [None, Some("errors/401.html"), Some("404.html")] {
            for accept in ["text/html", "image/png"] {
                let rules = Rc::new([rule("X-A", "1"), rule("Cache-Control", "public, max-age=9")]);
                let options = Options { rules, ..Options::default() };
                let files = page.map(|name| (name.to_owned(), Variant::new("page"), None));
                let live = LiveSite::of(files::Site::new(files, options.clone()), options);
                let handler = Refused.layer(ErrorPages { live: Rc::new(live) });
                let seen = testing::get("/a").header("Accept", accept).ask(&handler);
                assert_eq!(seen.status(), Status::UNAUTHORIZED);
                assert_eq!((seen.header("x-a"), seen.header("cache-control")), (Some("1"), None));
            }
        }
    }

    /// Without a page of the site's own there is one that says the status, and nothing that the client said.
    #[test]
    fn an_error_is_a_page_for_who_prefers_pages() {
        const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for (accept, is_page) in [
            (Some(BROWSER), true),
            (Some("text/html;q=0.5, text/plain"), false),
            (Some("text/html;q=0"), false),
            (Some("*/*"), false),
            (Some("application/json"), false),
            (None, false),
        ] {
            for method in ["GET", "HEAD", "POST"] {
                let ask = testing::Ask::new(method, "/%3Cscript%3E?%3Cscript%3E");
                let ask = match accept {
                    Some(types) => ask.header("Accept", types),
                    None => ask,
                };
                let seen = ask.ask(&site(None));
                let allowed = ["GET", "HEAD"].contains(&method);
                let (status, title) = match allowed {
                    true => (Status::NOT_FOUND, "404 Not Found"),
                    false => (Status::METHOD_NOT_ALLOWED, "405 Method Not Allowed"),
                };
                assert_eq!((seen.status(), seen.header("vary")), (status, Some("Accept")));
                assert_eq!(seen.header("allow").is_some(), !allowed);
                let content_type = seen.response().content_type().unwrap();
                assert_eq!(content_type.starts_with("text/html"), is_page, "{accept:?}");
                let text = seen.text();
                assert!(!text.contains("script"), "{text}");
                if is_page {
                    assert!(text.contains(&format!("<title>{title}</title>")), "{text}");
                } else {
                    assert_eq!(text, status.reason());
                }
            }
        }
    }

    /// A site with that page and no other.
    fn site(page: Option<&'static str>) -> impl Handler {
        let page = page.map(|text| ("404.html".to_owned(), Variant::new(text), None));
        let options = Options::default();
        let site = Site {
            live: Rc::new(LiveSite::of(files::Site::new(page, options.clone()), options)),
            timers: Timers::new(),
            wall_clock_start: Duration::ZERO,
        };
        let pages = site.error_pages();
        site.layer(pages)
    }

    #[test]
    fn what_depends_on_accept_says_so() {
        let page = Some("<h1>nothing here</h1>");
        for (page, accept, is_page, vary) in [
            (page, Some("text/html,*/*"), true, Some("Accept")),
            (page, Some("image/png"), false, Some("Accept")),
            (page, None, false, Some("Accept")),
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
