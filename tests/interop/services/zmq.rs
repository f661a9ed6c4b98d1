//! ZeroMQ.

use super::{checked, on_guest, on_process};
use command::{failure::Result, programs};
use lab::{
    harness::{GUEST_ADDRESS, Harness, PROCESS_ADDRESS, Server, Setup, curl, equal},
    link, peers,
};
use std::net::{IpAddr, SocketAddr};

const PORT: u16 = 5555;
/// For a message of 64 MiB on its way in and out.
const MEMORY_MIB: u32 = 1024;

/// Every pattern and mechanism against libzmq, bind and connect on either side.
pub(super) fn patterns_and_mechanisms(_: &mut Harness) -> Result {
    let test = peers::source("tests/interop/zmq/test_zmq.py");
    programs::output(peers::python()?.arg(test).arg(peers::zmq())).map(drop)
}

/// Patterns of sockets in the appliance as a process.
pub(super) fn patterns_process(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("", &[])?;
    let child = harness.trial_process(&bundle)?;
    let result = patterns(PROCESS_ADDRESS, PROCESS_ADDRESS.ip());
    Server::Process(Box::new(child)).judge(result)
}

/// Patterns of sockets in the image.
pub(super) fn patterns_guest(harness: &mut Harness) -> Result {
    // One message may be as long as a quarter of the memory.
    let all = "[memory]\nservice_percent_max = 100\npeer_percent_max = 100\n";
    let bundle = harness.bundle(all, &[])?;
    let setup = Setup { bundle: Some(bundle), memory_mib: MEMORY_MIB, ..Setup::trial() };
    let guest = harness.boot(&setup)?;
    let result = patterns(GUEST_ADDRESS, link::HOST_IPV4);
    Server::Guest(Box::new(guest)).judge(result)
}

fn patterns(appliance: SocketAddr, here: IpAddr) -> Result {
    let test = peers::source("tests/interop/zmq/test_zmq.py");
    let mut command = peers::python()?;
    command.arg(test).args(["--at", &appliance.to_string(), "--here", &here.to_string()]);
    checked(&mut command)
}

pub(super) fn service_process(harness: &mut Harness) -> Result {
    on_process(harness, service)
}

pub(super) fn service_guest(harness: &mut Harness) -> Result {
    on_guest(harness, service)
}

fn service(host: IpAddr) -> Result {
    service_for(host, 1000)
}

/// The service at an address that takes as many connections at once.
pub(crate) fn service_for(host: IpAddr, connections: usize) -> Result {
    checked(
        peers::python()?
            .arg(peers::source("tests/interop/zmq/test_service.py"))
            .arg(format!("{host}:{PORT}"))
            .arg(connections.to_string()),
    )
}

/// A handler of a guest calls the process's service, and the other way around.
pub(super) fn appliances_call_each_other(harness: &mut Harness) -> Result {
    let bundle = harness.bundle("", &[])?;
    let guest = harness.boot(&Setup { bundle: Some(bundle.clone()), ..Setup::trial() })?;
    let here = SocketAddr::new(link::HOST_IPV4, 8080);
    let child = harness.trial_process_at(here, &bundle)?;
    let result = transformed(GUEST_ADDRESS, link::HOST_IPV4)
        .and_then(|()| transformed(here, link::GUEST_IPV4));
    let result = Server::Process(Box::new(child)).judge(result);
    Server::Guest(Box::new(guest)).judge(result)
}

/// `asked` has the ZeroMQ service at `service` put a text in capitals.
fn transformed(asked: SocketAddr, service: IpAddr) -> Result {
    let page = format!("http://{asked}/_test/transform/{service}:{PORT}");
    for _ in 0..10 {
        let answer = curl(&["--fail", "--data-binary", "water flows", &page])?;
        equal("the answer", &answer.as_str(), &"WATER FLOWS")?;
    }
    Ok(())
}
