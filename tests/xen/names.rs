//! Guests that know each other by name.

use super::{ADDRESS, ANSWER_LIMIT, Site, url};
use command::failure::Result;
use lab::{
    harness::{Harness, curl, equal},
    xen::Domain,
};

const OTHER_ADDRESS: &str = "10.0.2.21";

/// A handler of one guest calls another's service by its name, until that is gone with its guest.
pub(super) fn one_finds_another(harness: &mut Harness) -> Result {
    let site = Site::trial(harness)?;
    let _one = site.guest()?;
    let two = Domain::appliance("two", OTHER_ADDRESS);
    two.create(&site.host)?;
    two.wait_answer(&site.host, &format!("http://{OTHER_ADDRESS}/"), ANSWER_LIMIT)?;
    for (name, address) in [("one", ADDRESS), ("two", OTHER_ADDRESS)] {
        let read = "xenstore-read /local/domain/$domain/data/services/transform 2>/dev/null";
        let published = site.host.must(&format!(
            "domain=$(xl domid {name}); for try in $(seq 100); do {read} && break; sleep 0.1; done"
        ))?;
        equal(
            "what it has published",
            &published.trim(),
            &&*format!("{name} zmtp {address}:5555"),
        )?;
    }
    let page = url("/_test/transform/transform@two");
    let ask = ["--silent", "--data-binary", "water flows", &page];
    equal("the answer", &curl(&ask)?.as_str(), &"WATER FLOWS")?;
    // Somebody else claims the name, and dom0 says whose it is.
    site.host.must(
        "xenstore-write /local/domain/0/data/services/transform 'two zmtp 10.0.2.99:5555'; \
         xenstore-chmod /local/domain/0/data/services/transform r0; \
         xenstore-chmod /local/domain/$(xl domid two)/name r0",
    )?;
    equal("the answer beside an impostor", &curl(&ask)?.as_str(), &"WATER FLOWS")?;
    site.host.must("xenstore-rm /local/domain/0/data; xl destroy two")?;
    let status =
        curl(&[&ask[..], &["--output", "/dev/null", "--write-out", "%{http_code}"]].concat())?;
    equal("the status without the other", &status.as_str(), &"502")
}
