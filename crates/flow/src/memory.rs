//! Memory transport: flows inside one process or image, for tests and for calls that need no network.

use crate::sync::{Queue, WakerSlot};
use crate::{Address, ConnectError, Connector, Flow, FlowError, Listener, Target};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::{Rc, Weak};
use alloc::string::{String, ToString};
use alloc::vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::task::{Context, Poll};

/// Two ends of one flow; each direction holds at most `capacity_bytes` (at least 1) unread bytes.
pub fn pair(capacity_bytes: usize) -> (MemoryFlow, MemoryFlow) {
    numbered_pair(capacity_bytes, 0)
}

/// One end of an in-memory flow.
pub struct MemoryFlow {
    incoming: Rc<RefCell<Direction>>,
    outgoing: Rc<RefCell<Direction>>,
    local: Address,
    peer: Address,
}

impl Flow for MemoryFlow {
    fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        self.incoming.borrow_mut().poll_read(cx, take)
    }

    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        self.outgoing.borrow_mut().poll_write(cx, fill)
    }

    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        self.outgoing.borrow_mut().poll_drained(cx)
    }

    fn finish(&mut self) {
        self.outgoing.borrow_mut().end(End::Finished);
    }

    fn abort(&mut self) {
        self.outgoing.borrow_mut().end(End::Aborted);
        self.incoming.borrow_mut().end(End::Aborted);
    }

    fn peer(&self) -> Address {
        self.peer
    }

    fn local(&self) -> Address {
        self.local
    }
}

impl Drop for MemoryFlow {
    fn drop(&mut self) {
        // A finished direction still delivers; an unfinished one is cut, and so is the peer's
        // sending, since nobody is left to read it.
        let finished = self.outgoing.borrow().end == Some(End::Finished);
        if !finished {
            self.outgoing.borrow_mut().end(End::Aborted);
        }
        self.incoming.borrow_mut().end(End::Unread);
    }
}

impl fmt::Debug for MemoryFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryFlow({} to {})", self.local, self.peer)
    }
}

/// A network inside one image: listeners by `name:port`, connectors that reach them.
#[derive(Clone)]
pub struct MemoryNetwork(Rc<Network>);

impl MemoryNetwork {
    /// A network whose flows hold `capacity_bytes` in each direction and whose listeners hold
    /// `backlog` flows that nobody accepted yet.
    pub fn new(capacity_bytes: usize, backlog: usize) -> Self {
        Self(Rc::new(Network {
            capacity_bytes,
            backlog,
            listeners: RefCell::new(BTreeMap::new()),
            flows: Cell::new(0),
        }))
    }

    /// Listens on `target`; `None` when somebody already does.
    pub fn listen(&self, target: &Target) -> Option<MemoryListener> {
        let name = target.to_string();
        let mut listeners = self.0.listeners.borrow_mut();
        if listeners.get(&name).is_some_and(|old| old.strong_count() > 0) {
            return None;
        }
        let backlog = Rc::<Backlog>::default();
        listeners.insert(name, Rc::downgrade(&backlog));
        Some(MemoryListener { backlog })
    }
}

impl Connector for MemoryNetwork {
    type Flow = MemoryFlow;

    async fn connect(&self, target: &Target) -> Result<MemoryFlow, ConnectError> {
        let network = &self.0;
        let listener = network.listeners.borrow().get(&target.to_string()).and_then(Weak::upgrade);
        let listener = listener.ok_or(ConnectError::Refused)?;
        if listener.len() >= network.backlog {
            return Err(ConnectError::Exhausted);
        }
        let number = network.flows.get();
        network.flows.set(number + 2);
        let (here, there) = numbered_pair(network.capacity_bytes, number);
        listener.push(there);
        Ok(here)
    }
}

/// Accepts flows that a [`MemoryNetwork`] opened to its name.
pub struct MemoryListener {
    backlog: Rc<Backlog>,
}

impl Listener for MemoryListener {
    type Flow = MemoryFlow;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<MemoryFlow, FlowError>> {
        self.backlog.poll_pop(cx).map(Ok)
    }

    fn local(&self) -> Address {
        Address::Memory(0)
    }
}

struct Network {
    capacity_bytes: usize,
    backlog: usize,
    listeners: RefCell<BTreeMap<String, Weak<Backlog>>>,
    flows: Cell<u64>,
}

/// Flows that nobody accepted yet.
type Backlog = Queue<MemoryFlow>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The writer finished: what is buffered is still delivered.
    Finished,
    /// One side aborted: what is buffered is lost.
    Aborted,
    /// The reader went away: writing fails.
    Unread,
}

/// One direction: a ring of bytes between a writer and a reader.
struct Direction {
    ring: Box<[u8]>,
    start: usize,
    length: usize,
    end: Option<End>,
    reader: WakerSlot,
    writer: WakerSlot,
}

impl Direction {
    fn new(capacity_bytes: usize) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            ring: vec![0; capacity_bytes.max(1)].into_boxed_slice(),
            start: 0,
            length: 0,
            end: None,
            reader: WakerSlot::default(),
            writer: WakerSlot::default(),
        }))
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        if self.end == Some(End::Aborted) {
            return Poll::Ready(Err(FlowError::Reset));
        }
        if self.length == 0 {
            if self.end.is_some() {
                take(&mut []);
                return Poll::Ready(Ok(0));
            }
            self.reader.register(cx);
            return Poll::Pending;
        }
        let contiguous = self.length.min(self.ring.len() - self.start);
        let consumed = take(&mut self.ring[self.start..self.start + contiguous]).min(contiguous);
        self.length -= consumed;
        self.start = if self.length == 0 { 0 } else { (self.start + consumed) % self.ring.len() };
        if consumed > 0 {
            self.writer.wake();
        }
        Poll::Ready(Ok(consumed))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        self.writable()?;
        if self.length == self.ring.len() {
            self.writer.register(cx);
            return Poll::Pending;
        }
        let from = (self.start + self.length) % self.ring.len();
        let until = if from < self.start { self.start } else { self.ring.len() };
        let written = fill(&mut self.ring[from..until]).min(until - from);
        self.length += written;
        if written > 0 {
            self.reader.wake();
        }
        Poll::Ready(Ok(written))
    }

    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        if self.length == 0 {
            return Poll::Ready(Ok(()));
        }
        if matches!(self.end, Some(End::Aborted | End::Unread)) {
            return Poll::Ready(Err(FlowError::Reset));
        }
        self.writer.register(cx);
        Poll::Pending
    }

    fn writable(&self) -> Result<(), FlowError> {
        match self.end {
            None => Ok(()),
            Some(End::Finished) => Err(FlowError::Closed),
            Some(End::Aborted | End::Unread) => Err(FlowError::Reset),
        }
    }

    /// The first end stands, except that an abort overrules a finish, and so does a reader that leaves bytes behind: they
    /// are never delivered.
    fn end(&mut self, end: End) {
        let is_left = end == End::Unread && self.length > 0 && self.end == Some(End::Finished);
        if self.end.is_none() || end == End::Aborted || is_left {
            self.end = Some(end);
        }
        self.reader.wake();
        self.writer.wake();
    }
}

fn numbered_pair(capacity_bytes: usize, number: u64) -> (MemoryFlow, MemoryFlow) {
    let forth = Direction::new(capacity_bytes);
    let back = Direction::new(capacity_bytes);
    let (one, other) = (Address::Memory(number), Address::Memory(number + 1));
    let here =
        MemoryFlow { incoming: back.clone(), outgoing: forth.clone(), local: one, peer: other };
    let there = MemoryFlow { incoming: forth, outgoing: back, local: other, peer: one };
    (here, there)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FlowExt;
    use crate::task::block_on;
    use bytes::Bytes;
    use core::future::poll_fn;
    use std::vec::Vec;

    #[test]
    fn bytes_wrap_around_a_small_ring_in_order() {
        block_on(async {
            let (mut here, mut there) = pair(3);
            let mut seen = Vec::new();
            for round in 0..50_u8 {
                here.write_all(&[round, round.wrapping_add(1)]).await.unwrap();
                while seen.len() < 2 * (usize::from(round) + 1) {
                    there.read_with(|bytes| (1, seen.push(bytes[0]))).await.unwrap();
                }
            }
            let expected: Vec<u8> = (0..50).flat_map(|n| [n, n + 1]).collect();
            assert_eq!(seen, expected);
        });
    }

    #[test]
    fn shared_bytes_are_copied_where_there_is_no_better_way() {
        block_on(async {
            let (mut here, mut there) = pair(3);
            let mut bytes = Bytes::from_static(b"data");
            assert_eq!(poll_fn(|cx| here.poll_write_shared(cx, &mut bytes)).await, Ok(3));
            assert_eq!(bytes, b"a"[..]);
            assert_eq!(there.read(&mut [0; 8]).await, Ok(3));
            assert_eq!(poll_fn(|cx| here.poll_write_shared(cx, &mut bytes)).await, Ok(1));
            assert!(bytes.is_empty());
        });
    }

    #[test]
    fn a_finished_flow_delivers_and_then_ends() {
        block_on(async {
            let (mut here, mut there) = pair(8);
            here.write_all(b"end").await.unwrap();
            here.finish();
            assert_eq!(here.write_all(b"more").await, Err(FlowError::Closed));
            drop(here);
            let mut buffer = [0; 8];
            assert_eq!(there.read(&mut buffer).await, Ok(3));
            assert_eq!(there.read(&mut buffer).await, Ok(0));
            assert_eq!(there.write_all(b"x").await, Err(FlowError::Reset));
        });
    }

    #[test]
    fn what_a_reader_leaves_behind_is_not_waited_for() {
        block_on(async {
            let (mut here, there) = pair(8);
            here.write_all(b"end").await.unwrap();
            here.finish();
            drop(there);
            assert_eq!(poll_fn(|cx| here.poll_drained(cx)).await, Err(FlowError::Reset));
        });
    }

    #[test]
    fn the_first_end_stands_but_an_abort_is_one_at_any_time() {
        block_on(async {
            // Nothing is left behind: it was finished, and stays so.
            let (mut here, there) = pair(8);
            here.finish();
            drop(there);
            assert_eq!(here.write_all(b"x").await, Err(FlowError::Closed));
            // What was finished is aborted before it arrives, and the reverse is not so.
            for order in [[Flow::finish, Flow::abort], [Flow::abort, Flow::finish]] {
                let (mut here, mut there) = pair(8);
                here.write_all(b"x").await.unwrap();
                order.iter().for_each(|end| end(&mut here));
                assert_eq!(there.read(&mut [0; 8]).await, Err(FlowError::Reset));
            }
        });
    }

    #[test]
    fn who_moves_nothing_wakes_nobody_and_more_than_there_is_counts_as_all() {
        let (woken, count) = counting_waker();
        let waits = &mut Context::from_waker(&woken);
        let cx = &mut Context::from_waker(core::task::Waker::noop());
        let (mut here, mut there) = pair(8);
        assert!(there.poll_read_with(waits, &mut |bytes| bytes.len()).is_pending());
        assert_eq!(here.poll_write_with(cx, &mut |_| 0), Poll::Ready(Ok(0)));
        assert_eq!(count(), 0);
        assert_eq!(here.poll_write(cx, b"abc"), Poll::Ready(Ok(3)));
        assert_eq!(count(), 1);
        assert_eq!(here.poll_write_with(cx, &mut |space| space.len() + 9), Poll::Ready(Ok(5)));
        assert!(here.poll_write(waits, b"x").is_pending());
        assert_eq!(there.poll_read_with(cx, &mut |_| 0), Poll::Ready(Ok(0)));
        assert_eq!(count(), 1);
        assert_eq!(there.poll_read_with(cx, &mut |bytes| bytes.len() + 9), Poll::Ready(Ok(8)));
        assert_eq!(count(), 2);
    }

    /// A waker, and how often it was woken.
    fn counting_waker() -> (core::task::Waker, impl Fn() -> usize) {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicUsize, Ordering};
        #[derive(Default)]
        struct Count(AtomicUsize);
        impl std::task::Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let count = Arc::<Count>::default();
        (count.clone().into(), move || count.0.load(Ordering::Relaxed))
    }

    #[test]
    fn every_end_has_a_number_of_its_own() {
        block_on(async {
            let network = MemoryNetwork::new(16, 2);
            let target: Target = "memory:echo".parse().unwrap();
            let mut listener = network.listen(&target).unwrap();
            for numbers in ["memory:0 to memory:1", "memory:2 to memory:3", "memory:4 to memory:5"]
            {
                let here = network.connect(&target).await.unwrap();
                assert_eq!(std::format!("{here:?}"), std::format!("MemoryFlow({numbers})"));
                let there = listener.accept().await.unwrap();
                assert_eq!((here.local(), here.peer()), (there.peer(), there.local()));
            }
        });
    }

    #[test]
    fn a_dropped_flow_resets_its_peer() {
        block_on(async {
            let (mut here, there) = pair(8);
            drop(there);
            assert_eq!(here.read(&mut [0; 4]).await, Err(FlowError::Reset));
            assert_eq!(here.write_all(b"x").await, Err(FlowError::Reset));
        });
    }

    #[test]
    fn half_close_leaves_the_other_direction_open() {
        block_on(async {
            let (mut here, mut there) = pair(8);
            here.finish();
            assert_eq!(there.read(&mut [0; 4]).await, Ok(0));
            there.write_all(b"still").await.unwrap();
            assert_eq!(here.read(&mut [0; 8]).await, Ok(5));
            assert_eq!(there.drained().await, Ok(()));
        });
    }

    #[test]
    fn a_network_connects_by_name_and_bounds_its_backlog() {
        block_on(async {
            let network = MemoryNetwork::new(16, 1);
            let target: Target = "echo:7".parse().unwrap();
            assert_eq!(network.connect(&target).await.unwrap_err(), ConnectError::Refused);
            let mut listener = network.listen(&target).unwrap();
            assert!(network.listen(&target).is_none());
            let mut client = network.connect(&target).await.unwrap();
            assert_eq!(network.connect(&target).await.unwrap_err(), ConnectError::Exhausted);
            let mut server = listener.accept().await.unwrap();
            assert_eq!(client.peer(), server.local());
            client.write_all(b"hi").await.unwrap();
            assert_eq!(server.read(&mut [0; 4]).await, Ok(2));
            drop(listener);
            assert_eq!(network.connect(&target).await.unwrap_err(), ConnectError::Refused);
        });
    }
}
