//! What dom0 does to a running guest.

use super::{Site, expect_reason, url};
use command::failure::Result;
use lab::{
    harness::{Harness, contains, equal},
    xen::Domain,
};

pub(super) fn when_asked(harness: &mut Harness) -> Result {
    let site = Site::trial(harness)?;
    let guest = site.guest()?;
    // What it does not know, it says, and goes on.
    let ask = "d=$(xl domid one); xenstore-write /local/domain/$d/control/shutdown dance; \
        n=0; while [ -n \"$(xenstore-read /local/domain/$d/control/shutdown)\" ] && [ $n -lt 600 ]; \
        do sleep 0.1; n=$((n+1)); done; xenstore-read /local/domain/$d/control/shutdown";
    equal("an acknowledged request", &site.host.must(ask)?.trim(), &"")?;
    guest.wait_answer(&site.host, &url("/"), super::ANSWER_LIMIT)?;
    contains("the console", &guest.console(&site.host)?, "request is unknown")?;
    stops(&site, &guest, "xl mem-set one 32; xl shutdown one", 0)?;
    let guest = site.guest()?;
    stops(&site, &guest, "xl reboot one", 1)?;
    // A fault of the machine is a crash.
    let guest = site.guest()?;
    site.host.run(&format!("timeout 60 wget -q -O /dev/null {}", url("/_test/fault/null")))?;
    expect_reason(&guest, &site.host, 3)?;
    contains("the console", &guest.console(&site.host)?, "page fault")
}

fn stops(site: &Site, guest: &Domain, command: &str, reason: u32) -> Result {
    site.host.must(command)?;
    expect_reason(guest, &site.host, reason)?;
    contains("the console", &guest.console(&site.host)?, "stopped; 0 connections cut")
}

pub(super) fn finishes_a_transfer(harness: &mut Harness) -> Result {
    let site = Site::new(harness)?;
    let guest = site.guest()?;
    // What it does meanwhile is told, and it does not end before.
    let state = "$(xenstore-read /local/domain/$(xl domid one)/data/aqueduct/state)";
    site.fetch_while(&format!(
        "[ {state} = running ] && xl shutdown one; n=0; \
         until [ {state} = stopping ] || [ $n -ge 600 ]; do sleep 0.1; n=$((n+1)); done; [ {state} = stopping ]"
    ))?;
    expect_reason(&guest, &site.host, 0)
}

pub(super) fn destroyed(harness: &mut Harness) -> Result {
    let site = Site::new(harness)?;
    for _ in 0..3 {
        let _guest = site.guest()?;
        // Nothing is left: a domain whose pages somebody holds would stay in the list.
        let line = format!(
            "mkfifo /tmp/pipe; wget -q -O - {} >/tmp/pipe & exec 3</tmp/pipe; rm /tmp/pipe; \
             dd bs=1 count=1 <&3 >/dev/null 2>&1; xl destroy one; kill $!; exec 3<&-; n=0; \
             while [ $(xl list | wc -l) != 2 ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done; \
             xl list | wc -l",
            url("/big")
        );
        let output = site.host.must(&line)?;
        equal("the lines of `xl list`", &output.lines().last(), &Some("2"))?;
        let backends = site.host.must("ls /sys/bus/xen-backend/devices")?;
        equal("backends in dom0", &backends.as_str(), &"")?;
    }
    Ok(())
}

pub(super) fn paused(harness: &mut Harness) -> Result {
    let site = Site::new(harness)?;
    let guest = site.guest()?;
    site.fetch_while("xl pause one; sleep 2; xl unpause one")?;
    site.host.must("xl shutdown one")?;
    expect_reason(&guest, &site.host, 0)
}
