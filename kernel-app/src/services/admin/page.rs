//! The page of the admin port: plain HTML, CSS and JavaScript, which show what the API tells. It tells nothing by itself, so
//! that a browser without the token gets it, too, and asks for that.

use web::{Request, Response, Routes};

/// The paths that need no token.
pub(super) const PATHS: [&[u8]; 8] = [
    b"/",
    b"/page.css",
    b"/page.js",
    b"/values.js",
    b"/trace.js",
    b"/ring.js",
    b"/graph.js",
    b"/flame.js",
];

/// Nothing of elsewhere, nothing inline, and nobody's frame (Content Security Policy Level 3).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
     form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Adds the page's files.
pub(super) fn add(routes: Routes) -> Routes {
    let file = |media_type: &'static str, text: &'static str| {
        move |_: Request| async move {
            Response::ok(media_type, text).with_header("Content-Security-Policy", POLICY)
        }
    };
    let script = |text| file("text/javascript; charset=utf-8", text);
    routes
        .get("/", file("text/html; charset=utf-8", include_str!("page/index.html")))
        .get("/page.css", file("text/css; charset=utf-8", include_str!("page/page.css")))
        .get("/page.js", script(include_str!("page/page.js")))
        .get("/values.js", script(include_str!("page/values.js")))
        .get("/trace.js", script(include_str!("page/trace.js")))
        .get("/ring.js", script(include_str!("page/ring.js")))
        .get("/graph.js", script(include_str!("page/graph.js")))
        .get("/flame.js", script(include_str!("page/flame.js")))
}
