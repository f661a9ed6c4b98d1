//! Local ports: where services of the table listen beside their ports of TCP, for programs that reach them without a network.
//! For the host of a virtual machine that is vsock, for programs beside a process shared memory and a Unix-domain socket.

use crate::Platform;
use crate::context::Context;
use crate::service::{Admission, StartError};
use crate::settings::unix::UnixSettings;
use alloc::string::String;
use alloc::vec::Vec;
use flow::registry::Way;
use flow::{Listeners, Target};

/// What a service listens on there: flows as objects, so that a service is compiled once for all that is no TCP.
pub(crate) type LocalPort = Admission<Listeners>;

/// Listens where `[vsock]`, `[shared_memory]` and `[unix]` say that the service does, if they do.
///
/// # Errors
/// This machine has nothing of the kind, or another program has that place.
pub(crate) fn listen<P: Platform>(
    context: &Context<P>,
    service: &'static str,
) -> Result<Option<LocalPort>, StartError> {
    let places = [
        vsock(context, service)?,
        shared_memory(context, service)?,
        unix(context, service)?.map(Listeners::new),
    ];
    let places = places.into_iter().flatten().reduce(Listeners::and);
    Ok(places.map(|places| Admission::new(places, &context.spawner)))
}

/// The ways by which others on this host reach the service there, the best one first.
pub(crate) fn ways<P: Platform>(context: &Context<P>, service: &str) -> Vec<Way> {
    let hosts = context.platform.host_ids();
    let memory = shared_memory_path(context, service);
    let memory = memory.and_then(|path| context.platform.shared_memory_way(&path));
    let socket = UnixSettings::new(&context.config.unix).socket_of(service);
    let socket = socket.and_then(|(path, _)| {
        let is_abstract = path.abstract_name().is_some();
        let host = if is_abstract { hosts.abstract_names } else { hosts.paths };
        Some(Way::on(host?, Target::Unix(path)))
    });
    memory.into_iter().chain(socket).collect()
}

fn unix<P: Platform>(
    context: &Context<P>,
    service: &'static str,
) -> Result<Option<P::Listener>, StartError> {
    let settings = UnixSettings::new(&context.config.unix);
    let Some((path, key)) = settings.socket_of(service) else { return Ok(None) };
    let (mode, backlog) = (settings.mode, context.config.tcp.listen_backlog);
    let listener = context.platform.listen_at_path(&path, mode, backlog).map_err(|error| {
        let (key, reason) = (key.into(), alloc::format!("{error}"));
        StartError::Setting { section: "unix", key, reason }
    })?;
    log::info!("{service} on {path}");
    Ok(Some(listener))
}

#[cfg(feature = "vsock")]
fn vsock<P: Platform>(
    context: &Context<P>,
    service: &'static str,
) -> Result<Option<Listeners>, StartError> {
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
    Ok(Some(Listeners::new(listener)))
}

#[cfg(feature = "vsock")]
const NO_DEVICE: &str = "this machine has no socket device (virtio-vsock; QEMU: -device vhost-vsock-pci), or is a process";

/// Nobody listens.
#[cfg(not(feature = "vsock"))]
fn vsock<P: Platform>(_: &Context<P>, _: &'static str) -> Result<Option<Listeners>, StartError> {
    Ok(None)
}

#[cfg(feature = "shared-memory")]
fn shared_memory_path<P: Platform>(context: &Context<P>, service: &str) -> Option<String> {
    use crate::settings::shared_memory::SharedMemorySettings;

    let section = &context.config.shared_memory;
    let settings = SharedMemorySettings::new(section, context.platform.memory_bytes());
    settings.path_of(service).map(|(path, _)| path.into())
}

/// Nobody listens.
#[cfg(not(feature = "shared-memory"))]
fn shared_memory_path<P: Platform>(_: &Context<P>, _: &str) -> Option<String> {
    None
}

#[cfg(feature = "shared-memory")]
fn shared_memory<P: Platform>(
    context: &Context<P>,
    service: &'static str,
) -> Result<Option<Listeners>, StartError> {
    use crate::settings::shared_memory::SharedMemorySettings;

    let section = &context.config.shared_memory;
    let settings = SharedMemorySettings::new(section, context.platform.memory_bytes());
    let Some((path, key)) = settings.path_of(service) else { return Ok(None) };
    let listener = context.platform.listen_at(path, context.config.tcp.listen_backlog);
    let listener = listener.map_err(|error| {
        let (key, reason) = (key.into(), alloc::format!("{error}"));
        StartError::Setting { section: "shared_memory", key, reason }
    })?;
    log::info!("{service} by shared memory at {path}");
    Ok(Some(listener))
}

/// Nobody listens.
#[cfg(not(feature = "shared-memory"))]
fn shared_memory<P: Platform>(
    _: &Context<P>,
    _: &'static str,
) -> Result<Option<Listeners>, StartError> {
    Ok(None)
}

/// Tells of services that have a local port and are not among those that are carried: all else runs.
pub(crate) fn tell_absent(config: &config::Config, carried: &[&str]) {
    let is_absent = |service: &str| !carried.contains(&service);
    for (service, _, path) in config.unix.sockets().filter(|(service, ..)| is_absent(service)) {
        log::info!("nothing listens on {path}: {service} is not in this build");
    }
    let shared_memory = &config.shared_memory;
    if cfg!(not(feature = "shared-memory")) && shared_memory.paths().next().is_some() {
        log::warn!("[shared_memory] is without effect: it is not in this build");
    } else {
        for (service, _, path) in shared_memory.paths().filter(|(service, ..)| is_absent(service)) {
            log::info!("nothing listens at {path}: {service} is not in this build");
        }
    }
    let vsock = &config.vsock;
    if cfg!(not(feature = "vsock")) && vsock.ports().next().is_some() {
        return log::warn!("[vsock] is without effect: it is not in this build");
    }
    for (service, _, port) in vsock.ports().filter(|(service, ..)| is_absent(service)) {
        log::info!("nothing listens on vsock port {port}: {service} is not in this build");
    }
}
