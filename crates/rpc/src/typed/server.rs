//! Received calls, and the handlers that answer them.

use super::System;
use crate::exception::Exception;
use crate::payload::Payload;
use crate::persistent_capnp::persistent;
use crate::vat::{CallId, ObjectId};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use capnp::capability::{DispatchCallResult, Params, Promise, Results, Server};
use capnp::private::capability::{ClientHook, ParamsHook, PipelineHook, RequestHook, ResultsHook};
use capnp::private::layout::CapTable;
use capnp::traits::{HasTypeId, Imbue, ImbueMut};
use capnp::{Error, any_pointer};
use core::cell::RefCell;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

type Dispatch = dyn Fn(u64, u16, Box<dyn ParamsHook>, Box<dyn ResultsHook>) -> DispatchCallResult;

/// What answers calls.
#[derive(Clone)]
pub(super) enum Target {
    Served(Rc<Dispatch>),
    /// A client: calls are passed on to it.
    Foreign(Box<dyn ClientHook>),
    /// What `inner` is, and `Persistent` besides.
    Persistent {
        inner: Rc<Self>,
        saving: Rc<Dispatch>,
    },
}

impl Target {
    pub(super) fn served(server: impl Server + Clone + 'static) -> Self {
        Self::Served(dispatching(server))
    }

    /// The same, which answers `Persistent` by `saving`.
    pub(super) fn persistent(self, saving: impl Server + Clone + 'static) -> Self {
        Self::Persistent { inner: Rc::new(self), saving: dispatching(saving) }
    }

    fn dispatch(
        &self,
        interface: u64,
        method: u16,
        params: Box<dyn ParamsHook>,
        results: Box<dyn ResultsHook>,
    ) -> DispatchCallResult {
        match self {
            Self::Served(dispatch) => dispatch(interface, method, params, results),
            Self::Foreign(hook) => {
                let promise = hook.call(interface, method, params, results);
                DispatchCallResult::new(promise, false)
            }
            Self::Persistent { saving, .. } if interface == persistent::Client::TYPE_ID => {
                saving(interface, method, params, results)
            }
            Self::Persistent { inner, .. } => inner.dispatch(interface, method, params, results),
        }
    }
}

fn dispatching(server: impl Server + Clone + 'static) -> Rc<Dispatch> {
    Rc::new(move |interface, method, params, results| {
        let (params, results) = (Params::new(params), Results::new(results));
        server.clone().dispatch_call(interface, method, params, results)
    })
}

/// A call that arrived, from then to its end. Whatever ends it drops it (its answer, a panic, the
/// caller that gives it up, the end of its connection), and so that is where it lets go of all that it
/// held: its parameters, its handler, and its object if it held back the calls behind it.
pub(super) struct Received {
    system: System,
    pub(super) call: CallId,
    pub(super) object: ObjectId,
    state: State,
    /// It is a streaming call at work: the object's other calls wait.
    holds: bool,
}

enum State {
    /// Not begun.
    Arrived(Arrived),
    /// Its handler is at work.
    Running { promise: Promise<(), Error>, results: Rc<RefCell<Option<Built>>>, streaming: bool },
    /// Its handler begins, or its answer is being made.
    Owed,
    /// Answered, or given up by who made it.
    Ended,
}

struct Arrived {
    interface: u64,
    method: u16,
    params: Payload,
}

/// Results as the handler left them.
struct Built {
    payload: Payload,
    table: CapTable,
}

impl Received {
    /// Polls the handler; how it ended. A panic of it is a failure.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Result<(), Error>> {
        let State::Running { promise, .. } = &mut self.state else { return None };
        let mut polled = Poll::Pending;
        let caught = self.system.catch(|| polled = poll_out(promise, cx));
        match (caught, polled) {
            (Err(panicked), _) => {
                // What a panic left of it may panic again.
                let _ = self.system.catch_drop(core::mem::replace(promise, Promise::ok(())));
                Some(Err(panicked.into()))
            }
            (Ok(()), Poll::Ready(outcome)) => Some(outcome),
            (Ok(()), Poll::Pending) => None,
        }
    }

    /// Begins it: runs its handler as far as that comes.
    fn begin(mut self, target: &Target) {
        let State::Arrived(Arrived { params, .. }) = &mut self.state else { return };
        // The references that came with the event become the clients', one by one: until then each is the call's, which
        // may end here for want of memory.
        let mut table = CapTable::with_capacity(params.caps.len());
        for cap in &mut params.caps {
            table.push(cap.take().map(|cap| self.system.hook(cap)));
        }
        let State::Arrived(arrived) = core::mem::replace(&mut self.state, State::Owed) else {
            return;
        };
        let Arrived { interface, method, params: payload } = arrived;
        let results = Rc::new(RefCell::new(None));
        let being_built = Box::new(ResultsBeingBuilt {
            system: self.system.clone(),
            call: self.call,
            payload: None,
            table: CapTable::new(),
            built: results.clone(),
        });
        let params = Box::new(ReceivedParams { payload, table });
        let mut dispatched = None;
        let mut polled = Poll::Pending;
        let caught = self.system.catch(|| {
            let begun = target.dispatch(interface, method, params, being_built);
            let begun = dispatched.insert(begun);
            // Most handlers never wait, so that no waker of their own is made before they do.
            polled = poll_out(&mut begun.promise, &mut Context::from_waker(Waker::noop()));
        });
        if let Some(DispatchCallResult { promise, is_streaming: streaming, .. }) = dispatched {
            self.state = State::Running { promise, results, streaming };
        }
        let system = self.system.clone();
        match (caught, polled) {
            (Err(panicked), _) => self.panicked(panicked),
            (Ok(()), Poll::Ready(outcome)) => self.finish(outcome),
            (Ok(()), Poll::Pending) => system.shared.tasks.start(self),
        }
    }

    /// Its handler waits: a streaming call holds back those behind it from now on.
    pub(super) fn waits(&mut self) {
        let State::Running { streaming: true, .. } = self.state else { return };
        if let Some(entry) = self.system.shared.objects.borrow_mut().get_mut(self.object) {
            entry.streaming = true;
            self.holds = true;
        }
    }

    /// Its handler ended like this: answers it.
    pub(super) fn finish(mut self, outcome: Result<(), Error>) {
        let state = core::mem::replace(&mut self.state, State::Owed);
        let State::Running { results, streaming, .. } = state else {
            self.state = State::Ended;
            return;
        };
        let system = self.system.clone();
        match outcome {
            Ok(()) => {
                let built = results.borrow_mut().take();
                let (payload, table) = match built {
                    Some(Built { payload, table }) => (payload, table),
                    None => (Payload::results(0), CapTable::new()),
                };
                self.answer(payload, table);
            }
            Err(error) => {
                if streaming
                    && let Some(entry) = system.shared.objects.borrow_mut().get_mut(self.object)
                {
                    entry.failed = Some(error.clone());
                }
                self.fail(error.into());
            }
        }
        self.state = State::Ended;
    }

    /// Answers it with results and the clients in them.
    fn answer(&self, mut payload: Payload, table: CapTable) {
        let vat = &self.system.shared.vat;
        if table.is_empty() && vat.borrow_mut().reply_alone(self.call, &mut payload) {
            return;
        }
        // References are taken last, when nothing can fail before they are the vat's.
        let mut payload = Rc::new(payload);
        if let Some(payload) = Rc::get_mut(&mut payload) {
            payload.caps = self.system.caps_of(&table);
        }
        drop(table);
        vat.borrow_mut().reply_shared(self.call, payload);
    }

    /// It panicked before it waited.
    fn panicked(mut self, reason: Exception) {
        match &mut self.state {
            State::Running { promise, .. } => {
                let _ = self.system.catch_drop(core::mem::replace(promise, Promise::ok(())));
                self.finish(Err(reason.into()));
            }
            State::Arrived(_) | State::Owed | State::Ended => {
                self.state = State::Ended;
                self.fail(reason);
            }
        }
    }

    fn fail(&self, reason: Exception) {
        // A call that was given up is gone already, and this does nothing.
        if let Ok(mut vat) = self.system.shared.vat.try_borrow_mut() {
            vat.fail(self.call, reason);
        }
    }

    fn refuse(mut self, reason: Exception) {
        if let State::Arrived(arrived) = core::mem::replace(&mut self.state, State::Ended) {
            self.system.shared.vat.borrow_mut().release_payload(arrived.params);
        }
        self.fail(reason);
    }
}

/// Polls a handler, and drops it when it ended, so that it lets go of the results.
fn poll_out(promise: &mut Promise<(), Error>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
    let polled = Pin::new(&mut *promise).poll(cx);
    if polled.is_ready() {
        *promise = Promise::ok(());
    }
    polled
}

impl Drop for Received {
    fn drop(&mut self) {
        match core::mem::replace(&mut self.state, State::Ended) {
            State::Arrived(arrived) => {
                for cap in arrived.params.caps.into_iter().flatten() {
                    self.system.release(cap);
                }
                self.fail(Exception::failed("the call was given up"));
            }
            State::Running { promise, .. } => {
                // A panic here has nobody to be told: the call is over.
                let _ = self.system.catch_drop(promise);
                self.fail(Exception::failed("the handler was given up"));
            }
            State::Owed => self.fail(Exception::failed("too little memory is left")),
            State::Ended => {}
        }
        if self.holds {
            self.system.shared.unblocked.borrow_mut().push(self.object);
            self.system.signal_later();
        }
    }
}

/// Fails a call that nobody answered, when it is dropped.
pub(super) struct Unanswered {
    pub(super) system: System,
    pub(super) call: CallId,
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Ok(mut vat) = self.system.shared.vat.try_borrow_mut() {
            vat.fail(self.call, Exception::failed("nobody answered"));
        }
    }
}

impl System {
    /// A call arrived for an object.
    pub(super) fn receive(
        &self,
        call: CallId,
        object: ObjectId,
        interface: u64,
        method: u16,
        params: Payload,
    ) {
        let state = State::Arrived(Arrived { interface, method, params });
        let received = Received { system: self.clone(), call, object, state, holds: false };
        let origin = self.shared.vat.borrow().origin(call);
        if let Some(from) = origin {
            let ready = {
                let objects = self.shared.objects.borrow();
                let stopped =
                    from.is_some_and(|(conn, backed_up)| backed_up || objects.has_stopped(conn));
                if stopped { None } else { objects.ready(object) }
            };
            if let Some(target) = ready {
                return received.begin(&target);
            }
        }
        let admitted = match origin {
            // It may have been given up before it could begin.
            None => return,
            Some(None) => self.shared.objects.borrow_mut().admit(received),
            Some(Some((conn, backed_up))) => {
                self.shared.objects.borrow_mut().admit_from(received, conn, backed_up)
            }
        };
        if let Some(received) = admitted {
            self.begin(received);
        }
    }

    /// Nobody wants the answer of a call any more, whether or not it has begun.
    pub(super) fn cancelled(&self, call: CallId) {
        let running = self.shared.tasks.remove(call);
        let withdrawn = match running {
            None => self.shared.objects.borrow_mut().withdraw(call),
            Some(_) => None,
        };
        let object = withdrawn.as_ref().map(|withdrawn| withdrawn.object);
        drop((running, withdrawn));
        if let Some(object) = object {
            self.drop_released(object);
        }
    }

    /// Begins calls of connections whose peers have read; whether there were any.
    pub(super) fn run_drained(&self) -> bool {
        let drained = self.shared.drained.take();
        let any = !drained.is_empty();
        for conn in drained {
            while !self.shared.vat.borrow().is_backed_up(conn) {
                let next = self.shared.objects.borrow_mut().next_stopped(conn);
                let Some(next) = next else { break };
                let object = next.object;
                let admitted = self.shared.objects.borrow_mut().admit(next);
                if let Some(next) = admitted {
                    self.begin(next);
                }
                self.drop_released(object);
            }
        }
        any
    }

    /// Drops an object that nobody has any more, if no call waits for it.
    fn drop_released(&self, object: ObjectId) {
        let released = self.shared.objects.borrow_mut().remove_released(object);
        if released.is_some() {
            let _ = self.catch_drop(released);
        }
    }

    fn begin(&self, received: Received) {
        let target = {
            let mut objects = self.shared.objects.borrow_mut();
            match objects.get_mut(received.object) {
                Some(entry) => match &entry.failed {
                    Some(reason) => Err(reason.clone().into()),
                    None => Ok(entry.target.clone()),
                },
                None => Err(Exception::failed("the object is gone")),
            }
        };
        match target {
            Ok(target) => received.begin(&target),
            Err(reason) => received.refuse(reason),
        }
    }

    /// Lets calls through at objects where a streaming one ended; whether there were any.
    pub(super) fn run_unblocked(&self) -> bool {
        let unblocked = self.shared.unblocked.take();
        let any = !unblocked.is_empty();
        for object in unblocked {
            if let Some(entry) = self.shared.objects.borrow_mut().get_mut(object) {
                entry.streaming = false;
            }
            loop {
                let next = self.shared.objects.borrow_mut().next(object);
                let Some(next) = next else { break };
                self.begin(next);
            }
            self.drop_released(object);
        }
        any
    }
}

struct ReceivedParams {
    payload: Payload,
    table: CapTable,
}

impl ParamsHook for ReceivedParams {
    fn get(&self) -> capnp::Result<any_pointer::Reader<'_>> {
        let mut content = self.payload.content()?;
        content.imbue(&self.table);
        Ok(content)
    }
}

struct ResultsBeingBuilt {
    system: System,
    call: CallId,
    payload: Option<Payload>,
    table: CapTable,
    built: Rc<RefCell<Option<Built>>>,
}

impl Drop for ResultsBeingBuilt {
    fn drop(&mut self) {
        if let Some(payload) = self.payload.take() {
            let table = core::mem::take(&mut self.table);
            *self.built.borrow_mut() = Some(Built { payload, table });
        }
    }
}

impl ResultsHook for ResultsBeingBuilt {
    fn get(&mut self) -> capnp::Result<any_pointer::Builder<'_>> {
        /// Room for small results; more is added as they grow.
        const RESULT_WORDS: u32 = 32;
        let payload = self.payload.get_or_insert_with(|| Payload::results(RESULT_WORDS));
        let mut content = payload.content_mut()?;
        content.imbue_mut(&mut self.table);
        Ok(content)
    }

    /// Lets pipelined calls go to the capabilities written so far; without this they wait until
    /// the handler returns.
    fn set_pipeline(&mut self) -> capnp::Result<()> {
        let Some(payload) = &self.payload else {
            return Ok(());
        };
        let mut early = Payload::results(payload.size_hint());
        let mut table = CapTable::new();
        let mut from = payload.content()?;
        from.imbue(&self.table);
        let mut to = early.content_mut()?;
        to.imbue_mut(&mut table);
        to.set_as(from)?;
        early.caps = self.system.caps_of(&table);
        self.system.shared.vat.borrow_mut().set_pipeline(self.call, early);
        Ok(())
    }

    /// Handlers can always be cancelled; see [`System::detach`].
    fn allow_cancellation(&self) {}

    fn tail_call(self: Box<Self>, request: Box<dyn RequestHook>) -> Promise<(), Error> {
        self.direct_tail_call(request).0
    }

    fn direct_tail_call(
        mut self: Box<Self>,
        request: Box<dyn RequestHook>,
    ) -> (Promise<(), Error>, Box<dyn PipelineHook>) {
        if request.get_brand() == self.system.brand() {
            self.system.shared.tail_of.set(Some(self.call));
            let sent = request.tail_send();
            self.system.shared.tail_of.set(None);
            if let Some((_, promise, pipeline)) = sent {
                return (promise, pipeline);
            }
            let error = Error::failed(String::from("the tail call was not sent"));
            return (Promise::err(error), self.system.no_pipeline());
        }
        // Another system's request: its results are copied when they come.
        let sent = request.send();
        let copied = Promise::from_future(async move {
            let response = sent.promise.await?;
            self.get()?.set_as(response.get()?)
        });
        (copied, sent.pipeline.hook)
    }
}
