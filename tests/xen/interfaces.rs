//! Interfaces that come and go.

use super::{ADDRESS, ANSWER_LIMIT, Site, check_sum, url};
use crate::{
    failure::Result,
    lab::{Lab, contains},
    xen::Domain,
};

pub(super) fn two(lab: &mut Lab) -> Result {
    let site = Site::new(lab)?;
    let mut guest = Domain::appliance("one", ADDRESS);
    guest.interfaces = vec![
        "bridge=xenbr0,mac=00:16:3e:00:00:01".into(),
        "bridge=xenbr0,mac=00:16:3e:00:00:02".into(),
    ];
    guest.create(&site.host)?;
    guest.wait_answer(&site.host, &url("/"), ANSWER_LIMIT)?;
    // Both have the address: whichever goes, the other serves.
    for (detached, again) in [(0, "00:16:3e:00:00:01"), (1, "00:16:3e:00:00:02")] {
        site.host.must(&format!("xl network-detach one {detached}; ip neigh flush dev xenbr0"))?;
        guest.wait_answer(&site.host, &url("/"), ANSWER_LIMIT)?;
        site.host.must(&format!("xl network-attach one mac={again} bridge=xenbr0"))?;
    }
    guest.wait_answer(&site.host, &url("/"), ANSWER_LIMIT)
}

pub(super) fn detached(lab: &mut Lab) -> Result {
    let site = Site::new(lab)?;
    let guest = site.guest()?;
    for _ in 0..3 {
        // The connection outlives the interface.
        let sum = site.fetch_while(
            "xl network-detach one 0 >/dev/null; xl network-attach one mac=00:16:3e:00:00:14 bridge=xenbr0 >/dev/null",
        )?;
        check_sum(&site.host, 16 << 20, &sum)?;
    }
    contains("the console", &guest.console(&site.host)?, "link down")
}

pub(super) fn backend_restarted(lab: &mut Lab) -> Result {
    let site = Site::new(lab)?;
    let guest = site.guest()?;
    let restart = "d=$(xl domid one); for verb in unbind bind; do \
        echo vif-$d-0 > /sys/bus/xen-backend/drivers/vif/$verb; done; \
        XENBUS_PATH=backend/vif/$d/0 vif=vif$d.0 /etc/xen/scripts/vif-bridge online";
    for _ in 0..3 {
        let sum = site.fetch_while(restart)?;
        check_sum(&site.host, 16 << 20, &sum)?;
    }
    guest.wait_answer(&site.host, &url("/"), ANSWER_LIMIT)
}
