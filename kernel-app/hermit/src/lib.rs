//! The Hermit kernel as a platform: what an image over it needs besides its [`Table`]. Experimental: `docs/hermit.md` says
//! why.
//!
//! The application runs over the kernel's sockets, as it does in a Linux process.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod process;
mod sockets;

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use aqueduct::app::{App, explain};
use aqueduct::context::Context;
use aqueduct::log_ring::{self, Outlet};
use aqueduct::service::Table;
use aqueduct::settings::network::SocketSettings;
use aqueduct::{registry, runtime};
use config::{Bundle, Config, Log, Network};
use flow::task::Executor;
use flow::time::Timers;
use hermit_system::{Start, system};
use log::LevelFilter;
use process::Process;

const LOG: Outlet = Outlet { write: system::write, now: system::now };

/// Serves what the table says until the power button is pressed, and switches the machine off; what is wrong with its
/// configuration stops it at once, with a failure code.
pub fn run(table: &impl Table, start: &Start) -> ! {
    log_ring::install(LOG, LevelFilter::Info);
    log::info!("aqueduct {}", aqueduct::VERSION);
    match serve(table, start) {
        Ok(()) => start.power_button.off(),
        Err(message) => {
            log::error!("{message}");
            system::fail()
        }
    }
}

fn serve(table: &impl Table, start: &Start) -> Result<(), String> {
    let bundle = Bundle::parse(start.module)
        .map_err(|error| format!("the boot module is no bundle: {error}"))?;
    let config = Config::load(&bundle, start.command_line).map_err(|error| error.to_string())?;
    let Log { level, format, syslog: _ } = config.log;
    log_ring::set_level(level);
    log_ring::set_format(format);
    for word in config::unknown_words(start.command_line) {
        log::warn!("command line: `{word}` means nothing here and is ignored");
    }
    let Network { dhcp, .. } = &config.network;
    if !dhcp {
        return Err(
            "addresses: this image is on the Hermit kernel, whose card has one by DHCP".into()
        );
    }
    // Who needs random bytes later cannot be refused them.
    hermit_system::fill_random(&mut [0; 8]).map_err(|error| error.to_string())?;
    let mut process = Process::new(start, SocketSettings::new(&config.tcp));
    let executor = Executor::new(hermit_system::catch_panic);
    let timers = Timers::new();
    timers.advance(system::now());
    let registry = Rc::new(registry::of_bundle(&bundle)?);
    let context = Context::new(process.platform(), config, bundle, registry, &executor, &timers);
    let app = App::start(&context, table).map_err(|error| explain(&error))?;
    log::info!("on the Hermit kernel, which is experimental");
    runtime::run(&mut process, &executor, &timers, &app);
    Ok(())
}
