//! A Linux process as a platform: what it needs besides its [`Table`]. The application runs over the
//! kernel's sockets, or over a TAP and our own network stack.
#![forbid(unsafe_code)]

mod bundle;
mod log_writer;
mod memory;
mod options;
mod process;
pub mod sockets;
mod tap;

use aqueduct::app::{App, explain};
use aqueduct::context::Context;
use aqueduct::platform::{Driver, Platform};
use aqueduct::service::Table;
use aqueduct::settings::network::SocketSettings;
use aqueduct::{log_ring, registry, runtime};
use config::{Bundle, Config, Log};
use flow::task::Executor;
use flow::time::Timers;
use log_writer::LogWriter;
use options::Options;
use process::Process;
use std::ffi::OsString;
use std::process::ExitCode;
use std::rc::Rc;
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
    let bundle = bundle::load(&options.bundle)?;
    let config = options.configuration(&bundle)?;
    let Log { level } = config.log;
    log_ring::install(process::LOG, level);
    match &options.tap {
        Some(name) => {
            let tap = TapProcess::new(name, &config)?;
            let (platform, gone) = (tap.platform(), tap.gone());
            serve_on(tap, platform, table, config, bundle)?;
            match gone.get() {
                Some(error) => Err(format!("TAP {name} is gone: {error}")),
                None => Ok(()),
            }
        }
        None => {
            let settings = SocketSettings::new(&config.tcp);
            let process =
                Process::new(options.address, settings).map_err(|error| error.to_string())?;
            let platform = process.platform();
            serve_on(process, platform, table, config, bundle)
        }
    }
}

fn serve_on<P: Platform>(
    mut driver: impl Driver,
    platform: P,
    table: &impl Table,
    config: Config,
    bundle: Bundle<'static>,
) -> Result<(), String> {
    let executor = Executor::new(process::catch_panic);
    let timers = Timers::new();
    let registry = Rc::new(registry::of_bundle(&bundle)?);
    let context = Context::new(platform, config, bundle, registry, &executor, &timers);
    let app = App::start(&context, table).map_err(|error| explain(&error))?;
    runtime::run(&mut driver, &executor, &timers, &app);
    Ok(())
}
