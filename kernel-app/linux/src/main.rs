//! The appliance as a Linux process: the same application over the kernel's sockets.
#![forbid(unsafe_code)]

mod bundle;
mod options;
mod process;
mod sockets;

use aqueduct::app::{App, Context, explain};
use aqueduct::{log_ring, runtime};
use config::Config;
use flow::task::Executor;
use flow::time::Timers;
use options::Options;
use process::Process;
use std::process::ExitCode;
use std::rc::Rc;

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
    let mut config = Config::load(&bundle, "").map_err(|error| error.to_string())?;
    options.apply(&mut config);
    log_ring::install(process::LOG, config.log.level);
    let mut process = Process::new(options.address).map_err(|error| error.to_string())?;
    let executor = Executor::new(process::catch_panic);
    let timers = Timers::new();
    let context = Context {
        platform: process.platform(),
        config: Rc::new(config),
        bundle: Rc::new(bundle),
        spawner: executor.spawner(),
        timers: timers.clone(),
    };
    let app = App::start(&context).map_err(|error| explain(&error))?;
    runtime::run(&mut process, &executor, &timers, &app);
    Ok(())
}
