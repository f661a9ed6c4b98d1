//! Guests of one Xen: memory by vchan, and TCP by netfront over dom0's bridge. All of it runs on one emulated processor.

use super::{Asked, GuestOptions, MEMORY_MIB, PLACE, PORT, RPC_PLACE, answered, attend, bundles};
use crate::{
    rpc::value,
    shared::{LONE_CALL, ROUND_TRIP, Row, measure as measure_row, print_head},
};
use command::failure::{OrSay, Result};
use lab::{
    link, peers,
    xen::{Dom0, Domain, Host, Options, Uplink, put_file},
};
use std::{net::Ipv4Addr, path::Path, process::ExitCode, time::Duration};

const ROWS: [(Row, &str); 3] = [(super::BULK, "64"), (ROUND_TRIP, "1000"), (LONE_CALL, "500")];
/// Of the library's server.
const RING_BYTES: usize = 1 << 20;
const LIBRARY_LIMIT: Duration = Duration::from_secs(300);
const NAMES: [&str; 2] = ["one", "two"];
const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 2, 20), Ipv4Addr::new(10, 0, 2, 21)];

pub(super) fn measure(options: &GuestOptions, dom0: &Dom0, kernel: &Path) -> Result<ExitCode> {
    // This machine's ports that lead to both guests' HTTP.
    let here = [link::free_address()?, link::free_address()?];
    let forwards = here.iter().zip(ADDRESSES);
    let forwards = forwards.map(|(here, guest)| (here.port(), guest, 80)).collect();
    let uplink = Uplink::Forwards(forwards);
    let host = Options { guests_mib: 2 * MEMORY_MIB + 32, uplink, ..Options::default() };
    let host = Host::start(dom0, &host)?;
    put_file(&host, "image", kernel)?;
    for ((name, address), bundle) in NAMES.iter().zip(ADDRESSES).zip(bundles(options, "")?) {
        host.put(&format!("/guests/bundle-{name}"), &bundle)?;
        let guest = Domain::appliance(name, &address.to_string());
        let words = format!("{} log=warn", guest.words);
        let ramdisk = Some(format!("bundle-{name}"));
        Domain { memory_mib: MEMORY_MIB, ramdisk, words, ..guest }.create(&host)?;
    }
    attend(here[1])?;
    answered(&format!("http://{}/", here[0]), "hello")?;
    let domain = host.must(&format!("xl domid {}", NAMES[1]))?;
    let domain: u16 = domain.trim().parse().or_say(|| format!("{domain} is no domain"))?;
    let other = ADDRESSES[1];
    let asked = Asked {
        address: here[0],
        attends: [format!("vchan:{domain}/{PLACE}"), format!("{other}:{PORT}")],
        objects: [format!("vchan:{domain}/{RPC_PLACE}"), format!("{other}:{}", crate::RPC_PORT)],
    };
    println!(
        "two guests of Xen, nested in software emulation, 1 CPU for all, {MEMORY_MIB} MiB each; medians of {} rounds, in turns",
        options.rounds
    );
    asked.measure_all(options.rounds, &ROWS)?;
    beside_the_library(&host, &asked, options.rounds)?;
    Ok(ExitCode::SUCCESS)
}

/// The same between two programs of libxenvchan's in dom0, through rings as large as ours, which take
/// turns as processes do, and guests as domains do.
fn beside_the_library(host: &Host, asked: &Asked, rounds: usize) -> Result {
    let program = std::fs::read(peers::vchan_in_dom0()?).or_say(|| "no program".into())?;
    host.put("/bin/vchan", &program)?;
    host.must("chmod 755 /bin/vchan")?;
    print_head(["ours", "library"]);
    for (row, count) in &ROWS[..2] {
        let row = Row { reach: "at least 1", ..*row };
        measure_row(&row, rounds, |way| match way {
            0 => asked.put(&row, count, 0),
            _ => within_dom0(host, &row, count),
        })?;
    }
    Ok(())
}

fn within_dom0(host: &Host, row: &Row, count: &str) -> Result<f64> {
    let place = "0 /local/domain/0/data/vchan/loads";
    let line = format!(
        "vchan load-server {place} {RING_BYTES} & vchan load {place} {} {count} && wait $!",
        row.verb
    );
    value(&host.run_with(&line, &[], LIBRARY_LIMIT)?.output, row.name)
}
