//! The protocol loop under a core of the test's, over flows in memory.

mod weighed;

use super::*;
use core::cell::{Cell, RefCell};
use core::task::Waker;
use flow::memory::{self, MemoryFlow};
use flow::{Address, FlowExt, Taken};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;
use std::vec::Vec;

const SECOND: Duration = Duration::from_secs(1);

/// Keeps what it reads, writes what it is given, and says what it was asked.
#[derive(Default)]
struct Fake {
    asked: Vec<&'static str>,
    input: Vec<u8>,
    /// Most bytes it takes; it wants no input once it has so many.
    input_max: Option<usize>,
    /// Most bytes it takes at once; it wants the others still.
    input_at_once: Option<usize>,
    output: Vec<u8>,
    shared: Bytes,
    copied: Vec<u8>,
    shows_copied: bool,
    endless_output: bool,
    deadline: Option<Duration>,
    /// What it does with the flow once the peer has ended its side, and at a time-out.
    at_end: Option<Transport>,
    at_timeout: Option<Transport>,
    reads_on: bool,
    then: Option<Transport>,
    ended: Option<Result<(), FlowError>>,
    lost: Option<FlowError>,
    upgraded: Rc<RefCell<Option<Box<dyn Flow>>>>,
    pressures: Vec<Pressure>,
    took: Vec<Taken>,
    reads_while_paused: bool,
}

impl Core for Fake {
    fn begin_turn(&mut self, _: &mut Context<'_>, _: Duration) {
        self.asked.push("turn");
    }

    fn wants_input(&self) -> bool {
        self.input_max.is_none_or(|max| self.input.len() < max)
    }

    fn handle_input(&mut self, _: Duration, bytes: &mut [u8]) -> usize {
        assert!(!bytes.is_empty());
        self.asked.push("input");
        let room = self.input_max.map_or(usize::MAX, |max| max - self.input.len());
        let count = bytes.len().min(room).min(self.input_at_once.unwrap_or(usize::MAX));
        self.input.extend_from_slice(&bytes[..count]);
        count
    }

    fn handle_end(&mut self, _: Duration, how: Result<(), FlowError>) -> bool {
        let is_news = self.ended.is_none();
        if is_news {
            self.asked.push("end");
            self.ended = Some(how);
            self.then = self.at_end.or(self.then);
        }
        is_news
    }

    fn poll_work(&mut self, _: &mut Context<'_>, _: Duration) -> bool {
        self.asked.push("work");
        false
    }

    fn wants_transmit(&mut self, _: &mut Context<'_>) -> bool {
        let has_output = self.endless_output
            || !(self.output.is_empty() && self.shared.is_empty() && self.copied.is_empty());
        has_output && self.lost.is_none()
    }

    fn long_output(&mut self) -> Option<LongOutput<'_>> {
        self.shows_copied = self.shared.is_empty();
        if !self.shows_copied {
            return Some(LongOutput::Shared(&mut self.shared));
        }
        (!self.copied.is_empty()).then_some(LongOutput::Copied(&self.copied))
    }

    fn long_output_taken(&mut self, _: Duration, count: usize) {
        self.asked.push("long");
        // Those of shared bytes were taken off their front already.
        if self.shows_copied {
            self.copied.drain(..count);
        }
    }

    fn poll_transmit(&mut self, _: Duration, space: &mut [u8]) -> usize {
        assert!(!space.is_empty());
        self.asked.push("transmit");
        if self.endless_output {
            return space.len();
        }
        let count = space.len().min(self.output.len());
        space[..count].copy_from_slice(&self.output[..count]);
        self.output.drain(..count);
        count
    }

    fn output_lost(&mut self, _: Duration, error: FlowError) -> bool {
        self.asked.push("lost");
        self.lost = Some(error);
        self.reads_on
    }

    fn peer_took(&mut self, at: Duration, bytes: usize) {
        self.took.push(Taken { bytes, at });
    }

    fn next_deadline(&mut self, _: Duration) -> Option<Duration> {
        self.deadline
    }

    fn handle_timeout(&mut self, _: Duration) {
        if !self.took.is_empty() {
            self.asked.push("took");
        }
        self.asked.push("timeout");
        self.deadline = None;
        if self.at_timeout != Some(Transport::Abort) {
            self.output.extend_from_slice(b"late");
        }
        self.then = self.at_timeout.or(self.then);
    }

    fn transport(&mut self, _: &mut Context<'_>, _: Duration) -> Transport {
        self.asked.push("transport");
        let has_output = !(self.output.is_empty() && self.shared.is_empty());
        self.then.filter(|_| !has_output || self.lost.is_some()).unwrap_or(Transport::Open)
    }

    fn held(&self) -> usize {
        self.input.len()
    }

    fn handle_pressure(&mut self, _: Duration, pressure: Pressure) {
        self.pressures.push(pressure);
    }

    fn reads_while_paused(&self) -> bool {
        self.reads_while_paused
    }

    fn upgrade(&mut self, flow: Box<dyn Flow>) {
        *self.upgraded.borrow_mut() = Some(flow);
    }
}

/// Always has input, and always takes output.
struct Endless;

impl Flow for Endless {
    fn poll_read_with(
        &mut self,
        _: &mut Context<'_>,
        take: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        Poll::Ready(Ok(take(&mut [7])))
    }

    fn poll_write_with(
        &mut self,
        _: &mut Context<'_>,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        Poll::Ready(Ok(fill(&mut [0; 4])))
    }

    fn poll_drained(&mut self, _: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        Poll::Pending
    }

    fn finish(&mut self) {}

    fn abort(&mut self) {}

    fn peer(&self) -> Address {
        Address::Memory(0)
    }

    fn local(&self) -> Address {
        Address::Memory(1)
    }
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A connection, the time it goes by, and how often its task was woken.
struct World<F> {
    connection: Drive<F, Fake>,
    timers: Timers,
    wakes: Arc<Count>,
    waker: Waker,
}

impl<F: Flow + 'static> World<F> {
    fn new(flow: F, core: Fake) -> Self {
        let timers = Timers::new();
        let wakes = Arc::new(Count::default());
        let waker = Waker::from(wakes.clone());
        Self { connection: drive(flow, core, &timers), timers, wakes, waker }
    }

    /// Gives the connection a turn; whether it is over.
    fn turn(&mut self) -> bool {
        let mut cx = Context::from_waker(&self.waker);
        Pin::new(&mut self.connection).poll(&mut cx).is_ready()
    }

    fn asked(&mut self) -> Vec<&'static str> {
        core::mem::take(&mut self.connection.core_mut().asked)
    }

    fn wakes(&self) -> usize {
        self.wakes.0.swap(0, Ordering::Relaxed)
    }
}

fn write(flow: &mut MemoryFlow, bytes: &[u8]) {
    flow::task::block_on(flow.write_all(bytes)).unwrap();
}

/// All that is there to read; `None` at the end.
fn read(flow: &mut MemoryFlow) -> Option<Result<Vec<u8>, FlowError>> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut all = Vec::new();
    loop {
        let taken = flow.poll_read_with(&mut cx, &mut |bytes| {
            all.extend_from_slice(bytes);
            bytes.len()
        });
        match taken {
            Poll::Ready(Ok(0)) if all.is_empty() => return None,
            Poll::Ready(Ok(1..)) => {}
            Poll::Ready(Err(error)) if all.is_empty() => return Some(Err(error)),
            _ => return Some(Ok(all)),
        }
    }
}

#[test]
fn a_round_reads_works_writes_and_then_asks_for_the_flow() {
    let (mut there, here) = memory::pair(100);
    let mut world = World::new(here, Fake { output: b"out".to_vec(), ..Fake::default() });
    write(&mut there, b"in");
    assert!(!world.turn());
    let round = ["turn", "input", "work", "transmit", "transport", "work", "transport"];
    assert_eq!(world.asked(), round);
    assert_eq!(read(&mut there), Some(Ok(b"out".to_vec())));
    assert_eq!(world.connection.core().input, b"in");
    world.wakes();
    write(&mut there, b"more");
    assert_eq!(world.wakes(), 1);
}

#[test]
fn a_peer_that_never_stops_sending_gives_way_to_others() {
    let mut world = World::new(Endless, Fake { deadline: Some(SECOND), ..Fake::default() });
    assert!(!world.turn());
    assert_eq!(world.connection.core().input.len(), 32);
    assert_eq!(world.wakes(), 1, "it goes on in its next turn");
    // And it does not keep us from its deadline.
    world.timers.advance(2 * SECOND);
    world.asked();
    assert!(!world.turn());
    assert_eq!(world.asked().last(), Some(&"timeout"));
}

#[test]
fn a_core_that_leaves_input_it_wants_gives_way_sooner() {
    let (mut there, here) = memory::pair(100);
    let mut world = World::new(here, Fake { input_at_once: Some(1), ..Fake::default() });
    write(&mut there, &[7; 100]);
    assert!(!world.turn());
    assert_eq!(world.connection.core().input.len(), 4);
    assert!(world.wakes() > 0, "it goes on in its next turn");
}

#[test]
fn a_core_that_never_stops_writing_gives_way_to_others() {
    let core = Fake { input_max: Some(0), endless_output: true, ..Fake::default() };
    let mut world = World::new(Endless, core);
    assert!(!world.turn());
    let writes = world.asked().iter().filter(|asked| **asked == "transmit").count();
    assert!((1..=32).contains(&writes), "{writes}");
    assert_eq!(world.wakes(), 1);
}

#[test]
fn input_that_is_not_wanted_stays_in_the_flow() {
    let (mut there, here) = memory::pair(10);
    let mut world = World::new(here, Fake { input_max: Some(3), ..Fake::default() });
    write(&mut there, b"0123456789");
    assert!(!world.turn());
    assert_eq!(world.connection.core().input, b"012");
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(there.poll_write_with(&mut cx, &mut |space| space.len()), Poll::Ready(Ok(3)));
    assert!(there.poll_write_with(&mut cx, &mut |space| space.len()).is_pending());
    world.connection.core_mut().input_max = None;
    assert!(!world.turn());
    assert!(world.connection.core().input.starts_with(b"0123456789"));
}

#[test]
fn what_was_asked_before_the_peers_end_is_answered_before_ours() {
    let (mut there, here) = memory::pair(100);
    let core =
        Fake { output: b"answer".to_vec(), at_end: Some(Transport::Closed), ..Fake::default() };
    let mut world = World::new(here, core);
    write(&mut there, b"question");
    there.finish();
    assert!(world.turn());
    let order = ["turn", "input", "work", "transmit", "transport", "end", "work", "transport"];
    assert_eq!(world.asked(), order);
    assert_eq!(world.connection.core().ended, Some(Ok(())));
    assert_eq!(read(&mut there), Some(Ok(b"answer".to_vec())));
    assert_eq!(read(&mut there), None, "finished, not reset");
}

#[test]
fn after_our_end_input_is_still_read() {
    let (mut there, here) = memory::pair(4);
    let core = Fake {
        then: Some(Transport::EndOutput),
        at_end: Some(Transport::Closed),
        ..Fake::default()
    };
    let mut world = World::new(here, core);
    assert!(!world.turn());
    assert_eq!(read(&mut there), None);
    for _ in 0..5 {
        write(&mut there, b"more");
        assert!(!world.turn());
    }
    assert_eq!(world.connection.core().input.len(), 20);
    there.finish();
    assert!(world.turn());
}

#[test]
fn what_a_deadline_brings_is_sent_at_once() {
    let (mut there, here) = memory::pair(100);
    let core =
        Fake { deadline: Some(2 * SECOND), at_timeout: Some(Transport::Closed), ..Fake::default() };
    let mut world = World::new(here, core);
    assert!(!world.turn());
    world.timers.advance(SECOND);
    assert_eq!(world.wakes(), 0);
    assert!(!world.turn());
    world.timers.advance(2 * SECOND);
    assert_eq!(world.wakes(), 1);
    assert!(world.turn());
    assert_eq!(read(&mut there), Some(Ok(b"late".to_vec())));
    assert_eq!(read(&mut there), None);
}

#[test]
fn a_core_hears_when_its_peer_took_the_last_byte_before_it_hears_of_the_deadline() {
    let (_there, here) = memory::pair(100);
    let at_timeout = Some(Transport::Abort);
    let core = Fake { deadline: Some(2 * SECOND), at_timeout, ..Fake::default() };
    let mut world = World::new(Deaf(here), core);
    assert!(!world.turn());
    assert_eq!(world.connection.core().took, []);
    world.timers.advance(2 * SECOND);
    assert!(world.turn());
    assert_eq!(world.connection.core().took, [Taken { bytes: 7, at: SECOND }]);
    assert!(world.asked().windows(2).any(|asked| asked == ["took", "timeout"]));
}

#[test]
fn an_abort_resets_the_flow_and_drops_it() {
    let (mut there, here) = memory::pair(100);
    let mut world = World::new(here, Fake { then: Some(Transport::Abort), ..Fake::default() });
    assert!(world.turn());
    assert_eq!(read(&mut there), Some(Err(FlowError::Reset)));
    assert!(world.connection.into_parts().0.is_none());
}

#[test]
fn a_lost_flow_is_said_to_the_core_for_each_direction() {
    let (there, here) = memory::pair(100);
    let core = Fake { at_end: Some(Transport::Closed), ..Fake::default() };
    let mut world = World::new(here, core);
    drop(there);
    assert!(world.turn());
    assert_eq!(world.connection.core().ended, Some(Err(FlowError::Reset)));

    let (mut there, here) = memory::pair(100);
    let core = Fake { output: b"unwanted".to_vec(), input_max: Some(0), ..Fake::default() };
    let mut world = World::new(here, core);
    there.abort();
    assert!(world.turn());
    assert_eq!(world.connection.core().lost, Some(FlowError::Reset));
}

/// A flow whose peer takes nothing more since a second after the start, and has still something to say.
struct Deaf(MemoryFlow);

impl Flow for Deaf {
    fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        self.0.poll_read_with(cx, take)
    }

    fn poll_write_with(
        &mut self,
        _: &mut Context<'_>,
        _: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Poll<Result<usize, FlowError>> {
        Poll::Ready(Err(FlowError::Reset))
    }

    fn newly_taken(&mut self, _: Duration) -> Option<Taken> {
        Some(Taken { bytes: 7, at: SECOND })
    }

    fn poll_drained(&mut self, _: &mut Context<'_>) -> Poll<Result<(), FlowError>> {
        Poll::Ready(Err(FlowError::Reset))
    }

    fn finish(&mut self) {}

    fn abort(&mut self) {}

    fn peer(&self) -> Address {
        self.0.peer()
    }

    fn local(&self) -> Address {
        self.0.local()
    }
}

#[test]
fn a_core_may_go_on_reading_when_nothing_more_is_taken() {
    let (mut there, here) = memory::pair(100);
    let core = Fake { output: b"lost".to_vec(), reads_on: true, ..Fake::default() };
    let mut world = World::new(Deaf(here), core);
    assert!(!world.turn());
    write(&mut there, b"why");
    assert!(!world.turn());
    assert_eq!(world.connection.core().input, b"why");
    let lost = world.asked().iter().filter(|asked| **asked == "lost").count();
    assert_eq!(lost, 1);
}

#[test]
fn long_output_goes_in_parts_and_in_order() {
    let (mut there, here) = memory::pair(7);
    let shared: Vec<u8> = (0..100).collect();
    let copied: Vec<u8> = (100..200).collect();
    let core = Fake {
        shared: shared.clone().into(),
        copied: copied.clone(),
        output: b"end".to_vec(),
        ..Fake::default()
    };
    let mut world = World::new(here, core);
    let mut seen = Vec::new();
    for _ in 0..100 {
        assert!(!world.turn());
        if let Some(Ok(bytes)) = read(&mut there) {
            assert!(bytes.len() <= 7);
            seen.extend_from_slice(&bytes);
        }
    }
    assert_eq!(seen, [&shared[..], &copied, b"end"].concat());
}

#[test]
fn draining_waits_for_the_peer_or_for_the_deadline() {
    let (mut there, here) = memory::pair(100);
    let core = Fake { output: b"last".to_vec(), then: Some(Transport::Drain), ..Fake::default() };
    let mut world = World::new(here, core);
    assert!(!world.turn());
    assert_eq!(read(&mut there), Some(Ok(b"last".to_vec())));
    assert_eq!(world.wakes(), 1);
    assert!(world.turn());
    assert_eq!(read(&mut there), None);

    let (mut there, here) = memory::pair(100);
    let core = Fake {
        output: b"last".to_vec(),
        then: Some(Transport::Drain),
        deadline: Some(SECOND),
        at_timeout: Some(Transport::Abort),
        ..Fake::default()
    };
    let mut world = World::new(here, core);
    assert!(!world.turn());
    world.timers.advance(2 * SECOND);
    assert!(world.turn());
    assert_eq!(read(&mut there), Some(Err(FlowError::Reset)));
}

#[test]
fn an_upgrade_hands_over_the_flow_with_what_was_not_taken() {
    let (mut there, here) = memory::pair(100);
    let core = Fake { input_max: Some(4), then: Some(Transport::Upgraded), ..Fake::default() };
    let upgraded = core.upgraded.clone();
    let mut world = World::new(here, core);
    write(&mut there, b"headrest");
    assert!(world.turn());
    drop(world);
    let mut flow = upgraded.take().unwrap();
    let mut buffer = [0; 10];
    assert_eq!(flow::task::block_on(flow.read(&mut buffer)), Ok(4));
    assert_eq!(&buffer[..4], b"rest");
    flow::task::block_on(flow.write_all(b"new")).unwrap();
    assert_eq!(read(&mut there), Some(Ok(b"new".to_vec())));
}

#[test]
fn whoever_waits_takes_things_out_of_the_core() {
    let (mut there, here) = memory::pair(100);
    let mut world = World::new(here, Fake::default());
    let mut cx = Context::from_waker(Waker::noop());
    let mut five = |world: &mut World<MemoryFlow>| {
        world.connection.poll_until(&mut cx, |core| {
            (core.input.len() >= 5).then(|| core.input.drain(..5).collect::<Vec<u8>>())
        })
    };
    assert!(five(&mut world).is_pending());
    write(&mut there, b"onetwothree");
    assert_eq!(five(&mut world), Poll::Ready(Some(b"onetw".to_vec())));
    assert_eq!(five(&mut world), Poll::Ready(Some(b"othre".to_vec())));
    assert!(five(&mut world).is_pending());
    there.finish();
    world.connection.core_mut().at_end = Some(Transport::Closed);
    assert_eq!(five(&mut world), Poll::Ready(None));
}

#[test]
fn the_core_is_dropped_before_the_flow() {
    struct Noted<T>(T, Rc<Cell<u32>>, &'static str);
    impl<T> Drop for Noted<T> {
        fn drop(&mut self) {
            let expected = if self.2 == "core" { 0 } else { 1 };
            assert_eq!(self.1.get(), expected, "{} dropped in its turn", self.2);
            self.1.set(self.1.get() + 1);
        }
    }
    let dropped = Rc::new(Cell::new(0));
    let (core, flow) = (Noted((), dropped.clone(), "core"), Noted((), dropped.clone(), "flow"));
    drop(drive(flow, core, &Timers::new()));
    assert_eq!(dropped.get(), 2);
}
