//! ZeroMQ.

use super::{checked, on_guest, on_process};
use command::{
    child::Child,
    failure::{OrSay, Result, fail},
    programs,
};
use lab::{
    harness::{GUEST_ADDRESS, Harness, PROCESS_ADDRESS, Server, Setup, contains, curl, equal},
    link, peers,
};
use std::{
    io::{BufRead, BufReader},
    net::{IpAddr, SocketAddr},
    process::{Command, Stdio},
};

const PORT: u16 = 5555;
/// For a message of 64 MiB on its way in and out.
const MEMORY_MIB: u32 = 1024;

/// Every pattern and mechanism against libzmq, bind and connect on either side.
pub(super) fn patterns_and_mechanisms(_: &mut Harness) -> Result {
    let test = peers::source("tests/interop/zmq/test_zmq.py");
    programs::output(peers::python()?.arg(test).arg(peers::zmq())).map(drop)
}

/// Another implementation of ZWS 2.0, whose sockets come to ours and the other way.
pub(super) fn jszmq(_: &mut Harness) -> Result {
    let mut serving = Command::new(peers::flow());
    serving.args(["zws-serve", &PROCESS_ADDRESS.to_string()]);
    let mut serving = Child::start(&serving, |command| {
        command.stdout(Stdio::piped());
    })?;
    let Some(output) = serving.streams().stdout.take() else { fail!("the peer has no output") };
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).or_say(|| "the peer's output".into())?;
    equal("our sockets", &line.trim(), &"listening")?;
    let mut node = programs::command(&programs::NODE)?;
    node.arg(peers::source("tests/interop/zmq/jszmq.mjs")).arg(peers::node_folder()?);
    node.arg(peers::flow()).arg(PROCESS_ADDRESS.to_string());
    contains("Node's output", &programs::output(&mut node)?, "both ways")
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
