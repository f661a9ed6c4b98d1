//! Disks: a bundle and a site on one, one that is saved with its guest, and one that goes under load.

use super::{
    ADDRESS, ANSWER_LIMIT, FETCHED_BYTES, MIGRATE, PATIENT, SAVE_AND_RESTORE, Site, check_sum,
    expect_reason, url,
};
use command::failure::{Result, fail};
use lab::{
    harness::{Harness, contains, equal, noise},
    xen::{Domain, put_disk},
};

/// What is fetched, with this guest's memory, does not fit into it.
const LARGE_BYTES: usize = 28 << 20;
const MEMORY_MIB: u32 = 24;

/// A guest without a boot module, and a site that is larger than its memory.
pub(super) fn bundle(harness: &mut Harness) -> Result {
    let site = Site::with(harness, PATIENT, 600, 1024)?;
    let large = noise(LARGE_BYTES);
    let file = harness.bundle(PATIENT, &[("site/large", &large), ("site/small", b"small")])?;
    let disk = put_disk(&site.host, "disk", &file)?;
    // A ring of one page and short requests; with so much memory a ring of two, and requests whose pages need a list.
    for (memory_mib, order, fetches) in [(MEMORY_MIB, "", 2), (512, "1", 1)] {
        let guest = Domain {
            memory_mib,
            ramdisk: None,
            disks: vec![format!("{disk},xvda,r")],
            ..Domain::appliance("one", ADDRESS)
        };
        guest.create(&site.host)?;
        guest.wait_answer(&site.host, &url("/small"), ANSWER_LIMIT)?;
        let node = "/local/domain/$(xl domid one)/device/vbd/51712/ring-page-order";
        let found = site.host.must(&format!("xenstore-read {node} 2>/dev/null; true"))?;
        equal("the ring's order", &found.trim(), &order)?;
        // Twice, since most of what was read is not kept.
        for _ in 0..fetches {
            let sum = site.host.must(&format!("wget -q -O - {} | sha256sum", url("/large")))?;
            check_sum(LARGE_BYTES, sum.trim())?;
        }
        contains("the console", &guest.console(&site.host)?, "the bundle is on disk 1")?;
        site.host.must("xl shutdown one")?;
        expect_reason(&guest, &site.host, 0)?;
    }
    nothing_is_left(&site)
}

/// The disks are those of their numbers, whatever the order in which they are given.
pub(super) fn two(harness: &mut Harness) -> Result {
    let site = Site::with(harness, PATIENT, 128, 1024)?;
    let config = format!("{PATIENT}[storage]\nsite_disk = 2\nsite_folder = \"www\"\n");
    let first = harness.bundle(&config, &[("site/page", b"of the first")])?;
    let first = put_disk(&site.host, "first", &first)?;
    let files: [(&str, &[u8]); 2] = [("www/page", b"of the second"), ("www/a", b"a")];
    let second = put_disk(&site.host, "second", &harness.pack(&files)?)?;
    let guest = Domain {
        ramdisk: None,
        disks: vec![format!("{second},xvdb,r"), format!("{first},xvda,r")],
        ..Domain::appliance("one", ADDRESS)
    };
    guest.create(&site.host)?;
    guest.wait_answer(&site.host, &url("/page"), ANSWER_LIMIT)?;
    let page = site.host.must(&format!("wget -q -O - {}", url("/page")))?;
    equal("the page", &page.as_str(), &"of the second")
}

pub(super) fn saved(harness: &mut Harness) -> Result {
    let (site, guest) = with_disk(harness)?;
    for what in [SAVE_AND_RESTORE, SAVE_AND_RESTORE, MIGRATE] {
        site.fetch_while(what)?;
    }
    contains("the console", &guest.console(&site.host)?, "vbd/51712: connected to anew")?;
    site.host.must("xl shutdown -w one")?;
    nothing_is_left(&site)
}

/// One that is restarted goes on where it was. When it goes for good, whoever fetches from the disk is cut off, the appliance
/// goes on, and nothing of the disk is left.
pub(super) fn backend_gone(harness: &mut Harness) -> Result {
    const RESTART: &str = "for verb in unbind bind; do \
        echo vbd-$(xl domid one)-51712 > /sys/bus/xen-backend/drivers/vbd/$verb; done";
    const DETACH: &str = "xl block-detach one xvda";
    const REMOVE: &str = "xenstore-rm /local/domain/0/backend/vbd/$(xl domid one)/51712";
    let (site, guest) = with_disk(harness)?;
    for _ in 0..2 {
        site.fetch_while(RESTART)?;
    }
    for (nth, end) in [DETACH, REMOVE].into_iter().enumerate() {
        if nth > 0 {
            guest.create(&site.host)?;
            guest.wait_answer(&site.host, &url("/"), ANSWER_LIMIT)?;
        }
        // Before it was read to its end at the slow pace, or while the rest was.
        const CUT: [&str; 2] = ["the transfer was over too soon", "the file arrived as"];
        match site.fetch_while(end) {
            Ok(()) => fail!("all of a file was given that was on a disk that has gone"),
            Err(failure) if CUT.iter().any(|how| failure.to_string().contains(how)) => {}
            Err(failure) => return Err(failure),
        }
        let console = guest.console(&site.host)?;
        contains("the console", &console, "the disk is given up until the next start")?;
        let other = site.host.must(&format!("wget -q -O - {} 2>&1; true", url("/a")))?;
        contains("the answer", &other, "500 Internal Server Error")?;
        site.host.must("xl shutdown one")?;
        expect_reason(&guest, &site.host, 0)?;
        nothing_is_left(&site)?;
    }
    Ok(())
}

/// A host, and a guest with its configuration and site on a disk alone.
fn with_disk(harness: &mut Harness) -> Result<(Site, Domain)> {
    let site = Site::with(harness, PATIENT, 128, 1024)?;
    let (big, other) = (noise(FETCHED_BYTES), noise(300_000));
    // What is asked for first lies apart from what is asked for last.
    let files: [(&str, &[u8]); 3] =
        [("site/a", &other), ("site/big", &big), ("site/index.html", b"front")];
    let disk = put_disk(&site.host, "disk", &harness.bundle(PATIENT, &files)?)?;
    let guest = Domain {
        memory_mib: MEMORY_MIB,
        ramdisk: None,
        disks: vec![format!("{disk},xvda,r")],
        ..Domain::appliance("one", ADDRESS)
    };
    guest.create(&site.host)?;
    guest.wait_answer(&site.host, &url("/"), ANSWER_LIMIT)?;
    Ok((site, guest))
}

/// A page that a backend or a guest still had would keep the domain or the backend.
fn nothing_is_left(site: &Site) -> Result {
    let line = "n=0; while [ $(xl list | wc -l) != 2 ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done; \
        xl list | wc -l; ls /sys/bus/xen-backend/devices";
    equal("domains and backends", &site.host.must(line)?.trim(), &"2")
}
