//! A page load in a real browser.

use command::{
    failure::{Result, fail},
    programs,
};
use lab::harness::{GUEST_ADDRESS, Harness, Server, Setup, contains};

/// The index page with its style sheet and pictures; the DOM is what the browser made of it.
pub(super) fn page_load(harness: &mut Harness) -> Result {
    let bundle = harness.sample()?;
    let guest = harness.boot(&Setup { bundle: Some(bundle), ..Setup::default() })?;
    let result = load(harness);
    Server::Guest(Box::new(guest)).judge(result)
}

fn load(harness: &Harness) -> Result {
    let profile = harness.scratch.path("profile");
    let picture = harness.scratch.path("page.png");
    let log = harness.scratch.path("net.json");
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
    command.arg(format!("--user-data-dir={}", profile.display()));
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
