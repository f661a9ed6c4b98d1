//! Peers over one piece of memory, whose time and turns are the test's; some of them lie, and some are killed.

mod death;
mod hostile;
mod meeting;

use crate::{Limits, Region, RegionFlow, RegionListener, RegionMemory};
use flow::task::block_on;
use flow::{ConnectError, Connector, Flow, FlowError, Listener, Target};
use shared_ring::{Rings, SharedMemory};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::vec::Vec;

/// Room for three slots of the smallest rings.
const THREE_SLOTS: usize = (32 << 10) + 3 * (3 * 4096);

/// The memory, as one of its peers has it.
#[derive(Clone)]
struct Fake {
    bytes: Rc<RefCell<Vec<u8>>>,
    /// How often each device was rung at.
    rung: Rc<RefCell<BTreeMap<u16, usize>>>,
    device: u16,
}

impl Fake {
    fn poke(&self, offset: usize, word: u32) {
        self.store_word(offset, word);
    }

    fn change<R>(&self, act: impl FnOnce(&mut [u8]) -> R) -> R {
        act(&mut self.bytes.borrow_mut())
    }
}

impl SharedMemory for Fake {
    fn bytes(&self) -> usize {
        self.bytes.borrow().len()
    }

    fn load_word(&self, offset: usize) -> u32 {
        self.change(|bytes| u32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap()))
    }

    fn store_word(&self, offset: usize, word: u32) {
        self.change(|bytes| bytes[offset..offset + 4].copy_from_slice(&word.to_le_bytes()));
    }

    fn load_byte(&self, offset: usize) -> u8 {
        self.change(|bytes| bytes[offset])
    }

    fn store_byte(&self, offset: usize, byte: u8) {
        self.change(|bytes| bytes[offset] = byte);
    }

    fn set_bits(&self, offset: usize, bits: u8) {
        self.change(|bytes| bytes[offset] |= bits);
    }

    fn clear_bits(&self, offset: usize, bits: u8) -> u8 {
        self.change(|bytes| {
            let before = bytes[offset];
            bytes[offset] &= !bits;
            before
        })
    }

    fn copy_out(&self, offset: usize, into: &mut [u8]) {
        self.change(|bytes| into.copy_from_slice(&bytes[offset..offset + into.len()]));
    }

    fn copy_in(&self, offset: usize, from: &[u8]) {
        self.change(|bytes| bytes[offset..offset + from.len()].copy_from_slice(from));
    }
}

impl RegionMemory for Fake {
    fn compare_exchange(&self, offset: usize, current: u32, new: u32) -> bool {
        let is_it = self.load_word(offset) == current;
        if is_it {
            self.store_word(offset, new);
        }
        is_it
    }

    fn own_device(&self) -> u16 {
        self.device
    }

    fn ring(&self, device: u16) {
        *self.rung.borrow_mut().entry(device).or_default() += 1;
    }
}

/// A host with its memory, and the time.
struct Host {
    memory: Fake,
    now: Cell<Duration>,
    numbers: Rc<Cell<u32>>,
}

/// One peer, which takes its turns as long as it lives. Dropping it is a crash: it says nothing more.
struct Guest {
    region: Region<Fake>,
    rings: Rings,
    rung_before: Cell<usize>,
}

impl Host {
    fn new(bytes: usize) -> Self {
        let bytes = Rc::new(RefCell::new(std::vec![0; bytes]));
        let memory = Fake { bytes, rung: Rc::default(), device: 0 };
        Self { memory, now: Cell::new(Duration::from_secs(1)), numbers: Rc::new(Cell::new(1000)) }
    }

    fn guest(&self, device: u16) -> Guest {
        self.guest_with(device, 9)
    }

    fn guest_with(&self, device: u16, connections_max: usize) -> Guest {
        let memory = Fake { device, ..self.memory.clone() };
        let limits = Limits { connections_max, ring_bytes: 4096 };
        let (rings, numbers) = (Rings::default(), self.numbers.clone());
        let random = move || numbers.replace(numbers.get() + 1);
        let region = Region::new(memory, rings.clone(), limits, random);
        Guest { region, rings, rung_before: Cell::new(0) }
    }

    /// A turn of the loops of all that live: who is not rung at and has no deadline sleeps.
    fn turn(&self, guests: &[&Guest]) {
        for guest in guests {
            let device = guest.device();
            let rung = self.memory.rung.borrow().get(&device).copied().unwrap_or_default();
            if guest.rung_before.replace(rung) != rung {
                guest.region.handle_input();
            }
            guest.region.handle_timeout(self.now.get());
            guest.rings.notify();
            // Asks for what its tasks wait for; what is there already wakes them.
            let _ = guest.rings.may_sleep();
        }
    }

    /// Turns, in steps of half a second.
    fn pass(&self, seconds: u64, guests: &[&Guest]) {
        for _ in 0..2 * seconds {
            self.turn(guests);
            self.now.set(self.now.get() + Duration::from_millis(500));
        }
    }

    /// Has all take turns until `poll` is ready, without any time passing.
    fn until<R>(
        &self,
        guests: &[&Guest],
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<R>,
    ) -> Option<R> {
        for _ in 0..2000 {
            if let Poll::Ready(result) = poll(&mut Context::from_waker(Waker::noop())) {
                return Some(result);
            }
            self.turn(guests);
        }
        None
    }

    fn rings(&self) -> usize {
        self.memory.rung.borrow().values().sum()
    }

    fn connect(
        &self,
        from: &Guest,
        name: &str,
        guests: &[&Guest],
    ) -> Option<Result<RegionFlow<Fake>, ConnectError>> {
        let (connector, target) = (from.region.connector(), target(name));
        let mut connecting = pin!(connector.connect(&target));
        self.until(guests, |cx| connecting.as_mut().poll(cx))
    }

    /// Both ends of a flow.
    fn join(
        &self,
        from: &Guest,
        listener: &mut RegionListener<Fake>,
        name: &str,
        guests: &[&Guest],
    ) -> (RegionFlow<Fake>, RegionFlow<Fake>) {
        let near = self.connect(from, name, guests).expect("an answer").unwrap();
        let far = self.until(guests, |cx| listener.poll_accept(cx)).expect("a flow").unwrap();
        (near, far)
    }
}

impl Guest {
    fn device(&self) -> u16 {
        let (index, _) = self.region.own().expect("an entry");
        self.region.with_table(|table| table.device(index)).flatten().expect("a device")
    }
}

fn target(name: &str) -> Target {
    Target::SharedMemory(name.into())
}

fn read(flow: &mut RegionFlow<Fake>) -> Poll<Result<Vec<u8>, FlowError>> {
    read_as(flow, &mut Context::from_waker(Waker::noop()))
}

fn read_as(flow: &mut RegionFlow<Fake>, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>, FlowError>> {
    let mut read = Vec::new();
    let taken = flow.poll_read_with(cx, &mut |bytes| {
        read = bytes.to_vec();
        bytes.len()
    });
    taken.map_ok(|_| read)
}

fn write(flow: &mut RegionFlow<Fake>, bytes: &[u8]) -> Poll<Result<usize, FlowError>> {
    flow.poll_write(&mut Context::from_waker(Waker::noop()), bytes)
}
