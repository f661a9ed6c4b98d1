//! HTTP through the backend, from dom0 and through its bridge.

use super::{BIG_BYTES, Site, check_sum, url};
use crate::{
    failure::Result,
    lab::{Lab, contains, curl, equal, noise, same_bytes},
    load, tools,
};

pub(super) fn dom0_and_outside(lab: &mut Lab) -> Result {
    let site = Site::new(lab)?;
    let guest = site.guest()?;
    contains("dom0's answer", &site.host.must(&format!("wget -q -O - {}", url("/")))?, "aqueduct")?;
    let outside = format!("http://{}/", site.outside);
    contains("the answer to the outside", &curl(&[&outside])?, "aqueduct")?;
    let body = lab.scratch.path("body");
    std::fs::write(&body, noise(200_000))
        .map_err(|error| crate::failure::Failure(error.to_string()))?;
    let out = lab.scratch.path("out");
    let upload = format!("@{}", body.display());
    let echo = format!("http://{}/_test/echo", site.outside);
    curl(&["--data-binary", &upload, "-o", &out.display().to_string(), &echo])?;
    same_bytes("an upload that is echoed", &out, &noise(200_000))?;
    let domain = site.host.must("xl domid one")?;
    let told = format!("xenstore-read /local/domain/{}/data/aqueduct/state", domain.trim());
    equal("the state that dom0 can see", &site.host.must(&told)?.trim(), &"running")?;
    contains("the console", &guest.console(&site.host)?, "link up")
}

pub(super) fn crowds(lab: &mut Lab) -> Result {
    let site = Site::new(lab)?;
    let _guest = site.guest()?;
    let url = format!("http://{}/", site.outside);
    let report = tools::output(tools::command(&tools::WRK)?.args([
        "-t1",
        "-c64",
        "-d5s",
        "--timeout",
        "60s",
        &url,
    ]))?;
    contains("wrk's report", &report, "Requests/sec")?;
    if report.contains("Socket errors") || report.contains("Non-2xx") {
        crate::failure::fail!("wrk saw errors:\n{report}");
    }
    let mut streams = load::open(site.outside, 1000)?;
    load::ask_each(&mut streams, site.outside, "/")
}

pub(super) fn large_file(lab: &mut Lab) -> Result {
    let site = Site::with(lab, super::PATIENT, 256, BIG_BYTES)?;
    let mut guest = crate::xen::Domain::appliance("one", super::ADDRESS);
    guest.memory_mib = 128;
    guest.create(&site.host)?;
    guest.wait_answer(&site.host, &url("/"), super::ANSWER_LIMIT)?;
    // dom0 has no room for all of it twice.
    site.host.must("rm /guests/bundle")?;
    let sum = site.host.must(&format!("wget -q -O - {} | sha256sum", url("/big")))?;
    check_sum(&site.host, BIG_BYTES, sum.trim_end())?;
    let out = lab.scratch.path("big");
    curl(&["-o", &out.display().to_string(), &format!("http://{}/big", site.outside)])?;
    same_bytes("the file outside", &out, &noise(BIG_BYTES))
}
