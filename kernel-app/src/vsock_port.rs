//! Vsock ports: where services of the table listen for the host of a virtual machine, beside their ports of TCP.

use crate::Platform;
use crate::context::Context;
use crate::service::{Admission, StartError};
use flow::Listeners;

/// What a service listens on there: flows as objects, so that a service is compiled once for all that is no TCP.
pub(crate) type VsockPort = Admission<Listeners>;

/// Listens on the service's port of `[vsock]`, if it has one.
///
/// # Errors
/// The machine has no such device.
#[cfg(feature = "vsock")]
pub(crate) fn listen<P: Platform>(
    context: &Context<P>,
    service: &'static str,
) -> Result<Option<VsockPort>, StartError> {
    use crate::settings::vsock::VsockSettings;

    let settings = VsockSettings::new(&context.config.vsock, context.platform.memory_bytes());
    let Some((port, key)) = settings.port_of(service) else { return Ok(None) };
    let refused = |reason: &str| {
        let (key, reason) = (key.into(), reason.into());
        Err(StartError::Setting { section: "vsock", key, reason })
    };
    let Some(network) = context.platform.vsock() else { return refused(NO_DEVICE) };
    let Some(listener) = network.listen(port, context.config.tcp.listen_backlog) else {
        return refused("another service listens there");
    };
    let (asked, given) = (context.config.vsock.connections_max, network.connections_max());
    if given < asked {
        log::info!(
            "{service} on vsock port {port}; the memory has room for {given} connections, not [vsock] connections_max = {asked}"
        );
    } else {
        log::info!("{service} on vsock port {port}");
    }
    Ok(Some(Admission::new(Listeners::new(listener), &context.spawner)))
}

#[cfg(feature = "vsock")]
const NO_DEVICE: &str = "this machine has no socket device (virtio-vsock; QEMU: -device vhost-vsock-pci), or is a process";

/// Nobody listens.
#[cfg(not(feature = "vsock"))]
pub(crate) fn listen<P: Platform>(
    _: &Context<P>,
    _: &'static str,
) -> Result<Option<VsockPort>, StartError> {
    Ok(None)
}

/// Tells of services that have a port of vsock and are not among those that are carried: all else runs.
pub(crate) fn tell_absent(section: &config::Vsock, carried: &[&str]) {
    if cfg!(not(feature = "vsock")) && section.ports().next().is_some() {
        return log::warn!("[vsock] is without effect: it is not in this build");
    }
    for (service, _, port) in section.ports().filter(|(service, ..)| !carried.contains(service)) {
        log::info!("nothing listens on vsock port {port}: {service} is not in this build");
    }
}
