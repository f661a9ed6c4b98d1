//! A site with rules, hosts, redirects, listings and error pages, by curl and in Chromium.

use super::browser::chromium;
use command::{
    failure::{Result, fail},
    programs,
};
use lab::harness::{GUEST_ADDRESS, Harness, PROCESS_ADDRESS, Server, Setup, contains, curl, equal};
use std::{net::SocketAddr, path::PathBuf};

const CONFIG: &str = "[site]
clean_urls = \"redirect\"
listing = true
[[site_host]]
names = [\"shop.example\", \"*.shop.example\"]
root = \"shop\"
fallback = \"index.html\"
[[site_rule]]
path = \"/*\"
headers = [\"X-Content-Type-Options: nosniff\", \"Content-Security-Policy: default-src 'self'; style-src 'self' 'unsafe-inline'\"]
[[site_rule]]
path = \"/assets/*\"
cache_control = \"public, max-age=31536000, immutable\"
[[site_rule]]
path = \"/*\"
hosts = [\"shop.example\"]
headers = [\"X-Shop: yes\"]
remove_headers = [\"Last-Modified\"]
";

const REDIRECTS: &[u8] = b"/old /about 301
/news/* /assets/:splat 302
/in /about.html 200
/plain.txt /about 307!
";

const ERROR_PAGE: &[u8] = b"<!doctype html><meta name=viewport content='width=device-width'><title>404</title><h1>Not here</h1>";

fn bundle(harness: &Harness) -> Result<PathBuf> {
    harness.bundle(
        CONFIG,
        &[
            ("site/about.html", b"<!doctype html><title>about</title><p>about"),
            ("site/assets/app.3f9c1a.js", b"plain"),
            ("site/assets/app.3f9c1a.js.br", b"brotli"),
            ("site/assets/app.3f9c1a.js.zst", b"zstd"),
            ("site/plain.txt", b"plain"),
            ("site/_redirects", REDIRECTS),
            ("site/errors/404.html", ERROR_PAGE),
            ("site/files/<script>alert(1)<.txt", b"x"),
            ("site/files/deep/a.txt", b"x"),
            ("site/files/a file with a name that is long enough to need a second line on a narrow phone.pdf", b"x"),
            ("site/files/zebra.png", &[0; 5000]),
            ("shop/index.html", b"<!doctype html><title>shop</title><p>shop"),
        ],
    )
}

pub(super) fn on_guest(harness: &mut Harness) -> Result {
    let bundle = bundle(harness)?;
    let guest = harness.boot(&Setup { bundle: Some(bundle), ..Setup::default() })?;
    Server::Guest(Box::new(guest)).judge(check(GUEST_ADDRESS))
}

pub(super) fn on_process(harness: &mut Harness) -> Result {
    let bundle = bundle(harness)?;
    let child = harness.process(&bundle)?;
    Server::Process(Box::new(child)).judge(check(PROCESS_ADDRESS))
}

const PAGES: &[&str] = &["-H", "Accept: text/html,*/*;q=0.8"];

fn check(server: SocketAddr) -> Result {
    let ask = |path: &str, more: &[&str]| {
        let url = format!("http://{server}{path}");
        curl(&[&["-i", "--path-as-is", url.as_str()], more].concat()).map(|it| it.replace('\r', ""))
    };
    let shop: &[&str] = &["-H", "Host: a.shop.example:80", "-H", "Accept: text/html"];
    let compressed: &[&str] = &["-H", "Accept-Encoding: br;q=0.5, zstd"];
    for (path, more, parts) in [
        (
            "/",
            PAGES,
            &[
                "HTTP/1.1 200",
                "X-Content-Type-Options: nosniff",
                "Cache-Control: no-cache",
                "script-src",
            ][..3],
        ),
        ("/about", PAGES, &["HTTP/1.1 200", "<p>about", "style-src 'self' 'unsafe-inline'"]),
        ("/about.html", PAGES, &["HTTP/1.1 301", "Location: /about\n", "nosniff"]),
        (
            "/assets/app.3f9c1a.js",
            &[],
            &["Cache-Control: public, max-age=31536000, immutable\n", "\n\nplain"],
        ),
        (
            "/assets/app.3f9c1a.js",
            compressed,
            &["Content-Encoding: zstd", "Vary: Accept-Encoding", "immutable", "\n\nzstd"],
        ),
        ("/old", PAGES, &["HTTP/1.1 301", "Location: /about\n"]),
        ("/news/a/b?c=d", PAGES, &["HTTP/1.1 302", "Location: /assets/a/b?c=d\n"]),
        ("/in", PAGES, &["HTTP/1.1 200", "<p>about"]),
        ("/plain.txt", PAGES, &["HTTP/1.1 307", "Location: /about\n"]),
        ("/_redirects", PAGES, &["HTTP/1.1 404", "<h1>Not here</h1>", "Vary: Accept", "nosniff"]),
        (
            "/nothing",
            &["-H", "Accept: */*"],
            &["HTTP/1.1 404", "text/plain", "Vary: Accept", "\n\nNot Found"],
        ),
        ("/files", PAGES, &["HTTP/1.1 301", "Location: /files/\n"]),
        (
            "/files/",
            PAGES,
            &["HTTP/1.1 200", "&lt;script&gt;alert(1)&lt;.txt", "./deep/", "1 folder, 3 files"],
        ),
        (
            "/files/",
            &["-H", "Accept: application/json"],
            &["application/json", "\"name\":\"zebra.png\",\"type\":\"file\",\"size\":5000"],
        ),
        ("/any/route", shop, &["HTTP/1.1 200", "<p>shop", "X-Shop: yes"]),
        ("/", &["-H", "Host: shop.example"], &["HTTP/1.1 200", "<p>shop", "nosniff"]),
        ("/", &["-H", "Host: xshop.example"], &["HTTP/1.1 200", "<p>hello"]),
    ] {
        let seen = ask(path, more)?;
        for part in parts {
            contains(path, &seen, part)?;
        }
    }
    let seen = ask("/", &["-H", "Host: shop.example"])?;
    if seen.contains("Last-Modified") {
        fail!("a field that was to be removed is there: {seen}");
    }
    let tag = curl(&["-o", "/dev/null", "-w", "%header{etag}", &format!("http://{server}/about")])?;
    let again = format!("If-None-Match: {tag}");
    let seen = ask("/about", &["-H", &again])?;
    contains("a page that is known", &seen, "HTTP/1.1 304")?;
    contains("a page that is known", &seen, "nosniff")
}

/// The listing and the error page as people see them.
pub(super) fn pages(harness: &mut Harness) -> Result {
    let bundle = bundle(harness)?;
    let child = harness.process(&bundle)?;
    let result = look(harness);
    Server::Process(Box::new(child)).judge(result)
}

fn look(harness: &Harness) -> Result {
    for (name, path, size, dark) in [
        ("desktop", "/files/", "1100,700", false),
        ("dark", "/files/?sort=size&order=desc", "1100,700", true),
        ("phone", "/files/", "500,800", false),
        ("error", "/nothing", "500,400", false),
    ] {
        let picture = harness.scratch.path(&format!("{name}.png"));
        let mut command = chromium(harness)?;
        command.arg(format!("--screenshot={}", picture.display()));
        command.arg(format!("--window-size={size}"));
        if dark {
            command.arg("--blink-settings=preferredColorScheme=0");
        }
        command
            .args(["--timeout=20000", "--dump-dom"])
            .arg(format!("http://{PROCESS_ADDRESS}{path}"));
        let dom = programs::output(&mut command)?;
        match name {
            "error" => contains(name, &dom, "Not here")?,
            _ => {
                // A name with markup in it has made no element.
                equal("scripts in the page", &dom.matches("<script").count(), &0)?;
                contains(name, &dom, "zebra.png")?;
            }
        }
        if std::fs::metadata(&picture).map_or(0, |data| data.len()) < 3000 {
            fail!("the browser painted nothing of {path}");
        }
    }
    Ok(())
}
