//! A Linux process as a platform: what it needs besides its [`Table`]. The application runs over the
//! kernel's sockets, or over a TAP and our own network stack.
#![forbid(unsafe_code)]

mod bundle;
mod client_runtime;
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

pub use client_runtime::Runtime;

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
use options::{Asked, Options};
use process::Process;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::rc::Rc;
use storage::Volume;
use tap::TapProcess;

/// It did not start, or asked for what cannot be.
const NOT_STARTED: u8 = 1;
/// What it ran on is gone.
const GONE: u8 = 3;
/// A second signal has ended it at once.
const ENDED_AT_ONCE: u8 = 4;

/// Serves what the table says until SIGINT, SIGTERM or SIGHUP, as the words of the command line, which follow the `name` of the
/// process, want it. What is wrong with these or with the configuration is said on standard error; the exit codes are those of
/// the option `--help`.
pub fn run(
    table: &impl Table,
    name: &'static str,
    arguments: impl IntoIterator<Item = OsString>,
) -> ExitCode {
    let options = match options::parse(name, arguments) {
        Ok(Asked::Serve(options)) => options,
        Ok(Asked::Print(text)) => {
            return match std::io::stdout().write_all(&text) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::from(NOT_STARTED),
            };
        }
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(u8::MAX));
        }
    };
    let _log_writer = match LogWriter::start() {
        Ok(log_writer) => log_writer,
        Err(error) => {
            eprintln!("{name}: no thread to write the log: {error}");
            return ExitCode::from(NOT_STARTED);
        }
    };
    match serve(table, name, &options) {
        Ok(End::Stopped) => ExitCode::SUCCESS,
        Ok(End::Gone(message)) => fail(name, &message, GONE),
        Err(message) => fail(name, &message, NOT_STARTED),
    }
}

/// Why it serves no more.
enum End {
    /// As it was asked to.
    Stopped,
    /// What it ran on is not there any more.
    Gone(String),
}

fn fail(name: &str, message: &str, code: u8) -> ExitCode {
    log_writer::write(&format!("{name}: {message}\n"));
    ExitCode::from(code)
}

fn serve(table: &impl Table, name: &str, options: &Options) -> Result<End, String> {
    let disks = FileDisks::open(&options.disks)?;
    let executor = Executor::new(process::catch_panic);
    let timers = Timers::new();
    let (bundle, volume) = match &options.bundle {
        Some(path) => (bundle::load(path)?, None),
        None => bundle_of(&disks, &executor, &timers)?,
    };
    let config = options.configuration(&bundle)?;
    if !options.capabilities.is_empty() {
        print_references(&config, &bundle, &options.capabilities)?;
        return Ok(End::Stopped);
    }
    let Log { level, format, syslog: _ } = config.log;
    log_ring::install(process::LOG, level);
    log_ring::set_format(format);
    log::info!("{name} {}", aqueduct::VERSION);
    let registry = Rc::new(registry::of_bundle(&bundle)?);
    match &options.tap {
        Some(name) => {
            let tap = TapProcess::new(name, &config)?;
            let (platform, gone) = (tap.platform(), tap.gone());
            disks.end_waits_of(tap.registry()).map_err(|error| error.to_string())?;
            let context = Context::new(platform, config, bundle, registry, &executor, &timers);
            let context = disk::with_site(context, &disks, volume, &executor)?;
            serve_on(tap, &context, table, executor)?;
            Ok(match gone.get() {
                Some(error) => End::Gone(format!("TAP {name} is gone: {error}")),
                None => End::Stopped,
            })
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
            serve_on(process, &context, table, executor)?;
            Ok(End::Stopped)
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
