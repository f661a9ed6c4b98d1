//! Guests that leave nothing behind.

use super::{Site, url};
use command::failure::{Result, fail};
use lab::harness::{Harness, equal};

/// Domains, backends, event channels and free memory (in MiB) as dom0 sees them.
const LEFT: &str = "xl list | wc -l; ls /sys/bus/xen-backend/devices | wc -l; \
    grep -c xen-dyn /proc/interrupts; xl info | sed -n 's/^free_memory *: //p'";

/// Creates and destroys a guest eight times; prints how many answered. Without `-e`, another xl for
/// each would watch it.
const CYCLES: &str = "n=0; while [ $n -lt 8 ]; do xl create -q -e CONFIG || break; \
    until timeout 10 wget -q -O /dev/null URL; do xl list one || break 2; done; \
    xl destroy one; n=$((n+1)); done >/tmp/cycles 2>&1; echo $n";

pub(super) fn eight_guests(harness: &mut Harness) -> Result {
    let site = Site::with(harness, "", 64, 1 << 20)?;
    let guest = site.guest()?;
    site.host.must("xl destroy one; sleep 1")?;
    let before = site.host.must(LEFT)?;
    let line = CYCLES.replace("CONFIG", &guest.put(&site.host)?).replace("URL", &url("/"));
    let done = site.host.run_with(&line, &[], super::LONG_DEADLINE)?.output;
    if done.trim() != "8" {
        let said = site.host.must("tail -n 20 /tmp/cycles /var/log/xen/xl-one.log")?;
        let console = guest.console(&site.host)?;
        fail!("{} guests answered; dom0 says:\n{said}\nthe last said:\n{console}", done.trim());
    }
    site.host.must("sleep 1")?;
    equal("what is left in dom0", &site.host.must(LEFT)?, &before)
}
