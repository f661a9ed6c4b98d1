//! The appliance on the Hermit kernel: that the application cannot tell what is under it, and what that kernel's faults
//! come to. `cargo xtask test hermit`.

use crate::interop::{http::curl, services};
use command::{
    failure::{OrSay, Result},
    programs::CURL,
};
use image_builder::hermit;
use lab::{
    guest::{Echo, Guest},
    harness::{BOOT_LIMIT, Case, Harness, PROCESS_ADDRESS, Server, equal},
    http_client, load,
};
use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    path::PathBuf,
    time::Duration,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("boot/hermit_stops_when_asked", &[], 90, stops_when_asked),
    Case::new("boot/hermit_64_mib", &[], 90, in_64_mib),
    Case::new("boot/hermit_bad_command_line_stops", &[], 60, bad_command_line_stops),
    Case::new("boot/hermit_panic_ends_one_request", &[], 180, panic_ends_one_request),
    Case::new("http/site_on_hermit", &[&CURL], 120, site),
    Case::new("http/conditions_on_hermit", &[&CURL], 120, conditions),
    Case::new("http/bodies_on_hermit", &[&CURL], 240, bodies),
    Case::new("http/peers_that_do_not_close_on_hermit", &[], 120, peers_that_do_not_close),
    Case::new("http/a_half_closed_connection_on_hermit", &[], 120, half_closed),
    Case::new("rpc/appliance_on_hermit", services::RPC, 300, rpc),
    Case::new("zmq/service_on_hermit", services::ZMQ, 300, zmq),
];

/// Where the guest's ports are forwarded to, in the test's namespace.
const HTTP: SocketAddr = PROCESS_ADDRESS;
const FORWARDS: &[(u16, u16)] = &[(8080, 80), (7000, 7000), (5555, 5555)];
const MEMORY_MIB: u32 = 256;
const ASK_LIMIT: Duration = Duration::from_secs(1);
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// Starts a guest; whether it answers is another question.
fn start(
    options: &hermit::Options,
    bundle: PathBuf,
    memory_mib: u32,
    words: &str,
) -> Result<Guest> {
    let mut spec = lab::hermit::guest(options.image()?.shipped, bundle, memory_mib, FORWARDS);
    spec.append = words.into();
    Guest::start(&spec, &Echo::No)
}

/// Starts a guest and waits until it answers.
fn boot(options: &hermit::Options, bundle: PathBuf, memory_mib: u32) -> Result<Guest> {
    let mut guest = start(options, bundle, memory_mib, "")?;
    guest.wait_until("an HTTP answer", BOOT_LIMIT, |_| {
        http_client::get(HTTP, "/", ASK_LIMIT).is_some()
    })?;
    Ok(guest)
}

/// Checks a guest, which must then stop as it should.
fn on_guest(options: &hermit::Options, bundle: PathBuf, check: impl FnOnce() -> Result) -> Result {
    checked(boot(options, bundle, MEMORY_MIB)?, check)
}

fn checked(guest: Guest, check: impl FnOnce() -> Result) -> Result {
    let mut server = Server::Guest(Box::new(guest));
    let result = check();
    server.judge(result)?;
    server.stop(STOP_LIMIT)
}

fn stops_when_asked(harness: &mut Harness) -> Result {
    on_guest(&hermit::Options::default(), harness.bundle("", &[])?, || Ok(()))
}

fn in_64_mib(harness: &mut Harness) -> Result {
    let mut guest = boot(&hermit::Options::default(), harness.bundle("", &[])?, 64)?;
    guest.wait_for("http on port 80", BOOT_LIMIT)
}

/// Quotes are none to the appliance, but the kernel takes its command line apart as a shell does.
fn bad_command_line_stops(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("", &[])?;
    let mut guest = start(&hermit::Options::default(), bundle, MEMORY_MIB, "http_port='0\"")?;
    let code = guest.wait_end(BOOT_LIMIT)?;
    equal("the exit code", &code, &33)?;
    guest.wait_for("found `http_port='0\"`", BOOT_LIMIT)
}

fn panic_ends_one_request(harness: &mut Harness) -> Result {
    const PANICS: usize = 200;
    on_guest(&hermit::Options::trial(), harness.bundle("", &[])?, || {
        let mut bystander = load::open(HTTP, 1)?;
        load::ask_each(&mut bystander, HTTP, "/")?;
        for number in 0..PANICS {
            let answer = http_client::get(HTTP, "/_test/panic", ANSWER_LIMIT);
            equal(&format!("panic {number}"), &answer.map(|it| it.status), &Some(500))?;
        }
        load::ask_each(&mut bystander, HTTP, "/")
    })
}

fn site(harness: &mut Harness) -> Result {
    on_guest(&hermit::Options::default(), harness.sample()?, || curl::site(harness, HTTP))
}

fn conditions(harness: &mut Harness) -> Result {
    on_guest(&hermit::Options::default(), harness.sample()?, || curl::conditions(harness, HTTP))
}

fn bodies(harness: &mut Harness) -> Result {
    let bundle = harness.bundle(curl::BODIES_CONFIG, &[])?;
    on_guest(&hermit::Options::trial(), bundle, || curl::bodies(harness, HTTP))
}

fn rpc(harness: &mut Harness) -> Result {
    /// What a listener's queue has room for.
    const CONNECTIONS: usize = 20;
    let bundle = harness.bundle(services::rpc::OPEN, &[])?;
    // A message of 10 MB has to be below the share of one peer.
    let guest = boot(&hermit::Options::default(), bundle, 2 * MEMORY_MIB)?;
    checked(guest, || services::rpc::services_for(HTTP.ip(), CONNECTIONS))
}

fn zmq(harness: &mut Harness) -> Result {
    /// Below what the memory for the kernel's buffers allows.
    const CONNECTIONS: usize = 100;
    let bundle = harness.bundle("", &[])?;
    on_guest(&hermit::Options::default(), bundle, || {
        services::zmq::service_for(HTTP.ip(), CONNECTIONS)
    })
}

/// The kernel's closing blocks until the peer has closed, too: whoever does not must hold up nobody else.
fn peers_that_do_not_close(harness: &mut Harness) -> Result {
    const PEERS: usize = 100;
    let bundle = harness.bundle("", &[])?;
    let mut guest = boot(&hermit::Options::default(), bundle, MEMORY_MIB)?;
    let mut peers = Vec::new();
    for _ in 0..PEERS {
        let mut peer = connect()?;
        ask_and_close(&mut peer)?;
        expect_page(&mut peer)?;
        peers.push(peer);
    }
    for _ in 0..PEERS {
        let answer = http_client::get(HTTP, "/", ANSWER_LIMIT);
        equal("beside them", &answer.map(|it| it.status), &Some(200))?;
    }
    drop(peers);
    guest.qmp()?.power_button()?;
    equal("the exit code", &guest.wait_end(STOP_LIMIT)?, &0)
}

/// Who says that it is done, and then waits, gets its answer: the kernel as it comes can send nothing after its peer's end.
fn half_closed(harness: &mut Harness) -> Result {
    on_guest(&hermit::Options::default(), harness.bundle("", &[])?, || {
        for _ in 0..20 {
            let mut peer = connect()?;
            ask_and_close(&mut peer)?;
            peer.shutdown(Shutdown::Write).or_say(|| "cannot half-close".into())?;
            expect_page(&mut peer)?;
        }
        Ok(())
    })
}

fn connect() -> Result<TcpStream> {
    let peer = TcpStream::connect(HTTP).or_say(|| "cannot connect".into())?;
    peer.set_read_timeout(Some(ANSWER_LIMIT)).or_say(|| "cannot set a time limit".into())?;
    Ok(peer)
}

/// Reads a page, and the connection's end.
fn expect_page(peer: &mut TcpStream) -> Result {
    let mut answer = Vec::new();
    peer.read_to_end(&mut answer).or_say(|| "no end of the answer".into())?;
    equal("a page", &answer.starts_with(b"HTTP/1.1 200"), &true)
}

/// Asks for a page and for the connection to end after it.
fn ask_and_close(peer: &mut TcpStream) -> Result {
    let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    peer.write_all(request).or_say(|| "cannot ask".into())
}
