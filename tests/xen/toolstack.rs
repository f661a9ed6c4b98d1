//! What dom0's tools see of a guest, and what they do to it that is to do nothing.

use super::{ADDRESS, ANSWER_LIMIT, Site, url};
use command::failure::Result;
use lab::harness::{Harness, contains, equal};

/// The nodes that XenServer and XCP-ng show, and ours.
pub(super) fn is_told(harness: &mut Harness) -> Result {
    let site = Site::new(harness)?;
    let _guest = site.guest()?;
    // Addresses are told a moment after the first answer.
    let wait = "d=/local/domain/$(xl domid one); n=0; \
        until xenstore-exists $d/attr/vif/0/ipv4/0 || [ $n -gt 300 ]; do sleep 0.1; n=$((n+1)); done";
    for (node, expected) in [
        ("attr/vif/0/ipv4/0", ADDRESS),
        ("attr/PVAddons/Installed", "1"),
        ("data/os_distro", "aqueduct"),
        ("data/aqueduct/state", "running"),
    ] {
        let value = site.host.must(&format!("{wait}; xenstore-read $d/{node}"))?;
        equal(node, &value.trim(), &expected)?;
    }
    let free = site.host.must(&format!("{wait}; xenstore-read $d/data/meminfo_free"))?;
    equal("whether free memory is a number", &free.trim().parse::<u64>().is_ok(), &true)
}

/// An NMI and a system request mean nothing to it.
pub(super) fn triggers(harness: &mut Harness) -> Result {
    let site = Site::new(harness)?;
    let guest = site.guest()?;
    site.host.must("xl trigger one nmi; xl sysrq one h; xl trigger one nmi")?;
    guest.wait_answer(&site.host, &url("/"), ANSWER_LIMIT)?;
    contains("the domains", &site.host.must("xl list")?, "one")
}
