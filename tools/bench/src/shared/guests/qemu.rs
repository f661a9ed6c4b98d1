//! Guests of QEMU: memory by a device that both have, and TCP by the kernel between their TAPs, which leaves segmentation and
//! checksums to them.

use super::{Asked, GuestOptions, MEMORY_MIB, PLACE, PORT, RPC_PLACE, answered, attend, bundles};
use crate::{
    counter::{Counter, Plugin},
    shared::{LONE_CALL, ROUND_TRIP, Row},
    system_under_test::SystemUnderTest,
};
use command::{
    child::Child,
    failure::{OrSay, Result},
    files,
    paths::Scratch,
};
use lab::{
    accel::Accel,
    guest::{Echo, Guest},
    link::Tap,
    process,
    qemu::{Machine, Netdev, Spec, shared_memory_device},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
};

const REGION_MIB: u32 = 64;
const ROWS: [(Row, &str); 3] = [(super::BULK, "256"), (ROUND_TRIP, "4000"), (LONE_CALL, "2000")];
/// Over which a call's instructions are counted.
const COUNTED_CALLS: u32 = 500;

/// The network of a guest: its TAP, our end, and its own.
const NETWORKS: [(&str, Ipv4Addr, Ipv4Addr); 2] = [
    ("tap0", Ipv4Addr::new(10, 9, 0, 1), Ipv4Addr::new(10, 9, 0, 2)),
    ("tap1", Ipv4Addr::new(10, 9, 1, 1), Ipv4Addr::new(10, 9, 1, 2)),
];

pub(super) fn measure(options: &GuestOptions, kernel: &Path) -> Result<ExitCode> {
    let host = Host::new(options, kernel)?;
    println!(
        "two guests of QEMU in software emulation, {MEMORY_MIB} MiB each; medians of {} rounds, in turns",
        options.rounds
    );
    host.start([None, None])?.asked.measure_all(options.rounds, &ROWS)?;
    let plugin = Plugin::build()?;
    print_instructions("  both guests' instructions", &host, &plugin)?;
    host.write(options, "busy_poll_microseconds = 0\n")?;
    print_instructions("  those, without busy polling", &host, &plugin)?;
    Ok(ExitCode::SUCCESS)
}

fn print_instructions(what: &str, host: &Host, plugin: &Plugin) -> Result {
    let counters = [plugin.counter("asked")?, plugin.counter("attending")?];
    let pair = host.start(counters.each_ref().map(Some))?;
    let shared = instructions(&pair.asked, &counters, 0)?;
    let tcp = instructions(&pair.asked, &counters, 1)?;
    println!("{what:<28} {shared:>10.0} {tcp:>10.0} {:>8.2}", tcp / shared);
    Ok(())
}

/// What a lone call costs both guests, polling and waiting included: the difference of two loads, so that the connection does
/// not count.
fn instructions(asked: &Asked, counters: &[Counter; 2], way: usize) -> Result<f64> {
    let total = || -> Result<u64> { Ok(counters[0].now()? + counters[1].now()?) };
    let count = |calls: u32| -> Result<f64> {
        let before = total()?;
        asked.put(&LONE_CALL, &calls.to_string(), way)?;
        Ok((total()? - before) as f64)
    };
    let (short, long) = (count(COUNTED_CALLS)?, count(3 * COUNTED_CALLS)?);
    Ok((long - short) / f64::from(2 * COUNTED_CALLS))
}

struct Host {
    kernel: PathBuf,
    scratch: Scratch,
    taps: [Tap; 2],
}

/// Both guests, and what gives them memory.
struct Pair {
    asked: Asked,
    _guests: [Guest; 2],
    _server: Child,
}

impl Host {
    fn new(options: &GuestOptions, kernel: &Path) -> Result<Self> {
        crate::prepare_namespace()?;
        let file = "/proc/sys/net/ipv4/ip_forward";
        std::fs::write(file, "1").or_say(|| format!("cannot write {file}"))?;
        let tap = |nth: usize| {
            let (tap, ours, guest) = NETWORKS[nth];
            SystemUnderTest::wire(tap, ours, guest)
        };
        let taps = [tap(0)?, tap(1)?];
        let host = Self { kernel: kernel.to_owned(), scratch: Scratch::new()?, taps };
        host.write(options, "")?;
        Ok(host)
    }

    /// Writes the bundles of guests that are started from now on.
    fn write(&self, options: &GuestOptions, more: &str) -> Result {
        for ((tap, ..), bundle) in NETWORKS.iter().zip(bundles(options, more)?) {
            files::write(&self.scratch.path(tap), bundle)?;
        }
        Ok(())
    }

    /// Both guests, once they answer.
    fn start(&self, counters: [Option<&Counter>; 2]) -> Result<Pair> {
        let socket = self.scratch.path("shm");
        let server = process::serve_shared_memory(&socket, REGION_MIB)?;
        let guest = |nth: usize| self.guest(nth, &socket, counters[nth]);
        let guests = [guest(0)?, guest(1)?];
        let [(.., asked), (.., other)] = NETWORKS;
        attend(SocketAddr::from((other, 80)))?;
        let address = SocketAddr::from((asked, 80));
        answered(&format!("http://{address}/"), "hello")?;
        let asked = Asked {
            address,
            attends: [format!("shm:{PLACE}"), format!("{other}:{PORT}")],
            objects: [format!("shm:{RPC_PLACE}"), format!("{other}:{}", crate::RPC_PORT)],
        };
        Ok(Pair { asked, _guests: guests, _server: server })
    }

    fn guest(&self, nth: usize, socket: &Path, counter: Option<&Counter>) -> Result<Guest> {
        let (tap, ours, own) = NETWORKS[nth];
        let mut more = shared_memory_device(socket);
        more.extend(counter.into_iter().flat_map(|counter| counter.options.iter().map(Into::into)));
        let spec = Spec {
            machine: Machine::Q35,
            accel: Accel::Tcg,
            memory_mib: MEMORY_MIB,
            kernel: self.kernel.clone(),
            initrd: Some(self.scratch.path(tap)),
            append: format!("log=warn ip={own}/24 gw={ours}"),
            netdev: Netdev::Tap { name: self.taps[nth].name().to_owned(), offloads: true },
            without: &[],
            entropy: true,
            more,
        };
        Guest::start(&spec, &Echo::No)
    }
}
