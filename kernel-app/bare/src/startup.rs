//! Startup: from the boot bundle to the running appliance.

#[cfg(feature = "disk")]
use crate::disks::Disks;
use crate::guest::Guest;
use crate::interfaces::Interfaces;
#[cfg(feature = "shared-memory")]
use crate::shared_memory::SharedMemory;
use crate::xenstore_registry::XenstoreRegistry;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use aqueduct::app::{App, explain};
use aqueduct::context::Context;
#[cfg(feature = "disk")]
use aqueduct::disk::{self, DiskBundle};
use aqueduct::service::Table;
use aqueduct::{log_ring, registry, runtime};
use config::{Bundle, Config, Log};
use flow::registry::Registry;
use flow::task::Executor;
use flow::time::Timers;
#[cfg(feature = "disk")]
use storage::Volume;

/// Runs until the machine is asked to stop; an error says what to change.
pub(crate) fn run(table: &impl Table) -> Result<(), String> {
    machine_runtime::note_panics(note_panic);
    let executor = Executor::new(machine_runtime::catch_panic);
    let timers = Timers::new();
    timers.advance(machine::clock::now());
    let ram_bytes = machine::memory::usage().total_bytes as u64;
    let mut guest = Guest::find(xen_netfront::Settings::for_ram(ram_bytes))?;
    #[cfg(feature = "disk")]
    let disks = Disks::open(guest.as_mut());
    #[cfg(feature = "disk")]
    if let Some(guest) = &mut guest {
        guest.start_disks(&executor.spawner(), &timers);
    }
    #[cfg(feature = "disk")]
    let (bundle, volume) = bundle_of(&disks, &executor, &timers)?;
    #[cfg(not(feature = "disk"))]
    let bundle = bundle_in_memory()?;
    let config = Config::load(&bundle, machine::start_info::command_line())
        .map_err(|error| error.to_string())?;
    let Log { level, format, syslog: _ } = config.log;
    log_ring::set_level(level);
    log_ring::set_format(format);
    for word in config::unknown_words(machine::start_info::command_line()) {
        log::warn!("command line: `{word}` means nothing here and is ignored");
    }
    if let Some(seed) = machine::virtio::rng::seed() {
        machine::entropy::add(&seed);
    }
    #[cfg(feature = "shared-memory")]
    let shared_memory = SharedMemory::new(&config, guest.as_ref(), &executor.spawner(), &timers);
    let mut interfaces = Interfaces::open(
        &config,
        guest.as_mut(),
        #[cfg(feature = "disk")]
        &disks,
        #[cfg(feature = "shared-memory")]
        &shared_memory,
    )?;
    if machine::entropy::is_by_jitter() {
        log::warn!(
            "keys come from timing jitter alone: give the machine a virtio-rng device or a CPU with RDRAND"
        );
    }
    let mut registry: Rc<dyn Registry> = Rc::new(registry::of_bundle(&bundle)?);
    if let Some(guest) = guest {
        let store = guest.store().clone();
        let names = Rc::new(XenstoreRegistry::new(store, interfaces.clone(), timers.clone()));
        guest.start(&executor.spawner(), &interfaces, &names);
        registry = names;
    }
    timers.advance(machine::clock::now());
    let platform = interfaces.clone();
    let context = Context::new(platform, config, bundle, registry, &executor, &timers);
    #[cfg(feature = "disk")]
    let context = disk::with_site(context, &disks, volume, &executor)?;
    let app = App::start(&context, table).map_err(|error| explain(&error))?;
    machine::power::start_is_over();
    runtime::run(&mut interfaces, &executor, &timers, &app);
    Ok(())
}

/// Takes note of a panic that was caught.
fn note_panic(message: &str, backtrace: Option<String>) {
    // Of the runtime's making: the message, and the place in brackets.
    let place = message.rsplit_once(" (").and_then(|(_, place)| place.strip_suffix(')'));
    aqueduct::panics::note(machine::clock::now(), place.unwrap_or_default(), message, backtrace);
}

fn bundle_in_memory() -> Result<Bundle<'static>, String> {
    Bundle::parse(machine::start_info::module())
        .map_err(|error| alloc::format!("the boot module is no bundle: {error}"))
}

/// The boot module; without one, what the first disk begins with.
#[cfg(feature = "disk")]
fn bundle_of(
    disks: &Disks,
    executor: &Executor,
    timers: &Timers,
) -> Result<(Bundle<'static>, Option<Volume>), String> {
    let has_module = !machine::start_info::module().is_empty();
    let loaded = if has_module { None } else { disk::bundle_at_start(disks, executor, timers)? };
    match loaded {
        Some(DiskBundle { bundle, volume }) => Ok((bundle, Some(volume))),
        None => Ok((bundle_in_memory()?, None)),
    }
}
