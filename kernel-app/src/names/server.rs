//! Name server: a directory as an object, which holders and readers call. The schema is `schema/appliance.capnp`.

use super::wire::{called, milliseconds, read_label, read_service, write_changes};
use crate::appliance_capnp::names;
use ::names::{Contested, Cursor, Directory, Holder, Limits};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;
use capnp::Error;
use core::cell::{Cell, RefCell};
use core::task::Poll;
use core::time::Duration;
use endpoints::rpc::Rpc;
use flow::ledger::{Account, ServiceLedger};
use flow::sync::{Notify, WakerList};
use flow::task::wait_fn;
use flow::time::Timers;

/// How often a reader is told of renewals, which all come one by one. 1 s: the shortest lease, of which a third is lost at most
/// when a renewal waits for the next.
const PACE: Duration = Duration::from_secs(1);
/// Readers at once, each of which is told of every change.
const WATCHES_MAX: usize = 256;
/// Those of one holder, or from one place: an appliance is one.
const WATCHES_OF_ONE_MAX: usize = 64;
/// Those of all holders without a key: the rest is for those who have one.
const WATCHES_WITHOUT_KEY_MAX: usize = 192;

/// What this appliance keeps for others.
pub(crate) struct NameServer {
    directory: RefCell<Directory>,
    timers: Timers,
    /// Weighs what holders make it keep.
    account: Account,
    /// Whose the readers are, one for each.
    watches: RefCell<Vec<Holder>>,
    news: WakerList,
    leases_changed: Notify,
}

impl NameServer {
    /// Nothing is registered.
    pub(crate) fn new(limits: Limits, timers: &Timers, ledger: &ServiceLedger) -> Self {
        Self {
            directory: RefCell::new(Directory::new(limits)),
            timers: timers.clone(),
            account: ledger.account(),
            watches: RefCell::default(),
            news: WakerList::default(),
            leases_changed: Notify::default(),
        }
    }

    /// Ends leases when their time comes, for ever.
    pub(crate) async fn end_leases(&self) {
        loop {
            let deadline = self.directory.borrow().next_deadline();
            let changed = self.leases_changed.notified();
            match deadline {
                Some(at) => drop(self.timers.before(at, changed).await),
                None => changed.await,
            }
            let now = self.timers.now();
            if deadline.is_some_and(|at| at <= now) {
                self.directory.borrow_mut().handle_timeout(now);
                self.has_changed();
            }
        }
    }

    /// Counts a reader.
    ///
    /// # Errors
    /// There are too many, or too many of this holder's.
    fn begin_watch(&self, holder: &Holder) -> Result<(), Error> {
        let mut watches = self.watches.borrow_mut();
        let own = watches.iter().filter(|other| *other == holder).count();
        let without_key = watches.iter().filter(|other| !other.has_key()).count();
        let refused = |text: &str| Err(Error::overloaded(text.into()));
        if own >= WATCHES_OF_ONE_MAX {
            return refused("this name server has as many readers from there as it takes");
        }
        let is_full = !holder.has_key() && without_key >= WATCHES_WITHOUT_KEY_MAX;
        if is_full || watches.len() >= WATCHES_MAX {
            return refused("this name server has as many readers as it takes");
        }
        watches.push(holder.clone());
        Ok(())
    }

    fn end_watch(&self, holder: &Holder) {
        let mut watches = self.watches.borrow_mut();
        if let Some(at) = watches.iter().position(|other| other == holder) {
            watches.swap_remove(at);
        }
    }

    fn warn_of_contested(&self) {
        while let Some(contested) = self.directory.borrow_mut().poll_contested() {
            let Contested { name, host, holders: [one, other] } = contested;
            log::warn!(
                "names: two register {name}@{host} by turns, from {one} and {other}: each needs a hostname of its own"
            );
        }
    }

    fn has_changed(&self) {
        self.account.set(self.directory.borrow().bytes());
        self.news.wake();
        self.leases_changed.notify();
    }

    /// Waits until something has happened of which a reader is not told, or, `for_news`, something that it is told at once.
    async fn happened_since(&self, cursor: Cursor, for_news: bool) {
        wait_fn(|cx| {
            let directory = self.directory.borrow();
            let is_ready =
                if for_news { directory.has_news(cursor) } else { directory.has_happened(cursor) };
            if is_ready {
                return Poll::Ready(());
            }
            self.news.register(cx);
            Poll::Pending
        })
        .await;
    }
}

/// The name server, for one holder as this vat knows it.
pub(crate) struct Names {
    server: Rc<NameServer>,
    holder: Holder,
    rpc: Rpc,
}

impl Names {
    pub(crate) fn new(server: &Rc<NameServer>, holder: Holder, rpc: &Rpc) -> Self {
        Self { server: server.clone(), holder, rpc: rpc.clone() }
    }
}

impl names::Server for Names {
    async fn register(
        self: Rc<Self>,
        params: names::RegisterParams,
        mut results: names::RegisterResults,
    ) -> Result<(), Error> {
        let params = params.get()?;
        let mut lease = Duration::from_millis(params.get_lease_milliseconds().into());
        let now = self.server.timers.now();
        let mut refusals = Vec::new();
        for service in params.get_services()? {
            // What is wrong with one keeps no other out.
            let registered =
                read_service(service).map_err(|error| format!("{}: {error}", called(service)));
            let registered = registered.and_then(|service| {
                let mut directory = self.server.directory.borrow_mut();
                let registered = directory.register(now, &self.holder, service, lease);
                registered.map_err(|refused| refused.to_string())
            });
            if let Ok(given) = &registered {
                lease = *given;
            }
            refusals.push(registered.err().unwrap_or_default());
        }
        self.server.has_changed();
        self.server.warn_of_contested();
        let mut results = results.get();
        results.set_lease_milliseconds(milliseconds(lease));
        let mut to = results.init_refusals(refusals.len() as u32);
        (0..).zip(&refusals).for_each(|(at, refusal)| to.set(at, &**refusal));
        Ok(())
    }

    async fn withdraw(
        self: Rc<Self>,
        params: names::WithdrawParams,
        _: names::WithdrawResults,
    ) -> Result<(), Error> {
        let params = params.get()?;
        let (name, host) = (read_label(params.get_name()?)?, read_label(params.get_host()?)?);
        let now = self.server.timers.now();
        self.server.directory.borrow_mut().withdraw(now, &self.holder, &name, &host);
        self.server.has_changed();
        Ok(())
    }

    async fn watch(
        self: Rc<Self>,
        _: names::WatchParams,
        mut results: names::WatchResults,
    ) -> Result<(), Error> {
        let (server, holder) = (self.server.clone(), self.holder.clone());
        server.begin_watch(&holder)?;
        let watch = Watch { server, holder, cursor: Cell::new(None) };
        results.get().set_watch(self.rpc.client(watch));
        Ok(())
    }
}

/// What one reader has been told of.
struct Watch {
    server: Rc<NameServer>,
    holder: Holder,
    cursor: Cell<Option<Cursor>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.server.end_watch(&self.holder);
    }
}

impl names::watch::Server for Watch {
    async fn next(
        self: Rc<Self>,
        _: names::watch::NextParams,
        mut results: names::watch::NextResults,
    ) -> Result<(), Error> {
        let server = &self.server;
        if let Some(cursor) = self.cursor.get() {
            server.happened_since(cursor, false).await;
            let at = server.timers.now() + PACE;
            let _ = server.timers.before(at, server.happened_since(cursor, true)).await;
        }
        let directory = server.directory.borrow();
        let changes = directory.changes(server.timers.now(), self.cursor.get());
        self.cursor.set(Some(changes.cursor));
        write_changes(results.get(), &changes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::ledger::Ledger;

    fn holders(count: usize, with_key: bool) -> Vec<Holder> {
        let text = |number| format!("holder {number}");
        let holder = |number: usize| {
            if with_key { Holder::new(&text(number)) } else { Holder::without_key(&text(number)) }
        };
        (0..count).map(holder).collect()
    }

    #[test]
    fn readers_have_a_share_each_and_those_with_a_key_always_room() {
        let ledger = Ledger::new(1 << 20).service("names", 1 << 20, 1 << 20);
        let server = NameServer::new(Limits::default(), &Timers::new(), &ledger);
        let begin = |holder: &Holder| server.begin_watch(holder).is_ok();
        let strangers = holders(4, false);
        let begun = (0..100).filter(|_| begin(&strangers[0])).count();
        assert_eq!(begun, 64);
        for other in &strangers[1..3] {
            assert_eq!((0..100).filter(|_| begin(other)).count(), 64);
        }
        assert!(!begin(&strangers[3]));
        let with_keys = holders(100, true);
        let begun = with_keys.iter().filter(|holder| begin(holder)).count();
        assert_eq!(begun, 64);
        server.end_watch(&strangers[0]);
        assert!(begin(&strangers[3]) && !begin(&strangers[3]));
    }
}
