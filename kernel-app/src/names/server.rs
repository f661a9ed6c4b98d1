//! Name server: a directory as an object, which holders and readers call. The schema is `schema/appliance.capnp`.

use super::wire::{milliseconds, read_label, read_service, write_changes};
use crate::appliance_capnp::names;
use ::names::{Cursor, Directory, Holder, Limits};
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

/// What this appliance keeps for others.
pub(crate) struct NameServer {
    directory: RefCell<Directory>,
    timers: Timers,
    /// Weighs what holders make it keep.
    account: Account,
    watches: Cell<usize>,
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
            watches: Cell::new(0),
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
            let registered = read_service(service).map_err(|error| error.to_string());
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
        let server = &self.server;
        if server.watches.get() == WATCHES_MAX {
            return Err(Error::overloaded(
                "this name server has as many readers as it takes".into(),
            ));
        }
        server.watches.set(server.watches.get() + 1);
        let watch = Watch { server: server.clone(), cursor: Cell::new(None) };
        results.get().set_watch(self.rpc.client(watch));
        Ok(())
    }
}

/// What one reader has been told of.
struct Watch {
    server: Rc<NameServer>,
    cursor: Cell<Option<Cursor>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let watches = &self.server.watches;
        watches.set(watches.get() - 1);
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
