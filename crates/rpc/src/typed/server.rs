//! Server objects, and the handlers that answer calls to them.

use super::System;
use crate::exception::Exception;
use crate::payload::Payload;
use crate::table::{Key, Slab};
use crate::vat::{CallId, ObjectId};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::String;
use capnp::capability::{DispatchCallResult, Params, Promise, Results, Server};
use capnp::private::capability::{ClientHook, ParamsHook, PipelineHook, RequestHook, ResultsHook};
use capnp::private::layout::CapTable;
use capnp::traits::{Imbue, ImbueMut};
use capnp::{Error, any_pointer};
use core::cell::RefCell;
use core::task::{Context, Poll};

type Dispatch = dyn Fn(u64, u16, Box<dyn ParamsHook>, Box<dyn ResultsHook>) -> DispatchCallResult;

/// What answers calls.
#[derive(Clone)]
pub(super) enum Target {
    Served(Rc<Dispatch>),
    /// A client of another system.
    Foreign(Box<dyn ClientHook>),
}

impl Target {
    pub(super) fn served(server: impl Server + Clone + 'static) -> Self {
        Self::Served(Rc::new(move |interface, method, params, results| {
            let (params, results) = (Params::new(params), Results::new(results));
            server.clone().dispatch_call(interface, method, params, results)
        }))
    }

    fn dispatch(
        &self,
        call: &Incoming,
        params: Box<dyn ParamsHook>,
        results: Box<dyn ResultsHook>,
    ) -> DispatchCallResult {
        match self {
            Self::Served(dispatch) => dispatch(call.interface, call.method, params, results),
            Self::Foreign(hook) => {
                let promise = hook.call(call.interface, call.method, params, results);
                DispatchCallResult::new(promise, false)
            }
        }
    }
}

#[derive(Default)]
pub(super) struct Objects {
    objects: Slab<Object>,
}

struct Object {
    target: Target,
    /// Calls that wait for a streaming one to finish.
    waiting: VecDeque<Incoming>,
    streaming: bool,
    /// A streaming call failed: all later ones fail alike.
    failed: Option<Error>,
}

struct Incoming {
    call: CallId,
    interface: u64,
    method: u16,
    params: Payload,
}

impl Objects {
    pub(super) fn insert(&mut self, target: Target) -> ObjectId {
        let entry = Object { target, waiting: VecDeque::new(), streaming: false, failed: None };
        ObjectId(self.objects.insert(entry).to_bits())
    }

    /// Takes an object out; whoever gets it drops it where nothing is borrowed.
    pub(super) fn remove(&mut self, object: ObjectId) -> Option<impl Sized + use<>> {
        self.objects.remove(Key::from_bits(object.0))
    }

    fn get_mut(&mut self, object: ObjectId) -> Option<&mut Object> {
        self.objects.get_mut(Key::from_bits(object.0))
    }
}

/// A handler at work.
pub(super) struct Running {
    unanswered: Unanswered,
    promise: Promise<(), Error>,
    outcome: Option<Result<(), Error>>,
    results: Rc<RefCell<Option<Built>>>,
    object: ObjectId,
    streaming: bool,
}

/// Fails a call whose handler panicked.
struct Unanswered {
    system: System,
    call: CallId,
    answered: bool,
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        // A cancelled call is gone already, and this does nothing.
        if !self.answered
            && let Ok(mut vat) = self.system.shared.vat.try_borrow_mut()
        {
            vat.fail(self.call, Exception::failed("the handler panicked"));
        }
    }
}

/// Results as the handler left them.
struct Built {
    payload: Payload,
    table: CapTable,
}

impl Running {
    /// Whether the handler has finished.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        if self.outcome.is_none()
            && let Poll::Ready(outcome) = core::pin::Pin::new(&mut self.promise).poll(cx)
        {
            self.outcome = Some(outcome);
        }
        self.outcome.is_some()
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
        let incoming = Incoming { call, interface, method, params };
        let mut objects = self.shared.objects.borrow_mut();
        match objects.get_mut(object) {
            Some(entry) if entry.streaming => entry.waiting.push_back(incoming),
            Some(entry) => {
                let (target, failed) = (entry.target.clone(), entry.failed.clone());
                drop(objects);
                self.answer(object, &target, failed, incoming);
            }
            None => {
                drop(objects);
                self.refuse(incoming, Exception::failed("the object is gone"));
            }
        }
    }

    fn refuse(&self, incoming: Incoming, reason: Exception) {
        let mut vat = self.shared.vat.borrow_mut();
        vat.release_payload(incoming.params);
        vat.fail(incoming.call, reason);
    }

    fn answer(
        &self,
        object: ObjectId,
        target: &Target,
        failed: Option<Error>,
        mut incoming: Incoming,
    ) {
        if let Some(reason) = failed {
            self.refuse(incoming, reason.into());
            return;
        }
        let payload = core::mem::replace(&mut incoming.params, Payload::params(0));
        let caps = payload.caps().iter();
        // The references that came with the event become the clients'.
        let table = caps.map(|cap| cap.map(|cap| self.hook(cap))).collect();
        let params = Box::new(ReceivedParams { payload, table });
        let built = Rc::new(RefCell::new(None));
        let results = Box::new(ResultsBeingBuilt {
            system: self.clone(),
            call: incoming.call,
            payload: None,
            table: CapTable::new(),
            built: built.clone(),
        });
        let unanswered = Unanswered { system: self.clone(), call: incoming.call, answered: false };
        let DispatchCallResult { promise, is_streaming, .. } =
            target.dispatch(&incoming, params, results);
        let running = Running {
            unanswered,
            promise,
            outcome: None,
            results: built,
            object,
            streaming: is_streaming,
        };
        match self.shared.tasks.start(incoming.call, running) {
            Some(running) => self.finished(incoming.call, running),
            None if is_streaming => self.set_streaming(object, true),
            None => {}
        }
    }

    /// Runs the handlers that were woken; whether there were any.
    pub(super) fn run_ready(&self) -> bool {
        self.shared.tasks.poll_woken(|call, running| self.finished(call, running))
    }

    fn finished(&self, call: CallId, running: Running) {
        let Running { mut unanswered, outcome, results, object, streaming, promise } = running;
        unanswered.answered = true;
        drop(promise);
        match outcome {
            Some(Ok(())) => {
                let built = results.borrow_mut().take();
                let payload = match built {
                    Some(Built { mut payload, table }) => {
                        payload.caps = self.caps_of(&table);
                        drop(table);
                        payload
                    }
                    None => Payload::results(0),
                };
                self.shared.vat.borrow_mut().reply(call, payload);
            }
            Some(Err(error)) => {
                if streaming && let Some(entry) = self.shared.objects.borrow_mut().get_mut(object) {
                    entry.failed = Some(error.clone());
                }
                self.shared.vat.borrow_mut().fail(call, error.into());
            }
            None => {}
        }
        if streaming {
            self.set_streaming(object, false);
        }
    }

    /// Holds calls back while a streaming one is at work, or lets them through.
    fn set_streaming(&self, object: ObjectId, streaming: bool) {
        loop {
            let next = {
                let mut objects = self.shared.objects.borrow_mut();
                let Some(entry) = objects.get_mut(object) else {
                    return;
                };
                entry.streaming = streaming;
                if streaming {
                    return;
                }
                let next = entry.waiting.pop_front();
                next.map(|next| (entry.target.clone(), entry.failed.clone(), next))
            };
            let Some((target, failed, incoming)) = next else {
                return;
            };
            self.answer(object, &target, failed, incoming);
            let held = self.shared.objects.borrow_mut().get_mut(object).is_none_or(|o| o.streaming);
            if held {
                return;
            }
        }
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
