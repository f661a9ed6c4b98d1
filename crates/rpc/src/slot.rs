//! Capability slots: numbered stand-ins for capabilities, so that contents can be copied, built and searched by the
//! `capnp` crate without any client behind them.

use alloc::boxed::Box;
use alloc::string::String;
use capnp::any_pointer;
use capnp::capability::{Promise, RemotePromise, Request};
use capnp::private::capability::{
    ClientHook, ParamsHook, PipelineHook, PipelineOp, RequestHook, ResultsHook,
};
use capnp::private::layout::CapTable;
use capnp::{Error, MessageSize};

/// What [`ClientHook::get_brand`] says for a slot. Other brands are addresses, which are even.
const SLOT_BRAND: usize = 1;

/// Stands for one entry of a table of capabilities. Calls on it fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(pub usize);

impl Slot {
    /// The slot as a client, to be written into contents.
    pub fn hook(self) -> Box<dyn ClientHook> {
        Box::new(self)
    }
}

/// The slots 0 to `count`.
pub(crate) fn table(count: usize) -> CapTable {
    (0..count).map(|index| Some(Slot(index).hook())).collect()
}

/// The number of a slot; `None` for any other client.
pub fn index_of(hook: &dyn ClientHook) -> Option<usize> {
    (hook.get_brand() == SLOT_BRAND).then(|| hook.get_ptr())
}

fn not_a_client() -> Error {
    Error::failed(String::from("a slot is not a client"))
}

impl ClientHook for Slot {
    fn add_ref(&self) -> Box<dyn ClientHook> {
        Box::new(*self)
    }

    fn new_call(
        &self,
        _interface_id: u64,
        _method_id: u16,
        _size_hint: Option<MessageSize>,
    ) -> Request<any_pointer::Owned, any_pointer::Owned> {
        Request::new(Box::new(Nowhere { draft: capnp::message::Builder::new_default() }))
    }

    fn call(
        &self,
        _interface_id: u64,
        _method_id: u16,
        _params: Box<dyn ParamsHook>,
        _results: Box<dyn ResultsHook>,
    ) -> Promise<(), Error> {
        Promise::err(not_a_client())
    }

    fn get_brand(&self) -> usize {
        SLOT_BRAND
    }

    fn get_ptr(&self) -> usize {
        self.0
    }

    fn get_resolved(&self) -> Option<Box<dyn ClientHook>> {
        None
    }

    fn when_more_resolved(&self) -> Option<Promise<Box<dyn ClientHook>, Error>> {
        None
    }

    fn when_resolved(&self) -> Promise<(), Error> {
        Promise::ok(())
    }
}

struct Nowhere {
    draft: capnp::message::Builder<capnp::message::HeapAllocator>,
}

impl RequestHook for Nowhere {
    fn get(&mut self) -> any_pointer::Builder<'_> {
        self.draft.init_root()
    }

    fn get_brand(&self) -> usize {
        SLOT_BRAND
    }

    fn send(self: Box<Self>) -> RemotePromise<any_pointer::Owned> {
        RemotePromise {
            promise: Promise::err(not_a_client()),
            pipeline: any_pointer::Pipeline::new(Box::new(NoPipeline)),
        }
    }

    fn send_streaming(self: Box<Self>) -> Promise<(), Error> {
        Promise::err(not_a_client())
    }

    fn tail_send(self: Box<Self>) -> Option<(u32, Promise<(), Error>, Box<dyn PipelineHook>)> {
        None
    }
}

struct NoPipeline;

impl PipelineHook for NoPipeline {
    fn add_ref(&self) -> Box<dyn PipelineHook> {
        Box::new(Self)
    }

    fn get_pipelined_cap(&self, _ops: &[PipelineOp]) -> Box<dyn ClientHook> {
        Slot(usize::MAX).hook()
    }
}
