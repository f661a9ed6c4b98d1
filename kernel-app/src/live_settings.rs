//! The settings that are in force: at first those of the start, later with what was changed that needs no restart.

use crate::log_ring;
use crate::service::Services;
use alloc::rc::Rc;
use config::{Config, Log, Tasks};
use core::cell::RefCell;
use flow::sync::{Watch, Watcher};
use flow::task::Spawner;

/// Settings that change while the appliance runs.
pub(crate) struct LiveSettings {
    in_force: RefCell<Rc<Config>>,
    /// How often they changed.
    version: Rc<Watch<u64>>,
    spawner: Spawner,
    services: Services,
}

impl LiveSettings {
    /// Those of the start.
    pub(crate) fn new(config: Rc<Config>, spawner: &Spawner, services: &Services) -> Self {
        Self {
            in_force: RefCell::new(config),
            version: Watch::new(0),
            spawner: spawner.clone(),
            services: services.clone(),
        }
    }

    /// What is in force.
    pub(crate) fn get(&self) -> Rc<Config> {
        self.in_force.borrow().clone()
    }

    /// How often they changed.
    pub(crate) fn version(&self) -> u64 {
        self.version.get()
    }

    /// Tells of changes from now on.
    pub(crate) fn watch(&self) -> Watcher<u64> {
        self.version.watch()
    }

    /// Puts these in force, which differ from those of the start in nothing that needs a restart. False if they are the same.
    pub(crate) fn change(&self, config: Config) -> bool {
        if *self.get() == config {
            return false;
        }
        let config = Rc::new(config);
        self.in_force.replace(config.clone());
        // A collector is connected with at the start.
        let Log { level, format, syslog: _ } = &config.log;
        let Tasks { tasks_max } = &config.tasks;
        log_ring::set_level(*level);
        log_ring::set_format(*format);
        self.spawner.limit_tasks(*tasks_max);
        self.services.reconfigure(&config);
        self.version.update(|version| *version += 1);
        true
    }
}
