//! Connection state: requests under way, watches, and bytes on their way.

use crate::wire::{self, Header, Kind};
use crate::{Counters, Error, PAYLOAD_BYTES_MAX};
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};
use machine::xen::store_ring::{BrokenRing, StoreRing};

/// Requests under way; more wait for their turn.
pub(crate) const REQUESTS_MAX: usize = 32;
/// Events that wait to be taken from a watch. Beyond it, the last stands for all that follow.
const EVENTS_MAX: usize = 64;
/// Watches of one domain: what the daemon allows an unprivileged one by default.
const WATCHES_MAX: usize = 128;
/// Messages that are taken in by one call, so that a daemon that never stops is no endless loop.
const MESSAGES_MAX: usize = 64;

/// One end of a connection.
pub(crate) struct Client {
    ring: StoreRing,
    state: State,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    /// Few enough to be searched one by one.
    requests: Vec<Request>,
    next_request: u32,
    watches: Vec<Watching>,
    next_watch: u32,
    /// Who waits for a place among the requests.
    queue: Vec<Waker>,
    woke: bool,
    counters: Counters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connected,
    /// The daemon was asked to reset the ring.
    Reconnecting,
    Broken,
}

/// A request that was sent.
struct Request {
    id: u32,
    kind: Kind,
    answer: Option<Result<Vec<u8>, Error>>,
    waker: Option<Waker>,
    /// Nobody waits for the answer.
    is_forgotten: bool,
}

/// A watch that somebody holds.
struct Watching {
    id: u32,
    path: String,
    events: VecDeque<String>,
    waker: Option<Waker>,
}

impl Client {
    pub(crate) fn new(ring: StoreRing) -> Self {
        Self {
            ring,
            state: State::Connected,
            outgoing: Vec::new(),
            incoming: Vec::new(),
            requests: Vec::new(),
            next_request: 1,
            watches: Vec::new(),
            next_watch: 1,
            queue: Vec::new(),
            woke: false,
            counters: Counters::default(),
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// Moves bytes both ways; true when a future was woken.
    pub(crate) fn poll(&mut self) -> bool {
        if self.ring.take_event() || !self.outgoing.is_empty() {
            self.advance();
        }
        core::mem::take(&mut self.woke)
    }

    /// Takes a request; gives the number to ask for its answer by.
    pub(crate) fn poll_submit(
        &mut self,
        cx: &Context<'_>,
        kind: Kind,
        transaction: u32,
        parts: &[&[u8]],
    ) -> Poll<Result<u32, Error>> {
        if self.state == State::Broken {
            return Poll::Ready(Err(Error::Broken));
        }
        if parts.iter().map(|part| part.len()).sum::<usize>() > PAYLOAD_BYTES_MAX {
            return Poll::Ready(Err(Error::TooLong));
        }
        if self.requests.len() >= REQUESTS_MAX || self.state == State::Reconnecting {
            self.queue.push(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(self.send(kind, transaction, parts)))
    }

    /// The answer to a request, once.
    pub(crate) fn poll_answer(
        &mut self,
        cx: &Context<'_>,
        id: u32,
    ) -> Poll<Result<Vec<u8>, Error>> {
        let Some(request) = self.request(id) else {
            return Poll::Ready(Err(Error::Disconnected));
        };
        match request.answer.take() {
            Some(answer) => {
                self.finish(id);
                Poll::Ready(answer)
            }
            None => {
                request.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Nobody waits for the answer any more.
    pub(crate) fn forget(&mut self, id: u32) {
        match self.request(id) {
            Some(request) if request.answer.is_none() => request.is_forgotten = true,
            Some(_) => self.finish(id),
            None => {}
        }
    }

    /// Frees a request's place.
    fn finish(&mut self, id: u32) {
        self.requests.retain(|request| request.id != id);
        self.queue.drain(..).for_each(Waker::wake);
    }

    /// A place for a watch's events, by a number that is also its token.
    pub(crate) fn add_watch(&mut self, path: &str) -> Result<u32, Error> {
        if self.watches.len() >= WATCHES_MAX {
            return Err(Error::NoSpace);
        }
        let id = self.next_watch;
        self.next_watch += 1;
        let (path, events) = (path.into(), VecDeque::new());
        self.watches.push(Watching { id, path, events, waker: None });
        Ok(id)
    }

    /// Ends a watch, without waiting for the daemon's consent.
    pub(crate) fn remove_watch(&mut self, id: u32, path: &str) {
        let known = self.watch(id).is_some();
        self.watches.retain(|watching| watching.id != id);
        if known && self.state == State::Connected {
            let token = token(id);
            let request = self.send(Kind::Unwatch, 0, &[path.as_bytes(), b"\0", token.as_bytes()]);
            self.forget(request);
        }
    }

    /// The path of a change that a watch was told of. Fails when the connection is no more.
    pub(crate) fn poll_event(&mut self, cx: &Context<'_>, id: u32) -> Poll<Result<String, Error>> {
        let is_broken = self.state == State::Broken;
        let Some(watching) = self.watch(id) else {
            return Poll::Ready(Err(Error::Broken));
        };
        if let Some(path) = watching.events.pop_front() {
            return Poll::Ready(Ok(path));
        }
        if is_broken {
            return Poll::Ready(Err(Error::Broken));
        }
        watching.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn request(&mut self, id: u32) -> Option<&mut Request> {
        self.requests.iter_mut().find(|request| request.id == id)
    }

    fn watch(&mut self, id: u32) -> Option<&mut Watching> {
        self.watches.iter_mut().find(|watching| watching.id == id)
    }

    fn send(&mut self, kind: Kind, transaction: u32, parts: &[&[u8]]) -> u32 {
        let id = self.next_request;
        self.next_request = self.next_request.wrapping_add(1).max(1);
        let payload_bytes = parts.iter().map(|part| part.len() as u32).sum();
        let header = Header { kind: kind as u32, request: id, transaction, payload_bytes };
        self.outgoing.extend_from_slice(&header.emit());
        for part in parts {
            self.outgoing.extend_from_slice(part);
        }
        self.counters.requests += 1;
        let (answer, waker, is_forgotten) = (None, None, false);
        self.requests.push(Request { id, kind, answer, waker, is_forgotten });
        id
    }

    fn advance(&mut self) {
        match self.state {
            State::Broken => return self.outgoing.clear(),
            State::Reconnecting if !self.ring.is_connected() => return,
            State::Reconnecting => self.reconnected(),
            State::Connected => {}
        }
        if self.transfer().is_err() || self.ring.has_error() {
            self.disconnect();
        }
    }

    /// Takes in what has come and sends what waits.
    fn transfer(&mut self) -> Result<(), BrokenRing> {
        let mut moved = false;
        for _ in 0..MESSAGES_MAX {
            let length = self.incoming_length()?;
            moved |= self.ring.receive(&mut self.incoming, length)?;
            if self.incoming.len() < self.incoming_length()? {
                if self.incoming.len() < Header::BYTES || self.incoming.len() < length {
                    break;
                }
                continue;
            }
            let message = core::mem::take(&mut self.incoming);
            self.dispatch(&message);
        }
        moved |= self.ring.send(&mut self.outgoing)?;
        if moved {
            self.ring.notify();
        }
        Ok(())
    }

    /// How long the message is that is coming in, as far as that is known.
    fn incoming_length(&self) -> Result<usize, BrokenRing> {
        let Some(header) = self.incoming.first_chunk() else { return Ok(Header::BYTES) };
        let header = Header::parse(header).ok_or(BrokenRing)?;
        Ok(Header::BYTES + header.payload_bytes as usize)
    }

    fn dispatch(&mut self, message: &[u8]) {
        let Some((header, payload)) = message.split_first_chunk() else { return };
        let Some(header) = Header::parse(header) else { return };
        let is_known = match header.kind {
            wire::WATCH_EVENT => self.deliver_event(payload).is_some(),
            kind => self.deliver_answer(kind, header.request, payload).is_some(),
        };
        self.counters.strays += u64::from(!is_known);
    }

    fn deliver_answer(&mut self, kind: u32, id: u32, payload: &[u8]) -> Option<()> {
        let request = self.request(id).filter(|request| request.answer.is_none())?;
        request.answer = Some(match kind {
            wire::ERROR => Err(wire::error(payload)),
            kind if kind == request.kind as u32 => Ok(payload.to_vec()),
            _ => Err(Error::Malformed),
        });
        if request.is_forgotten {
            self.finish(id);
            return Some(());
        }
        if let Some(waker) = request.waker.take() {
            waker.wake();
        }
        self.woke = true;
        Some(())
    }

    /// An event is the path and the token of the watch.
    fn deliver_event(&mut self, payload: &[u8]) -> Option<()> {
        let mut parts = payload.split(|&byte| byte == 0);
        let path = core::str::from_utf8(parts.next()?).ok()?;
        let token = core::str::from_utf8(parts.next()?).ok()?;
        let watching = self.watch(token.parse().ok()?)?;
        let is_news = watching.events.back().is_none_or(|last| last != path);
        if is_news && watching.events.len() < EVENTS_MAX {
            watching.events.push_back(path.into());
        }
        if let Some(waker) = watching.waker.take() {
            waker.wake();
        }
        self.counters.events += 1;
        self.woke = true;
        Some(())
    }

    /// The domain was restored: it has another ring, and a daemon that knows nothing of it.
    pub(crate) fn restored(&mut self) {
        match self.ring.renew() {
            Ok(()) => {
                self.abandon(Error::Disconnected);
                self.reconnected();
            }
            Err(BrokenRing) => {
                self.state = State::Broken;
                self.abandon(Error::Broken);
            }
        }
    }

    /// Ends all that is under way, and has the ring reset if the daemon can.
    fn disconnect(&mut self) {
        let can_reset = self.ring.request_reset();
        self.state = if can_reset { State::Reconnecting } else { State::Broken };
        self.abandon(if can_reset { Error::Disconnected } else { Error::Broken });
    }

    /// Ends all that is under way.
    fn abandon(&mut self, error: Error) {
        self.outgoing.clear();
        self.incoming.clear();
        self.requests.retain(|request| !request.is_forgotten);
        for request in self.requests.iter_mut().filter(|request| request.answer.is_none()) {
            request.answer = Some(Err(error));
            if let Some(waker) = request.waker.take() {
                waker.wake();
            }
        }
        self.wake_others();
    }

    /// The daemon has forgotten all watches; its first event makes their owners look again.
    fn reconnected(&mut self) {
        self.state = State::Connected;
        self.counters.reconnections += 1;
        let watches: Vec<_> =
            self.watches.iter().map(|watching| (watching.id, watching.path.clone())).collect();
        for (id, path) in watches {
            let token = token(id);
            let request = self.send(Kind::Watch, 0, &[path.as_bytes(), b"\0", token.as_bytes()]);
            self.forget(request);
        }
        self.wake_others();
    }

    /// Wakes who waits for a place or for an event, to see what has become of the connection.
    fn wake_others(&mut self) {
        self.woke = true;
        self.queue.drain(..).for_each(Waker::wake);
        for watching in &mut self.watches {
            if let Some(waker) = watching.waker.take() {
                waker.wake();
            }
        }
    }
}

/// The token of a watch, ended by a zero byte.
pub(crate) fn token(id: u32) -> String {
    alloc::format!("{id}\0")
}
