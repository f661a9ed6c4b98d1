//! Two sides of shared rings, one of which lies when the input says so: no panic, no byte that was not written there as
//! long as nobody lies, and no more moved than the rings hold.

use flow::{Address, Flow, FlowError};
use shared_ring::{Doorbell, Geometry, Ring, RingFlow, Rings, SharedMemory};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

pub(crate) fn target(data: &[u8]) {
    let Some((&first, data)) = data.split_first() else { return };
    let orders = [(10, 11), (11, 10), (12, 11), (12, 12)][usize::from(first % 4)];
    let mut world = World::new(orders.0, orders.1);
    for act in data.chunks_exact(4).take(1000) {
        world.act(act);
    }
    // Who is to be notified is kept until somebody does it.
    let World { rings, sides, .. } = world;
    drop(sides);
    rings.notify();
}

struct World {
    memory: Memory,
    rings: Rings,
    sides: [RingFlow<Memory, NoBell>; 2],
    /// On its way to each side.
    expected: [VecDeque<u8>; 2],
    has_lied: bool,
    next: u8,
}

impl World {
    fn new(left_order: u16, right_order: u16) -> Self {
        let geometry = Geometry::new(left_order, right_order).expect("these can be");
        let memory = Memory(Rc::new(RefCell::new(vec![0; geometry.bytes()])));
        let server = Ring::serve(memory.clone(), geometry).expect("it is large enough");
        let client = Ring::join(memory.clone()).expect("the server has laid it out");
        let rings = Rings::default();
        let [one, other] = [1, 2].map(Address::Memory);
        let sides = [(server, one, other), (client, other, one)]
            .map(|(ring, local, peer)| rings.open(ring, NoBell, local, peer));
        let expected = Default::default();
        Self { memory, rings, sides, expected, has_lied: false, next: 0 }
    }

    fn act(&mut self, act: &[u8]) {
        let mut cx = Context::from_waker(Waker::noop());
        let side = usize::from(act[1] % 2);
        let count = usize::from(act[2]) * 17;
        match act[0] % 8 {
            0..=1 => self.read(side, count),
            2..=3 => self.write(side, count),
            4 if act[2].is_multiple_of(2) => self.rings.notify(),
            4 => drop(self.rings.poll() || self.rings.may_sleep()),
            5 => drop(self.sides[side].poll_drained(&mut cx)),
            6 if act[2] == 0 => self.sides[side].finish(),
            6 if act[2] == 1 => {
                self.sides[side].abort();
                self.has_lied = true;
            }
            6 => self.sides[side].other_side().handle_notification(),
            _ => {
                // The control page's words, or anything else.
                let place = usize::from(act[2]) % 32 + if act[1] > 200 { 1000 } else { 0 };
                self.memory.0.borrow_mut()[place] = act[3];
                self.has_lied = true;
            }
        }
    }

    fn read(&mut self, side: usize, count: usize) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut read = Vec::new();
        let outcome = self.sides[side].poll_read_with(&mut cx, &mut |bytes| {
            assert!(bytes.len() <= 4096);
            read = bytes[..count.min(bytes.len())].to_vec();
            read.len()
        });
        if self.has_lied {
            return;
        }
        assert!(!matches!(outcome, Poll::Ready(Err(_))), "{outcome:?}");
        assert!(self.expected[side].drain(..read.len()).eq(read));
    }

    fn write(&mut self, side: usize, count: usize) {
        let mut cx = Context::from_waker(Waker::noop());
        let bytes: Vec<u8> = (0..=count).map(|place| self.next.wrapping_add(place as u8)).collect();
        match self.sides[side].poll_write(&mut cx, &bytes) {
            Poll::Ready(Ok(written)) => {
                assert!(written <= bytes.len());
                self.next = self.next.wrapping_add(written as u8);
                self.expected[1 - side].extend(&bytes[..written]);
            }
            Poll::Ready(Err(error)) => assert!(self.has_lied || error == FlowError::Closed),
            Poll::Pending => {}
        }
    }
}

struct NoBell;

impl Doorbell for NoBell {
    fn ring(&self) {}
}

#[derive(Clone)]
struct Memory(Rc<RefCell<Vec<u8>>>);

impl SharedMemory for Memory {
    fn bytes(&self) -> usize {
        self.0.borrow().len()
    }

    fn load_word(&self, offset: usize) -> u32 {
        let bytes = self.0.borrow();
        u32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("four bytes"))
    }

    fn store_word(&self, offset: usize, word: u32) {
        self.copy_in(offset, &word.to_le_bytes());
    }

    fn load_byte(&self, offset: usize) -> u8 {
        self.0.borrow()[offset]
    }

    fn store_byte(&self, offset: usize, byte: u8) {
        self.0.borrow_mut()[offset] = byte;
    }

    fn set_bits(&self, offset: usize, bits: u8) {
        self.0.borrow_mut()[offset] |= bits;
    }

    fn clear_bits(&self, offset: usize, bits: u8) -> u8 {
        let before = self.load_byte(offset);
        self.store_byte(offset, before & !bits);
        before
    }

    fn copy_out(&self, offset: usize, into: &mut [u8]) {
        into.copy_from_slice(&self.0.borrow()[offset..offset + into.len()]);
    }

    fn copy_in(&self, offset: usize, bytes: &[u8]) {
        self.0.borrow_mut()[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}
