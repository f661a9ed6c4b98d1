//! Interfaces that come and go.

use super::{ADDRESS, ANSWER_LIMIT, Site, url};
use command::failure::Result;
use lab::{
    harness::{Harness, contains, equal},
    xen::Domain,
};

const FIRST: &str = "mac=00:16:3e:00:00:01";
const SECOND: &str = "mac=00:16:3e:00:00:02";

/// Whether xenstore has the third interface's link-local address among the guest's.
const TOLD: &str = "xenstore-read /local/domain/$(xl domid one)/data/aqueduct/addresses | grep -q fe80::216:3eff:fe00:3/64";

pub(super) fn two(harness: &mut Harness) -> Result {
    let site = Site::new(harness)?;
    let mut guest = Domain::appliance("one", ADDRESS);
    guest.interfaces = [FIRST, SECOND].map(|mac| format!("bridge=xenbr0,{mac}")).into();
    guest.create(&site.host)?;
    guest.wait_answer(&site.host, &url("/"), ANSWER_LIMIT)?;
    // Both have the address: whichever goes, the other serves. xl never gives a number twice as
    // long as there is a higher one.
    let detach = |mac: &str| {
        let mac = mac.trim_start_matches("mac=");
        format!("xl network-detach one {mac}; ip neigh flush dev xenbr0")
    };
    for mac in [FIRST, SECOND] {
        site.host.must(&detach(mac))?;
        guest.wait_answer(&site.host, &url("/"), ANSWER_LIMIT)?;
        site.host.must(&format!("xl network-attach one {mac} bridge=xenbr0"))?;
        guest.wait_answer(&site.host, &url("/"), ANSWER_LIMIT)?;
    }
    // And one that was not there at the start, whose addresses are told as they come.
    equal("whether the third one's address is told", &site.host.run(TOLD)?.code, &1)?;
    site.host.must("xl network-attach one mac=00:16:3e:00:00:03 bridge=xenbr0")?;
    site.host.must(&format!(
        "n=0; until {TOLD} || [ $n -ge 600 ]; do sleep 0.1; n=$((n+1)); done; {TOLD}"
    ))?;
    site.host.must(&format!("{}; {}", detach(FIRST), detach(SECOND)))?;
    guest.wait_answer(&site.host, &url("/"), ANSWER_LIMIT)
}

/// Eight interfaces are served, of nine that are there at the start and a tenth that comes; of one address there is one.
pub(super) fn nine(harness: &mut Harness) -> Result {
    let site = Site::new(harness)?;
    let mut guest = Domain::appliance("one", ADDRESS);
    guest.interfaces =
        (1..=9).map(|number| format!("bridge=xenbr0,mac=00:16:3e:00:01:{number:02}")).collect();
    guest.create(&site.host)?;
    guest.wait_answer(&site.host, &url("/"), ANSWER_LIMIT)?;
    contains(
        "the console",
        &guest.console(&site.host)?,
        "vif 8 cannot be used: there are too many",
    )?;
    site.host.must("xl network-attach one mac=00:16:3e:00:01:0a bridge=xenbr0")?;
    let log = "/var/log/xen/console/guest-one.log";
    let refused = format!("grep -q 'vif 9 cannot be used: there are too many' {log}");
    site.host.must(&format!(
        "n=0; until {refused} || [ $n -ge 600 ]; do sleep 0.1; n=$((n+1)); done; {refused}"
    ))?;
    let told = format!("grep -c 'cannot be used' {log}");
    equal("how many are refused", &site.host.must(&told)?.trim(), &"2")?;
    guest.wait_answer(&site.host, &url("/"), ANSWER_LIMIT)
}

pub(super) fn detached(harness: &mut Harness) -> Result {
    let site = Site::new(harness)?;
    let guest = site.guest()?;
    for _ in 0..2 {
        // The connection outlives the interface.
        site.fetch_while(
            "xl network-detach one 0 && xl network-attach one mac=00:16:3e:00:00:14 bridge=xenbr0",
        )?;
    }
    contains("the console", &guest.console(&site.host)?, "link down")
}

/// Linux's backend has no word for it: dom0 writes the node.
pub(super) fn carrier(harness: &mut Harness) -> Result {
    let site = Site::new(harness)?;
    let guest = site.guest()?;
    let lose_and_find = "log=/var/log/xen/console/guest-one.log; \
        node=/local/domain/0/backend/vif/$(xl domid one)/0/carrier; xenstore-write $node 0; \
        until grep -q \"no carrier\" $log; do sleep 0.1; done; xenstore-write $node 1; \
        until grep -q \"a carrier again\" $log; do sleep 0.1; done";
    site.fetch_while(lose_and_find)?;
    guest.wait_answer(&site.host, &url("/"), ANSWER_LIMIT)
}

pub(super) fn backend_restarted(harness: &mut Harness) -> Result {
    let site = Site::new(harness)?;
    let guest = site.guest()?;
    let restart = "d=$(xl domid one); for verb in unbind bind; do \
        echo vif-$d-0 > /sys/bus/xen-backend/drivers/vif/$verb; done; \
        XENBUS_PATH=backend/vif/$d/0 vif=vif$d.0 /etc/xen/scripts/vif-bridge online";
    for _ in 0..2 {
        site.fetch_while(restart)?;
    }
    guest.wait_answer(&site.host, &url("/"), ANSWER_LIMIT)
}
