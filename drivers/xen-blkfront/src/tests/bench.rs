//! A guest's disk with all that surrounds it. Also for the tests in `tests/`, each of which has a process of its own.

use super::{Error, Frontend, Settings, XenBlkfront, list, open};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use flow::time::Timers;
use machine::xen::block::fake::{Backend, Taken};
use storage::{DiskError, Pending};
use xen_store::Store;
use xen_store::fake::{self, Daemon};

pub(super) const FRONT: &str = "/local/domain/1/device/vbd/51712";
pub(super) const BACK: &str = "/local/domain/0/backend/vbd/1/51712";
pub(super) const SETTINGS: Settings = Settings { requests_max: 4, request_bytes_max: 64 << 10 };

/// What a backend says before it has connected, and after.
pub(super) const OFFER: [(&str, &str); 2] =
    [("max-ring-page-order", "4"), ("feature-max-indirect-segments", "256")];
pub(super) const PROPERTIES: [(&str, &str); 4] =
    [("sectors", "4096"), ("sector-size", "512"), ("info", "0"), ("feature-flush-cache", "1")];

/// A guest's disk with all that surrounds it.
pub(super) struct Bench {
    pub(super) store: Store,
    pub(super) daemon: Daemon,
    pub(super) disk: XenBlkfront,
    pub(super) timers: Timers,
    pub(super) backend: Backend,
    task: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

/// The toolstack makes a disk, and a backend is ready for it.
pub(super) fn make_disk(daemon: &mut Daemon) {
    make_front(daemon, FRONT, "51712");
    set_all(daemon, &OFFER);
    daemon.set(&format!("{BACK}/params"), "/dev/loop0");
    daemon.set(&format!("{BACK}/state"), "2");
}

pub(super) fn make_front(daemon: &mut Daemon, folder: &str, number: &str) {
    for (name, value) in
        [("backend", BACK), ("backend-id", "0"), ("virtual-device", number), ("state", "1")]
    {
        daemon.set(&format!("{folder}/{name}"), value);
    }
}

pub(super) fn set_all(daemon: &mut Daemon, nodes: &[(&str, &str)]) {
    for (name, value) in nodes {
        daemon.set(&format!("{BACK}/{name}"), value);
    }
}

/// A backend that takes the offer, when there is one.
pub(super) fn connect(daemon: &mut Daemon, properties: &[(&str, &str)]) -> Option<Backend> {
    let front = |name: &str| daemon.get(&format!("{FRONT}/{name}"));
    if front("state").as_deref() != Some("3") {
        return None;
    }
    let number = |text: String| text.parse().unwrap();
    let references: Vec<u32> = match front("ring-ref") {
        Some(reference) => [number(reference)].into(),
        None => (0..16).map_while(|page| front(&format!("ring-ref{page}"))).map(number).collect(),
    };
    let backend = Backend::attach(&references);
    set_all(daemon, properties);
    daemon.set(&format!("{BACK}/state"), "4");
    Some(backend)
}

/// A disk, its task, and its backend if that got so far.
pub(super) type Opened = (XenBlkfront, Frontend, Option<Backend>);

/// Opens the only disk, with a backend that says so much of it; `None` when that waits for ever.
pub(super) fn open_one(
    store: &Store,
    daemon: &mut Daemon,
    settings: &Settings,
    properties: &[(&str, &str)],
) -> Option<Result<Opened, Error>> {
    let vbds = daemon.drive(store, list(store))?.unwrap();
    let mut opening = Box::pin(open(store, &vbds[0], settings));
    let mut backend = None;
    for _ in 0..100 {
        let polled = opening.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(opened) = polled {
            return Some(opened.map(|(disk, frontend)| (disk, frontend, backend)));
        }
        store.poll();
        daemon.step();
        backend = backend.or_else(|| connect(daemon, properties));
    }
    None
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::of(&SETTINGS, |_| {})
    }

    /// With settings, and a toolstack or a backend that does something besides.
    pub(super) fn of(settings: &Settings, besides: impl FnOnce(&mut Daemon)) -> Self {
        let (store, mut daemon) = fake::connect();
        make_disk(&mut daemon);
        besides(&mut daemon);
        let opened = open_one(&store, &mut daemon, settings, &PROPERTIES);
        let (disk, frontend, backend) = opened.expect("an answer").expect("a disk");
        let timers = Timers::new();
        let clock = timers.clone();
        let task: Pin<Box<dyn Future<Output = ()>>> =
            Box::pin(async move { frontend.run(&clock).await });
        let backend = backend.expect("a backend");
        let mut bench = Self { store, daemon, disk, timers, backend, task: Some(task) };
        bench.settle();
        bench
    }

    /// Lets task, device and daemon do what they have to do.
    pub(super) fn settle(&mut self) {
        for _ in 0..100 {
            self.run_task();
            self.disk.poll();
            self.disk.flush_requests();
            self.disk.prepare_to_wait();
        }
    }

    pub(super) fn run_task(&mut self) {
        if let Some(task) = &mut self.task
            && task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
        {
            self.task = None;
        }
        self.store.poll();
        self.daemon.step();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.task.is_none()
    }

    pub(super) fn set_backend(&mut self, state: &str) {
        self.daemon.set(&format!("{BACK}/state"), state);
        self.settle();
    }

    pub(super) fn front(&self, name: &str) -> Option<String> {
        self.daemon.get(&format!("{FRONT}/{name}"))
    }

    /// The next request that the backend was shown.
    pub(super) fn take(&mut self) -> Taken {
        self.backend.take().expect("a request")
    }

    /// Answers a read as a disk does.
    pub(super) fn answer(&mut self, request: &Taken) {
        request.write(&content(request.sector, request.bytes()));
        self.backend.answer(request, 0);
    }
}

pub(super) fn poll<T>(pending: &mut Pending<T>) -> Poll<Result<T, DiskError>> {
    Pin::new(pending).poll(&mut Context::from_waker(Waker::noop()))
}

/// What lies at a sector.
pub(super) fn content(sector: u64, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (sector as usize + at / 512) as u8).collect()
}
