//! What all samples' pages have.

use alloc::format;
use alloc::string::String;
use core::fmt::Display;
use web::forms::Limits;
use web::html::Escaped;
use web::session::{Ended, Hit, Session};
use web::{Method, Request, Response};

const STYLE: &str = "\
:root { color-scheme: light dark; --line: light-dark(#d9d4c8, #2c3b42); --card: light-dark(#fff, #17242a);
  --paper: light-dark(#fbfaf7, #10191d); --ink: light-dark(#1d2a30, #e6ecee); --link: light-dark(#0b6a86, #67d0f0);
  --bad: light-dark(#b3261e, #ff9a92) }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 40rem; padding: 1.5rem 1rem 3rem; background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.6 system-ui, sans-serif }
h1 { line-height: 1.2; margin: .5rem 0 1rem }
a { color: var(--link) }
form, .card { display: grid; gap: .75rem; padding: 1rem; margin: 1rem 0; background: var(--card);
  border: 1px solid var(--line); border-radius: .5rem }
form.row { grid-template-columns: minmax(0, 1fr) auto; align-items: end }
label { display: grid; gap: .25rem; min-width: 0 }
label.choice { display: flex; gap: .5rem; align-items: center }
fieldset { border: 1px solid var(--line); border-radius: .5rem; display: grid; gap: .25rem }
input, select, button { font: inherit; color: inherit; min-height: 2.75rem; padding: .25rem .75rem;
  border: 1px solid var(--line); border-radius: .375rem; background: var(--paper); width: 100%; min-width: 0 }
input[type=radio], input[type=checkbox] { min-height: 1.25rem; width: 1.25rem; flex: none }
button { background: var(--link); color: var(--paper); border: 0; cursor: pointer; justify-self: start; width: auto }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
.bad { color: var(--bad) }
.bad:empty { display: none }
form p { margin: 0 }
progress { width: 100%; accent-color: var(--link) }
ul.lines { list-style: none; padding: 0; margin: 0; display: grid; gap: .25rem; max-height: 50vh; overflow: auto }
ul.lines li { overflow-wrap: anywhere }
.number { font-size: 3rem; font-weight: 700; line-height: 1 }
";

pub(super) async fn style(_: Request) -> Response {
    Response::ok("text/css; charset=utf-8", STYLE).repeatable()
}

/// A page with this heading; `body` is HTML.
pub(super) fn page(title: &str, body: impl Display) -> Response {
    Response::ok("text/html; charset=utf-8", text(title, body))
}

fn text(title: &str, body: impl Display) -> String {
    let title = Escaped(title);
    let back = "<p><a href=/samples>All samples</a>";
    format!(
        "<!doctype html>
<html lang=en>
<meta charset=utf-8>
<meta name=viewport content=\"width=device-width, initial-scale=1\">
<title>{title}</title>
<link rel=stylesheet href=/samples/style.css>
<main>
<h1>{title}</h1>
{body}
{back}
</main>
"
    )
}

/// Lets a visitor's page be asked for by GET, after whatever he sent: then a reload sends nothing again, and the browser's
/// button leads back to pages. Gives the request that is to be answered by the page.
pub(super) async fn shown(session: &mut Session, mut hit: Hit) -> Result<Hit, Ended> {
    while hit.method() != Method::Get {
        let path = hit.path().to_vec();
        hit.reply(Response::see_other(path));
        hit = session.next().await?;
    }
    Ok(hit)
}

/// What a visitor typed into the field of that name, if he sent a form that has it.
pub(super) async fn field(hit: &mut Hit, name: &str) -> Option<String> {
    if hit.method() != Method::Post {
        return None;
    }
    let form = hit.form(&Limits::default()).await.ok()?;
    form.get(name).map(|value| value.trim().into())
}
