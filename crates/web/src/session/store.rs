//! Session store: the sessions of one route, found by their keys, bounded, and reaped.

use super::carry::{Archived, Saved};
use super::entry::{Entry, Item, Open};
use super::hit::{Answer, Hit, Waiting, plain};
use super::mapper::Mapped;
use super::{Affinity, Ended, Mapper, Session, SessionHost, SessionId, SessionInfo};
use crate::{Cookie, Reply, Request, Response, Status};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::poll_fn;
use core::hash::{BuildHasher, Hash, Hasher};
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;
use flow::registry::Label;
use flow::task::TaskError;
use lru::LruCache;
use siphasher::sip::SipHasher13;

/// Sessions begin while there are tasks for fewer hundredths of their limit than this: the rest is for connections.
const TASKS_PERCENT_MAX: usize = 75;

/// Of the sessions used least recently so many are looked at for one that nobody waits for.
const LOOKED_AT_MAX: usize = 16;

/// Runs a session.
pub(super) type App = dyn Fn(Session) -> Running;

/// A session that runs.
pub(super) type Running = Pin<Box<dyn Future<Output = Result<(), Ended>>>>;

pub(super) struct Store {
    pub(super) host: SessionHost,
    pub(super) route: &'static str,
    mapper: Mapper,
    app: Box<App>,
    sessions: RefCell<Sessions>,
    /// The line that most answers have.
    no_store: Rc<[u8]>,
    /// What sessions leave behind that end because the appliance stops.
    archived: RefCell<Vec<Archived>>,
    /// The last sessions that panicked, if their requests are recorded: to be replayed.
    fallen: RefCell<VecDeque<Rc<Entry>>>,
}

/// Sessions of a route that are kept when they have panicked.
const FALLEN_MAX: usize = 4;

/// Each in the order of their last requests.
struct Sessions {
    /// Those that had one request.
    newcomers: LruCache<Key, Rc<Entry>, KeyedHash>,
    regulars: LruCache<Key, Rc<Entry>, KeyedHash>,
    /// Those of before a restart, whose visitors have not come yet.
    saved: LruCache<Key, Saved, KeyedHash>,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// One that we gave out.
    Id(SessionId),
    /// One that the request says.
    Chosen(Vec<u8>),
}

/// The keys of a route are all of one kind.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(match self {
            Self::Id(id) => id.half(),
            Self::Chosen(key) => key,
        });
    }
}

/// SipHash with a secret, since visitors choose keys.
#[derive(Clone)]
struct KeyedHash([u8; 16]);

impl BuildHasher for KeyedHash {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_key(&self.0)
    }
}

/// Nobody finds a session, or waits for it, whose task has ended: also if somebody cancelled it.
struct EndOfTask<'a>(&'a Store, &'a Rc<Entry>);

impl Drop for EndOfTask<'_> {
    fn drop(&mut self) {
        let Self(store, entry) = self;
        store.forget(entry);
        entry.task.take();
        entry.refuse_all();
        store.host.note_end();
    }
}

/// How a session ended.
enum End {
    Returned(Result<(), Ended>),
    /// It was told to end, and did not.
    Reaped,
    Failed(TaskError),
}

impl Store {
    pub(super) fn new(
        host: &SessionHost,
        route: &'static str,
        mapper: Mapper,
        app: Box<App>,
    ) -> Rc<Self> {
        let hash = KeyedHash(host.bytes());
        let sessions = RefCell::new(Sessions {
            newcomers: LruCache::unbounded_with_hasher(hash.clone()),
            regulars: LruCache::unbounded_with_hasher(hash.clone()),
            saved: LruCache::unbounded_with_hasher(hash),
        });
        let (archived, fallen) = (RefCell::default(), RefCell::default());
        let no_store = b"Cache-Control: no-store\r\n"[..].into();
        Rc::new(Self {
            host: host.clone(),
            route,
            mapper,
            app,
            sessions,
            no_store,
            archived,
            fallen,
        })
    }

    /// Which other appliance has the session of a request, if one has.
    pub(super) fn elsewhere(&self, request: &Request) -> Option<(Rc<Affinity>, Label)> {
        let affinity = self.host.affinity()?;
        let owner = match self.mapper.map(request) {
            Mapped::Cookie(value) => affinity
                .open(value?)
                .map(|(_, owner)| owner)
                .filter(|owner| !affinity.is_own(owner)),
            Mapped::Key(key) => affinity.owner_of_key(request, &key),
            Mapped::None => None,
        };
        Some((affinity.clone(), owner?))
    }

    /// Lets the owner of a request's session answer it; or a new session, if the owner is lost.
    pub(super) async fn pass(
        self: Rc<Self>,
        affinity: Rc<Affinity>,
        owner: Label,
        request: Request,
        cookie_path: Rc<str>,
    ) -> Reply {
        match affinity.pass(owner, request, self.host.timers().now()).await {
            Ok(reply) => reply,
            Err(Ok(request)) => {
                let encrypted = request.is_secure();
                let waiting = self.waiting(request);
                self.reply(waiting, &cookie_path, encrypted).await
            }
            Err(Err(response)) => self.private(response).into(),
        }
    }

    /// The key that a request names, if it can be known: ids are of our making only.
    fn key_of(&self, request: &Request) -> Option<Option<Key>> {
        Some(match self.mapper.map(request) {
            Mapped::Cookie(value) => value.and_then(|value| self.id_of(value)).map(Key::Id),
            Mapped::Key(key) => Some(Key::Chosen(key)),
            Mapped::None => return None,
        })
    }

    /// The id that a cookie's value may be.
    fn id_of(&self, value: &[u8]) -> Option<SessionId> {
        match self.host.affinity() {
            None => SessionId::of_value(value),
            Some(affinity) => {
                affinity.open(value).filter(|(_, owner)| affinity.is_own(owner)).map(|(id, _)| id)
            }
        }
    }

    /// Gives a request to its session, and lets it wait for the answer.
    pub(super) fn waiting(self: &Rc<Self>, request: Request) -> Waiting {
        let shares = self.mapper.shares(&request);
        if shares && let Some(waiting) = self.join(&request) {
            return waiting;
        }
        let (hit, waiting) = Hit::new(request);
        let open = shares.then(|| Open::new(&hit));
        let Some(entry) = self.give(hit) else { return waiting };
        if let Some(open) = open {
            entry.add_open(open);
        }
        if let Some(task) = entry.task.get() {
            // It mostly answers at once, and saves the connection a second turn.
            self.host.spawner().poll_now(task);
        }
        waiting
    }

    /// Lets a request wait for the answer to an equal one, if one is open.
    fn join(&self, request: &Request) -> Option<Waiting> {
        let entry = self.find(&self.key_of(request)??)?;
        let leader = entry.open(request.target())?;
        entry.visited();
        Some(leader.join(&entry))
    }

    /// Puts a request into the queue of its session, which is made if there is none, or refuses it.
    fn give(self: &Rc<Self>, mut hit: Hit) -> Option<Rc<Entry>> {
        match self.session_of(&hit) {
            Ok(entry) => {
                let recorded_max = self.host.limits().recorded_max;
                if recorded_max > 0 {
                    entry.extras().records.add(&mut hit, recorded_max);
                }
                entry.push(hit);
                Some(entry)
            }
            Err(refusal) => {
                hit.reply(refusal);
                None
            }
        }
    }

    /// The session that a request goes to, if it can wait there.
    fn session_of(self: &Rc<Self>, request: &Request) -> Result<Rc<Entry>, Response> {
        let Some(key) = self.key_of(request) else {
            let text = "the request does not say which session it is for\n";
            return Err(plain(Status::BAD_REQUEST, text));
        };
        let known = key.as_ref().and_then(|key| self.find(key));
        let entry = match known {
            Some(known) => known,
            None => {
                let saved = key.as_ref().and_then(|key| self.saved(key));
                let key = match key {
                    Some(Key::Id(id)) if saved.is_some() => Key::Id(id),
                    Some(Key::Chosen(key)) => Key::Chosen(key),
                    // An id that nobody has is not given to who shows it: somebody else may know it.
                    Some(Key::Id(_)) | None => Key::Id(self.host.new_id()),
                };
                self.begin(key, saved)?
            }
        };
        if entry.has_hits(self.host.limits().queue_max) {
            let text = "too many requests wait for this session\n";
            return Err(plain(Status::TOO_MANY_REQUESTS, text));
        }
        Ok(entry)
    }

    /// The reply to a request, once the session has given it.
    pub(super) async fn reply(
        &self,
        waiting: Waiting,
        cookie_path: &str,
        encrypted: bool,
    ) -> Reply {
        self.addressed(waiting.answer().await, cookie_path, encrypted)
    }

    /// The reply that an answer becomes on its way to its visitor.
    pub(super) fn addressed(&self, answer: Answer, cookie_path: &str, encrypted: bool) -> Reply {
        let Answer { mut reply, id } = answer;
        self.keep_private(&mut reply.response);
        if let Some(cookie) = id.and_then(|id| self.cookie(id, cookie_path, encrypted)) {
            reply.response = reply.response.with_cookie(&cookie);
        }
        reply
    }

    /// What one session says is for its visitor only: nobody keeps it for others (RFC 9111 section 5.2.2.5).
    fn keep_private(&self, response: &mut Response) {
        response.forbid_repeating();
        if response.header("cache-control").is_none() {
            response.add_shared_lines(&self.no_store);
        }
    }

    /// A response for its visitor only.
    pub(super) fn private(&self, mut response: Response) -> Response {
        self.keep_private(&mut response);
        response
    }

    /// What tells a visitor of his session.
    fn cookie(&self, id: SessionId, path: &str, encrypted: bool) -> Option<Cookie> {
        let sealed = self.host.affinity().map(|affinity| affinity.seal(id));
        let value = sealed.as_deref().unwrap_or(id.as_str());
        self.mapper.cookie_for(value, path, encrypted)
    }

    /// The session of that key, which is then the one used last.
    fn find(&self, key: &Key) -> Option<Rc<Entry>> {
        let sessions = &mut *self.sessions.borrow_mut();
        if let Some(entry) = sessions.regulars.get(key) {
            return Some(entry.clone());
        }
        let entry = sessions.newcomers.pop(key)?;
        sessions.regulars.put(key.clone(), entry.clone());
        Some(entry)
    }

    /// What the session of that key saved before a restart, once.
    fn saved(&self, key: &Key) -> Option<Box<str>> {
        let saved = self.sessions.borrow_mut().saved.pop(key)?;
        (saved.good_until > self.host.timers().now()).then_some(saved.state)
    }

    /// Keeps what a session saved before a restart until its visitor comes, if that is not too late already.
    pub(super) fn resume_later(&self, key: Key, idle: Duration, state: &str) -> bool {
        let limits = self.host.limits();
        let left = limits.idle_timeout.saturating_sub(idle);
        if left.is_zero() || state.len() > limits.saved_bytes_max {
            return false;
        }
        let good_until = self.host.timers().now() + left;
        let saved = &mut self.sessions.borrow_mut().saved;
        saved.put(key, Saved { state: state.into(), good_until });
        if saved.len() > limits.sessions_max {
            saved.pop_lru();
        }
        true
    }

    /// What sessions leave for the time after a restart: those that have ended, those that live and those that nobody
    /// visited since the one before.
    pub(super) fn archived(&self) -> Vec<Archived> {
        let now = self.host.timers().now();
        // What is newer stands behind what is older of the same key.
        let mut archived = Vec::new();
        let idle_timeout = self.host.limits().idle_timeout;
        let unvisited = |(key, saved): (&Key, &Saved)| {
            let left = saved.good_until.checked_sub(now)?;
            Some(Archived::new(self.route, key, idle_timeout.saturating_sub(left), &saved.state))
        };
        archived.extend(self.sessions.borrow().saved.iter().filter_map(unvisited));
        archived.append(&mut self.archived.borrow_mut());
        archived.extend(self.entries().iter().filter_map(|entry| entry.archived(self.route)));
        archived
    }

    /// Whether there is any of it.
    pub(super) fn has_archived(&self) -> bool {
        let is_left = !self.archived.borrow().is_empty();
        let is_unvisited = !self.sessions.borrow().saved.is_empty();
        let has_any = is_left || is_unvisited;
        has_any || self.entries().iter().any(|entry| entry.archived(self.route).is_some())
    }

    /// Begins a session, which has this of before a restart.
    fn begin(self: &Rc<Self>, key: Key, resumed: Option<Box<str>>) -> Result<Rc<Entry>, Response> {
        let spawner = self.host.spawner();
        let is_short = spawner.load_percent() >= TASKS_PERCENT_MAX;
        let has_room = !is_short || self.host.displace_newcomer();
        if self.host.is_stopping() || !has_room || !self.make_room() {
            let refusal = plain(Status::SERVICE_UNAVAILABLE, "no new session can begin now\n");
            return Err(refusal.with_header("Retry-After", "1"));
        }
        let entry = Entry::new(&self.host, key.clone(), resumed);
        // First the task: a session that is found has one.
        let task = spawner.spawn("session", self.clone().run(entry.clone()));
        entry.task.set(Some(task));
        self.sessions.borrow_mut().newcomers.put(key, entry.clone());
        Ok(entry)
    }

    /// Sees to it that one more newcomer has room: one of them goes, or, if they have less than their part, a regular. Not
    /// one whose visitor waits for it: false if there is no other.
    fn make_room(&self) -> bool {
        let limits = self.host.limits();
        let is_regular = {
            let Sessions { newcomers, regulars, .. } = &mut *self.sessions.borrow_mut();
            let is_full = newcomers.len() + regulars.len() >= limits.sessions_max;
            if !is_full && newcomers.len() < limits.newcomers_max {
                return true;
            }
            let regulars_max = limits.sessions_max.saturating_sub(limits.newcomers_max);
            is_full && regulars.len() > regulars_max
        };
        self.displace(is_regular)
    }

    /// Ends the session used least recently that nobody waits for, a regular's or a newcomer's; false if there is none.
    pub(super) fn displace(&self, is_regular: bool) -> bool {
        let surplus = {
            let Sessions { newcomers, regulars, .. } = &mut *self.sessions.borrow_mut();
            let cache = if is_regular { regulars } else { newcomers };
            let mut oldest = cache.iter().rev().take(LOOKED_AT_MAX);
            let idle = oldest.find(|(_, entry)| entry.waiting.get() == 0);
            let Some(key) = idle.map(|(key, _)| key.clone()) else { return false };
            cache.pop(&key)
        };
        if let Some(surplus) = surplus {
            log::debug!("session {} on {}: displaced", surplus.number, self.route);
            self.evict(&surplus);
        }
        true
    }

    fn evict(&self, entry: &Entry) {
        if let Some(task) = entry.task.take() {
            self.host.spawner().cancel(task);
        }
        entry.refuse_all();
    }

    pub(super) async fn run(self: Rc<Self>, entry: Rc<Entry>) {
        let _end = EndOfTask(&self, &entry);
        let session = Session { entry: entry.clone(), store: self.clone() };
        let end = match self.host.spawner().catch(|| (self.app)(session)) {
            Ok(app) => self.supervise(&entry, app).await,
            Err(error) => End::Failed(error),
        };
        self.end(&entry, end);
    }

    /// Runs a session until it ends, or has to.
    async fn supervise(&self, entry: &Entry, app: impl Future<Output = Result<(), Ended>>) -> End {
        let mut app = pin!(self.host.spawner().catching(app));
        let mut timer = self.host.timers().timer();
        poll_fn(|cx| {
            if let Poll::Ready(outcome) = app.as_mut().poll(cx) {
                return Poll::Ready(outcome.map_or_else(End::Failed, End::Returned));
            }
            if timer.poll_until(Some(self.due(entry)), cx).is_ready() {
                if entry.told_at.get().is_some() {
                    return Poll::Ready(End::Reaped);
                }
                entry.tell(Ended::Idle);
                // It hears that before its time is over, however short that is.
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    }

    /// When the session is told to end, or dropped if it was told.
    fn due(&self, entry: &Entry) -> Duration {
        let limits = self.host.limits();
        match entry.told_at.get() {
            None if entry.waiting.get() > 0 => entry.timers.now() + limits.idle_timeout,
            None => entry.last_used.get().saturating_add(limits.idle_timeout),
            Some(told_at) => told_at.saturating_add(limits.end_timeout),
        }
    }

    /// A session is over.
    fn end(self: &Rc<Self>, entry: &Rc<Entry>, end: End) {
        self.forget(entry);
        let number = entry.number;
        match end {
            End::Returned(outcome) => {
                log::debug!("session {number} on {}: it is over", self.route);
                if outcome == Err(Ended::ShuttingDown) && !entry.is_copy {
                    self.archived.borrow_mut().extend(entry.archived(self.route));
                }
            }
            End::Reaped => {
                log::info!("session {number} on {}: dropped, it did not end", self.route);
            }
            End::Failed(error) => {
                log::error!("session {number} on {} {error}", self.route);
                return self.keep_fallen(entry);
            }
        }
        if !entry.has_taken.get() || entry.is_copy {
            // The next one would do the same; and what a copy is given is no visitor's.
            return;
        }
        // What came too late for this one begins another, and one only.
        let mut heir = None;
        while let Some(item) = entry.queue.try_pop() {
            match (item, &heir) {
                (Item::Hit(hit), Some(heir)) => Entry::push(heir, hit),
                (Item::Hit(hit), None) => heir = self.give(hit),
                (Item::Message(_) | Item::Missed | Item::Command(_) | Item::End(_), _) => {}
            }
        }
    }

    fn keep_fallen(&self, entry: &Rc<Entry>) {
        if self.host.limits().recorded_max == 0 || entry.is_copy {
            return;
        }
        // Who waits is answered now, and not when it is forgotten.
        while entry.queue.try_pop().is_some() {}
        let mut fallen = self.fallen.borrow_mut();
        fallen.push_back(entry.clone());
        let oldest = if fallen.len() > FALLEN_MAX { fallen.pop_front() } else { None };
        drop(fallen);
        drop(oldest);
    }

    /// The last ones that panicked.
    pub(super) fn fallen(&self) -> Vec<Rc<Entry>> {
        self.fallen.borrow().iter().cloned().collect()
    }

    fn forget(&self, entry: &Rc<Entry>) {
        let key = entry.key.borrow();
        let mut sessions = self.sessions.borrow_mut();
        let Sessions { newcomers, regulars, .. } = &mut *sessions;
        for cache in [newcomers, regulars] {
            if cache.peek(&*key).is_some_and(|found| Rc::ptr_eq(found, entry)) {
                cache.pop(&*key);
            }
        }
    }

    pub(super) fn renew_id(&self, entry: &Rc<Entry>) {
        if entry.is_over() || entry.is_copy || !matches!(*entry.key.borrow(), Key::Id(_)) {
            return;
        }
        self.forget(entry);
        let key = Key::Id(self.host.new_id());
        entry.rekey(key.clone());
        self.sessions.borrow_mut().regulars.put(key, entry.clone());
    }

    pub(super) fn tell_all(&self, ended: Ended) {
        for entry in self.entries() {
            entry.tell(ended);
        }
    }

    pub(super) fn newcomers(&self) -> usize {
        self.sessions.borrow().newcomers.len()
    }

    pub(super) fn len(&self) -> usize {
        let sessions = self.sessions.borrow();
        sessions.newcomers.len() + sessions.regulars.len()
    }

    pub(super) fn sessions(&self) -> Vec<SessionInfo> {
        self.entries().into_iter().map(|entry| entry.info(self.route)).collect()
    }

    pub(super) fn entries(&self) -> Vec<Rc<Entry>> {
        let sessions = self.sessions.borrow();
        let all = sessions.newcomers.iter().chain(sessions.regulars.iter());
        all.map(|(_, entry)| entry.clone()).collect()
    }
}
