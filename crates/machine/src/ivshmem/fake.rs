//! Fake devices for tests on a host: several with one memory, as guests of one server have them.

use super::{Bells, Ivshmem};
use crate::memory::shared::{self, SharedRange};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use spinning_top::Spinlock;

/// What the devices of one host have together. Clones are the same.
#[derive(Clone)]
pub struct Server {
    memory: SharedRange,
    /// Who was rung at.
    rung: Arc<Spinlock<BTreeSet<u16>>>,
}

impl Server {
    /// Memory of so many bytes, all zeros.
    pub fn new(bytes: usize) -> Self {
        Self { memory: shared::fake(bytes), rung: Arc::default() }
    }

    /// The device of one guest.
    pub fn device(&self, id: u16) -> Ivshmem {
        let bells = FakeBells { id, server: self.clone() };
        Ivshmem { id, memory: self.memory.clone(), bells: Box::new(bells) }
    }

    /// The memory, as one who means ill has it.
    pub fn memory(&self) -> SharedRange {
        self.memory.clone()
    }
}

struct FakeBells {
    id: u16,
    server: Server,
}

impl Bells for FakeBells {
    fn ring(&self, peer: u16) {
        self.server.rung.lock().insert(peer);
    }

    fn take(&self) -> bool {
        self.server.rung.lock().remove(&self.id)
    }
}
