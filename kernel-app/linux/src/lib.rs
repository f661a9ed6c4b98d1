//! The appliance as a Linux process: the same application over the kernel's sockets, or over a TAP
//! and our own network stack.
#![forbid(unsafe_code)]

mod bundle;
mod options;
mod process;
mod sockets;
mod tap;

use aqueduct::app::{App, Appliance, explain};
use aqueduct::context::Context;
use aqueduct::platform::{Driver, Platform};
use aqueduct::service::Services;
use aqueduct::{log_ring, registry, runtime};
use config::{Bundle, Config};
use flow::task::Executor;
use flow::time::Timers;
use options::Options;
use process::Process;
use std::process::ExitCode;
use std::rc::Rc;
use tap::TapProcess;

fn main() -> ExitCode {
    match options::parse() {
        Ok(None) => {
            println!("{}", options::HELP);
            ExitCode::SUCCESS
        }
        Ok(Some(options)) => start(&options),
        Err(message) => fail(&message),
    }
}

fn start(options: &Options) -> ExitCode {
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(&message),
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("aqueduct: {message}");
    ExitCode::FAILURE
}

fn run(options: &Options) -> Result<(), String> {
    let bundle = bundle::load(&options.bundle)?;
    let config = options.configuration(&bundle)?;
    log_ring::install(process::LOG, config.log.level);
    match &options.tap {
        Some(name) => {
            let tap = TapProcess::new(name, &config)?;
            let platform = tap.platform();
            serve(tap, platform, config, bundle)
        }
        None => {
            let process = Process::new(options.address).map_err(|error| error.to_string())?;
            let platform = process.platform();
            serve(process, platform, config, bundle)
        }
    }
}

fn serve<P: Platform>(
    mut driver: impl Driver,
    platform: P,
    config: Config,
    bundle: Bundle<'static>,
) -> Result<(), String> {
    let executor = Executor::new(process::catch_panic);
    let timers = Timers::new();
    let context = Context {
        platform,
        registry: Rc::new(registry::of_bundle(&bundle)?),
        config: Rc::new(config),
        bundle: Rc::new(bundle),
        spawner: executor.spawner(),
        timers: timers.clone(),
        services: Services::default(),
    };
    let app = App::start(&context, &Appliance).map_err(|error| explain(&error))?;
    runtime::run(&mut driver, &executor, &timers, &app);
    Ok(())
}
