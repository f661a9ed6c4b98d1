//! Two peers of a region, one of which is killed, and anything of whose tables is overwritten when the input says so: no panic,
//! no more flows than there may be, and no byte that was not written there as long as nobody lies.

use flow::{ConnectError, Connector, Flow, Listener, Target};
use shared_region::{Limits, Region, RegionFlow, RegionListener, RegionMemory};
use shared_ring::{Rings, SharedMemory};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Tables, and room for two slots of the smallest rings.
const TABLES_BYTES: usize = 32 << 10;
const REGION_BYTES: usize = TABLES_BYTES + 2 * (3 * 4096);
const LIMITS: Limits = Limits { connections_max: 2, ring_bytes: 4096 };
/// Where the tables are, and what of each is worth changing: entries of 64 and 128 bytes, of which the first few are used.
const TABLES: [usize; 5] = [0, 4 << 10, 8 << 10, 16 << 10, TABLES_BYTES];

pub(crate) fn target(data: &[u8]) {
    let mut world = World::new();
    for act in data.chunks_exact(4).take(1000) {
        world.act(act);
        for peer in &world.peers {
            assert!(peer.rings.flows() <= LIMITS.connections_max);
        }
    }
    // Who is to be notified is kept until somebody does it.
    let World { peers, flows, listener, connecting, .. } = world;
    drop((flows, listener, connecting));
    peers.iter().for_each(|peer| peer.rings.notify());
}

type Connecting = Pin<Box<dyn Future<Output = Result<RegionFlow<Memory>, ConnectError>>>>;

struct World {
    memory: Memory,
    numbers: Rc<Cell<u32>>,
    now: Duration,
    /// The one that connects, and the one that listens.
    peers: [Peer; 2],
    listener: Option<RegionListener<Memory>>,
    connecting: Option<Connecting>,
    flows: [Option<RegionFlow<Memory>>; 2],
    /// On its way to each side.
    expected: [VecDeque<u8>; 2],
    next: u8,
    /// The two flows are not each other's for certain, or somebody lied.
    is_mixed: bool,
}

struct Peer {
    region: Region<Memory>,
    rings: Rings,
}

impl World {
    fn new() -> Self {
        let memory = Memory { bytes: Rc::new(RefCell::new(vec![0; REGION_BYTES])), device: 0 };
        let numbers = Rc::new(Cell::new(1));
        let peers = [0, 1].map(|device| Peer::new(&memory, device, &numbers));
        let listener = peers[1].region.listen("name", 2);
        Self {
            memory,
            numbers,
            now: Duration::from_secs(1),
            peers,
            listener,
            connecting: None,
            flows: [None, None],
            expected: Default::default(),
            next: 0,
            is_mixed: false,
        }
    }

    fn act(&mut self, act: &[u8]) {
        let side = usize::from(act[1] % 2);
        match act[0] % 8 {
            0 => self.turn(side),
            1 => {
                self.now += Duration::from_millis(u64::from(act[2]) * 20);
                self.peers.iter().for_each(|peer| peer.region.handle_timeout(self.now));
            }
            2 => self.connect(),
            3 => self.accept(),
            4 => self.read(side),
            5 => self.write(side, usize::from(act[2]) * 17),
            6 => self.end(side, act[2]),
            _ => {
                let table = TABLES[usize::from(act[1]) % TABLES.len()];
                let place = table + usize::from(act[2] / 16) * 64 + usize::from(act[2] % 16);
                self.memory.bytes.borrow_mut()[place] = act[3];
                self.is_mixed = true;
            }
        }
    }

    fn turn(&self, side: usize) {
        let Peer { region, rings } = &self.peers[side];
        if region.has_news() {
            region.handle_input();
        }
        rings.notify();
        let _ = rings.poll() || rings.may_sleep();
    }

    fn connect(&mut self) {
        if self.connecting.is_none() {
            // What was accepted for an earlier one may still come.
            self.is_mixed |= self.flows[0].take().is_some();
            let connector = self.peers[0].region.connector();
            let target = Target::SharedMemory("name".into());
            self.connecting = Some(Box::pin(async move { connector.connect(&target).await }));
        }
        let connecting = self.connecting.as_mut().expect("there is one by now");
        if let Poll::Ready(outcome) = connecting.as_mut().poll(&mut context()) {
            self.connecting = None;
            self.is_mixed |= outcome.is_err();
            self.flows[0] = outcome.ok();
        }
    }

    fn accept(&mut self) {
        let Some(listener) = &mut self.listener else { return };
        if let Poll::Ready(outcome) = listener.poll_accept(&mut context()) {
            self.is_mixed |= self.flows[1].is_some();
            self.flows[1] = outcome.ok();
        }
    }

    fn read(&mut self, side: usize) {
        let Some(flow) = &mut self.flows[side] else { return };
        let mut read = Vec::new();
        let _ = flow.poll_read_with(&mut context(), &mut |bytes| {
            read = bytes.to_vec();
            bytes.len()
        });
        if !self.is_mixed {
            assert!(read.len() <= self.expected[side].len());
            assert!(self.expected[side].drain(..read.len()).eq(read));
        }
    }

    fn write(&mut self, side: usize, count: usize) {
        let Some(flow) = &mut self.flows[side] else { return };
        let bytes: Vec<u8> = (0..=count).map(|place| self.next.wrapping_add(place as u8)).collect();
        if let Poll::Ready(Ok(written)) = flow.poll_write(&mut context(), &bytes) {
            assert!(written <= bytes.len());
            self.next = self.next.wrapping_add(written as u8);
            self.expected[1 - side].extend(&bytes[..written]);
        }
    }

    fn end(&mut self, side: usize, how: u8) {
        match how % 4 {
            0 => self.flows[side].iter_mut().for_each(Flow::finish),
            1 => {
                self.is_mixed |= self.flows[side].take().is_some();
            }
            2 => {
                self.is_mixed |= self.connecting.take().is_some();
            }
            // It is killed, and says nothing of it; another comes by the same device.
            _ => {
                self.is_mixed = true;
                self.peers[side] = Peer::new(&self.memory, side as u16, &self.numbers);
                if side == 1 {
                    self.listener = self.peers[1].region.listen("name", 2);
                }
            }
        }
    }
}

impl Peer {
    fn new(memory: &Memory, device: u16, numbers: &Rc<Cell<u32>>) -> Self {
        let memory = Memory { device, ..memory.clone() };
        let (rings, numbers) = (Rings::default(), numbers.clone());
        let random = move || numbers.replace(numbers.get() + 1);
        Self { region: Region::new(memory, rings.clone(), LIMITS, random), rings }
    }
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// The region, as one of its peers has it. Doorbells are not heard: peers look in each turn.
#[derive(Clone)]
struct Memory {
    bytes: Rc<RefCell<Vec<u8>>>,
    device: u16,
}

impl RegionMemory for Memory {
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

    fn ring(&self, _: u16) {}
}

impl SharedMemory for Memory {
    fn bytes(&self) -> usize {
        self.bytes.borrow().len()
    }

    fn load_word(&self, offset: usize) -> u32 {
        let bytes = self.bytes.borrow();
        u32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("four bytes"))
    }

    fn store_word(&self, offset: usize, word: u32) {
        self.copy_in(offset, &word.to_le_bytes());
    }

    fn load_byte(&self, offset: usize) -> u8 {
        self.bytes.borrow()[offset]
    }

    fn store_byte(&self, offset: usize, byte: u8) {
        self.bytes.borrow_mut()[offset] = byte;
    }

    fn set_bits(&self, offset: usize, bits: u8) {
        self.bytes.borrow_mut()[offset] |= bits;
    }

    fn clear_bits(&self, offset: usize, bits: u8) -> u8 {
        let before = self.load_byte(offset);
        self.store_byte(offset, before & !bits);
        before
    }

    fn copy_out(&self, offset: usize, into: &mut [u8]) {
        into.copy_from_slice(&self.bytes.borrow()[offset..offset + into.len()]);
    }

    fn copy_in(&self, offset: usize, bytes: &[u8]) {
        self.bytes.borrow_mut()[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}
