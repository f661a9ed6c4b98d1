//! curl against the guest and against the process.

use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    paths,
};
use config::Bundle;
use image_builder::bundle;
use lab::harness::{
    GUEST_ADDRESS, Harness, PROCESS_ADDRESS, Server, Setup, contains, curl, equal, noise,
    same_bytes,
};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

pub(super) fn site_guest(harness: &mut Harness) -> Result {
    let bundle = harness.sample()?;
    on_guest(harness, bundle, site)
}

pub(super) fn site_process(harness: &mut Harness) -> Result {
    let bundle = harness.sample()?;
    on_process(harness, &bundle, site)
}

pub(super) fn conditions_guest(harness: &mut Harness) -> Result {
    let bundle = harness.sample()?;
    on_guest(harness, bundle, conditions)
}

pub(super) fn conditions_process(harness: &mut Harness) -> Result {
    let bundle = harness.sample()?;
    on_process(harness, &bundle, conditions)
}

pub(crate) const BODIES_CONFIG: &str = "[http]\nbody_bytes_max = 16_777_216\n";

pub(super) fn bodies_guest(harness: &mut Harness) -> Result {
    let bundle = harness.bundle(BODIES_CONFIG, &[])?;
    on_trial_guest(harness, bundle, bodies)
}

pub(super) fn bodies_process(harness: &mut Harness) -> Result {
    let bundle = harness.bundle(BODIES_CONFIG, &[])?;
    on_trial_process(harness, &bundle, bodies)
}

const BIG_BYTES: usize = 64 << 20;

pub(super) fn big_file_guest(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("", &[("site/big", &noise(BIG_BYTES))])?;
    on_guest(harness, bundle, big_file)
}

pub(super) fn big_file_process(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("", &[("site/big", &noise(BIG_BYTES))])?;
    on_process(harness, &bundle, big_file)
}

pub(super) fn process_stops_gracefully(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("", &[])?;
    let child = harness.process(&bundle)?;
    Server::Process(Box::new(child)).stop(Duration::from_secs(15))
}

/// Checks what the image serves.
fn on_guest(harness: &mut Harness, bundle: PathBuf, check: Check) -> Result {
    check_guest(harness, &Setup { bundle: Some(bundle), ..Setup::default() }, check)
}

/// Checks what the process serves.
fn on_process(harness: &Harness, bundle: &Path, check: Check) -> Result {
    check_process(harness, harness.process(bundle)?, check)
}

/// Checks what the trial image serves.
pub(crate) fn on_trial_guest(harness: &mut Harness, bundle: PathBuf, check: Check) -> Result {
    check_guest(harness, &Setup { bundle: Some(bundle), ..Setup::trial() }, check)
}

/// Checks what the trial process serves.
pub(crate) fn on_trial_process(harness: &Harness, bundle: &Path, check: Check) -> Result {
    check_process(harness, harness.trial_process(bundle)?, check)
}

/// What is asked of a server at an address.
pub(crate) type Check = fn(&Harness, SocketAddr) -> Result;

fn check_guest(harness: &mut Harness, setup: &Setup, check: Check) -> Result {
    let guest = harness.boot(setup)?;
    let result = check(harness, GUEST_ADDRESS);
    Server::Guest(Box::new(guest)).judge(result)
}

fn check_process(harness: &Harness, child: Child, check: Check) -> Result {
    let result = check(harness, PROCESS_ADDRESS);
    Server::Process(Box::new(child)).judge(result)
}

/// Every file of the sample site, byte for byte; folders, types, what is missing and what must not be reachable.
pub(crate) fn site(harness: &Harness, server: SocketAddr) -> Result {
    let archive = bundle::pack(&paths::root().join("config"))?;
    let bundle = Bundle::parse(&archive).or_say(|| "the sample".into())?;
    let out = harness.scratch.path("file");
    let to = out.display().to_string();
    for file in bundle.files().filter(|file| file.path.starts_with("site/")) {
        let path = file.path.trim_start_matches("site");
        let status = curl(&["-o", &to, "-w", "%{http_code}", &url(server, path)])?;
        equal(path, &status.as_str(), &"200")?;
        same_bytes(path, &out, file.bytes)?;
    }
    let index = curl(&["-i", &url(server, "/")])?;
    contains("the index", &index, "Aqueduct")?;
    contains("its type", &index.to_ascii_lowercase(), "content-type: text/html")?;
    contains("its date", &index.to_ascii_lowercase(), "\ndate: ")?;
    let style = curl(&["-sI", &url(server, "/style.css")])?.to_ascii_lowercase();
    contains("a style sheet", &style, "content-type: text/css")?;
    contains(
        "a drawing",
        &curl(&["-sI", &url(server, "/aqueduct.svg")])?.to_ascii_lowercase(),
        "content-type: image/svg+xml",
    )?;
    for path in [
        "/nothing",
        "/../appliance.toml",
        "/%2e%2e/appliance.toml",
        "/..%2fappliance.toml",
        "//appliance.toml",
    ] {
        let status =
            curl(&["--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", &url(server, path)])?;
        if status != "404" && status != "400" {
            fail!("{path} was answered {status}");
        }
    }
    Ok(())
}

/// HEAD, ETag, dates, ranges, compressed variants, and a connection that is used twice.
pub(crate) fn conditions(harness: &Harness, server: SocketAddr) -> Result {
    let page = url(server, "/style.css");
    validators(&page)?;
    ranges(&page)?;
    variants(&page)?;
    let two = harness.scratch.path("two").display().to_string();
    let codes = curl(&[
        "-o",
        "/dev/null",
        "-o",
        &two,
        "-w",
        "%{http_code} %{num_connects}\n",
        &page,
        &page,
    ])?;
    equal("two requests on one connection", &codes.as_str(), &"200 1\n200 0\n")
}

fn status(page: &str, more: &[&str]) -> Result<String> {
    curl(&[&["-o", "/dev/null", "-w", "%{http_code}"], more, &[page]].concat())
}

fn validators(page: &str) -> Result {
    let head = curl(&["-sI", page])?;
    let (etag, modified) = (field(&head, "etag")?, field(&head, "last-modified")?);
    let size = curl(&["-o", "/dev/null", "-w", "%{size_download}", page])?;
    equal("HEAD's length", &field(&head, "content-length")?, &size)?;
    let header = |text: &str| status(page, &["-H", text]);
    equal("If-None-Match", &header(&format!("If-None-Match: {etag}"))?.as_str(), &"304")?;
    equal(
        "If-Modified-Since",
        &header(&format!("If-Modified-Since: {modified}"))?.as_str(),
        &"304",
    )?;
    equal("If-Match", &header("If-Match: \"other\"")?.as_str(), &"412")?;
    equal("POST to a file", &status(page, &["-X", "POST", "-d", "x"])?.as_str(), &"405")
}

fn ranges(page: &str) -> Result {
    equal("a range", &status(page, &["-r", "10-19"])?.as_str(), &"206")?;
    equal("a range beyond the end", &status(page, &["-r", "99999999-"])?.as_str(), &"416")?;
    let whole = curl(&[page])?;
    equal("bytes of a range", &curl(&["-r", "10-19", page])?, &whole[10..20].to_owned())?;
    equal("the last bytes", &curl(&["-r", "-7", page])?, &whole[whole.len() - 7..].to_owned())?;
    let parts = curl(&["-i", "-r", "0-3,10-13", page])?.to_ascii_lowercase();
    contains("two ranges", &parts, "multipart/byteranges")
}

fn variants(page: &str) -> Result {
    let packed = curl(&["-sI", "-H", "Accept-Encoding: gzip", page])?.to_ascii_lowercase();
    contains("the compressed variant", &packed, "content-encoding: gzip")?;
    contains("what it depends on", &packed, "vary: accept-encoding")?;
    equal("what it unpacks to", &curl(&["--compressed", page])?, &curl(&[page])?)
}

/// Bodies go both ways: by length, chunked, with `Expect: 100-continue`, and too long.
pub(crate) fn bodies(harness: &Harness, server: SocketAddr) -> Result {
    let body = noise(5 << 20);
    let file = harness.scratch.path("body");
    std::fs::write(&file, &body).or_say(|| "cannot write a body".into())?;
    let data = format!("@{}", file.display());
    let out = harness.scratch.path("echoed");
    let to = out.display().to_string();
    let echo = url(server, "/_test/echo");
    for (what, header) in [
        ("by length", "X: y"),
        ("chunked", "Transfer-Encoding: chunked"),
        ("with 100-continue", "Expect: 100-continue"),
    ] {
        let status =
            curl(&["-o", &to, "-w", "%{http_code}", "-H", header, "--data-binary", &data, &echo])?;
        equal(what, &status.as_str(), &"200")?;
        same_bytes(what, &out, &body)?;
    }
    equal("a small body", &curl(&["-X", "PUT", "-d", "drop", &echo])?.as_str(), &"drop")?;
    let too_long = noise((16 << 20) + 1);
    std::fs::write(&file, too_long).or_say(|| "cannot write a body".into())?;
    let status = curl(&["-o", "/dev/null", "-w", "%{http_code}", "--data-binary", &data, &echo])?;
    equal("a body above the limit", &status.as_str(), &"413")
}

fn big_file(harness: &Harness, server: SocketAddr) -> Result {
    let out = harness.scratch.path("big");
    curl(&["--fail", "-o", &out.display().to_string(), &url(server, "/big")])?;
    same_bytes("the big file", &out, &noise(BIG_BYTES))
}

fn url(server: SocketAddr, path: &str) -> String {
    format!("http://{server}{path}")
}

fn field(head: &str, name: &str) -> Result<String> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    match fields
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().to_owned())
        .next()
    {
        Some(value) => Ok(value),
        None => fail!("no {name} in:\n{head}"),
    }
}
