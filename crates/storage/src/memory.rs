//! A disk in memory, for tests: whole, slow, failing, or gone.

use crate::{BlockDevice, DiskCounters, DiskError, Geometry, Pending};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::Poll;
use flow::sync::WakerList;

/// The disk. Clones are the same one.
#[derive(Clone)]
pub struct MemoryDisk(Rc<State>);

struct State {
    geometry: Geometry,
    content: RefCell<Vec<u8>>,
    faults: RefCell<BTreeMap<u64, DiskError>>,
    is_held: Cell<bool>,
    released: WakerList,
    reads: Cell<usize>,
    in_flight: Cell<usize>,
    depth_max: Cell<usize>,
}

/// A request at work.
struct InFlight(Rc<State>);

impl MemoryDisk {
    /// A disk with this content, and with zeros up to the end of its last block of 512 bytes.
    pub fn new(content: impl Into<Vec<u8>>) -> Self {
        let mut content = content.into();
        content.resize(content.len().next_multiple_of(BLOCK_BYTES), 0);
        let geometry = Geometry {
            capacity_bytes: content.len() as u64,
            block_bytes: BLOCK_BYTES,
            request_bytes_max: 64 << 10,
            is_read_only: false,
        };
        Self(Rc::new(State {
            geometry,
            content: RefCell::new(content),
            faults: RefCell::default(),
            is_held: Cell::new(false),
            released: WakerList::default(),
            reads: Cell::new(0),
            in_flight: Cell::new(0),
            depth_max: Cell::new(0),
        }))
    }

    /// Requests fail that touch the byte `at`, as long as this says so.
    pub fn fail(&self, at: u64, fault: Option<DiskError>) {
        match fault {
            Some(fault) => self.0.faults.borrow_mut().insert(at, fault),
            None => self.0.faults.borrow_mut().remove(&at),
        };
    }

    /// Nothing is answered until [`release`](Self::release).
    pub fn hold(&self) {
        self.0.is_held.set(true);
    }

    /// What was held is answered.
    pub fn release(&self) {
        self.0.is_held.set(false);
        self.0.released.wake();
    }

    /// Changes what lies there, as nobody should who shares it.
    pub fn put(&self, at: usize, bytes: &[u8]) {
        self.0.content.borrow_mut()[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Reads that were asked for so far.
    pub fn reads(&self) -> usize {
        self.0.reads.get()
    }

    /// The most requests that were at work at a time.
    pub fn depth_max(&self) -> usize {
        self.0.depth_max.get()
    }

    fn begin(&self, at: u64, bytes: usize) -> Result<InFlight, DiskError> {
        let state = &self.0;
        state.geometry.check(at, bytes)?;
        state.in_flight.set(state.in_flight.get() + 1);
        state.depth_max.set(state.depth_max.get().max(state.in_flight.get()));
        Ok(InFlight(state.clone()))
    }
}

impl InFlight {
    async fn finish(&self, at: u64, bytes: usize) -> Result<(), DiskError> {
        poll_fn(|cx| {
            if !self.0.is_held.get() {
                return Poll::Ready(());
            }
            self.0.released.register(cx);
            Poll::Pending
        })
        .await;
        let faults = self.0.faults.borrow();
        faults.range(at..at + bytes as u64).next().map_or(Ok(()), |(_, fault)| Err(*fault))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get() - 1);
    }
}

impl BlockDevice for MemoryDisk {
    fn driver(&self) -> &'static str {
        "memory"
    }

    fn counters(&self) -> DiskCounters {
        let State { reads, in_flight, depth_max, .. } = &*self.0;
        DiskCounters {
            requests: reads.get() as u64,
            in_flight: in_flight.get(),
            depth_max: depth_max.get(),
            ..DiskCounters::default()
        }
    }

    fn geometry(&self) -> Geometry {
        self.0.geometry
    }

    fn read(&self, at: u64, bytes: usize) -> Pending<Bytes> {
        self.0.reads.set(self.0.reads.get() + 1);
        let begun = self.begin(at, bytes);
        Box::pin(async move {
            let reading = begun?;
            reading.finish(at, bytes).await?;
            let content = reading.0.content.borrow();
            Ok(Bytes::copy_from_slice(&content[at as usize..][..bytes]))
        })
    }

    fn write(&self, at: u64, data: Bytes) -> Pending<()> {
        let begun = self.begin(at, data.len());
        Box::pin(async move {
            let writing = begun?;
            writing.finish(at, data.len()).await?;
            writing.0.content.borrow_mut()[at as usize..][..data.len()].copy_from_slice(&data);
            Ok(())
        })
    }

    fn flush(&self) -> Pending<()> {
        Box::pin(async { Ok(()) })
    }
}

const BLOCK_BYTES: usize = 512;
