//! Service: a protocol on a port, as the appliance starts, counts, registers and stops it.
//!
//! A [`Table`] lists the services of one appliance, an entry each. An entry opens its service: it reads
//! the service's section of the configuration, listens where that says, and gives back what runs.
//! [`App`](crate::app::App) knows nothing else of any service.

use crate::Platform;
use crate::context::Context;
use crate::platform::ListenError;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use config::{Bundle, CONFIG_FILE, Config, Sought};
use core::cell::{Cell, OnceCell, RefCell};
use core::fmt;
use core::task::{self, Poll, ready};
use core::time::Duration;
use flow::task::Spawner;
use flow::{Address, FlowError, Listener};
use inspect::Inspector;
use web::{Handler, Routes};

/// A service that runs.
pub trait Service {
    /// What others find it by, in the service registry.
    fn offers(&self) -> Vec<Offer>;

    /// Connections that are open.
    fn connections(&self) -> usize;

    /// Takes no more work and ends what is idle; what is left is cut after `linger`.
    fn drain(&self, linger: Duration);

    /// Takes over what of the settings needs no restart, for connections that begin from now on.
    fn reconfigure(&self, config: &Config) {
        let _ = config;
    }

    /// Adds what an operator can look at beside its connections, as that of the service of this name.
    fn inspect(&self, name: &'static str, inspector: &Inspector) {
        let _ = (name, inspector);
    }
}

/// What a service offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What it is called, as `transform`.
    pub name: &'static str,
    /// What it speaks, as `zmtp`.
    pub protocol: &'static str,
    /// Its port of TCP, if it listens on one.
    pub port: Option<u16>,
}

/// What an appliance serves. One is in this crate, [`Appliance`](crate::app::Appliance); another
/// crate may have its own, and run it on the same platforms.
pub trait Table {
    /// The services, in the order in which they start.
    fn entries<P: Platform>(&self) -> Vec<ServiceEntry<P>>;
}

/// Entry of the table: a service by name, and how it is opened.
pub struct ServiceEntry<P: Platform> {
    pub(crate) name: &'static str,
    pub(crate) open: Open<P>,
}

type Open<P> = Box<dyn FnOnce(&Context<P>) -> Opened>;

/// A service that listens now; `None` if the configuration has it off.
pub type Opened = Result<Option<Rc<dyn Service>>, StartError>;

impl<P: Platform> ServiceEntry<P> {
    /// `name` is the service's name among [`Config::ports`](config::Config::ports). It must be the cargo
    /// feature that brings the entry into a build, too: `cargo xtask image --services` takes the names
    /// of features.
    pub fn new(name: &'static str, open: impl FnOnce(&Context<P>) -> Opened + 'static) -> Self {
        Self { name, open: Box::new(open) }
    }

    /// The same, of a service that carries web requests to `routes`.
    pub fn web(
        name: &'static str,
        routes: &WebRoutes<P>,
        open: impl FnOnce(&Context<P>, Rc<dyn Handler>) -> Opened + 'static,
    ) -> Self {
        let routes = routes.clone();
        Self::new(name, move |context| open(context, routes.handler(context)))
    }
}

/// The routes of all services that carry web requests, so that pages and sessions are the same by whichever protocol:
/// made once, when the first of them opens. Clones are the same ones.
pub struct WebRoutes<P: Platform>(Rc<Late<P>>);

struct Late<P: Platform> {
    make: Box<MakeRoutes<P>>,
    made: OnceCell<Rc<dyn Handler>>,
}

type MakeRoutes<P> = dyn Fn(&Context<P>) -> Routes;

impl<P: Platform> WebRoutes<P> {
    /// What `make` makes.
    pub fn new(make: impl Fn(&Context<P>) -> Routes + 'static) -> Self {
        Self(Rc::new(Late { make: Box::new(make), made: OnceCell::new() }))
    }

    fn handler(&self, context: &Context<P>) -> Rc<dyn Handler> {
        let make = || -> Rc<dyn Handler> {
            let routes = (self.0.make)(context);
            #[cfg(feature = "inspection")]
            crate::inspection::add_routes(context, &routes);
            Rc::new(routes)
        };
        self.0.made.get_or_init(make).clone()
    }
}

impl<P: Platform> Clone for WebRoutes<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The services that run. Clones are the same ones.
#[derive(Clone, Default)]
pub struct Services(Rc<Running>);

#[derive(Default)]
struct Running {
    services: RefCell<Vec<(&'static str, Rc<dyn Service>)>>,
    is_draining: Cell<bool>,
}

impl Services {
    /// Connections of all.
    pub fn connections(&self) -> usize {
        self.all().iter().map(|(_, service)| service.connections()).sum()
    }

    /// All of them, with their names in the table.
    pub fn all(&self) -> Vec<(&'static str, Rc<dyn Service>)> {
        self.0.services.borrow().clone()
    }

    /// They take no more work.
    pub fn are_draining(&self) -> bool {
        self.0.is_draining.get()
    }

    /// What all offer, with the names of the services in the table.
    pub(crate) fn offers(&self) -> Vec<(&'static str, Offer)> {
        let of_one = |(name, service): &(&'static str, Rc<dyn Service>)| {
            let name = *name;
            service.offers().into_iter().map(move |offer| (name, offer))
        };
        self.all().iter().flat_map(of_one).collect()
    }

    /// Drains all: see [`Service::drain`].
    pub(crate) fn drain(&self, linger: Duration) {
        self.0.is_draining.set(true);
        for (_, service) in self.all() {
            service.drain(linger);
        }
    }

    /// See [`Service::reconfigure`].
    pub(crate) fn reconfigure(&self, config: &Config) {
        for (_, service) in self.all() {
            service.reconfigure(config);
        }
    }

    pub(crate) fn add(&self, name: &'static str, service: Rc<dyn Service>) {
        self.0.services.borrow_mut().push((name, service));
    }
}

/// Listens on a port for a service, and says so in the log. Connections are accepted while there are
/// fewer tasks than `tasks_max`.
pub fn listen<P: Platform>(
    context: &Context<P>,
    service: &'static str,
    port: u16,
) -> Result<Admission<P::Listener>, StartError> {
    let listener = context.platform.listen(port, context.config.tcp.listen_backlog);
    let listener = listener.map_err(|reason| StartError::Port { service, port, reason })?;
    log::info!("{service} on port {port}");
    Ok(Admission::new(listener, &context.spawner))
}

/// Admission control: a listener that accepts only while there is room for the task that a connection
/// needs. The others wait in the listener's backlog.
pub struct Admission<L> {
    listener: L,
    spawner: Spawner,
}

impl<L> Admission<L> {
    pub(crate) fn new(listener: L, spawner: &Spawner) -> Self {
        Self { listener, spawner: spawner.clone() }
    }
}

impl<L: Listener> Listener for Admission<L> {
    type Flow = L::Flow;

    fn poll_accept(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<L::Flow, FlowError>> {
        ready!(self.spawner.poll_room(cx));
        self.listener.poll_accept(cx)
    }

    fn local(&self) -> Address {
        self.listener.local()
    }
}

/// A service of the table cannot be opened.
#[derive(Debug)]
pub enum StartError {
    /// Its port cannot be listened on.
    Port {
        /// The service.
        service: &'static str,
        /// Its port.
        port: u16,
        /// What the platform says.
        reason: ListenError,
    },
    /// A setting contradicts what there is.
    Setting {
        /// Its section.
        section: &'static str,
        /// Its key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An item of a setting that is a list does.
    Item {
        /// Its section.
        section: &'static str,
        /// Its key.
        key: &'static str,
        /// Which one, counted from 0.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The same of one `[[database]]`.
    Database {
        /// Which, from zero.
        number: usize,
        /// Its key.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The same, of a setting that the bundle's configuration gives.
    Line {
        /// At which line.
        line: usize,
        /// What is wrong with it.
        error: Box<StartError>,
    },
    /// What the bundle has for it is not usable.
    Bundle {
        /// The service.
        service: &'static str,
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl StartError {
    /// The same with the line of the setting that it is about, as far as there is one.
    #[must_use]
    pub fn at_line(self, bundle: &Bundle<'_>) -> Self {
        let (section, number, name, item) = match &self {
            Self::Setting { section, key, .. } => (*section, 0, key.as_str(), None),
            Self::Item { section, key, index, .. } => (*section, 0, *key, Some(*index)),
            Self::Database { number, key, .. } => ("database", *number, *key, None),
            _ => return self,
        };
        match config::line_of(bundle, Sought { section, number, name, item }) {
            Some(line) => Self::Line { line, error: Box::new(self) },
            None => self,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (service, port, reason) = match self {
            Self::Port { service, port, reason } => (service, port, reason),
            Self::Bundle { service, path, reason } => {
                return write!(f, "cannot serve {service}: {path} of the bundle: {reason}");
            }
            Self::Line { line, error } => return write!(f, "{CONFIG_FILE}:{line}: {error}"),
            Self::Setting { section, key, reason } => {
                return write!(f, "`{key}` in [{section}]: {reason}");
            }
            Self::Item { section, key, reason, .. } => {
                return write!(f, "`{key}` in [{section}]: {reason}");
            }
            Self::Database { key, reason, .. } => {
                return write!(f, "`{key}` in [[database]]: {reason}");
            }
        };
        let (section, key) = config::port_key(service);
        write!(f, "cannot serve {service} on port {port}: {reason}")?;
        match reason {
            ListenError::InUse | ListenError::NotAllowed if config::has_port_key(service) => {
                write!(
                    f,
                    "; another one is chosen by `{key}` in [{section}] of appliance.toml, unless the command line says it"
                )
            }
            // What else it is says enough, and a service of another table's own has its port from there.
            _ => Ok(()),
        }
    }
}

impl core::error::Error for StartError {}
