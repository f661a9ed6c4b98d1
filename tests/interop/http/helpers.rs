//! What `web` has for handlers with curl: gzip, forms with files, JSON, events, passwords, limits, CORS.

use super::curl;
use command::failure::{OrSay, Result};
use lab::harness::{Harness, contains, curl, equal, noise};
use std::net::SocketAddr;

/// Room for the upload.
const CONFIG: &str = "[http]\nbody_bytes_max = 16_777_216\n";

pub(super) fn on_guest(harness: &mut Harness) -> Result {
    let bundle = harness.bundle(CONFIG, &[])?;
    curl::on_trial_guest(harness, bundle, check)
}

pub(super) fn on_process(harness: &mut Harness) -> Result {
    let bundle = harness.bundle(CONFIG, &[])?;
    curl::on_trial_process(harness, &bundle, check)
}

fn check(harness: &Harness, appliance: SocketAddr) -> Result {
    let url = |path: &str| format!("http://{appliance}/_test/web{path}");
    gzip(&url("/text"), &url("/stream"))?;
    upload(harness, &url("/upload"))?;
    json(&url("/sum"))?;
    events(&url("/events"))?;
    refusals(&url("/private"), &url("/limited"), &url("/late"), &url("/upgrade"))?;
    cross_origin(&url("/text"))
}

/// Status, and the content behind a head that is looked at by itself.
fn status(url: &str, more: &[&str]) -> Result<String> {
    curl(&[&["-o", "/dev/null", "-w", "%{http_code}"], more, &[url]].concat())
}

/// curl compares gzip's checksum and length.
fn gzip(text: &str, stream: &str) -> Result {
    let plain = curl(&[text])?;
    equal("its lines", &plain.lines().count(), &20_000)?;
    for page in [text, stream] {
        equal("without gzip", &curl(&[page])?, &plain)?;
        equal("with gzip", &curl(&["--compressed", page])?, &plain)?;
        equal("over HTTP/1.0", &curl(&["-0", "--compressed", page])?, &plain)?;
        let head = curl(&["-D", "-", "-o", "/dev/null", "-H", "Accept-Encoding: gzip", page])?;
        let head = head.to_ascii_lowercase();
        contains("its coding", &head, "content-encoding: gzip")?;
        contains("what it depends on", &head, "vary: accept-encoding")?;
        contains("an id", &head, "x-request-id: ")?;
    }
    let head = curl(&["-sI", "-H", "Accept-Encoding: gzip", "-H", "X-Request-Id: mine", text])?;
    contains("HEAD", &head.to_ascii_lowercase(), "content-encoding: gzip")?;
    contains("an id of the client's", &head, "X-Request-Id: mine\r\n")
}

fn upload(harness: &Harness, url: &str) -> Result {
    let content = noise(5 << 20);
    let sum =
        content.iter().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
    let file = harness.scratch.path("up \"load\".bin");
    std::fs::write(&file, &content).or_say(|| "cannot write a file".into())?;
    let from =
        format!("file=@\"{}\";type=image/x", file.display().to_string().replace('"', "\\\""));
    let report = curl(&["-F", "field=one", "-F", &from, url])?;
    let expected = format!(
        "field None None 3 {}\nfile Some(\"up \\\"load\\\".bin\") Some(\"image/x\") {} {sum}\n",
        (u32::from(b'o') * 31 + u32::from(b'n')) * 31 + u32::from(b'e'),
        content.len(),
    );
    equal("an upload", &report, &expected)?;
    equal("another type", &status(url, &["-d", "x=y"])?.as_str(), &"415")
}

fn json(url: &str) -> Result {
    let typed = ["-H", "Content-Type: application/json", "-d"];
    equal("a sum", &curl(&[&typed[..], &["[1, 2, 3]", url]].concat())?.as_str(), &"6")?;
    let long = "1".repeat(101);
    for (content, code) in [("[1,", "400"), ("[\"a\"]", "422"), (&long, "413")] {
        equal(content, &status(url, &[&typed[..], &[content]].concat())?.as_str(), &code)?;
    }
    Ok(())
}

fn events(url: &str) -> Result {
    let expected = |first: u32| -> String {
        (first..first + 3).map(|id| format!("id: {id}\ndata: one\ndata: two\n\n")).collect()
    };
    equal("events", &curl(&["--compressed", url])?, &expected(1))?;
    equal("events after", &curl(&["-H", "Last-Event-ID: 7", url])?, &expected(8))
}

fn refusals(private: &str, limited: &str, late: &str, upgrade: &str) -> Result {
    for (user, code) in [("ann:secret", "200"), ("ann:secre", "401"), ("bob:secret", "401")] {
        equal(user, &status(private, &["-u", user])?.as_str(), &code)?;
    }
    let challenge = curl(&["-sI", private])?;
    contains("a challenge", &challenge, "WWW-Authenticate: Basic realm=\"trial\"")?;
    for code in ["200", "200", "200", "429"] {
        equal("a limited page", &status(limited, &[])?.as_str(), &code)?;
    }
    contains("when again", &curl(&["-sI", limited])?, "Retry-After: ")?;
    equal("a late answer", &status(late, &[])?.as_str(), &"503")?;
    let upgrade = curl(&["-sI", upgrade])?;
    contains("an upgrade", &upgrade, "Upgrade: websocket\r\n")?;
    contains("its option", &upgrade, "Connection: upgrade")
}

fn cross_origin(url: &str) -> Result {
    let asks = ["-sI", "-X", "OPTIONS", "-H", "Access-Control-Request-Method: GET", "-H"];
    let preflight = |origin| curl(&[&asks[..], &[origin, url]].concat());
    let ours = preflight("Origin: https://app.example")?;
    contains("a preflight", &ours, "Access-Control-Allow-Origin: https://app.example\r\n")?;
    let theirs = preflight("Origin: https://other.example")?;
    equal("another's", &theirs.contains("Access-Control-Allow-Origin"), &false)
}
