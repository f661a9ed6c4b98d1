//! Typed layer, where the engine meets generated code: clients and servers of the `capnp` crate on a
//! shared [`Vat`], and the futures of calls and handlers.
//!
//! Nothing here runs by itself. A driver gives bytes to [`System::handle_input`], takes bytes from
//! [`System::poll_transmit`] and polls [`System::poll_run`], which runs the handlers.

mod client;
mod grants;
mod objects;
mod promise;
mod restorer;
mod server;
mod stream;
mod tasks;

use crate::connection::TableSizes;
use crate::exception::Exception;
use crate::limits::Limits;
use crate::payload::Payload;
use crate::stream::Encoding;
use crate::table::{Beside, Key};
use crate::vat::{CallId, Cap, ConnId, Event, ObjectId, Vat};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use capnp::capability::{FromClientHook, FromServer};
use capnp::private::capability::ClientHook;
use capnp::private::layout::CapTable;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

pub use grants::Grants;
pub use promise::Resolver;
pub use restorer::{Restorer, ServiceTable};

use client::CapClient;
use objects::Objects;
use server::Target;
use stream::Streams;
use tasks::Tasks;

/// A vat shared by typed clients, servers and connections. Clones are the same vat.
#[derive(Clone)]
pub struct System {
    shared: Rc<Shared>,
}

/// Runs the closure and says whether it panicked, with the panic's message: `core` cannot catch.
type Catch = dyn Fn(&mut dyn FnMut()) -> Result<(), String>;

/// Batches of woken handlers that run before others have their turn.
const BATCHES_MAX: usize = 32;

pub(crate) struct Shared {
    vat: RefCell<Vat>,
    catch: Option<Box<Catch>>,
    objects: RefCell<Objects>,
    /// Objects at which a streaming call ended.
    unblocked: RefCell<Vec<ObjectId>>,
    /// Connections whose peers have read, so that their calls may begin.
    drained: RefCell<Vec<ConnId>>,
    tasks: Tasks,
    streams: RefCell<Streams>,
    /// Who waits for a call to return.
    returns: RefCell<Beside<Waker>>,
    /// Who waits for a promise to resolve.
    resolves: RefCell<Beside<Vec<Waker>>>,
    /// Whose connection has bytes to send.
    outputs: RefCell<Beside<Waker>>,
    /// References given up while the vat was in use.
    released: RefCell<Vec<Cap>>,
    /// The received call that the request being sent is to answer.
    tail_of: Cell<Option<CallId>>,
    pumping: Cell<bool>,
    restorer: RefCell<Option<Rc<dyn Restorer>>>,
}

impl System {
    /// A vat without objects or connections, each of whose connections will have `limits`.
    pub fn new(limits: Limits) -> Self {
        Self::build(limits, None)
    }

    /// As [`new`](Self::new), where a handler's panic fails its call only. `catch` runs a closure and
    /// says whether it panicked, with the message: what the platform has for that.
    pub fn catching(
        limits: Limits,
        catch: impl Fn(&mut dyn FnMut()) -> Result<(), String> + 'static,
    ) -> Self {
        Self::build(limits, Some(Box::new(catch)))
    }

    fn build(limits: Limits, catch: Option<Box<Catch>>) -> Self {
        Self {
            shared: Rc::new(Shared {
                vat: RefCell::new(Vat::new(limits)),
                catch,
                objects: RefCell::default(),
                unblocked: RefCell::default(),
                drained: RefCell::default(),
                tasks: Tasks::default(),
                streams: RefCell::default(),
                returns: RefCell::default(),
                resolves: RefCell::default(),
                outputs: RefCell::default(),
                released: RefCell::default(),
                tail_of: Cell::new(None),
                pumping: Cell::new(false),
                restorer: RefCell::new(None),
            }),
        }
    }

    /// A client of a server that lives here.
    pub fn client<C, S>(&self, server: S) -> C
    where
        C: FromServer<S>,
    {
        self.client_of(Rc::new(server))
    }

    /// A client of a server that is shared with others here.
    pub fn client_of<C, S>(&self, server: Rc<S>) -> C
    where
        C: FromServer<S>,
    {
        let dispatch = C::from_server(server);
        let target = Target::served(dispatch);
        let object = self.shared.objects.borrow_mut().insert(target);
        let cap = self.shared.vat.borrow_mut().object(object);
        C::new(self.hook(cap))
    }

    /// A client that stands for another until its [`Resolver`] says which.
    pub fn promise<C: FromClientHook>(&self) -> (C, Resolver<C>) {
        let cap = {
            let mut vat = self.shared.vat.borrow_mut();
            let cap = vat.promise();
            vat.retain(cap)
        };
        (C::new(self.hook(cap)), Resolver::new(self.clone(), cap))
    }

    /// A client on which every call fails.
    pub fn broken<C: FromClientHook>(&self, reason: Exception) -> C {
        let cap = self.shared.vat.borrow_mut().broken(reason);
        C::new(self.hook(cap))
    }

    /// Why every call on a client fails, if it does: its connection ended, or its promise was broken.
    pub fn broken_by(&self, client: &dyn ClientHook) -> Option<Exception> {
        if client.get_brand() != self.brand() {
            return None;
        }
        let cap = Cap(Key::from_bits(client.get_ptr() as u64));
        self.shared.vat.borrow_mut().broken_by(cap)
    }

    /// A new connection, whose peer gets `offered` when it asks for the bootstrap capability.
    pub fn connect(&self, offered: Option<Box<dyn ClientHook>>) -> ConnId {
        self.connect_as(offered, Encoding::Plain)
    }

    /// As [`connect`](Self::connect), where both ends agreed on an encoding.
    pub fn connect_as(&self, offered: Option<Box<dyn ClientHook>>, encoding: Encoding) -> ConnId {
        let offered = offered.map(|hook| self.cap_of(&*hook));
        self.shared.vat.borrow_mut().connect_as(offered, encoding)
    }

    /// The peer's bootstrap capability. Calls can be made at once.
    pub fn bootstrap<C: FromClientHook>(&self, conn: ConnId) -> C {
        let cap = self.shared.vat.borrow_mut().bootstrap(conn);
        self.signal();
        C::new(self.hook(cap))
    }

    /// Takes bytes from the peer and runs what they set off; how many, see [`Vat::handle_input`].
    #[must_use]
    pub fn handle_input(&self, now: Duration, conn: ConnId, bytes: &[u8]) -> usize {
        let taken = self.shared.vat.borrow_mut().handle_input(now, conn, bytes);
        self.pump();
        taken
    }

    /// As [`handle_input`](Self::handle_input); what the bytes set off runs at the next
    /// [`poll_run`](Self::poll_run). For a transport whose buffers are borrowed meanwhile: handlers may look at it.
    #[must_use]
    pub fn take_input(&self, now: Duration, conn: ConnId, bytes: &[u8]) -> usize {
        self.shared.vat.borrow_mut().handle_input(now, conn, bytes)
    }

    /// See [`Vat::wants_input`].
    pub fn wants_input(&self, conn: ConnId) -> bool {
        self.shared.vat.borrow().wants_input(conn)
    }

    /// As [`wants_input`](Self::wants_input); if not, `cx` is woken when it is again.
    pub fn poll_wants_input(&self, conn: ConnId, cx: &mut Context<'_>) -> bool {
        let wants = self.wants_input(conn);
        if !wants {
            self.watch(conn, cx);
        }
        wants
    }

    /// See [`Vat::needs_input`].
    pub fn needs_input(&self, conn: ConnId) -> bool {
        self.shared.vat.borrow().needs_input(conn)
    }

    /// See [`Vat::refuse_calls`].
    pub fn refuse_calls(&self, conn: ConnId, refuse: bool) {
        self.shared.vat.borrow_mut().refuse_calls(conn, refuse);
        self.signal();
    }

    /// See [`Vat::held_bytes`].
    pub fn held_bytes(&self, conn: ConnId) -> usize {
        self.shared.vat.borrow().held_bytes(conn)
    }

    /// See [`Vat::poll_transmit`].
    pub fn poll_transmit(&self, now: Duration, conn: ConnId, buffer: &mut [u8]) -> usize {
        let count = self.shared.vat.borrow_mut().poll_transmit(now, conn, buffer);
        self.transmitted(conn);
        count
    }

    /// See [`Vat::transmit_with`]; `write` must not use this system.
    pub fn transmit_with(
        &self,
        now: Duration,
        conn: ConnId,
        write: impl FnOnce(&[u8]) -> usize,
    ) -> usize {
        let count = self.shared.vat.borrow_mut().transmit_with(now, conn, write);
        self.transmitted(conn);
        count
    }

    fn transmitted(&self, conn: ConnId) {
        if self.shared.objects.borrow().has_stopped(conn) {
            self.shared.drained.borrow_mut().push(conn);
        }
    }

    /// Whether there are bytes to send; if not, `cx` is woken once there are, or once the
    /// connection ends.
    pub fn has_output(&self, conn: ConnId, cx: &mut Context<'_>) -> bool {
        let has_output = self.shared.vat.borrow().has_output(conn);
        if !has_output {
            self.watch(conn, cx);
        }
        has_output
    }

    /// Has `cx` woken when something is to be done for a connection.
    fn watch(&self, conn: ConnId, cx: &mut Context<'_>) {
        let mut outputs = self.shared.outputs.borrow_mut();
        match outputs.get_mut(conn.0) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => outputs.insert(conn.0, cx.waker().clone()),
        }
    }

    /// See [`Vat::next_deadline`].
    pub fn next_deadline(&self, now: Duration, conn: ConnId) -> Option<Duration> {
        self.shared.vat.borrow_mut().next_deadline(now, conn)
    }

    /// See [`Vat::peer_took`].
    pub fn peer_took(&self, now: Duration, conn: ConnId, count: usize) {
        self.shared.vat.borrow_mut().peer_took(now, conn, count);
    }

    /// See [`Vat::handle_timeout`].
    pub fn handle_timeout(&self, now: Duration, conn: ConnId) {
        self.shared.vat.borrow_mut().handle_timeout(now, conn);
        self.pump();
    }

    /// The transport ended.
    pub fn handle_end(&self, conn: ConnId) {
        self.shared.vat.borrow_mut().handle_end(conn);
        self.pump();
    }

    /// The transport broke.
    pub fn handle_loss(&self, conn: ConnId, reason: Exception) {
        self.shared.vat.borrow_mut().handle_loss(conn, reason);
        self.pump();
    }

    /// Why the connection ended, once it has.
    pub fn closed_by(&self, conn: ConnId) -> Option<Exception> {
        self.shared.vat.borrow().closed_by(conn).cloned()
    }

    /// Ends a connection, telling the peer why.
    pub fn close(&self, conn: ConnId, reason: Exception) {
        self.shared.vat.borrow_mut().close(conn, reason);
        self.signal();
    }

    /// Whether the connection has ended. Bytes may be left to send.
    pub fn is_closed(&self, conn: ConnId) -> bool {
        self.shared.vat.borrow().is_closed(conn)
    }

    /// Forgets a connection, ending it if need be.
    pub fn forget(&self, conn: ConnId) {
        self.shared.vat.borrow_mut().forget(conn);
        self.shared.outputs.borrow_mut().remove(conn.0);
        self.pump();
    }

    /// How full the tables of a connection are.
    pub fn table_sizes(&self, conn: ConnId) -> TableSizes {
        self.shared.vat.borrow().table_sizes(conn)
    }

    /// How full the tables of all connections are together.
    pub fn all_table_sizes(&self) -> TableSizes {
        self.shared.vat.borrow().all_table_sizes()
    }

    /// Nodes and calls alive, see [`Vat::live`].
    pub fn live(&self) -> (usize, usize) {
        self.shared.vat.borrow().live()
    }

    /// Runs a future of the application's along with the handlers, to its end: what a handler does
    /// here goes on when its call is cancelled.
    pub fn detach(&self, future: impl Future<Output = ()> + 'static) {
        self.shared.tasks.detach(future);
    }

    /// Runs all handlers that can run, and has `cx` woken when more can: for whoever runs them for
    /// all. The last to call is the one that is woken.
    pub fn poll_run(&self, cx: &mut Context<'_>) {
        self.shared.tasks.set_runner(cx.waker());
        self.pump();
    }

    /// Runs all handlers that can run. What is woken later is for whoever called
    /// [`poll_run`](Self::poll_run). The caller looks after `conn` next, whose task is not woken for it.
    pub fn run_now(&self, conn: ConnId) {
        self.pump_beside(Some(conn));
    }

    /// Runs handlers as long as there is a handle of the system beside.
    pub fn run(&self) -> impl Future<Output = ()> + 'static {
        let shared = Rc::downgrade(&self.shared);
        poll_fn(move |cx| match shared.upgrade() {
            Some(shared) => {
                Self { shared }.poll_run(cx);
                Poll::Pending
            }
            None => Poll::Ready(()),
        })
    }

    /// Runs what can run now. A handler that calls in here only leaves more for this loop.
    fn pump(&self) {
        self.pump_beside(None);
    }

    /// As [`pump`](Self::pump), by the task of a connection, if by any.
    fn pump_beside(&self, driven: Option<ConnId>) {
        if self.is_at_rest() || self.shared.pumping.replace(true) {
            return;
        }
        // A handler's panic must not stop everything for good.
        let _reset = Reset(&self.shared.pumping);
        let mut batches = 0;
        loop {
            self.release_deferred();
            let event = self.shared.vat.borrow_mut().poll_event();
            match event {
                Some(event) => self.handle_event(event),
                None if self.run_unblocked() || self.run_drained() => {}
                // A handler that keeps waking itself does not keep others from their work.
                None if batches == BATCHES_MAX => {
                    self.shared.tasks.wake_runner();
                    break;
                }
                None if self.shared.tasks.poll_woken(self) => batches += 1,
                None => break,
            }
        }
        self.wake_outputs(driven);
    }

    /// Whether there is nothing to run and nobody to wake.
    fn is_at_rest(&self) -> bool {
        let Shared { vat, unblocked, drained, released, tasks, .. } = &*self.shared;
        vat.borrow().is_at_rest()
            && unblocked.borrow().is_empty()
            && drained.borrow().is_empty()
            && released.borrow().is_empty()
            && tasks.are_asleep()
    }

    /// Runs code of the application's; an exception for the caller if it panicked.
    fn catch(&self, body: impl FnOnce()) -> Result<(), Exception> {
        let Some(catch) = &self.shared.catch else {
            body();
            return Ok(());
        };
        let mut body = Some(body);
        let caught = catch(&mut || {
            if let Some(body) = body.take() {
                body();
            }
        });
        caught.map_err(|_| Exception::failed("the handler panicked"))
    }

    /// Drops what may have destructors of the application's.
    fn catch_drop<T>(&self, value: T) -> Result<(), Exception> {
        if core::mem::needs_drop::<T>() { self.catch(|| drop(value)) } else { Ok(()) }
    }

    fn handle_event(&self, event: Event) {
        match event {
            Event::Call { call, object, interface, method, params } => {
                self.receive(call, object, interface, method, params);
            }
            Event::Restore { call, service } => self.restore_for(call, &service),
            Event::Cancelled(call) => self.cancelled(call),
            Event::Returned(call) => self.returned(call),
            Event::Resolved(cap) => {
                let waiting = self.shared.resolves.borrow_mut().remove(cap.0);
                waiting.into_iter().flatten().for_each(Waker::wake);
            }
            Event::Released(object) => {
                let released = self.shared.objects.borrow_mut().release(object);
                let _ = self.catch_drop(released);
            }
            Event::Disconnected { conn, .. } => {
                let waker = self.shared.outputs.borrow_mut().remove(conn.0);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
        }
    }

    fn returned(&self, call: CallId) {
        let waker = self.shared.returns.borrow_mut().remove(call.0);
        match waker {
            Some(waker) => waker.wake(),
            None => self.stream_returned(call),
        }
    }

    fn release_deferred(&self) {
        if !self.shared.released.borrow().is_empty() {
            let released = self.shared.released.take();
            let mut vat = self.shared.vat.borrow_mut();
            for cap in released {
                vat.release(cap);
            }
        }
    }

    /// Something happened outside of [`pump`](Self::pump): wakes whoever must act on it.
    fn signal(&self) {
        if !self.shared.pumping.get() {
            self.shared.tasks.wake_runner();
            self.wake_outputs(None);
        }
    }

    /// Wakes the tasks of connections for which there is something to do, but for the one that is at it.
    fn wake_outputs(&self, driven: Option<ConnId>) {
        loop {
            let conn = self.shared.vat.borrow_mut().take_transmittable();
            let Some(conn) = conn else {
                return;
            };
            if driven == Some(conn) {
                continue;
            }
            if let Some(waker) = self.shared.outputs.borrow().get(conn.0) {
                waker.wake_by_ref();
            }
        }
    }

    /// A client for a reference, which it owns.
    fn hook(&self, cap: Cap) -> Box<dyn ClientHook> {
        Box::new(CapClient::new(self.clone(), cap))
    }

    fn brand(&self) -> usize {
        Rc::as_ptr(&self.shared) as usize
    }

    /// A new reference to what a client stands for. A client of another system becomes an object
    /// here that passes calls on.
    fn cap_of(&self, hook: &dyn ClientHook) -> Cap {
        if hook.get_brand() == self.brand() {
            let cap = Cap(Key::from_bits(hook.get_ptr() as u64));
            return self.shared.vat.borrow_mut().retain(cap);
        }
        let object = self.shared.objects.borrow_mut().insert(Target::Foreign(hook.add_ref()));
        self.shared.vat.borrow_mut().object(object)
    }

    fn caps_of(&self, table: &CapTable) -> Vec<Option<Cap>> {
        table.iter().map(|hook| hook.as_ref().map(|hook| self.cap_of(&**hook))).collect()
    }

    /// Clients for the capabilities in a payload.
    fn clients_of(&self, payload: &Payload) -> CapTable {
        let caps = payload.caps().iter();
        caps.map(|cap| cap.map(|cap| self.hook(self.shared.vat.borrow_mut().retain(cap)))).collect()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Whoever ran handlers has none left to run.
        self.tasks.wake_runner();
    }
}

struct Reset<'a>(&'a Cell<bool>);

impl Drop for Reset<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}
