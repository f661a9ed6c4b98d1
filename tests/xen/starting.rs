//! Starts, good and bad.

use super::{ADDRESS, ANSWER_LIMIT, STOP_LIMIT, Site, expect_reason, url};
use command::failure::Result;
use lab::{
    harness::{Harness, contains},
    xen::Domain,
};

pub(super) fn bad_config(harness: &mut Harness) -> Result {
    let site = Site::with(harness, "[http]\nport = 100000\n", 64, 1024)?;
    let guest = Domain::appliance("one", ADDRESS);
    guest.create(&site.host)?;
    const CRASH: u32 = 3;
    expect_reason(&guest, &site.host, CRASH)?;
    contains("the console's log", &guest.console(&site.host)?, "appliance.toml:2")?;
    // A host that logs no consoles and keeps the guest shows it to whoever looks later.
    let keep = "cd /guests; rm /var/log/xen/console/*; sed '/^on_crash/s/destroy/preserve/' one.cfg >kept.cfg; \
        xl create -q kept.cfg; n=0; until xl list one | grep -q ' [-s]*c[-d]* ' || [ $n = 300 ]; \
        do sleep 0.1; n=$((n+1)); done; timeout 10 xl console one </dev/null";
    contains("`xl console`", &site.host.must(keep)?, "appliance.toml:2")
}

pub(super) fn memory_sizes(harness: &mut Harness) -> Result {
    let site = Site::with(harness, "", 4400, 1024)?;
    for memory_mib in [8, 16, 64, 4096] {
        let guest = Domain { memory_mib, ..Domain::appliance("one", ADDRESS) };
        guest.create(&site.host)?;
        guest.wait_answer(&site.host, &url("/"), ANSWER_LIMIT)?;
        site.host.must("xl shutdown one")?;
        guest.wait_end(&site.host, STOP_LIMIT)?;
    }
    Ok(())
}
