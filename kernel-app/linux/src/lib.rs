//! A Linux process as a platform: what it needs besides its [`Table`]. The application runs over the
//! kernel's sockets, or over a TAP and our own network stack.
#![forbid(unsafe_code)]

mod bundle;
mod datagrams;
mod disks;
mod host_ids;
mod log_writer;
mod memory;
mod options;
mod process;
mod profiler;
pub mod shared_memory;
pub mod sockets;
mod stall;
mod tap;

use aqueduct::app::{App, explain};
use aqueduct::context::Context;
use aqueduct::disk::{self, DiskBundle};
use aqueduct::platform::{Driver, Platform};
use aqueduct::service::Table;
use aqueduct::settings::network::SocketSettings;
use aqueduct::settings::shared_memory::SharedMemorySettings;
use aqueduct::{log_ring, registry, runtime};
use config::{Bundle, Config, Log};
use disks::FileDisks;
use flow::task::Executor;
use flow::time::Timers;
use log_writer::LogWriter;
use options::Options;
use process::Process;
use std::ffi::OsString;
use std::process::ExitCode;
use std::rc::Rc;
use storage::Volume;
use tap::TapProcess;

/// Serves what the table says until SIGINT, SIGTERM or SIGHUP, as the words of the command line want it. What is
/// wrong with these or with the configuration is said on standard error.
pub fn run(table: &impl Table, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let _log_writer = match LogWriter::start() {
        Ok(log_writer) => log_writer,
        Err(error) => {
            eprintln!("aqueduct: no thread to write the log: {error}");
            return ExitCode::FAILURE;
        }
    };
    match options::parse(arguments) {
        Ok(None) => {
            println!("{}", options::HELP);
            ExitCode::SUCCESS
        }
        Ok(Some(options)) => match serve(table, &options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(message) => fail(&message),
        },
        Err(message) => fail(&message),
    }
}

fn fail(message: &str) -> ExitCode {
    log_writer::write(&format!("aqueduct: {message}\n"));
    ExitCode::FAILURE
}

fn serve(table: &impl Table, options: &Options) -> Result<(), String> {
    let disks = FileDisks::open(&options.disks)?;
    let executor = Executor::new(process::catch_panic);
    let timers = Timers::new();
    let (bundle, volume) = match &options.bundle {
        Some(path) => (bundle::load(path)?, None),
        None => bundle_of(&disks, &executor, &timers)?,
    };
    let config = options.configuration(&bundle)?;
    if !options.capabilities.is_empty() {
        return print_references(&config, &bundle, &options.capabilities);
    }
    let Log { level, format, syslog: _ } = config.log;
    log_ring::install(process::LOG, level);
    log_ring::set_format(format);
    let registry = Rc::new(registry::of_bundle(&bundle)?);
    match &options.tap {
        Some(name) => {
            let tap = TapProcess::new(name, &config)?;
            let (platform, gone) = (tap.platform(), tap.gone());
            disks.end_waits_of(tap.registry()).map_err(|error| error.to_string())?;
            let context = Context::new(platform, config, bundle, registry, &executor, &timers);
            let context = disk::with_site(context, &disks, volume, &executor)?;
            serve_on(tap, &context, table, executor)?;
            match gone.get() {
                Some(error) => Err(format!("TAP {name} is gone: {error}")),
                None => Ok(()),
            }
        }
        None => {
            let settings = SocketSettings::new(&config.tcp);
            let memory_bytes = memory::available_bytes();
            let shared = SharedMemorySettings::new(&config.shared_memory, memory_bytes);
            let process =
                Process::new(options.address, options.operators, settings, shared, &timers)
                    .map_err(|error| error.to_string())?;
            let platform = process.platform();
            disks.end_waits_of(process.registry()).map_err(|error| error.to_string())?;
            let context = Context::new(platform, config, bundle, registry, &executor, &timers);
            let context = disk::with_site(context, &disks, volume, &executor)?;
            serve_on(process, &context, table, executor)
        }
    }
}

/// Prints the references of services at addresses, one a line.
fn print_references(
    config: &Config,
    bundle: &Bundle<'_>,
    capabilities: &[(String, String)],
) -> Result<(), String> {
    for (service, address) in capabilities {
        let reference = aqueduct::vat::reference(config, bundle, service, address)?;
        print!("{}", reference.to_file());
    }
    Ok(())
}

/// What the first disk begins with.
fn bundle_of(
    disks: &FileDisks,
    executor: &Executor,
    timers: &Timers,
) -> Result<(Bundle<'static>, Option<Volume>), String> {
    match disk::bundle_at_start(disks, executor, timers)? {
        Some(DiskBundle { bundle, volume }) => Ok((bundle, Some(volume))),
        None => Err("disk 1 does not begin with a bundle; say --bundle FILE_OR_DIR, too".into()),
    }
}

fn serve_on<P: Platform>(
    mut driver: impl Driver,
    context: &Context<P>,
    table: &impl Table,
    executor: Executor,
) -> Result<(), String> {
    let app = App::start(context, table).map_err(|error| explain(&error))?;
    stall::watch().map_err(|error| format!("no thread to see stalls: {error}"))?;
    runtime::run(&mut driver, &executor, &context.timers, &app);
    // Tasks end while what they are over is still there.
    drop(executor);
    Ok(())
}
