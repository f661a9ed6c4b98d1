//! The load generator as a service of an appliance: it makes the run that `load.toml` of the bundle describes, says on the
//! console what came of it, and serves that as a page, as JSON and as text.
//!
//! `../bare` makes an image of it (`cargo xtask image --load`, docs/load.md). Load goes where the bundle allows it, and to this
//! machine, which is the guest itself and what shares memory with it: every connection by TCP is held against that, whatever
//! name led to it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod guarded;
mod pages;
mod place;
mod run;

use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use aqueduct::Platform;
use aqueduct::context::Context;
use aqueduct::service::{Offer, Opened, Service, ServiceEntry, StartError, WebRoutes};
use config::LOAD_FILE;
use core::cell::RefCell;
use core::time::Duration;
use load::{Report, Scenario};
use load_generator::Shared;

const NAME: &str = "load";

/// How a run ended, for who switches the machine off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No request failed.
    Succeeded,
    /// Some did, or there was no run.
    Failed,
}

/// The services of a load generator. `switch_off` is called when the run is over, if the scenario says so.
pub fn entries<P: Platform>(switch_off: fn(Verdict)) -> Vec<ServiceEntry<P>> {
    let run = Rc::new(RunState::default());
    let shown = run.clone();
    let web = WebRoutes::<P>::new(move |_| pages::routes(&shown));
    Vec::from([
        ServiceEntry::web("http", &web, aqueduct::services::http::open),
        ServiceEntry::new("admin", aqueduct::services::admin::open),
        // The last one: the others are there when it begins.
        ServiceEntry::new(NAME, move |context| open(context, run, switch_off)),
    ])
}

/// Begins the run.
///
/// # Errors
/// The bundle has no scenario, or one that is not allowed.
fn open<P: Platform>(context: &Context<P>, state: Rc<RunState>, switch_off: fn(Verdict)) -> Opened {
    let refuse = |reason| StartError::Bundle { service: NAME, path: LOAD_FILE.into(), reason };
    let file = context.bundle.get(LOAD_FILE);
    let file = file.ok_or_else(|| refuse("there is none, and it says what is asked".into()))?;
    let scenario = Scenario::of_bytes(LOAD_FILE, file.bytes);
    let scenario = scenario.map_err(|error| refuse(error.to_string()))?;
    let target = place::target(&scenario).map_err(refuse)?;
    let connector = context.connector_with(guarded::Guarded::new(
        context.platform.connector(),
        scenario.guest.allow.clone(),
    ));
    let environment = run::Environment {
        spawner: context.spawner.clone(),
        timers: context.timers.clone(),
        clock: context.platform.clock(),
        switch_off,
    };
    let running = run::run(environment, state.clone(), scenario, target, connector);
    let running = running.map_err(refuse)?;
    context.spawner.spawn("load", running);
    Ok(Some(Rc::new(Generator(state))))
}

/// What came of the run so far.
#[derive(Default)]
struct RunState {
    stage: RefCell<Stage>,
    shared: RefCell<Option<Rc<Shared>>>,
}

#[derive(Default)]
enum Stage {
    /// The server does not answer yet.
    #[default]
    Waiting,
    /// With its last line of progress.
    Running(String),
    Over(Rc<Report>),
    /// With the reason.
    NotMade(String),
}

impl RunState {
    fn set(&self, stage: Stage) {
        self.stage.replace(stage);
    }
}

struct Generator(Rc<RunState>);

impl Service for Generator {
    fn offers(&self) -> Vec<Offer> {
        Vec::new()
    }

    /// Those that it opens end with the machine.
    fn connections(&self) -> usize {
        0
    }

    /// Nothing more is due; what was is given up by who waits no longer.
    fn drain(&self, _: Duration) {
        if let Some(shared) = &*self.0.shared.borrow() {
            shared.stop(shared.timers().now());
        }
    }
}
