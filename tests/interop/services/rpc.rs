//! Cap'n Proto RPC.

use super::{PEER_ADDRESS, checked, on_guest, on_process, serving, serving_at};
use command::failure::Result;
use lab::{
    harness::{GUEST_ADDRESS, Harness, PROCESS_ADDRESS, Server, Setup},
    link, peers,
};
use std::{
    net::{IpAddr, SocketAddr},
    process::Command,
};

pub(super) fn cpp_calls_us(_: &mut Harness) -> Result {
    let _server = serving(Command::new(peers::rpc()))?;
    checked(Command::new(peers::rpc_cpp()?).arg("check").arg(PEER_ADDRESS.to_string()))
}

pub(super) fn we_call_cpp(_: &mut Harness) -> Result {
    let _server = serving(Command::new(peers::rpc_cpp()?))?;
    checked(Command::new(peers::rpc()).arg("check").arg(PEER_ADDRESS.to_string()))
}

pub(super) fn python_calls_us(_: &mut Harness) -> Result {
    let _server = serving(Command::new(peers::rpc()))?;
    checked(python()?.arg("check").arg(PEER_ADDRESS.to_string()))
}

/// A server in Python can raise one kind of error only.
pub(super) fn we_call_python(_: &mut Harness) -> Result {
    let _server = serving(python()?)?;
    checked(Command::new(peers::rpc()).arg("check-failed-only").arg(PEER_ADDRESS.to_string()))
}

pub(super) fn appliance_process(harness: &mut Harness) -> Result {
    on_process(harness, services)
}

pub(super) fn appliance_guest(harness: &mut Harness) -> Result {
    on_guest(harness, services)
}

const PORT: u16 = 7000;
/// Everybody may have all services, at that port.
pub(crate) const OPEN: &str = "[rpc]\nport = 7000\nstrangers = [\"admin\", \"calculator\"]\n";

/// Pipelining, callbacks, errors of each type, cancellation, 10 MB, 1,000 capabilities, a
/// disconnect in mid-call, on the appliance's own services.
fn services(host: IpAddr) -> Result {
    services_for(host, 100)
}

/// The same of an appliance that takes as many connections at once.
pub(crate) fn services_for(host: IpAddr, connections: usize) -> Result {
    let appliance = format!("{host}:{PORT}");
    checked(Command::new(peers::appliance_cpp()?).arg(&appliance))?;
    checked(
        peers::python()?
            .arg(peers::source("tests/interop/rpc/appliance.py"))
            .arg(peers::appliance_schema())
            .arg(&appliance)
            .arg(connections.to_string()),
    )
}

pub(super) fn relaying_process(harness: &mut Harness) -> Result {
    let bundle = harness.bundle(OPEN, &[])?;
    let child = harness.trial_process(&bundle)?;
    let result = relayed(PROCESS_ADDRESS.ip(), PEER_ADDRESS);
    Server::Process(Box::new(child)).judge(result)
}

pub(super) fn relaying_guest(harness: &mut Harness) -> Result {
    let bundle = harness.bundle(OPEN, &[])?;
    let guest = harness.boot(&Setup { bundle: Some(bundle), ..Setup::trial() })?;
    let peer = SocketAddr::new(link::HOST_IPV4, PEER_ADDRESS.port());
    let result = relayed(GUEST_ADDRESS.ip(), peer);
    Server::Guest(Box::new(guest)).judge(result)
}

/// Each library calls everything of the other's demo by way of the appliance, which is a client of
/// the one and a server of the other. The demo's server ends itself in the course of it.
fn relayed(host: IpAddr, peer: SocketAddr) -> Result {
    let appliance = format!("{host}:{PORT}");
    {
        let _server = serving_at(Command::new(peers::rpc_cpp()?), peer)?;
        checked(
            python()?
                .args(["check", &appliance])
                .arg(peers::appliance_schema())
                .arg(peer.to_string()),
        )?;
    }
    let _server = serving_at(python()?, peer)?;
    checked(
        Command::new(peers::rpc_cpp()?)
            .args(["check-failed-only", &appliance])
            .arg(peer.to_string()),
    )
}

fn python() -> Result<Command> {
    let mut command = peers::python()?;
    command.arg(peers::source("tests/interop/rpc/peer.py")).arg(peers::demo_schema());
    Ok(command)
}
