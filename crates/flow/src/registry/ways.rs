//! Ways that are used: in which order those to a service are tried, which have failed lately, and which is in use.

use super::{HostId, Label, Query, Service};
use crate::time::Timers;
use crate::{ConnectError, Scheme, Target};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;

/// Ways that are remembered; those are forgotten first that were tried least lately.
const WAYS_KNOWN_MAX: usize = 256;

/// Which ways are tried, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WayPolicy {
    /// The hosts that this machine is on: ways from others only are not tried.
    pub hosts: Vec<HostId>,
    /// The schemes that are tried. Ways of others are not.
    pub schemes: Vec<Scheme>,
    /// How long an attempt may take inside this host: by memory, Unix-domain socket or vsock.
    pub local_timeout: Duration,
    /// How long another may take.
    pub remote_timeout: Duration,
    /// How long a way that failed is tried after all others.
    pub retry_after: Duration,
}

/// What connectors know of ways. Clones share it.
#[derive(Clone)]
pub struct Ways(Rc<Inner>);

struct Inner {
    policy: WayPolicy,
    timers: Timers,
    /// The one that was tried last at the end.
    known: RefCell<Vec<Known>>,
    /// What the log was told last of a service that is not reached.
    said: RefCell<String>,
}

struct Known {
    row: WayRow,
    /// Until then it is tried after others; it failed.
    last_until: Option<Duration>,
}

/// A way that was tried, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WayRow {
    /// The service's name.
    pub service: Label,
    /// The service's host.
    pub host: Label,
    /// Where the way leads.
    pub target: Target,
    /// The latest flow to that service on that host was opened by it.
    pub is_in_use: bool,
    /// Flows that were opened by it.
    pub opened: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Why the latest attempt failed; none if it did not.
    pub failure: Option<ConnectError>,
}

/// One attempt at a way. Dropped without an outcome after half of its time or more, it has failed: whoever waited for it has
/// no more time than that.
pub(super) struct Attempt<'a> {
    ways: &'a Ways,
    service: &'a Service,
    target: &'a Target,
    begun: Duration,
    has_outcome: bool,
}

impl Default for WayPolicy {
    /// No host, every scheme, 1 s and 10 s, and 30 s after a failure.
    fn default() -> Self {
        use Scheme::{Memory, SharedMemory, Tcp, Tls, Unix, Vchan, Vsock};
        Self {
            hosts: Vec::new(),
            schemes: Vec::from([Memory, SharedMemory, Vchan, Unix, Vsock, Tcp, Tls]),
            local_timeout: Duration::from_secs(1),
            remote_timeout: Duration::from_secs(10),
            retry_after: Duration::from_secs(30),
        }
    }
}

impl Ways {
    /// None has been tried.
    pub fn new(policy: WayPolicy, timers: &Timers) -> Self {
        Self(Rc::new(Inner {
            policy,
            timers: timers.clone(),
            known: RefCell::default(),
            said: RefCell::default(),
        }))
    }

    /// No way led to the services that are meant: the log says by which it was tried and why each failed, once.
    pub(super) fn all_failed(&self, query: &Query, failures: &[(&Target, ConnectError)]) {
        let mut text = format!("{query}: not reached");
        for (target, failure) in failures {
            text += &format!("; by {target}: {failure}");
        }
        if failures.is_empty() {
            text += ": nobody offers it in a way that is for this machine";
        }
        if *self.0.said.borrow() != text {
            log::info!("{text}");
            self.0.said.replace(text);
        }
    }

    /// Shows those that were tried and are remembered.
    pub fn visit(&self, visit: &mut dyn FnMut(&WayRow)) {
        self.0.known.borrow().iter().for_each(|known| visit(&known.row));
    }

    /// The ways to these services in the order in which they are to be tried: as they are listed, but those last that failed
    /// lately, and of a lower priority number first, and after all others those of services that drain.
    pub(super) fn order<'a>(&self, services: &'a [Service]) -> Vec<(&'a Service, &'a Target)> {
        let policy = &self.0.policy;
        let listed =
            services.iter().flat_map(|service| service.ways.iter().map(move |way| (service, way)));
        let usable = listed.filter(|(_, way)| {
            way.leads_from(&policy.hosts) && policy.schemes.contains(&way.target.scheme())
        });
        let mut ordered: Vec<_> = usable.map(|(service, way)| (service, &way.target)).collect();
        // The sort is stable.
        ordered.sort_by_key(|(service, target)| {
            (service.is_draining, self.has_failed_lately(service, target), service.priority)
        });
        ordered
    }

    pub(super) fn attempt<'a>(&'a self, service: &'a Service, target: &'a Target) -> Attempt<'a> {
        Attempt { ways: self, service, target, begun: self.0.timers.now(), has_outcome: false }
    }

    fn timeout(&self, target: &Target) -> Duration {
        match target.scheme() {
            Scheme::Memory
            | Scheme::SharedMemory
            | Scheme::Vchan
            | Scheme::Unix
            | Scheme::Vsock => self.0.policy.local_timeout,
            Scheme::Tcp | Scheme::Tls | Scheme::Service => self.0.policy.remote_timeout,
        }
    }

    fn has_failed_lately(&self, service: &Service, target: &Target) -> bool {
        let known = self.0.known.borrow();
        let found = known.iter().find(|known| known.row.is_of(service, target));
        found.is_some_and(|known| known.last_until.is_some_and(|until| self.0.timers.now() < until))
    }

    /// Notes an outcome; says whether the way is in use now, and was not before.
    fn note(&self, service: &Service, target: &Target, failure: Option<ConnectError>) -> bool {
        let mut known = self.0.known.borrow_mut();
        let at = known.iter().position(|known| known.row.is_of(service, target));
        let Known { mut row, .. } = match at {
            Some(at) => known.remove(at),
            None => Known { row: WayRow::new(service, target), last_until: None },
        };
        let is_news = failure.is_none() && !row.is_in_use;
        row.take(failure);
        if is_news {
            let others = known.iter_mut().map(|known| &mut known.row);
            others.filter(|other| other.is_by(service)).for_each(|other| other.is_in_use = false);
        }
        if known.len() == WAYS_KNOWN_MAX {
            known.remove(0);
        }
        let last_until = failure.map(|_| self.0.timers.now() + self.0.policy.retry_after);
        known.push(Known { row, last_until });
        is_news
    }
}

impl WayRow {
    fn new(service: &Service, target: &Target) -> Self {
        Self {
            service: service.name.clone(),
            host: service.host.clone(),
            target: target.clone(),
            is_in_use: false,
            opened: 0,
            failed: 0,
            failure: None,
        }
    }

    fn is_by(&self, service: &Service) -> bool {
        self.service == service.name && self.host == service.host
    }

    fn is_of(&self, service: &Service, target: &Target) -> bool {
        self.is_by(service) && self.target == *target
    }

    fn take(&mut self, failure: Option<ConnectError>) {
        match failure {
            None => (self.opened, self.is_in_use) = (self.opened + 1, true),
            Some(_) => self.failed += 1,
        }
        self.failure = failure;
    }
}

impl Attempt<'_> {
    /// When it is to be given up.
    pub(super) fn deadline(&self) -> Duration {
        self.begun + self.ways.timeout(self.target)
    }

    /// What came of it. The log has each change of the way that is in use, once.
    pub(super) fn ended(mut self, failure: Option<ConnectError>) {
        self.has_outcome = true;
        let (service, target) = (self.service, self.target);
        if self.ways.note(service, target, failure) {
            log::info!("{}@{}: by {target}", service.name, service.host);
        }
        if let Some(failure) = failure {
            log::debug!("{}@{}: not by {target}: {failure}", service.name, service.host);
        }
    }

    pub(super) fn timers(&self) -> &Timers {
        &self.ways.0.timers
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let (now, half) = (self.timers().now(), self.ways.timeout(self.target) / 2);
        if !self.has_outcome && now >= self.begun + half {
            self.ways.note(self.service, self.target, Some(ConnectError::TimedOut));
        }
    }
}
