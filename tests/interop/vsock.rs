//! Sockets between a guest and its host, against rust-vmm's device: programs of the host by way of its Unix sockets.

use crate::interop::services::{checked, rpc::OPEN};
use command::{
    failure::{OrSay, Result, fail},
    programs::{CURL, Program},
};
use lab::{
    guest::Guest,
    harness::{
        BOOT_LIMIT, Case, GUEST_ADDRESS, Harness, PROCESS_ADDRESS, Server, Setup, contains, curl,
        equal, noise, same_bytes,
    },
    http_client,
    peers::{self, CAPNP, CAPNP_HEADERS, CXX},
    qemu::Machine,
    vsock::VsockDevice,
};
use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::net::UnixStream,
    process::Command,
    time::Duration,
};

const RPC: &[&Program] = &[&CAPNP, &CAPNP_HEADERS, &CXX];

pub(crate) const CASES: &[Case] = &[
    Case::new("vsock/pages_microvm", &[&CURL], 120, pages_microvm),
    Case::new("vsock/pages_q35", &[&CURL], 120, pages_q35),
    Case::new("vsock/the_admin_port_is_the_hosts_alone", &[&CURL], 120, admin),
    Case::new("vsock/rpc_services", RPC, 300, rpc_services),
    Case::new("vsock/the_guest_calls_its_host", &[&CURL], 120, guest_calls_host),
    Case::new("vsock/slow_clients_get_all", &[], 120, slow_clients),
    Case::new("vsock/power_button_finishes_a_transfer", &[], 120, power_button),
    Case::new("vsock/without_a_network_card", &[], 120, without_card),
    Case::new("vsock/silent_clients_of_one_port", &[&CURL], 120, silent_clients),
    Case::new("vsock/tcp_goes_on_without_the_device", &[&CURL], 120, device_goes),
];

const MEMORY_MIB: u32 = 256;
/// Ports of the guest that are not TCP's, so that one does not pass for the other.
const HTTP: u32 = 8081;
const ADMIN: u32 = 9091;
const ALL: &str =
    "[vsock]\nhttp_port = 8081\nadmin_port = 9091\n[admin]\ntoken = \"0123456789abcdef\"\n";
const TOKEN: &str = "Authorization: Bearer 0123456789abcdef";
/// Where programs of the host reach ports of the guest.
const PAGES: SocketAddr = at(8000);
const OPERATORS: SocketAddr = at(9001);
const ASK_LIMIT: Duration = Duration::from_secs(10);
const STOP_LIMIT: Duration = Duration::from_secs(20);

const fn at(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// A guest with a socket device, and this configuration and these files.
fn boot(
    harness: &mut Harness,
    machine: Machine,
    config: &str,
    files: &[(&str, &[u8])],
) -> Result<(Guest, VsockDevice)> {
    let device = VsockDevice::start(&harness.scratch.path(""))?;
    let setup = Setup {
        machine,
        memory_mib: MEMORY_MIB,
        bundle: Some(harness.bundle(config, files)?),
        more: device.options(machine, MEMORY_MIB),
        ..Setup::trial()
    };
    Ok((harness.boot(&setup)?, device))
}

/// What the device and the network see when nothing is wrong.
fn at_peace(harness: &Harness) -> Result {
    let out = harness.scratch.path("metrics");
    let out = out.to_string_lossy();
    curl(&["-o", &out, "-H", TOKEN, &format!("http://{OPERATORS}/metrics")])?;
    let metrics = std::fs::read_to_string(&*out).or_say(|| "no metrics".into())?;
    for name in ["violations", "connections_timed_out", "panics", "refused_full"] {
        contains("the metrics", &metrics, &format!("aqueduct_vsock_{name}_total 0\n"))?;
    }
    Ok(())
}

fn pages_microvm(harness: &mut Harness) -> Result {
    pages(harness, Machine::Microvm)
}

fn pages_q35(harness: &mut Harness) -> Result {
    pages(harness, Machine::Q35)
}

/// Downloads and uploads of many buffers' lengths, and many connections.
fn pages(harness: &mut Harness, machine: Machine) -> Result {
    let large = noise(3_000_001);
    let (guest, device) = boot(harness, machine, ALL, &[("site/large", &large)])?;
    device.forward(PAGES, HTTP)?;
    device.forward(OPERATORS, ADMIN)?;
    let result = (|| {
        let out = harness.scratch.path("out");
        let file = out.to_string_lossy();
        for _ in 0..5 {
            curl(&["--fail", "-o", &file, &format!("http://{PAGES}/large")])?;
            same_bytes("a download", &out, &large)?;
        }
        let sent = &large[..1_000_000];
        let body = harness.scratch.path("body");
        std::fs::write(&body, sent).or_say(|| "cannot write a file".into())?;
        let data = format!("@{}", body.display());
        for _ in 0..5 {
            let echo = format!("http://{PAGES}/_test/echo");
            curl(&["--fail", "-o", &file, "--data-binary", &data, &echo])?;
            same_bytes("an upload's echo", &out, sent)?;
        }
        for nth in 0..200 {
            let status = http_client::get(PAGES, "/", ASK_LIMIT).map(|answer| answer.status);
            equal(&format!("the status of request {nth}"), &status, &Some(200))?;
        }
        at_peace(harness)
    })();
    Server::Guest(Box::new(guest)).judge(result)
}

fn admin(harness: &mut Harness) -> Result {
    let (guest, device) = boot(harness, Machine::Microvm, ALL, &[])?;
    device.forward(OPERATORS, ADMIN)?;
    let result = (|| {
        let url = format!("http://{OPERATORS}/api/v1/vsock_connections");
        contains("without the token", &curl(&["-i", &url])?, "401 Unauthorized")?;
        let idle = device.connect(HTTP)?;
        let rows = curl(&["--fail", "-H", TOKEN, &url])?;
        contains("the table", &rows, r#""local":"3:8081""#)?;
        contains("the table", &rows, r#""local":"3:9091""#)?;
        let memory = format!("http://{OPERATORS}/api/v1/memory");
        contains("memory", &curl(&["--fail", "-H", TOKEN, &memory])?, "vsock buffers")?;
        drop(idle);
        let by_tcp = format!("http://{}/metrics", SocketAddr::new(GUEST_ADDRESS.ip(), 9001));
        match curl(&["-H", TOKEN, &by_tcp]) {
            Ok(answer) => fail!("TCP leads there: {answer}"),
            // Refused at once, and not silent.
            Err(failure) => contains("by TCP", &failure.to_string(), "curl: (7)")?,
        }
        let absent = device.connect(HTTP + 1).is_ok();
        equal("whether a port leads somewhere that nobody listens on", &absent, &false)
    })();
    Server::Guest(Box::new(guest)).judge(result)
}

/// The checks of the C++ library, as by TCP.
fn rpc_services(harness: &mut Harness) -> Result {
    let config = format!("[vsock]\nrpc_port = 7\n{}", OPEN.replace("port = 7000\n", ""));
    let device = VsockDevice::start(&harness.scratch.path(""))?;
    let setup = Setup {
        memory_mib: MEMORY_MIB,
        bundle: Some(harness.bundle(&config, &[])?),
        more: device.options(Machine::Microvm, MEMORY_MIB),
        ..Setup::default()
    };
    let guest = harness.boot(&setup)?;
    device.forward(at(7000), 7)?;
    let result = peers::appliance_cpp()
        .and_then(|peer| checked(Command::new(peer).arg(at(7000).to_string())));
    Server::Guest(Box::new(guest)).judge(result)
}

/// The guest has a service of its host put a text in capitals; the service is known by name.
fn guest_calls_host(harness: &mut Harness) -> Result {
    let names = ("names", &b"transform host zmtp vsock://2:5\n"[..]);
    let (guest, device) = boot(harness, Machine::Microvm, "", &[names])?;
    let bundle = harness.bundle("", &[])?;
    let host = harness.trial_process(&bundle)?;
    device.serve_guest(5, SocketAddr::new(PROCESS_ADDRESS.ip(), 5555))?;
    let page = format!("http://{GUEST_ADDRESS}/_test/transform/transform@host");
    let result = (0..10).try_for_each(|_| {
        let answer = curl(&["--fail", "--data-binary", "water flows", &page])?;
        equal("the answer", &answer.as_str(), &"WATER FLOWS")
    });
    let result = Server::Process(Box::new(host)).judge(result);
    Server::Guest(Box::new(guest)).judge(result)
}

/// Who reads slowly has the last bytes still to come when the guest has closed: they arrive, and the end does.
fn slow_clients(harness: &mut Harness) -> Result {
    let large = noise(2_000_000);
    let (guest, device) = boot(harness, Machine::Microvm, ALL, &[("site/large", &large)])?;
    device.forward(OPERATORS, ADMIN)?;
    let result = (|| {
        for _ in 0..3 {
            let answer = slowly(ask(&device, "/large")?)?;
            equal("the bytes of an answer", &answer.ends_with(&large), &true)?;
        }
        at_peace(harness)
    })();
    Server::Guest(Box::new(guest)).judge(result)
}

fn power_button(harness: &mut Harness) -> Result {
    let large = noise(2_000_000);
    let (guest, device) = boot(harness, Machine::Microvm, ALL, &[("site/large", &large)])?;
    let mut stream = ask(&device, "/large")?;
    let mut first = [0; 1000];
    stream.read_exact(&mut first).or_say(|| "no answer".into())?;
    guest.qmp()?.power_button()?;
    let mut guest = guest;
    guest.wait_for("stopping: ", STOP_LIMIT)?;
    let answer = [first.to_vec(), slowly(stream)?].concat();
    equal("the bytes of an answer", &answer.ends_with(&large), &true)?;
    equal("the exit code", &guest.wait_end(STOP_LIMIT)?, &0)
}

/// A machine that has no card is its host's alone, and stops as others do.
fn without_card(harness: &mut Harness) -> Result {
    let device = VsockDevice::start(&harness.scratch.path(""))?;
    let setup = Setup {
        memory_mib: MEMORY_MIB,
        bundle: Some(harness.bundle(ALL, &[])?),
        more: device.options(Machine::Microvm, MEMORY_MIB),
        without: &["virtio-net"],
        words: String::new(),
        ..Setup::trial()
    };
    let mut guest = harness.start(&setup)?;
    guest.wait_for("only this machine's host reaches it", BOOT_LIMIT)?;
    guest.wait_for("admin on vsock port", BOOT_LIMIT)?;
    for _ in 0..10 {
        let answer = slowly(ask(&device, "/")?)?;
        equal("whether a page comes", &answer.starts_with(b"HTTP/1.1 200 "), &true)?;
    }
    guest.qmp()?.power_button()?;
    equal("the exit code", &guest.wait_end(STOP_LIMIT)?, &0)
}

/// As many clients as there may be say nothing at one port: another port's, the network's and our own are not theirs.
fn silent_clients(harness: &mut Harness) -> Result {
    let config = ALL.replace("[vsock]\n", "[vsock]\nconnections_max = 16\n");
    let (guest, device) = boot(harness, Machine::Microvm, &config, &[])?;
    device.forward(OPERATORS, ADMIN)?;
    let silent: Vec<_> = (0..32).filter_map(|_| device.connect(HTTP).ok()).collect();
    let result = (|| {
        equal("the silent clients that are let in", &silent.len(), &12)?;
        let url = format!("http://{OPERATORS}/metrics");
        let metrics = curl(&["--fail", "-H", TOKEN, &url])?;
        contains("the metrics", &metrics, "aqueduct_vsock_connections_max 16\n")?;
        contains("the metrics", &metrics, "aqueduct_vsock_refused_full_total 20\n")?;
        let status = http_client::get(GUEST_ADDRESS, "/", ASK_LIMIT).map(|answer| answer.status);
        equal("the status by TCP", &status, &Some(200))
    })();
    drop(silent);
    Server::Guest(Box::new(guest)).judge(result)
}

fn device_goes(harness: &mut Harness) -> Result {
    let (guest, device) = boot(harness, Machine::Microvm, ALL, &[])?;
    let mut stream = ask(&device, "/")?;
    let mut first = [0; 10];
    stream.read_exact(&mut first).or_say(|| "no answer".into())?;
    device.kill();
    let answers = |_: &Guest| http_client::get(GUEST_ADDRESS, "/", ASK_LIMIT).is_some();
    let mut guest = guest;
    for _ in 0..20 {
        guest.wait_until("an answer by TCP", BOOT_LIMIT, answers)?;
    }
    Ok(())
}

/// Asks for a page, on a connection of its own.
fn ask(device: &VsockDevice, path: &str) -> Result<UnixStream> {
    let mut stream = device.connect(HTTP)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).or_say(|| "nobody takes a request".into())?;
    Ok(stream)
}

/// All that comes, with pauses between.
fn slowly(mut stream: UnixStream) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match stream.read(&mut buffer).or_say(|| format!("no end after {} bytes", all.len()))? {
            0 => return Ok(all),
            count => all.extend_from_slice(&buffer[..count]),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
