//! Paths of shared memory: where services of the table listen for other processes of the host, beside their ports of TCP.

use crate::Platform;
use crate::context::Context;
use crate::service::{Admission, StartError};
use flow::Listeners;

/// What a service listens on there: flows as objects, as for all that is no TCP.
pub(crate) type SharedPort = Admission<Listeners>;

/// Listens at the service's path of `[shared_memory]`, if it has one.
///
/// # Errors
/// It is no path to listen at, or the platform shares no memory.
#[cfg(feature = "shared-memory")]
pub(crate) fn listen<P: Platform>(
    context: &Context<P>,
    service: &'static str,
) -> Result<Option<SharedPort>, StartError> {
    use crate::settings::shared_memory::SharedMemorySettings;
    use alloc::string::ToString;

    let section = &context.config.shared_memory;
    let settings = SharedMemorySettings::new(section, context.platform.memory_bytes());
    let Some((path, key)) = settings.path_of(service) else { return Ok(None) };
    let listener = context.platform.listen_at(path, context.config.tcp.listen_backlog);
    let listener = listener.map_err(|reason| {
        let (key, reason) = (key.into(), reason.to_string());
        StartError::Setting { section: "shared_memory", key, reason }
    })?;
    log::info!("{service} by shared memory at {path}");
    Ok(Some(Admission::new(listener, &context.spawner)))
}

/// Nobody listens.
#[cfg(not(feature = "shared-memory"))]
pub(crate) fn listen<P: Platform>(
    _: &Context<P>,
    _: &'static str,
) -> Result<Option<SharedPort>, StartError> {
    Ok(None)
}

/// Tells of services that have a path and are not among those that are carried: all else runs.
pub(crate) fn tell_absent(section: &config::SharedMemory, carried: &[&str]) {
    if cfg!(not(feature = "shared-memory")) && section.paths().next().is_some() {
        return log::warn!("[shared_memory] is without effect: it is not in this build");
    }
    for (service, _, path) in section.paths().filter(|(service, ..)| !carried.contains(service)) {
        log::info!("nothing listens at {path}: {service} is not in this build");
    }
}
