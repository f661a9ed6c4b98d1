//! Client hooks: clients, requests, responses and pipelines, the `capnp` crate's hooks on the vat.

use super::{Shared, System};
use crate::exception::Exception;
use crate::payload::Payload;
use crate::vat::{CallId, Cap};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use capnp::capability::{Promise, RemotePromise, Request, Response};
use capnp::private::capability::{
    ClientHook, ParamsHook, PipelineHook, PipelineOp, RequestHook, ResponseHook, ResultsHook,
};
use capnp::private::layout::CapTable;
use capnp::traits::{Imbue, ImbueMut};
use capnp::{Error, MessageSize, any_pointer};
use core::future::poll_fn;
use core::task::{Context, Poll};

/// A client of a capability of the vat; owns one reference.
pub(super) struct CapClient {
    system: System,
    cap: Cap,
}

impl CapClient {
    pub(super) fn new(system: System, cap: Cap) -> Self {
        Self { system, cap }
    }

    pub(super) fn cap(&self) -> Cap {
        self.cap
    }

    fn client_of(&self, cap: Cap) -> Box<dyn ClientHook> {
        let cap = self.system.shared.vat.borrow_mut().retain(cap);
        self.system.hook(cap)
    }
}

impl Drop for CapClient {
    fn drop(&mut self) {
        self.system.release(self.cap);
    }
}

impl System {
    /// Gives up a reference, at once if the vat is not in use just now.
    pub(super) fn release(&self, cap: Cap) {
        match self.shared.vat.try_borrow_mut() {
            Ok(mut vat) => vat.release(cap),
            Err(_) => self.shared.released.borrow_mut().push(cap),
        }
        self.signal_later();
    }

    /// As [`signal`](System::signal), where the vat may be in use.
    pub(super) fn signal_later(&self) {
        if !self.shared.pumping.get() && self.shared.vat.try_borrow_mut().is_ok() {
            self.signal();
        }
    }

    /// Ready with what `cap` resolved to, once it is no promise as such any more.
    pub(super) async fn more_resolved(&self, cap: Cap) -> Box<dyn ClientHook> {
        poll_fn(|cx| self.poll_resolved(cap, cx)).await;
        let resolved = {
            let mut vat = self.shared.vat.borrow_mut();
            let resolved = vat.resolved(cap);
            vat.retain(resolved)
        };
        self.hook(resolved)
    }

    fn poll_resolved(&self, cap: Cap, cx: &mut Context<'_>) -> Poll<()> {
        let mut vat = self.shared.vat.borrow_mut();
        if vat.resolved(cap) != cap || !vat.is_promise(cap) {
            return Poll::Ready(());
        }
        vat.watch(cap);
        let mut resolves = self.shared.resolves.borrow_mut();
        match resolves.get_mut(cap.0) {
            Some(waiting) => waiting.push(cx.waker().clone()),
            None => resolves.insert(cap.0, [cx.waker().clone()].into()),
        }
        Poll::Pending
    }

    pub(super) fn no_pipeline(&self) -> Box<dyn PipelineHook> {
        Box::new(Pipeline { call: None, system: self.clone() })
    }
}

impl ClientHook for CapClient {
    fn add_ref(&self) -> Box<dyn ClientHook> {
        self.client_of(self.cap)
    }

    fn new_call(
        &self,
        interface_id: u64,
        method_id: u16,
        size_hint: Option<MessageSize>,
    ) -> Request<any_pointer::Owned, any_pointer::Owned> {
        /// Room for small parameters; more is added as they grow.
        const PARAM_WORDS: u32 = 32;
        let words = size_hint
            .map_or(PARAM_WORDS, |size| u32::try_from(size.word_count).unwrap_or(u32::MAX));
        let cap = self.system.shared.vat.borrow_mut().retain(self.cap);
        Request::new(Box::new(CapRequest {
            target: Self::new(self.system.clone(), cap),
            interface: interface_id,
            method: method_id,
            payload: Payload::params(words),
            table: CapTable::new(),
        }))
    }

    fn call(
        &self,
        interface_id: u64,
        method_id: u16,
        params: Box<dyn ParamsHook>,
        mut results: Box<dyn ResultsHook>,
    ) -> Promise<(), Error> {
        let mut request = self.new_call(interface_id, method_id, None);
        let copied = params.get().and_then(|params| request.hook.get().set_as(params));
        if let Err(error) = copied {
            return Promise::err(error);
        }
        drop(params);
        let sent = request.hook.send();
        Promise::from_future(async move {
            let response = sent.promise.await?;
            results.get()?.set_as(response.get()?)
        })
    }

    fn get_brand(&self) -> usize {
        self.system.brand()
    }

    fn get_ptr(&self) -> usize {
        self.cap.0.to_bits() as usize
    }

    fn get_resolved(&self) -> Option<Box<dyn ClientHook>> {
        let resolved = self.system.shared.vat.borrow_mut().resolved(self.cap);
        (resolved != self.cap).then(|| self.client_of(resolved))
    }

    fn when_more_resolved(&self) -> Option<Promise<Box<dyn ClientHook>, Error>> {
        let mut vat = self.system.shared.vat.borrow_mut();
        if vat.resolved(self.cap) == self.cap && !vat.is_promise(self.cap) {
            return None;
        }
        let held = Self::new(self.system.clone(), vat.retain(self.cap));
        drop(vat);
        Some(Promise::from_future(async move { Ok(held.system.more_resolved(held.cap).await) }))
    }

    fn when_resolved(&self) -> Promise<(), Error> {
        let cap = self.system.shared.vat.borrow_mut().retain(self.cap);
        let mut held = Self::new(self.system.clone(), cap);
        Promise::from_future(async move {
            loop {
                if let Some(reason) = held.system.shared.vat.borrow_mut().broken_by(held.cap) {
                    return Err(reason.into());
                }
                let resolved = held.system.shared.vat.borrow_mut().resolved(held.cap);
                if !held.system.shared.vat.borrow_mut().is_promise(resolved) {
                    return Ok(());
                }
                let next = held.system.shared.vat.borrow_mut().retain(resolved);
                held = Self::new(held.system.clone(), next);
                drop(held.system.more_resolved(held.cap).await);
            }
        })
    }
}

struct CapRequest {
    target: CapClient,
    interface: u64,
    method: u16,
    payload: Payload,
    table: CapTable,
}

impl CapRequest {
    /// The payload with its table filled in, and its size in bytes.
    fn finished(&mut self) -> (Payload, usize) {
        let mut payload = core::mem::replace(&mut self.payload, Payload::params(0));
        payload.caps = self.target.system.caps_of(&self.table);
        self.table.clear();
        let bytes = payload.bytes();
        (payload, bytes)
    }

    fn start(&mut self) -> (CallId, usize) {
        let (payload, bytes) = self.finished();
        let mut vat = self.target.system.shared.vat.borrow_mut();
        let call = vat.call(self.target.cap, self.interface, self.method, payload);
        drop(vat);
        self.target.system.signal();
        (call, bytes)
    }
}

impl RequestHook for CapRequest {
    fn get(&mut self) -> any_pointer::Builder<'_> {
        let mut content = self.payload.content_mut().expect("parameters that were built here");
        content.imbue_mut(&mut self.table);
        content
    }

    fn get_brand(&self) -> usize {
        self.target.system.brand()
    }

    fn send(mut self: Box<Self>) -> RemotePromise<any_pointer::Owned> {
        let (id, _) = self.start();
        let system = self.target.system.clone();
        let call = Rc::new(OwnedCall { system: system.clone(), id });
        let pipeline = Pipeline { call: Some(call.clone()), system };
        RemotePromise {
            promise: Promise::from_future(async move {
                poll_fn(|cx| call.poll_response(cx)).await.map(Response::new)
            }),
            pipeline: any_pointer::Pipeline::new(Box::new(pipeline)),
        }
    }

    fn send_streaming(mut self: Box<Self>) -> Promise<(), Error> {
        let (cap, system) = (self.target.cap, self.target.system.clone());
        if let Some(error) = system.stream_error(cap) {
            return Promise::err(error);
        }
        let (call, bytes) = self.start();
        system.stream_sent(self.target, call, bytes)
    }

    fn tail_send(mut self: Box<Self>) -> Option<(u32, Promise<(), Error>, Box<dyn PipelineHook>)> {
        let system = self.target.system.clone();
        let call = system.shared.tail_of.take()?;
        let (payload, _) = self.finished();
        let mut vat = system.shared.vat.borrow_mut();
        vat.tail_call(call, self.target.cap, self.interface, self.method, payload);
        drop(vat);
        system.signal();
        Some((0, Promise::ok(()), system.no_pipeline()))
    }
}

/// A call made; released when neither its result nor its pipeline is wanted.
struct OwnedCall {
    system: System,
    id: CallId,
}

impl OwnedCall {
    fn poll_response(&self, cx: &mut Context<'_>) -> Poll<Result<Box<dyn ResponseHook>, Error>> {
        let shared: &Shared = &self.system.shared;
        let result = shared.vat.borrow().result(self.id);
        match result {
            None => {
                shared.returns.borrow_mut().insert(self.id.0, cx.waker().clone());
                Poll::Pending
            }
            Some(Err(reason)) => Poll::Ready(Err(reason.into())),
            Some(Ok(payload)) => {
                let table = self.system.clients_of(&payload);
                Poll::Ready(Ok(Box::new(ReceivedResults { payload, table })))
            }
        }
    }
}

impl Drop for OwnedCall {
    fn drop(&mut self) {
        self.system.shared.returns.borrow_mut().remove(self.id.0);
        self.system.shared.vat.borrow_mut().release_call(self.id);
        self.system.signal();
    }
}

struct ReceivedResults {
    payload: Rc<Payload>,
    table: CapTable,
}

impl ResponseHook for ReceivedResults {
    fn get(&self) -> capnp::Result<any_pointer::Reader<'_>> {
        let mut content = self.payload.content()?;
        content.imbue(&self.table);
        Ok(content)
    }
}

struct Pipeline {
    call: Option<Rc<OwnedCall>>,
    system: System,
}

impl PipelineHook for Pipeline {
    fn add_ref(&self) -> Box<dyn PipelineHook> {
        Box::new(Self { call: self.call.clone(), system: self.system.clone() })
    }

    fn get_pipelined_cap(&self, ops: &[PipelineOp]) -> Box<dyn ClientHook> {
        let path: Vec<u16> = ops
            .iter()
            .filter_map(|op| match op {
                PipelineOp::GetPointerField(field) => Some(*field),
                PipelineOp::Noop => None,
            })
            .collect();
        let mut vat = self.system.shared.vat.borrow_mut();
        let cap = match &self.call {
            Some(call) => vat.pipeline(call.id, &path),
            None => vat.broken(Exception::unimplemented("a tail call cannot be pipelined here")),
        };
        drop(vat);
        self.system.hook(cap)
    }
}
