//! Both sides in one test, over memory that lets the other side act between any two accesses.

mod ends;
mod flows;
mod hostile;
mod model;
mod notify;
mod watch;
mod wrap;

use crate::{Geometry, Ring, SharedMemory};
use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

/// Memory of both sides. Clones are the same.
#[derive(Clone)]
struct Fake(Rc<Inner>);

struct Inner {
    bytes: RefCell<Vec<u8>>,
    /// Accesses until the interruption comes; none is due when it is zero.
    accesses_left: Cell<usize>,
    interruption: RefCell<Option<Box<dyn FnOnce()>>>,
}

impl Fake {
    fn new(bytes: usize) -> Self {
        // What is there before a server lays it out may be anything.
        let bytes = RefCell::new(vec![0xA5; bytes]);
        Self(Rc::new(Inner {
            bytes,
            accesses_left: Cell::new(0),
            interruption: RefCell::default(),
        }))
    }

    /// Has `act` happen before the access of this number, the next one being the first; afterwards it is whether it did.
    fn interrupt(&self, access: usize, act: impl FnOnce() + 'static) {
        self.0.accesses_left.set(access);
        self.0.interruption.replace(Some(Box::new(act)));
    }

    fn was_interrupted(&self) -> bool {
        self.0.interruption.take().is_none()
    }

    fn byte(&self, offset: usize) -> u8 {
        self.0.bytes.borrow()[offset]
    }

    fn poke(&self, offset: usize, bytes: &[u8]) {
        self.0.bytes.borrow_mut()[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn access<R>(&self, act: impl FnOnce(&mut [u8]) -> R) -> R {
        let left = self.0.accesses_left.get();
        self.0.accesses_left.set(left.saturating_sub(1));
        if left == 1
            && let Some(interruption) = self.0.interruption.take()
        {
            interruption();
        }
        act(&mut self.0.bytes.borrow_mut())
    }
}

impl SharedMemory for Fake {
    fn bytes(&self) -> usize {
        self.0.bytes.borrow().len()
    }

    fn load_word(&self, offset: usize) -> u32 {
        self.access(|bytes| u32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap()))
    }

    fn store_word(&self, offset: usize, word: u32) {
        self.access(|bytes| bytes[offset..offset + 4].copy_from_slice(&word.to_le_bytes()));
    }

    fn load_byte(&self, offset: usize) -> u8 {
        self.access(|bytes| bytes[offset])
    }

    fn store_byte(&self, offset: usize, byte: u8) {
        self.access(|bytes| bytes[offset] = byte);
    }

    fn set_bits(&self, offset: usize, bits: u8) {
        self.access(|bytes| bytes[offset] |= bits);
    }

    fn clear_bits(&self, offset: usize, bits: u8) -> u8 {
        self.access(|bytes| {
            let before = bytes[offset];
            bytes[offset] &= !bits;
            before
        })
    }

    fn copy_out(&self, offset: usize, into: &mut [u8]) {
        self.access(|bytes| into.copy_from_slice(&bytes[offset..offset + into.len()]));
    }

    fn copy_in(&self, offset: usize, from: &[u8]) {
        self.access(|bytes| bytes[offset..offset + from.len()].copy_from_slice(from));
    }
}

/// Both sides of rings of these orders, which have been told that they are there.
fn pair(left_order: u16, right_order: u16) -> (Fake, Ring<Fake>, Ring<Fake>) {
    let geometry = Geometry::new(left_order, right_order).unwrap();
    let memory = Fake::new(geometry.bytes());
    let server = Ring::serve(memory.clone(), geometry).unwrap();
    let mut client = Ring::join(memory.clone()).unwrap();
    assert!(client.poll_transmit(), "a server learns that its client has come");
    (memory, server, client)
}

/// Numbers that a seed gives (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }
}
