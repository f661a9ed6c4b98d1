//! Session host: what all sessions of an appliance share, which is tasks, time, entropy and limits.

use super::entry::Entry;
use super::message::Names;
use super::store::{Running, Store};
use super::{Affinity, Ended, Mapper, Session, SessionId, SessionRoute};
use alloc::boxed::Box;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::poll_fn;
use core::ops::RangeInclusive;
use core::task::Poll;
use core::time::Duration;
use flow::sync::{Notify, WakerList};
use flow::task::Spawner;
use flow::task::waiting;
use flow::time::Timers;

/// How many sessions each route keeps, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions. When there are more, one that had a single request goes, or else the one whose last request is the
    /// oldest.
    pub sessions_max: usize,
    /// Of these, sessions that had a single request: what visitors without cookies and machines leave behind. The oldest
    /// goes first.
    pub newcomers_max: usize,
    /// Requests that wait for one session; more are answered 429.
    pub queue_max: usize,
    /// Messages that wait for one session.
    pub messages_max: u32,
    /// Bytes that one session may save for the time after a restart.
    pub saved_bytes_max: usize,
    /// Requests of each session that are recorded, with their answers, for [replays](SessionHost::replay), within
    /// [`RECORDED_BYTES_MAX`](super::RECORDED_BYTES_MAX).
    pub recorded_max: usize,
    /// After so long without a request a session is told to end.
    pub idle_timeout: Duration,
    /// After so much more it is dropped.
    pub end_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions_max: 10_000,
            newcomers_max: 2_000,
            queue_max: 16,
            messages_max: 64,
            saved_bytes_max: 16 << 10,
            recorded_max: 0,
            idle_timeout: Duration::from_secs(30 * 60),
            end_timeout: Duration::from_secs(60),
        }
    }
}

/// What sessions need of the appliance. Clones are the same one.
#[derive(Clone)]
pub struct SessionHost {
    inner: Rc<Inner>,
    limits: Limits,
    affinity: Option<Rc<Affinity>>,
}

struct Inner {
    spawner: Spawner,
    timers: Timers,
    fill_random: Box<FillRandom>,
    /// Sessions that have begun.
    count: Cell<u64>,
    /// Of each route.
    stores: RefCell<Vec<Weak<Store>>>,
    names: Names,
    is_stopping: Cell<bool>,
    /// No visitor is let in yet, and who waits for that.
    is_withheld: Cell<bool>,
    withheld: WakerList,
    /// A session has ended.
    ended: Notify,
    is_replaying: Cell<bool>,
}

impl SessionHost {
    /// A host whose sessions run as tasks of `spawner`, and whose ids come from `fill_random`, which has to be fit for
    /// secrets.
    pub fn new(
        spawner: &Spawner,
        timers: &Timers,
        limits: Limits,
        fill_random: impl Fn(&mut [u8]) + 'static,
    ) -> Self {
        let inner = Rc::new(Inner {
            spawner: spawner.clone(),
            timers: timers.clone(),
            fill_random: Box::new(fill_random),
            count: Cell::new(0),
            stores: RefCell::default(),
            names: Names::default(),
            is_stopping: Cell::new(false),
            is_withheld: Cell::new(false),
            withheld: WakerList::default(),
            ended: Notify::default(),
            is_replaying: Cell::new(false),
        });
        Self { inner, limits, affinity: None }
    }

    /// The same host, with other limits for the routes that are made with it.
    #[must_use]
    pub fn with_limits(&self, limits: Limits) -> Self {
        Self { limits, ..self.clone() }
    }

    /// The same host, one of several behind a balancer, for the routes that are made with it.
    #[must_use]
    pub fn with_affinity(&self, affinity: Affinity) -> Self {
        Self { affinity: Some(Rc::new(affinity)), ..self.clone() }
    }

    /// A route whose requests go to sessions: which, says `mapper`, and each is run by `app` from its first request on.
    /// A cookie is sent with paths that begin as `pattern` does before its first parameter.
    pub fn route<F>(
        &self,
        pattern: &'static str,
        mapper: Mapper,
        app: impl Fn(Session) -> F + 'static,
    ) -> SessionRoute
    where
        F: Future<Output = Result<(), Ended>> + 'static,
    {
        let app = Box::new(move |session| -> Running { Box::pin(app(session)) });
        SessionRoute::new(self, pattern, mapper, app)
    }

    /// Lets no visitor in until [`admit`](Self::admit): what sessions saved before a restart is still on its way.
    pub fn withhold(&self) {
        self.inner.is_withheld.set(true);
    }

    /// Whether visitors are let in.
    pub fn is_admitting(&self) -> bool {
        !self.inner.is_withheld.get() && !self.inner.is_stopping.get()
    }

    /// Lets visitors in.
    pub fn admit(&self) {
        self.inner.is_withheld.set(false);
        self.inner.withheld.wake();
    }

    /// Waits until visitors are let in, as whoever serves does before the first request. Cancel-safe.
    #[track_caller]
    pub fn admitted(&self) -> impl Future<Output = ()> {
        waiting(async move {
            poll_fn(|cx| {
                if !self.inner.is_withheld.get() {
                    return Poll::Ready(());
                }
                self.inner.withheld.register(cx);
                Poll::Pending
            })
            .await;
        })
    }

    /// Begins no more sessions, and tells all that there are to end.
    pub fn drain(&self) {
        self.inner.is_stopping.set(true);
        for store in self.stores() {
            store.tell_all(Ended::ShuttingDown);
        }
    }

    /// Waits until there are no sessions, for one task; after [`drain`](Self::drain), since others begin meanwhile. Cancel-safe.
    #[track_caller]
    pub fn emptied(&self) -> impl Future<Output = ()> {
        waiting(async move {
            while !self.is_empty() {
                self.inner.ended.notified().await;
            }
        })
    }

    /// How many sessions have begun.
    pub fn begun(&self) -> u64 {
        self.inner.count.get()
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.stores().map(|store| store.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends a session that had one request, of the route that has most of them; false if there is none.
    pub(super) fn displace_newcomer(&self) -> bool {
        let route = self.stores().max_by_key(|store| store.newcomers());
        route.is_some_and(|store| store.displace(false))
    }

    /// The session of that number, while it lives.
    pub(super) fn entry(&self, number: u64) -> Option<Rc<Entry>> {
        let mut entries = self.stores().flat_map(|store| store.entries());
        entries.find(|entry| entry.number == number)
    }

    pub(super) fn stores(&self) -> impl Iterator<Item = Rc<Store>> {
        let stores: Vec<_> = self.inner.stores.borrow().iter().filter_map(Weak::upgrade).collect();
        stores.into_iter()
    }

    pub(super) fn add(&self, store: &Rc<Store>) {
        self.inner.stores.borrow_mut().push(Rc::downgrade(store));
    }

    /// None while another replay runs.
    pub(super) fn begin_replay(&self) -> Option<Replaying> {
        (!self.inner.is_replaying.replace(true)).then(|| Replaying(self.inner.clone()))
    }

    pub(super) fn note_end(&self) {
        self.inner.ended.notify();
    }

    pub(super) fn names(&self) -> &Names {
        &self.inner.names
    }

    pub(super) fn spawner(&self) -> &Spawner {
        &self.inner.spawner
    }

    pub(super) fn timers(&self) -> &Timers {
        &self.inner.timers
    }

    pub(super) fn affinity(&self) -> Option<&Rc<Affinity>> {
        self.affinity.as_ref()
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn next_number(&self) -> u64 {
        self.inner.count.set(self.inner.count.get() + 1);
        self.inner.count.get()
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.inner.is_stopping.get()
    }

    pub(super) fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.inner.fill_random)(&mut bytes);
        bytes
    }

    pub(super) fn new_id(&self) -> SessionId {
        SessionId::new(self.bytes())
    }

    pub(super) fn random(&self, range: RangeInclusive<u64>) -> u64 {
        let (start, end) = range.into_inner();
        let Some(span) = end.saturating_sub(start).checked_add(1) else {
            return u64::from_ne_bytes(self.bytes());
        };
        // What lies beyond the last whole multiple of the span would favour small numbers.
        let fair_max = u64::MAX - (u64::MAX % span + 1) % span;
        loop {
            let number = u64::from_ne_bytes(self.bytes());
            if number <= fair_max {
                return start + number % span;
            }
        }
    }
}

impl fmt::Debug for SessionHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionHost({} sessions)", self.len())
    }
}

type FillRandom = dyn Fn(&mut [u8]);

/// A replay that runs.
pub(super) struct Replaying(Rc<Inner>);

impl Drop for Replaying {
    fn drop(&mut self) {
        self.0.is_replaying.set(false);
    }
}
