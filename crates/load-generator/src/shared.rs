//! What all connections of a thread share: the workload, and who waits for it.

use super::http::limits;
use ::http::Limits;
use ::http::client::Request;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use flow::task::wait_fn;
use flow::time::{Timers, earlier};
use flow::{ConnectError, Connector, Target};
use load::{
    Failure, Job, Next, Outcome, Progress, Recorder, RequestKind, Scenario, Share, Workload,
};
use web::Method;

/// Connections that are being opened at once: fewer than a server holds before it accepts them, so that none has to try again
/// a second later.
const OPENING_MAX: usize = 100;
/// How long a connection rests after it was not opened, or a closed loop would be a busy one.
const REST: Duration = Duration::from_millis(100);

/// What all connections of a thread share.
pub struct Shared {
    scenario: Scenario,
    share: Share,
    target: Target,
    requests: Vec<Request>,
    http_limits: Rc<Limits>,
    timers: Timers,
    /// None before the begin.
    workload: RefCell<Option<Workload>>,
    /// Connections that wait for a request, each once; the one that waits longest first.
    waiting: RefCell<VecDeque<(Rc<Seat>, Waker)>>,
    opening: Cell<usize>,
    /// Who waits for others to be opened.
    gate: RefCell<VecDeque<Waker>>,
    counts: Cell<Counts>,
    /// Something that [`next_deadline`](Self::next_deadline) or the counts depend on is another than it was.
    has_changed: Cell<bool>,
    /// Who waits for that.
    observer: RefCell<Option<Waker>>,
}

/// Connections, by what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// They were opened before the begin, or were tried to be.
    pub ready: u32,
    /// Those of them that were not opened.
    pub unopened: u32,
    /// Why the last one was not.
    pub error: Option<ConnectError>,
    /// Nothing is left for them to do.
    pub ended: u32,
    /// Half-open ones that are open now.
    pub half_open: u32,
}

/// A connection's place among those that wait.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    /// It is in the list.
    is_listed: Cell<bool>,
    /// It takes a request.
    is_free: Cell<bool>,
}

impl Shared {
    /// For a thread's share of a scenario.
    ///
    /// # Errors
    /// A request cannot be put on the wire.
    pub fn new(
        scenario: &Scenario,
        share: Share,
        target: Target,
        timers: &Timers,
    ) -> Result<Rc<Self>, String> {
        let authority = scenario.place.authority();
        let requests = scenario.requests.iter().filter(|_| scenario.place.protocol.is_http());
        let requests = requests.map(|kind| request(kind, &authority));
        Ok(Rc::new(Self {
            scenario: scenario.clone(),
            share,
            target,
            requests: requests.collect::<Result<_, _>>()?,
            http_limits: Rc::new(limits()),
            timers: timers.clone(),
            workload: RefCell::default(),
            waiting: RefCell::default(),
            opening: Cell::default(),
            gate: RefCell::default(),
            counts: Cell::default(),
            has_changed: Cell::default(),
            observer: RefCell::default(),
        }))
    }

    /// What is made.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// What the target's path names.
    pub(crate) fn service(&self) -> &str {
        &self.scenario.path
    }

    pub(crate) fn http_limits(&self) -> Rc<Limits> {
        self.http_limits.clone()
    }

    /// Its time.
    pub fn timers(&self) -> &Timers {
        &self.timers
    }

    /// This thread's connections.
    pub fn connections(&self) -> u32 {
        self.share.part(self.scenario.connections)
    }

    /// This thread's half-open connections.
    pub fn half_open(&self) -> u32 {
        self.share.part(self.scenario.connection.half_open)
    }

    pub(crate) fn kind(&self, job: &Job) -> &RequestKind {
        &self.scenario.requests[job.kind()]
    }

    /// A copy of what is to be sent.
    pub(crate) fn request(&self, job: &Job) -> Request {
        self.requests[job.kind()].clone()
    }

    /// What its connections do now.
    pub fn counts(&self) -> Counts {
        self.counts.get()
    }

    /// A connection did not come to be before the begin.
    pub(crate) fn count_unopened(&self, error: ConnectError) {
        self.count(|counts| {
            counts.unopened += 1;
            counts.error = Some(error);
        });
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
        self.note_change();
    }

    /// All connections were opened, as far as they can be.
    pub fn is_ready(&self) -> bool {
        self.counts().ready == self.connections()
    }

    /// Nothing is left to do.
    pub fn has_ended(&self) -> bool {
        self.counts().ended == self.connections()
    }

    /// The run begins then.
    pub fn begin(&self, begin: Duration) {
        let mut workload = Workload::new(&self.scenario, self.share, begin);
        let opened = self.connections() - self.counts().unopened;
        (0..opened).for_each(|_| workload.recorder_mut().count_connection());
        // Who waits is woken when something is due.
        self.workload.replace(Some(workload));
    }

    /// Wakes who is to make what is due now: to be called in each turn of the loop, after tasks ran. Whether it woke somebody.
    pub fn advance(&self, now: Duration) -> bool {
        let mut workload = self.workload.borrow_mut();
        let Some(workload) = &mut *workload else { return false };
        if now >= workload.end() + self.scenario.timeout {
            workload.give_up(now);
        }
        match workload.next_due() {
            Some(due) if due > now => false,
            // The next one wakes the one after it, if that is due, too.
            Some(_) => self.wake_next(),
            // The begin of a closed loop, or the end of any.
            None => now >= workload.begin() && self.wake_all(),
        }
    }

    /// When [`advance`](Self::advance) is to be called next, whatever else happens.
    pub fn next_deadline(&self, now: Duration) -> Option<Duration> {
        let mut workload = self.workload.borrow_mut();
        let workload = workload.as_mut()?;
        let end = Some(workload.end()).filter(|end| *end > now);
        let given_up = Some(workload.end() + self.scenario.timeout).filter(|end| *end > now);
        let is_waited_for = !self.waiting.borrow().is_empty();
        let due = workload.next_due().or(Some(workload.begin()).filter(|begin| *begin > now));
        let due = due.filter(|_| is_waited_for);
        earlier(earlier(due, end), given_up)
    }

    /// Ends the run before its time: nothing is due any more.
    pub fn stop(&self, now: Duration) {
        if let Some(workload) = &mut *self.workload.borrow_mut() {
            workload.stop(now);
        }
        self.wake_all();
    }

    /// The request that is due; none if none is left.
    pub(crate) fn poll_job(
        &self,
        cx: &Context<'_>,
        seat: &Rc<Seat>,
        now: Duration,
    ) -> Poll<Option<Job>> {
        let mut workload = self.workload.borrow_mut();
        let next = workload.as_mut().map(|workload| workload.next(now));
        match next {
            Some(Next::Job(job)) => {
                seat.is_free.set(false);
                let due = workload.as_mut().and_then(Workload::next_due);
                drop(workload);
                self.note_change();
                if due.is_some_and(|due| due <= now) {
                    self.wake_next();
                }
                Poll::Ready(Some(job))
            }
            Some(Next::Done) => Poll::Ready(None),
            Some(Next::At(_)) | None => {
                seat.is_free.set(true);
                if !seat.is_listed.replace(true) {
                    self.waiting.borrow_mut().push_back((seat.clone(), cx.waker().clone()));
                    self.note_change();
                }
                Poll::Pending
            }
        }
    }

    /// How long a connection waits from its answer to its next request, but not beyond the end.
    pub(crate) fn think_until(&self, now: Duration) -> Option<Duration> {
        let workload = self.workload.borrow();
        let workload = workload.as_ref()?;
        let until = (now + workload.think()).min(workload.end());
        Some(until).filter(|until| *until > now)
    }

    pub(crate) fn finish(&self, now: Duration, job: Job, outcome: Outcome) {
        self.record(|workload| workload.finish(now, job, outcome));
    }

    /// What was said of a request that failed.
    pub(crate) fn note_error(&self, failure: Failure, kind: &'static str, text: &str) {
        self.record(|workload| workload.recorder_mut().note_error(failure, kind, text));
    }

    pub(crate) fn count_bytes(&self, received: usize, sent: usize) {
        self.record(|workload| workload.recorder_mut().count_bytes(received, sent));
    }

    fn record(&self, note: impl FnOnce(&mut Workload)) {
        if let Some(workload) = &mut *self.workload.borrow_mut() {
            note(workload);
        }
    }

    /// Counts so far.
    pub fn progress(&self) -> Progress {
        let workload = self.workload.borrow();
        workload.as_ref().map(|workload| workload.recorder().progress()).unwrap_or_default()
    }

    /// What was recorded.
    pub fn take_recorder(&self) -> Option<Recorder> {
        self.workload.take().map(Workload::into_recorder)
    }

    /// Opens a connection, when not too many others are being opened, within the timeout.
    pub(crate) async fn open<C: Connector>(&self, connector: &C) -> Result<C::Flow, ConnectError> {
        wait_fn(|cx| self.poll_gate(cx)).await;
        let opening = Opening(self);
        let deadline = self.timers.now() + self.scenario.timeout;
        let opened = self.timers.before(deadline, connector.connect(&self.target)).await;
        drop(opening);
        let flow = opened.unwrap_or(Err(ConnectError::TimedOut))?;
        self.record(|workload| workload.recorder_mut().count_connection());
        Ok(flow)
    }

    /// Waits a little after a failure.
    pub(crate) async fn rest(&self) {
        if self.is_closed() {
            self.timers.sleep(REST).await;
        }
    }

    fn is_closed(&self) -> bool {
        matches!(self.scenario.shape, load::Shape::Closed { .. })
    }

    fn poll_gate(&self, cx: &Context<'_>) -> Poll<()> {
        if self.opening.get() < OPENING_MAX {
            self.opening.set(self.opening.get() + 1);
            return Poll::Ready(());
        }
        self.gate.borrow_mut().push_back(cx.waker().clone());
        Poll::Pending
    }

    /// Waits until something is another than when this was asked last: when to [`advance`](Self::advance), or a count.
    pub(crate) fn poll_changed(&self, cx: &Context<'_>) -> Poll<()> {
        if self.has_changed.take() {
            return Poll::Ready(());
        }
        self.observer.replace(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn note_change(&self) {
        self.has_changed.set(true);
        if let Some(observer) = self.observer.take() {
            observer.wake();
        }
    }

    /// Wakes the connection that waits longest; whether there was one.
    fn wake_next(&self) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        while let Some((seat, waker)) = waiting.pop_front() {
            seat.is_listed.set(false);
            if seat.is_free.get() {
                waker.wake();
                return true;
            }
        }
        false
    }

    fn wake_all(&self) -> bool {
        let mut any = false;
        while self.wake_next() {
            any = true;
        }
        any
    }
}

/// A connection that is being opened.
struct Opening<'a>(&'a Shared);

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.opening.set(self.0.opening.get() - 1);
        if let Some(waker) = self.0.gate.borrow_mut().pop_front() {
            waker.wake();
        }
    }
}

/// Why a request failed for want of a connection.
pub(crate) fn failure(error: ConnectError) -> Failure {
    match error {
        ConnectError::TimedOut => Failure::Timeout,
        _ => Failure::Connect,
    }
}

fn request(kind: &RequestKind, authority: &str) -> Result<Request, String> {
    let is_host = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("host");
    let host = kind.headers.iter().rfind(is_host).map(|(_, value)| value.as_str());
    let authority = host.unwrap_or(authority);
    let method = Method::from_name(kind.method.as_bytes());
    let wrong = |error: ::http::Error| format!("{} {}: {error}", kind.method, kind.path);
    let mut request = Request::new(method, authority, &kind.path).map_err(wrong)?;
    let is_type = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("content-type");
    if !kind.body.is_empty() {
        let body = bytes::Bytes::copy_from_slice(kind.body.as_bytes());
        request = if kind.headers.iter().any(|field| is_type(&field)) {
            request.carrying(web::Content::Full(body.into()))
        } else {
            request.with_content("text/plain; charset=utf-8", body)
        };
    }
    for (name, value) in kind.headers.iter().filter(|field| !is_host(field)) {
        load::check_field(name, value)?;
        request = request.with_header(name, value);
    }
    Ok(request)
}
