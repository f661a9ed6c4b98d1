//! A guest's interface with all that surrounds it. Also for the tests in `tests/`, each of which has a process of its own.

use super::{Error, Frontend, Interfaces, Settings, XenNetfront, open};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec;
use alloc::vec::Vec;
use core::num::NonZeroU16;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use machine::xen::net::fake::Backend;
use net::device::{NetDevice, TxFrame};
use xen_store::Store;
use xen_store::fake::{self, Daemon};

pub(super) const FRONT: &str = "/local/domain/1/device/vif/0";
pub(super) const BACK: &str = "/local/domain/0/backend/vif/1/0";
pub(super) const SETTINGS: Settings =
    Settings { receive_pages: 32, transmit_pages: 4, transmit_runs: 2 };

/// A guest's interface with all that surrounds it.
pub(super) struct Bench {
    pub(super) store: Store,
    pub(super) daemon: Daemon,
    pub(super) card: XenNetfront,
    task: Pin<Box<dyn Future<Output = Error>>>,
    alarm: Arc<Alarm>,
}

/// Whether a task was woken.
struct Alarm(AtomicBool);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The toolstack makes an interface, and a backend is ready for it.
pub(super) fn make_interface(daemon: &mut Daemon) {
    make_front(daemon, FRONT);
    for name in ["online", "feature-sg", "feature-gso-tcpv4", "feature-split-event-channels"] {
        daemon.set(&format!("{BACK}/{name}"), "1");
    }
    daemon.set(&format!("{BACK}/state"), "2");
}

pub(super) fn make_front(daemon: &mut Daemon, folder: &str) {
    for (name, value) in [("backend", BACK), ("backend-id", "0"), ("mac", "00:16:3e:01:02:03")] {
        daemon.set(&format!("{folder}/{name}"), value);
    }
    daemon.set(&format!("{folder}/state"), "1");
}

/// Opens the only interface.
pub(super) fn open_one(store: &Store, daemon: &mut Daemon) -> (XenNetfront, Frontend) {
    open_with(store, daemon, &SETTINGS)
}

/// The same with other sizes.
pub(super) fn open_with(
    store: &Store,
    daemon: &mut Daemon,
    settings: &Settings,
) -> (XenNetfront, Frontend) {
    let opened = run(store, daemon, async {
        let all = Interfaces::new(store).await?.fresh().await?;
        open(store, &all[0], settings).await
    });
    opened.expect("an answer").expect("an interface")
}

pub(super) fn run<T>(
    store: &Store,
    daemon: &mut Daemon,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = Box::pin(future);
    for _ in 0..100 {
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(value) = polled {
            return Some(value);
        }
        store.poll();
        daemon.step();
    }
    None
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(&[])
    }

    /// One whose backend says something else.
    pub(super) fn with(nodes: &[(&str, &str)]) -> Self {
        let (store, mut daemon) = fake::connect();
        make_interface(&mut daemon);
        for (name, value) in nodes {
            daemon.set(&format!("{BACK}/{name}"), value);
        }
        let (card, frontend) = open_one(&store, &mut daemon);
        Self::of(store, daemon, card, frontend)
    }

    /// With all that was opened.
    pub(super) fn of(store: Store, daemon: Daemon, card: XenNetfront, frontend: Frontend) -> Self {
        let (task, alarm) = (Box::pin(frontend.run()), Arc::new(Alarm(true.into())));
        let mut bench = Self { store, daemon, card, task, alarm };
        bench.settle();
        bench
    }

    /// Lets task, device and daemon do what they have to do.
    pub(super) fn settle(&mut self) {
        for _ in 0..100 {
            self.step();
            self.card.prepare_to_wait();
        }
    }

    /// One turn of all but the device. The task has its turn if it was woken.
    pub(super) fn step(&mut self) {
        if self.alarm.0.swap(false, Ordering::Relaxed) {
            let waker = Waker::from(self.alarm.clone());
            let polled = self.task.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending(), "{polled:?}");
        }
        self.store.poll();
        self.daemon.step();
    }

    pub(super) fn set_backend(&mut self, state: &str) {
        self.daemon.set(&format!("{BACK}/state"), state);
        self.settle();
    }

    pub(super) fn front(&self, name: &str) -> Option<String> {
        self.daemon.get(&format!("{FRONT}/{name}"))
    }

    /// A backend that takes the offer.
    pub(super) fn connect(&mut self) -> Backend {
        assert_eq!(self.front("state").as_deref(), Some("4"));
        let reference = |name| self.front(name).unwrap().parse().unwrap();
        let backend = Backend::attach(reference("tx-ring-ref"), reference("rx-ring-ref"));
        self.set_backend("4");
        assert!(self.card.link_up());
        backend
    }

    pub(super) fn receive(&mut self) -> Option<Vec<u8>> {
        let mut received = None;
        self.card.receive(&mut |frame, _| received = Some(frame.to_vec()));
        received
    }

    pub(super) fn send(&mut self, frame: &[u8], segment: Option<u16>) {
        let segment_bytes = segment.and_then(NonZeroU16::new);
        let whole = TxFrame { segment_bytes, ..TxFrame::new(frame.len()) };
        let write = &mut |buffer: &mut [u8]| buffer.copy_from_slice(frame);
        assert!(self.card.transmitter().transmit(whole, write));
        self.card.flush();
    }
}

/// An Ethernet frame with a TCP packet in it, whose checksum is not computed.
pub(super) fn tcp_frame(payload: usize) -> Vec<u8> {
    let mut frame = vec![0; 54 + payload];
    frame[12..15].copy_from_slice(&[8, 0, 0x45]);
    frame[16..18].copy_from_slice(&(40 + payload as u16).to_be_bytes());
    frame[23] = 6;
    frame[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    frame[46] = 5 << 4;
    frame[54..].fill(7);
    frame
}
