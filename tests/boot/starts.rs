//! It starts on what is there: machines that lack something, or have it elsewhere.

use command::{
    failure::{OrSay, Result, fail},
    files,
};
use lab::{
    harness::{GUEST_ADDRESS, Harness, Setup, equal},
    http_client, link,
    qemu::Machine,
};
use rustix::net::{
    AddressFamily, SocketType, bind, connect, socket,
    sockopt::{set_socket_linger, set_socket_reuseaddr},
};
use std::{ffi::OsString, net::SocketAddr, time::Duration};

/// No 8254: the clock is measured by ACPI's timer.
pub(super) fn without_pit(harness: &mut Harness) -> Result {
    // Without this leaf nobody tells the clock's rate, whatever is under QEMU.
    serves(harness, Machine::Q35, &["-machine", "pit=off", "-cpu", "max,-hypervisor"])
}

/// A card that reaches memory as the platform lets it (`VIRTIO_F_ACCESS_PLATFORM`), which refuses a driver that does
/// not know of that.
pub(super) fn access_platform(harness: &mut Harness) -> Result {
    const CARD: &str = "virtio-net-pci.iommu_platform=on";
    serves(harness, Machine::Q35, &["-global", "virtio-net-pci.disable-legacy=on", "-global", CARD])
}

/// PCI Express on a microvm: configuration space in memory where only the DSDT says, and registers that no firmware has
/// placed.
pub(super) fn microvm_with_pcie(harness: &mut Harness) -> Result {
    serves(harness, Machine::MicrovmPcie, &[])
}

/// QEMU's usual CPU has neither RDSEED nor RDRAND, and no entropy device is there: keys come from timing jitter, which
/// is said.
pub(super) fn usual_cpu(harness: &mut Harness) -> Result {
    for machine in [Machine::Microvm, Machine::Q35] {
        let more = ["-cpu", "qemu64"].map(Into::into).into();
        let mut guest =
            harness.boot(&Setup { machine, more, entropy: false, ..Setup::default() })?;
        guest.wait_for("keys come from timing jitter alone", Duration::from_secs(5))?;
    }
    Ok(())
}

/// RFC 6528: nobody foretells a guest's sequence numbers by those of a start before, whatever its keys come from. Two numbers of one
/// start differ by what the keys make of their ports; another start's differ by something else.
pub(super) fn sequence_numbers(harness: &mut Harness) -> Result {
    const PORTS: [u16; 4] = [40_001, 40_002, 40_003, 40_004];
    /// What the clock of four microseconds adds in so long, at most.
    const CLOCK: u32 = 250_000 * 30;
    for entropy in [true, false] {
        let mut starts = Vec::new();
        for _ in 0..2 {
            let file = harness.scratch.path("frames");
            let dump = format!("filter-dump,id=dump,netdev=net,file={}", file.display());
            let more = ["-object", &dump].map(Into::into).into();
            let setup = Setup { entropy, offloads: false, more, ..Setup::default() };
            let guest = harness.boot(&setup)?;
            for port in PORTS {
                connect_from(port)?;
            }
            drop(guest);
            let frames = files::read(&file)?;
            let found: Vec<_> = PORTS.iter().filter_map(|port| initial(&frames, *port)).collect();
            equal("answers that were seen", &found.len(), &PORTS.len())?;
            starts.push(found);
        }
        let apart = |start: &[u32], nth: usize| start[nth].wrapping_sub(start[0]);
        let same = (1..PORTS.len()).filter(|nth| {
            let between = apart(&starts[0], *nth).wrapping_sub(apart(&starts[1], *nth));
            between < CLOCK || between > CLOCK.wrapping_neg()
        });
        // Any one of them may be near by chance.
        if same.count() == PORTS.len() - 1 {
            fail!("with an entropy device: {entropy}; numbers of two starts: {starts:?}");
        }
    }
    Ok(())
}

/// A connection from a port that is always the same, ended by a reset so that the port is free again.
fn connect_from(port: u16) -> Result {
    let say = || format!("no connection from port {port}");
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).or_say(say)?;
    set_socket_reuseaddr(&socket, true).or_say(say)?;
    bind(&socket, &SocketAddr::new(link::HOST_IPV4, port)).or_say(say)?;
    connect(&socket, &GUEST_ADDRESS).or_say(say)?;
    set_socket_linger(&socket, Some(Duration::ZERO)).or_say(say)
}

/// The number of the SYN-ACK to this port, in a capture of the format of libpcap.
fn initial(frames: &[u8], port: u16) -> Option<u32> {
    const FILE_HEADER: usize = 24;
    const FRAME_HEADER: usize = 16;
    const SYN_ACK: u8 = 0x12;
    let mut rest = frames.get(FILE_HEADER..)?;
    let mut found = None;
    while let Some((header, more)) = rest.split_at_checked(FRAME_HEADER) {
        let length = u32::from_ne_bytes(header[8..12].try_into().ok()?) as usize;
        let Some((frame, more)) = more.split_at_checked(length) else { break };
        rest = more;
        // TCP over IPv4 without options.
        if frame.len() >= 54 && frame[12..15] == [8, 0, 0x45] && frame[23] == 6 {
            let is_to_port = frame[36..38] == port.to_be_bytes();
            if is_to_port && frame[47] & SYN_ACK == SYN_ACK {
                found = Some(u32::from_be_bytes(frame[38..42].try_into().ok()?));
            }
        }
    }
    found
}

fn serves(harness: &mut Harness, machine: Machine, more: &[&str]) -> Result {
    let page = b"<p>from the bundle";
    let bundle = Some(harness.pack(&[("site/index.html", page)])?);
    let more: Vec<OsString> = more.iter().map(Into::into).collect();
    let _guest = harness.boot(&Setup { machine, bundle, more, ..Setup::default() })?;
    let answer = http_client::content(GUEST_ADDRESS, "/", Duration::from_secs(5));
    equal("the index page", &answer, &Some((200, page.to_vec())))
}
