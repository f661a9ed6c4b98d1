//! Shared names: a registry over another, with what name servers tell, and what this appliance tells them.

use ::names::{Changes, Copies};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::pin::pin;
use embassy_futures::select::{Either, select};
use flow::registry::{Answer, Query, Registry, RegistryError, Service};
use flow::sync::{Notify, WakerList, Watch, Watcher};
use flow::task::wait_fn;
use flow::time::Timers;

/// A registry that also knows what name servers tell. Whatever the registry below says of a service counts more than what
/// they do.
pub(crate) struct SharedNames {
    base: Rc<dyn Registry>,
    copies: RefCell<Copies>,
    /// What this appliance offers.
    own: Rc<Watch<Vec<Service>>>,
    timers: Timers,
    /// Counts changes of what is offered.
    version: Cell<u64>,
    news: WakerList,
    /// The next lease may end earlier or later.
    leases_changed: Notify,
}

impl SharedNames {
    /// Over `base`, with so many servers.
    pub(super) fn new(base: Rc<dyn Registry>, servers: usize, timers: &Timers) -> Self {
        Self {
            base,
            copies: RefCell::new(Copies::new(servers)),
            own: Watch::new(Vec::new()),
            timers: timers.clone(),
            version: Cell::new(0),
            news: WakerList::default(),
            leases_changed: Notify::default(),
        }
    }

    /// What this appliance offers, and tells when that changes.
    pub(super) fn own(&self) -> (Vec<Service>, Watcher<Vec<Service>>) {
        (self.own.get(), self.own.watch())
    }

    /// Says of all that this appliance offers that it ends soon.
    pub(crate) fn drain(&self) {
        self.own.update(|own| own.iter_mut().for_each(|service| service.is_draining = true));
    }

    /// There is a new connection with a server.
    pub(super) fn connected(&self, server: usize) {
        self.copies.borrow_mut().connected(server);
    }

    /// Takes what a server tells; says how many services were left out, since there are too many.
    pub(super) fn take(&self, server: usize, changes: Changes) -> usize {
        let taken = self.copies.borrow_mut().take(self.timers.now(), server, changes);
        self.leases_changed.notify();
        if taken.is_news {
            self.tell();
        }
        taken.left_out
    }

    /// Ends leases when their time comes, for ever.
    pub(super) async fn end_leases(&self) {
        loop {
            let deadline = self.copies.borrow().next_deadline();
            let changed = self.leases_changed.notified();
            match deadline {
                Some(at) => drop(self.timers.before(at, changed).await),
                None => changed.await,
            }
            let has_ended = self.copies.borrow_mut().handle_timeout(self.timers.now());
            if has_ended {
                self.tell();
            }
        }
    }

    fn tell(&self) {
        self.version.set(self.version.get() + 1);
        self.news.wake();
    }

    async fn changed_since(&self, version: u64) {
        wait_fn(|cx| {
            if self.version.get() != version {
                return core::task::Poll::Ready(());
            }
            self.news.register(cx);
            core::task::Poll::Pending
        })
        .await;
    }

    /// What the registry below has, and what servers tell of others.
    fn merged(&self, mut found: Vec<Service>, query: &Query) -> Vec<Service> {
        let told = self.copies.borrow().find(self.timers.now(), query);
        let is_new = |service: &Service| found.iter().all(|other| other.host != service.host);
        let told: Vec<_> = told.into_iter().filter(is_new).collect();
        found.extend(told);
        found
    }
}

impl Registry for SharedNames {
    fn register<'a>(&'a self, service: &'a Service) -> Answer<'a, ()> {
        Box::pin(async move {
            self.own.update(|own| {
                own.retain(|other| other.name != service.name || other.host != service.host);
                own.push(service.clone());
            });
            if self.base.can_register() { self.base.register(service).await } else { Ok(()) }
        })
    }

    fn look_up<'a>(&'a self, query: &'a Query) -> Answer<'a, Vec<Service>> {
        Box::pin(async move {
            let below = self.base.look_up(query).await;
            let merged = self.merged(below.clone().unwrap_or_default(), query);
            // One that does not answer keeps nobody from what others tell.
            if merged.is_empty() { below } else { Ok(merged) }
        })
    }

    fn watch<'a>(&'a self, query: &'a Query, known: &'a [Service]) -> Answer<'a, Vec<Service>> {
        Box::pin(async move {
            loop {
                let version = self.version.get();
                let below = self.base.look_up(query).await?;
                let found = self.merged(below.clone(), query);
                if found != known {
                    return Ok(found);
                }
                let changed = pin!(self.changed_since(version));
                if let Either::First(outcome) =
                    select(self.base.watch(query, &below), changed).await
                {
                    outcome.map_err(|error: RegistryError| error)?;
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::names::{Directory, Holder, Limits};
    use alloc::string::{String, ToString};
    use core::task::{Context, Poll, Waker};
    use core::time::Duration;
    use flow::registry::StaticRegistry;
    use flow::task::block_on;

    const LEASE: Duration = Duration::from_secs(10);

    fn service(host: &str) -> Service {
        let (name, host) = ("web".parse().unwrap(), host.parse().unwrap());
        Service::described(name, host, "http a:80").unwrap()
    }

    fn lab() -> (SharedNames, Directory, Timers) {
        let base = StaticRegistry::parse(b"web alpha http b:80").unwrap();
        let timers = Timers::new();
        let mut directory = Directory::new(Limits::default());
        for host in ["alpha", "beta"] {
            let holder = Holder::new(host);
            directory.register(Duration::ZERO, &holder, service(host), LEASE).unwrap();
        }
        (SharedNames::new(Rc::new(base), 1, &timers), directory, timers)
    }

    fn places(services: &[Service]) -> Vec<String> {
        services.iter().map(|service| service.ways[0].to_string()).collect()
    }

    #[test]
    fn what_servers_tell_is_added_to_what_is_written_down() {
        let (names, directory, _) = lab();
        let query = "web".parse().unwrap();
        assert_eq!(places(&block_on(names.look_up(&query)).unwrap()), ["b:80"]);
        names.take(0, directory.changes(Duration::ZERO, None));
        let found = block_on(names.look_up(&query)).unwrap();
        // The file's line counts more.
        assert_eq!(places(&found), ["b:80", "a:80"]);
        assert_eq!(found[1].host.as_str(), "beta");
    }

    #[test]
    fn who_watches_is_told_when_a_lease_begins_and_when_it_ends() {
        let (names, directory, timers) = lab();
        let (query, cx) = ("web@beta".parse().unwrap(), &mut Context::from_waker(Waker::noop()));
        let mut ending = pin!(names.end_leases());
        assert!(ending.as_mut().poll(cx).is_pending());
        let mut watching = names.watch(&query, &[]);
        assert!(watching.as_mut().poll(cx).is_pending());
        names.take(0, directory.changes(Duration::ZERO, None));
        let Poll::Ready(Ok(found)) = watching.as_mut().poll(cx) else { panic!("it is not told") };
        assert_eq!(found, [service("beta")]);
        let mut watching = names.watch(&query, &found);
        assert!(ending.as_mut().poll(cx).is_pending() && watching.as_mut().poll(cx).is_pending());
        timers.advance(LEASE);
        assert!(ending.as_mut().poll(cx).is_pending());
        assert_eq!(watching.as_mut().poll(cx), Poll::Ready(Ok(Vec::new())));
    }

    #[test]
    fn what_drains_is_told_to_servers_as_such() {
        let (names, ..) = lab();
        block_on(names.register(&service("gamma"))).unwrap();
        let (own, _) = names.own();
        assert_eq!(own, [service("gamma")]);
        names.drain();
        assert!(names.own().0[0].is_draining);
    }
}
