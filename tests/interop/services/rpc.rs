//! Cap'n Proto RPC.

use super::{PEER_ADDRESS, checked, on_guest, on_process, serving};
use crate::{failure::Result, lab::Lab, peers};
use std::{net::IpAddr, process::Command};

pub(super) fn cpp_calls_us(_: &mut Lab) -> Result {
    let _server = serving(Command::new(peers::rpc()))?;
    checked(Command::new(peers::rpc_cpp()?).arg("check").arg(PEER_ADDRESS.to_string()))
}

pub(super) fn we_call_cpp(_: &mut Lab) -> Result {
    let _server = serving(Command::new(peers::rpc_cpp()?))?;
    checked(Command::new(peers::rpc()).arg("check").arg(PEER_ADDRESS.to_string()))
}

pub(super) fn python_calls_us(_: &mut Lab) -> Result {
    let _server = serving(Command::new(peers::rpc()))?;
    checked(python()?.arg("check").arg(PEER_ADDRESS.to_string()))
}

/// A server in Python can raise one kind of error only.
pub(super) fn we_call_python(_: &mut Lab) -> Result {
    let _server = serving(python()?)?;
    checked(Command::new(peers::rpc()).arg("check-failed-only").arg(PEER_ADDRESS.to_string()))
}

pub(super) fn appliance_process(lab: &mut Lab) -> Result {
    on_process(lab, services)
}

pub(super) fn appliance_guest(lab: &mut Lab) -> Result {
    on_guest(lab, services)
}

const PORT: u16 = 7000;

/// Pipelining, callbacks, errors, 10 MB, a disconnect in mid-call, on the appliance's own services.
fn services(host: IpAddr) -> Result {
    checked(
        peers::python()?
            .arg(peers::source("tests/interop/rpc/appliance.py"))
            .arg(peers::source("kernel-app/schema/appliance.capnp"))
            .arg(format!("{host}:{PORT}")),
    )
}

fn python() -> Result<Command> {
    let mut command = peers::python()?;
    command.arg(peers::source("tests/interop/rpc/peer.py")).arg(peers::demo_schema());
    Ok(command)
}
