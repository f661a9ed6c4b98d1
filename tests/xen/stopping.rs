//! What dom0 does to a running guest.

use super::{Site, check_sum, expect_reason, url};
use crate::{
    failure::Result,
    lab::{Lab, contains, equal},
};

pub(super) fn when_asked(lab: &mut Lab) -> Result {
    let site = Site::new(lab)?;
    for (command, reason) in [("xl shutdown one", 0), ("xl reboot one", 1)] {
        let guest = site.guest()?;
        site.host.must(command)?;
        expect_reason(&guest, &site.host, reason)?;
        contains("the console", &guest.console(&site.host)?, "stopped; 0 connections cut")?;
    }
    let guest = site.guest()?;
    // What it cannot do, it says, and goes on.
    let ask = "d=$(xl domid one); xenstore-write /local/domain/$d/control/shutdown suspend; \
        n=0; while [ -n \"$(xenstore-read /local/domain/$d/control/shutdown)\" ] && [ $n -lt 100 ]; \
        do sleep 0.1; n=$((n+1)); done; xenstore-read /local/domain/$d/control/shutdown";
    equal("an acknowledged request", &site.host.must(ask)?.trim(), &"")?;
    guest.wait_answer(&site.host, &url("/"), super::ANSWER_LIMIT)?;
    site.host.must("xl mem-set one 32; xl shutdown one")?;
    expect_reason(&guest, &site.host, 0)
}

pub(super) fn finishes_a_transfer(lab: &mut Lab) -> Result {
    let site = Site::new(lab)?;
    let guest = site.guest()?;
    let sum = site.fetch_while("xl shutdown one >/dev/null")?;
    check_sum(&site.host, 16 << 20, &sum)?;
    expect_reason(&guest, &site.host, 0)
}

pub(super) fn destroyed(lab: &mut Lab) -> Result {
    let site = Site::new(lab)?;
    for _ in 0..3 {
        let _guest = site.guest()?;
        let line = format!(
            "wget -q -O /dev/null {} & sleep 0.2; xl destroy one; kill $!; sleep 0.5; xl list | wc -l",
            url("/big")
        );
        let output = site.host.must(&line)?;
        equal("the lines of `xl list`", &output.lines().last(), &Some("2"))?;
    }
    Ok(())
}

pub(super) fn paused(lab: &mut Lab) -> Result {
    let site = Site::new(lab)?;
    let guest = site.guest()?;
    let sum = site.fetch_while("xl pause one; sleep 2; xl unpause one")?;
    check_sum(&site.host, 16 << 20, &sum)?;
    site.host.must("xl shutdown one")?;
    expect_reason(&guest, &site.host, 0)
}
