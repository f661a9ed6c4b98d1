//! Region: this peer's part in one.

use crate::RegionFlow;
use crate::RegionMemory;
use crate::layout::{self, BadRegion, Layout, slot as slot_layout};
use crate::listen::{AcceptQueue, Published};
use crate::liveness::{Liveness, Verdict};
use crate::slot::{Hold, Slot, SlotBell};
use crate::table::{Incarnation, Side, Table};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::time::Duration;
use flow::Address;
use flow::sync::WakerSlot;
use shared_ring::{Peer, Ring, Rings};

/// What a region may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Flows at once, those that we open included.
    pub connections_max: usize,
    /// Bytes of a ring at most, if this is the first peer to come; the next lower power of two is taken, or less in a small region.
    pub ring_bytes: usize,
}

/// This peer's part in a region. Clones are the same.
///
/// In each turn of its loop a caller has it [take in](Self::handle_input) what others did, tells it
/// [the time](Self::handle_timeout), and has the others notified by [`Rings::flush`]. Before it waits it asks whether
/// there [is news](Self::has_news), and wakes by [`next_deadline`](Self::next_deadline) or when its device is rung at.
pub struct Region<M: RegionMemory>(Rc<Inner<M>>);

struct Inner<M: RegionMemory> {
    memory: M,
    rings: Rings,
    limits: Limits,
    /// Where incarnations' numbers come from: nobody guesses them, and no two peers have the same.
    random: Box<dyn Fn() -> u32>,
    /// None of a region that cannot be used, or not any more.
    table: RefCell<Option<Table<M>>>,
    state: RefCell<State>,
    listeners: RefCell<Vec<Published<M>>>,
    /// Ends of flows that there were; each has a number.
    ends: Cell<u64>,
}

#[derive(Default)]
struct State {
    /// Where our entry is, and our number.
    own: Option<(usize, Incarnation)>,
    /// The flows' slots, and who is on the other side.
    lines: BTreeMap<(usize, Side), Line>,
    liveness: Liveness,
}

/// A side of a slot that this peer holds.
struct Line {
    other: (usize, Incarnation),
    stage: Stage,
}

enum Stage {
    /// Asked for, and not answered; whoever waits, and whether the other side is gone.
    Asked(WakerSlot, bool),
    /// There is a flow.
    Open(Peer),
}

impl<M: RegionMemory> Clone for Region<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: RegionMemory> Region<M> {
    /// Takes part in a region; what is wrong with it is in the log, and has it be without any use.
    ///
    /// `random` gives numbers that nobody guesses. The flows are among those of `rings`.
    pub fn new(
        memory: M,
        rings: Rings,
        limits: Limits,
        random: impl Fn() -> u32 + 'static,
    ) -> Self {
        let table = match open(&memory, limits.ring_bytes) {
            Ok(table) => Some(table),
            Err(why) => {
                log::error!("shared memory: the region is of no use: {why}");
                None
            }
        };
        let region = Self(Rc::new(Inner {
            memory,
            rings,
            limits,
            random: Box::new(random),
            table: RefCell::new(table),
            state: RefCell::default(),
            listeners: RefCell::default(),
            ends: Cell::new(0),
        }));
        region.join();
        region
    }

    /// The flows that this peer has, and others of its loop.
    pub fn rings(&self) -> &Rings {
        &self.0.rings
    }

    /// Whether [`handle_input`](Self::handle_input) has something to do.
    pub fn has_news(&self) -> bool {
        self.own()
            .is_some_and(|(index, _)| self.with_table(|table| table.has_news(index)) == Some(true))
    }

    /// Takes in what others did since the last call.
    pub fn handle_input(&self) {
        let Some((index, own)) = self.own() else { return };
        let news = self.with_table(|table| {
            table.has_news(index).then(|| {
                table.answer(index);
                table.take_news(index)
            })
        });
        if let Some(Some(slots)) = news {
            slots.into_iter().for_each(|slot| self.look_at(slot, own));
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    pub fn next_deadline(&self) -> Option<Duration> {
        let state = self.0.state.borrow();
        let is_waiting = !state.lines.is_empty() || state.own.is_none();
        let is_used = self.0.table.borrow().is_some();
        is_used.then(|| state.liveness.next_deadline(is_waiting))
    }

    /// Looks whether those are there with whom there are flows, and whether we are there for them.
    pub fn handle_timeout(&self, now: Duration) {
        let is_due = self.next_deadline().is_some_and(|deadline| deadline <= now);
        if !is_due || !self.check_soundness() {
            return;
        }
        self.rejoin();
        let own = self.own();
        let gone = self.with_table(|table| {
            let mut state = self.0.state.borrow_mut();
            let State { lines, liveness, .. } = &mut *state;
            let others = lines.values().map(|line| line.other).collect();
            liveness.handle_timeout(now, table, own, others)
        });
        gone.into_iter().flatten().for_each(|Verdict(other)| self.end_flows(Some(other)));
        if let Some((_, own)) = own {
            (0..layout::SLOTS_MAX).for_each(|slot| self.look_at(slot, own));
        }
    }

    /// Calls `look` with the tables, if the region is of use.
    pub(crate) fn with_table<R>(&self, look: impl FnOnce(&Table<M>) -> R) -> Option<R> {
        // A copy, for what is called may want it, too.
        let table = self.0.table.borrow().clone();
        table.as_ref().map(look)
    }

    /// Where our entry is, and our number; none as long as there is no place.
    pub(crate) fn own(&self) -> Option<(usize, Incarnation)> {
        self.0.state.borrow().own
    }

    /// Whether there may be one more flow.
    pub(crate) fn has_place(&self) -> bool {
        self.0.rings.flows() < self.0.limits.connections_max
    }

    /// Whether there may be one more for a listener that has so many: three quarters of all, so that who may come to one name
    /// does not keep others from theirs.
    pub(crate) fn has_place_beside(&self, open: usize) -> bool {
        let connections_max = self.0.limits.connections_max;
        self.has_place() && open < connections_max - connections_max / 4
    }

    pub(crate) fn listeners(&self) -> &RefCell<Vec<Published<M>>> {
        &self.0.listeners
    }

    /// Takes note of a side of a slot that is held, whose other side is asked for a flow.
    pub(crate) fn hold_asked(&self, hold: &Hold<M>) {
        let stage = Stage::Asked(WakerSlot::default(), false);
        let line = Line { other: hold.other, stage };
        self.0.state.borrow_mut().lines.insert((hold.slot, hold.side), line);
    }

    /// Whether a side of a slot is held here.
    pub(crate) fn is_held(&self, slot: usize) -> bool {
        let state = self.0.state.borrow();
        [Side::Client, Side::Server].iter().any(|side| state.lines.contains_key(&(slot, *side)))
    }

    /// Has every peer asked soon whether it is there: there is no room, or the table may tell of some that are not.
    pub(crate) fn sweep(&self) {
        self.0.state.borrow_mut().liveness.sweep();
    }

    /// Has the task of `cx` woken when something happens in a slot that was asked for; whether the other side is gone.
    pub(crate) fn await_answer(&self, slot: usize, cx: &core::task::Context<'_>) -> bool {
        match self.0.state.borrow_mut().lines.get_mut(&(slot, Side::Client)) {
            Some(Line { stage: Stage::Asked(waker, is_gone), .. }) => {
                waker.register(cx);
                *is_gone
            }
            _ => true,
        }
    }

    /// Makes a flow of a side of a slot.
    pub(crate) fn open(&self, ring: Ring<Slot<M>>, hold: Hold<M>) -> RegionFlow<M> {
        let number = self.0.ends.get();
        self.0.ends.set(number + 2);
        let [local, peer] = [number, number + 1].map(Address::SharedMemory);
        let place = (hold.slot, hold.side);
        let other = hold.other;
        let flow = self.0.rings.open(ring, SlotBell(hold), local, peer);
        let line = Line { other, stage: Stage::Open(flow.other_side()) };
        self.0.state.borrow_mut().lines.insert(place, line);
        flow
    }

    /// A side of a slot is not held any more.
    pub(crate) fn forget(&self, slot: usize, side: Side, own: Incarnation) {
        let mut state = self.0.state.borrow_mut();
        state.lines.remove(&(slot, side));
        drop(state);
        self.with_table(|table| table.release(slot, side, own));
    }

    /// Something may have happened in a slot.
    fn look_at(&self, slot: usize, own: Incarnation) {
        for side in [Side::Client, Side::Server] {
            self.notify(slot, side);
        }
        let request = self.with_table(|table| {
            let is_in = slot < table.layout.slots && table.holder(slot, Side::Server) == own;
            is_in.then(|| table.state(slot))
        });
        match request.flatten() {
            Some(slot_layout::ASKED) => self.answer(slot, own),
            // What nobody here knows of is let go of, however it came there.
            Some(_) if !self.0.state.borrow().lines.contains_key(&(slot, Side::Server)) => {
                self.with_table(|table| table.release(slot, Side::Server, own));
            }
            _ => {}
        }
    }

    fn notify(&self, slot: usize, side: Side) {
        let mut state = self.0.state.borrow_mut();
        match state.lines.get_mut(&(slot, side)).map(|line| &mut line.stage) {
            Some(Stage::Asked(waker, _)) => {
                let mut waker = waker.take();
                drop(state);
                waker.wake();
            }
            Some(Stage::Open(peer)) => {
                let peer = peer.clone();
                drop(state);
                peer.handle_notification();
            }
            None => {}
        }
    }

    /// Accepts or refuses who asks for a flow.
    fn answer(&self, slot: usize, own: Incarnation) {
        let Some(table) = self.0.table.borrow().clone() else { return };
        // An earlier flow of this slot that its task has not let go of yet.
        if self.0.state.borrow().lines.contains_key(&(slot, Side::Server)) {
            return;
        }
        let client = table.holder(slot, Side::Client);
        let Some(client) = table.find(client).map(|index| (index, client)) else {
            return table.release(slot, Side::Server, own);
        };
        let listener = table.requested(slot).and_then(|name| self.listener(&name));
        let Some(listener) = listener.filter(|listener| listener.has_room(self)) else {
            table.decide(slot, slot_layout::REFUSED);
            table.release(slot, Side::Server, own);
            return table.tell(client.0, slot);
        };
        let place = Some(listener.place());
        let (region, side) = (self.clone(), Side::Server);
        let hold = Hold { region, slot, side, own, other: client, _place: place };
        match Ring::join(Slot::new(&table, slot)) {
            // Who withdrew meanwhile leaves nothing behind: the hold ends here.
            Ok(ring) if table.decide(slot, slot_layout::ACCEPTED) => {
                listener.push(self.open(ring, hold));
            }
            Ok(_) => {}
            Err(error) => {
                log::warn!("shared memory: a flow is refused: {error}");
                table.decide(slot, slot_layout::REFUSED);
                table.tell(client.0, slot);
            }
        }
    }

    fn listener(&self, name: &[u8]) -> Option<Rc<AcceptQueue<M>>> {
        let listeners = self.0.listeners.borrow();
        listeners.iter().filter_map(Published::queue).find(|queue| queue.name.as_bytes() == name)
    }

    /// The region must be what it was: with another beginning, nothing else in it means what it did.
    fn check_soundness(&self) -> bool {
        match self.with_table(Table::is_sound) {
            Some(true) => true,
            Some(false) => {
                log::error!("shared memory: a peer broke the region; it is not used any more");
                self.0.table.replace(None);
                self.0.state.borrow_mut().own = None;
                self.end_flows(None);
                false
            }
            None => false,
        }
    }

    /// Comes again where our entry is gone: to the others we were silent for too long.
    fn rejoin(&self) {
        let own = self.own();
        let is_there = own.is_some_and(|(index, own)| {
            self.with_table(|table| table.owner(index) == Some(own)) == Some(true)
        });
        if is_there {
            return;
        }
        if own.is_some() {
            log::warn!("shared memory: this peer was taken for gone; its flows in the region end");
            self.0.state.borrow_mut().own = None;
            self.end_flows(None);
        }
        self.join();
    }

    /// Claims an entry among the peers, and publishes what we listen at.
    fn join(&self) {
        let own = (self.0.random)().max(1);
        let device = self.0.memory.own_device();
        let joined = self.with_table(|table| {
            // Our device is ours alone: who has its number is our own past.
            let mine = |(index, _): &(usize, u32)| table.device(*index) == Some(device);
            table.peers().filter(mine).for_each(|(index, past)| table.strike(index, past));
            table.join(own)
        });
        // Those that the table tells of may be gone, and have names or the place that we want.
        self.sweep();
        let Some(Some(index)) = joined else { return };
        self.0.state.borrow_mut().own = Some((index, own));
        self.publish_all();
    }

    /// Publishes the listeners that are not published yet.
    pub(crate) fn publish_all(&self) {
        let Some((_, own)) = self.own() else { return };
        self.with_table(|table| {
            let mut listeners = self.0.listeners.borrow_mut();
            listeners.retain(|published| published.queue().is_some());
            listeners.iter_mut().for_each(|published| published.publish(table, own));
        });
    }

    /// Ends the flows with another, or all.
    fn end_flows(&self, other: Option<Incarnation>) {
        let mut state = self.0.state.borrow_mut();
        let (mut gone, mut wakers) = (Vec::new(), Vec::new());
        for line in state.lines.values_mut() {
            if other.is_some_and(|other| line.other.1 != other) {
                continue;
            }
            match &mut line.stage {
                Stage::Asked(waker, is_gone) => {
                    *is_gone = true;
                    wakers.push(waker.take());
                }
                Stage::Open(peer) => gone.push(peer.clone()),
            }
        }
        drop(state);
        wakers.iter_mut().for_each(WakerSlot::wake);
        gone.iter().for_each(Peer::handle_gone);
    }
}

/// Reads what the region is; of an empty one, says what it is to be.
fn open<M: RegionMemory>(memory: &M, ring_bytes: usize) -> Result<Table<M>, BadRegion> {
    if memory.bytes() < layout::slot_at(layout::SLOTS_MAX) {
        return Err(BadRegion::TooSmall);
    }
    memory.compare_exchange(layout::SIGNATURE, 0, Layout::signature(ring_bytes, memory.bytes()));
    let layout = Layout::new(memory.load_word(layout::SIGNATURE), memory.bytes())?;
    Ok(Table { memory: memory.clone(), layout })
}
