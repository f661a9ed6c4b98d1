//! HTTP through the backend, from dom0, through its bridge, and between guests.

use super::{ANSWER_LIMIT, BIG_BYTES, Site, check_sum, outside, url};
use command::{
    failure::{OrSay, Result, fail},
    programs,
};
use lab::{
    harness::{Harness, contains, curl, equal, noise, same_bytes},
    load,
    xen::Domain,
};

pub(super) fn dom0_and_outside(harness: &mut Harness) -> Result {
    let site = Site::trial(harness)?;
    let guest = site.guest()?;
    contains("dom0's answer", &site.host.must(&format!("wget -q -O - {}", url("/")))?, "aqueduct")?;
    contains("the answer to the outside", &curl(&[&url("/")])?, "aqueduct")?;
    let body = harness.scratch.path("body");
    std::fs::write(&body, noise(200_000)).or_say(|| "cannot write a body".into())?;
    let out = harness.scratch.path("out");
    let upload = format!("@{}", body.display());
    curl(&["--data-binary", &upload, "-o", &out.display().to_string(), &url("/_test/echo")])?;
    same_bytes("an upload that is echoed", &out, &noise(200_000))?;
    contains("the console", &guest.console(&site.host)?, "link up")?;
    // More than the console's ring holds at once.
    let log = "wget -q -O /dev/null URL; log=/var/log/xen/console/guest-one.log; n=0; \
        until grep -q 'line 100 of 100' $log || [ $n = 600 ]; do sleep 0.1; n=$((n+1)); done; \
        grep -c 'that a test asked for' $log";
    let lines = site.host.must(&log.replace("URL", &url("/_test/log/100")))?;
    equal("lines of the log", &lines.trim(), &"100")?;
    let told = |name| {
        let path = format!("/local/domain/$(xl domid one)/data/aqueduct/{name}");
        site.host.must(&format!("xenstore-read {path}"))
    };
    equal("the state that dom0 can see", &told("state")?.trim(), &"running")?;
    equal("the version that dom0 can see", &told("version")?.trim(), &env!("CARGO_PKG_VERSION"))?;
    contains("the addresses that dom0 can see", &told("addresses")?, super::ADDRESS)
}

pub(super) fn crowds(harness: &mut Harness) -> Result {
    let site = Site::new(harness)?;
    let guest = site.guest()?;
    let patience = ["--timeout", "120s"];
    let wrk = programs::output(
        programs::command(&programs::WRK)?
            .args(["-t1", "-c64", "-d3s"])
            .args(patience)
            .arg(url("/")),
    )?;
    contains("wrk's report", &wrk, "Requests/sec")?;
    if wrk.contains("Socket errors") || wrk.contains("Non-2xx") {
        fail!("wrk saw errors:\n{wrk}");
    }
    let mut streams = load::open(outside()?, 1000)?;
    for stream in &streams {
        stream.set_read_timeout(Some(ANSWER_LIMIT)).or_say(|| "cannot set a time limit".into())?;
    }
    let asked = load::ask_each(&mut streams, outside()?, "/");
    asked.or_else(|failure| fail!("{failure}; the console:\n{}", guest.console(&site.host)?))
}

pub(super) fn large_file(harness: &mut Harness) -> Result {
    let site = Site::with(harness, super::PATIENT, 256, BIG_BYTES)?;
    let mut guest = Domain::appliance("one", super::ADDRESS);
    guest.memory_mib = 128;
    guest.create(&site.host)?;
    guest.wait_answer(&site.host, &url("/"), ANSWER_LIMIT)?;
    // dom0 has no room for all of it twice.
    site.host.must("rm /guests/bundle")?;
    let sum = site.host.must(&format!("wget -q -O - {} | sha256sum", url("/big")))?;
    check_sum(BIG_BYTES, sum.trim_end())?;
    let out = harness.scratch.path("big");
    curl(&["-o", &out.display().to_string(), &url("/big")])?;
    same_bytes("the file outside", &out, &noise(BIG_BYTES))
}

/// One appliance fetches another's file for dom0.
pub(super) fn guest_to_guest(harness: &mut Harness) -> Result {
    const OTHER: &str = "10.0.2.21";
    let site = Site::trial(harness)?;
    let _guest = site.guest()?;
    let other = Domain::appliance("two", OTHER);
    other.create(&site.host)?;
    other.wait_answer(&site.host, &format!("http://{OTHER}/"), ANSWER_LIMIT)?;
    let line = format!("wget -q -O - {} | sha256sum", url(&format!("/_test/relay/{OTHER}:80/big")));
    check_sum(super::FETCHED_BYTES, site.host.must(&line)?.trim_end())
}
