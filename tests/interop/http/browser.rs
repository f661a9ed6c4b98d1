//! Pages in a real browser.

use command::{
    child::Child,
    failure::{Failure, OrSay, Result, fail},
    programs,
};
use lab::harness::{GUEST_ADDRESS, Harness, PROCESS_ADDRESS, Server, Setup, contains};
use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

/// The index page with its style sheet and pictures; the DOM is what the browser made of it.
pub(super) fn page_load(harness: &mut Harness) -> Result {
    let bundle = harness.sample()?;
    let guest = harness.boot(&Setup { bundle: Some(bundle), ..Setup::default() })?;
    let result = load(harness);
    Server::Guest(Box::new(guest)).judge(result)
}

fn load(harness: &Harness) -> Result {
    let picture = harness.scratch.path("page.png");
    let log = harness.scratch.path("net.json");
    let mut command = chromium(harness)?;
    command.arg(format!("--log-net-log={}", log.display()));
    command.arg(format!("--screenshot={}", picture.display()));
    command
        .args(["--window-size=1100,900", "--timeout=20000", "--dump-dom"])
        .arg(format!("http://{GUEST_ADDRESS}/"));
    let dom = programs::output(&mut command)?;
    contains("the page", &dom, "This page reached you through Aqueduct.")?;
    let requests = std::fs::read_to_string(&log).unwrap_or_default();
    for path in ["/style.css", "/aqueduct.svg"] {
        contains(
            "the browser's requests",
            &requests,
            &format!("http://{}{path}", GUEST_ADDRESS.ip()),
        )?;
    }
    match std::fs::metadata(&picture) {
        Ok(data) if data.len() > 10_000 => Ok(()),
        _ => fail!("the browser painted nothing"),
    }
}

/// Our samples, as a visitor uses them: a page of the test's drives them in frames.
pub(super) fn samples(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("", &[("site/drive.html", include_bytes!("samples.html"))])?;
    let child = harness.trial_process(&bundle)?;
    let url = format!("http://{PROCESS_ADDRESS}/drive.html");
    let result = console(harness, &url, "page: end").and_then(|said| {
        let steps = ["counter", "guess", "wizard", "chat by WebSocket", "chat by events", "upload"];
        steps.iter().try_for_each(|step| contains("the page", &said, &format!("page: {step} ok")))
    });
    Server::Process(Box::new(child)).judge(result)
}

/// Opens a page and gives what it says on the console in lines that begin with `page: `, up to one that has `end`. The case's
/// own limit ends a browser that says nothing.
pub(super) fn console(harness: &Harness, url: &str, end: &str) -> Result<String> {
    let mut command = chromium(harness)?;
    // Without a port it would end with the page's load.
    command.args(["--enable-logging=stderr", "--log-level=0", "--remote-debugging-port=0", url]);
    let mut child = Child::start(&command, |command| {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    })?;
    let errors = child.streams().stderr.take().expect("it is a pipe");
    let mut said = String::new();
    for line in BufReader::new(errors).lines() {
        let line = line.or_say(|| "Chromium's output".into())?;
        if line.contains("page: ") {
            said.push_str(&line);
            said.push('\n');
        }
        if line.contains(end) {
            return Ok(said);
        }
    }
    Err(Failure::new(format!("Chromium ended: {said}")))
}

/// Chromium, with a profile of the case's own.
pub(in crate::interop) fn chromium(harness: &Harness) -> Result<Command> {
    let mut command = programs::command(&programs::CHROMIUM)?;
    // No sandbox: as root in a container Chromium has none to offer, and the only server is ours.
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-extensions",
    ]);
    command.arg(format!("--user-data-dir={}", harness.scratch.path("profile").display()));
    Ok(command)
}
