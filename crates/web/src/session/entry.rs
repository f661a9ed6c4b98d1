//! Entry: one session as it is seen from outside, its queue among it.

use super::carry::Archived;
use super::hit::{Exchange, Hit};
use super::inspect::{Command, Offered, Watched};
use super::message::{Members, Message};
use super::replay::Records;
use super::store::Key;
use super::{Ended, SessionHost, SessionId, SessionInfo};
use alloc::boxed::Box;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell, RefCell};
use core::panic::Location;
use core::time::Duration;
use flow::sync::Queue;
use flow::task::TaskId;
use flow::time::Timers;

/// One session, from outside.
pub(super) struct Entry {
    pub(super) key: RefCell<Key>,
    pub(super) queue: Queue<Item>,
    /// What it is called where others may read it.
    pub(super) number: u64,
    pub(super) born: Duration,
    pub(super) timers: Timers,
    /// When a visitor last came, or stopped waiting.
    pub(super) last_used: Cell<Duration>,
    /// Visitors that wait for it.
    pub(super) waiting: Cell<u32>,
    pub(super) hits: Cell<u64>,
    /// Whether the session took a request out of the queue.
    pub(super) has_taken: Cell<bool>,
    /// Messages in the queue, and how many there may be.
    pub(super) unread: Cell<u32>,
    messages_max: u32,
    /// Messages for which there was no room, since the last that the session was told of.
    pub(super) missed: Cell<u64>,
    /// Where the session waits for its queue.
    pub(super) waits_at: Cell<Option<&'static Location<'static>>>,
    /// When it was told to end, if no request came since.
    pub(super) told_at: Cell<Option<Duration>>,
    /// It is another's copy: no visitor finds it.
    pub(super) is_copy: bool,
    /// Its visitor does not know its id yet.
    is_id_new: Cell<bool>,
    /// None once it is over.
    pub(super) task: Cell<Option<TaskId>>,
    extras: OnceCell<Box<Extras>>,
}

/// What few sessions have.
#[derive(Default)]
pub(super) struct Extras {
    /// What it joined: topics last as long as their members.
    pub(super) topics: RefCell<Vec<Rc<Members>>>,
    pub(super) watched: RefCell<Vec<Watched>>,
    pub(super) commands: RefCell<Vec<Offered>>,
    /// What it is to have again after a restart, and what it has of before one.
    pub(super) saved: RefCell<Option<Box<str>>>,
    pub(super) resumed: RefCell<Option<Box<str>>>,
    open: RefCell<Vec<Open>>,
    pub(super) records: Records,
}

/// A request whose answer may be shared.
pub(super) struct Open {
    target: Box<[u8]>,
    exchange: Weak<Exchange>,
}

impl Open {
    pub(super) fn new(hit: &Hit) -> Self {
        Self { target: hit.target().into(), exchange: Rc::downgrade(hit.exchange()) }
    }
}

/// What waits in a session's queue.
pub(super) enum Item {
    Hit(Hit),
    Message(Message),
    /// Here messages are missing.
    Missed,
    Command(Command),
    End(Ended),
}

impl Entry {
    /// A session that begins now, with what it saved before a restart.
    pub(super) fn new(host: &SessionHost, key: Key, resumed: Option<Box<str>>) -> Rc<Self> {
        let entry = Self::unshared(host, key, resumed.is_some());
        if resumed.is_some() {
            // Until it saves anew that is what it has to be resumed with again.
            entry.extras().saved.replace(resumed.clone());
            entry.extras().resumed.replace(resumed);
        }
        Rc::new(entry)
    }

    /// Another's copy, which begins now.
    pub(super) fn new_copy(host: &SessionHost, key: Key) -> Rc<Self> {
        Rc::new(Self { is_copy: true, ..Self::unshared(host, key, false) })
    }

    fn unshared(host: &SessionHost, key: Key, is_resumed: bool) -> Self {
        let now = host.timers().now();
        Self {
            is_copy: false,
            is_id_new: Cell::new(!is_resumed && matches!(key, Key::Id(_))),
            key: RefCell::new(key),
            queue: Queue::default(),
            number: host.next_number(),
            timers: host.timers().clone(),
            born: now,
            last_used: Cell::new(now),
            waiting: Cell::new(0),
            hits: Cell::new(0),
            has_taken: Cell::new(false),
            unread: Cell::new(0),
            messages_max: host.limits().messages_max,
            missed: Cell::new(0),
            waits_at: Cell::new(None),
            told_at: Cell::new(None),
            task: Cell::new(None),
            extras: OnceCell::new(),
        }
    }

    /// It has another id, which its visitor is to be told.
    pub(super) fn rekey(&self, key: Key) {
        self.key.replace(key);
        self.is_id_new.set(true);
    }

    pub(super) fn visited(&self) {
        self.hits.set(self.hits.get() + 1);
        self.last_used.set(self.timers.now());
        self.told_at.set(None);
    }

    /// The request for that target that has no answer yet and shares it.
    pub(super) fn open(&self, target: &[u8]) -> Option<Rc<Exchange>> {
        let open = self.known_extras()?.open.borrow();
        let exchange = open.iter().find(|open| *open.target == *target)?.exchange.upgrade();
        exchange.filter(|exchange| !exchange.is_over())
    }

    pub(super) fn add_open(&self, new: Open) {
        let mut open = self.extras().open.borrow_mut();
        open.retain(|open| open.exchange.upgrade().is_some_and(|exchange| !exchange.is_over()));
        open.push(new);
    }

    /// Whether so many requests wait in the queue, or more.
    pub(super) fn has_hits(&self, count: usize) -> bool {
        self.queue.len() >= count && self.queue.count(|item| matches!(item, Item::Hit(_))) >= count
    }

    pub(super) fn push(self: &Rc<Self>, hit: Hit) {
        self.visited();
        self.queue.push(Item::Hit(hit.to(self)));
    }

    /// The id that the visitor is to be told with an answer, once.
    pub(super) fn id_to_tell(&self) -> Option<SessionId> {
        match *self.key.borrow() {
            Key::Id(id) if self.is_id_new.take() => Some(id),
            _ => None,
        }
    }

    pub(super) fn tell(&self, ended: Ended) {
        self.told_at.set(Some(self.timers.now()));
        self.queue.push(Item::End(ended));
    }

    pub(super) fn push_message(&self, message: Message) {
        self.unread.set(self.unread.get() + 1);
        self.queue.push(Item::Message(message));
    }

    /// A message is lost here.
    pub(super) fn push_missed(&self) {
        if self.missed.get() == 0 {
            self.queue.push(Item::Missed);
        }
        self.missed.set(self.missed.get() + 1);
    }

    pub(super) fn push_command(&self, command: Command) {
        self.queue.push(Item::Command(command));
    }

    pub(super) fn is_mailbox_full(&self) -> bool {
        self.unread.get() >= self.messages_max || self.missed.get() > 0
    }

    /// Whether nobody takes anything out of the queue any more.
    pub(super) fn is_over(&self) -> bool {
        self.task.get().is_none()
    }

    pub(super) fn archived(&self, route: &str) -> Option<Archived> {
        let saved = self.known_extras()?.saved.borrow();
        Some(Archived::new(route, &self.key.borrow(), self.idle(), saved.as_deref()?))
    }

    /// Made when they are first asked for.
    pub(super) fn extras(&self) -> &Extras {
        self.extras.get_or_init(Box::default)
    }

    pub(super) fn known_extras(&self) -> Option<&Extras> {
        self.extras.get().map(|extras| &**extras)
    }

    pub(super) fn age(&self) -> Duration {
        self.timers.now().saturating_sub(self.born)
    }

    fn idle(&self) -> Duration {
        self.timers.now().saturating_sub(self.last_used.get())
    }

    pub(super) fn info(&self, route: &'static str) -> SessionInfo {
        SessionInfo {
            number: self.number,
            route,
            age: self.age(),
            idle: self.idle(),
            hits: self.hits.get(),
            queue: self.queue.len(),
            waits_at: self.waits_at.get(),
        }
    }

    /// Requests that wait are answered 500.
    pub(super) fn refuse_all(&self) {
        while let Some(item) = self.queue.try_pop() {
            drop(item);
        }
    }
}

/// A visitor waits: meanwhile the session is not idle, and is not displaced.
pub(super) struct Busy(Weak<Entry>);

impl Busy {
    pub(super) fn new(entry: &Rc<Entry>) -> Self {
        entry.waiting.set(entry.waiting.get() + 1);
        Self(Rc::downgrade(entry))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(entry) = self.0.upgrade() {
            entry.waiting.set(entry.waiting.get() - 1);
            entry.last_used.set(entry.timers.now());
        }
    }
}
