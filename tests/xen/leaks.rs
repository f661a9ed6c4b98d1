//! Guests that leave nothing behind.

use super::{Site, url};
use crate::{
    failure::Result,
    lab::{Lab, equal},
};

/// Domains, backends, event channels and free memory (in MiB) as dom0 sees them.
const LEFT: &str = "xl list | wc -l; ls /sys/bus/xen-backend/devices | wc -l; \
    grep -c xen-dyn /proc/interrupts; xl info | sed -n 's/^free_memory *: //p'";

pub(super) fn fifty_guests(lab: &mut Lab) -> Result {
    let site = Site::with(lab, "", 64, 1 << 20)?;
    let guest = site.guest()?;
    site.host.must("xl destroy one; sleep 1")?;
    let before = site.host.must(LEFT)?;
    let path = guest.put(&site.host)?;
    let cycles = format!(
        "n=0; while [ $n -lt 50 ]; do xl create -q {path} || break; tries=0; \
         while ! wget -q -O /dev/null {}; do sleep 0.05; tries=$((tries+1)); [ $tries -gt 400 ] && break 2; done; \
         xl destroy one; n=$((n+1)); done >/dev/null 2>&1; sleep 1; echo $n",
        url("/")
    );
    let done = site.host.run_with(&cycles, &[], super::DEADLINE)?.output;
    equal("the guests that answered", &done.trim(), &"50")?;
    equal("what is left in dom0", &site.host.must(LEFT)?, &before)
}
