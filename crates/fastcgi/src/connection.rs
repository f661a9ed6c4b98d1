//! Connection: one connection of a web server, requests in, responses out.

mod input;
mod output;
#[cfg(test)]
mod tests;

use crate::params::Said;
use crate::sender::{Kept, Sender};
use crate::{Error, Limits};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;
use flow::Address;
use input::{Phase, Reader};
use pace::OutputClock;
use web::date::{DateCache, HttpDate};
use web::server::{ConnectionState, OutOfTurn, Refusal, ServerCore};
use web::{Content, ContentLength, Data, Method, RequestHead, Response, Status};

/// What a server is told.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Bounds on the peer.
    pub limits: Limits,
    /// Time since 1970-01-01T00:00:00Z when `now` was zero; `None` without a clock. For the log: a web server dates
    /// responses itself.
    pub wall_clock_start: Option<Duration>,
}

/// What all connections of a server share.
#[derive(Debug, Default)]
pub struct Shared {
    config: Config,
    date: RefCell<DateCache>,
}

impl Shared {
    /// For a server that is told this.
    pub fn new(config: Config) -> Self {
        Self { config, date: RefCell::default() }
    }
}

/// What came of input, or of time.
pub(crate) type Event = web::server::Event<Error>;

/// One connection, on which a web server asks: see [`ServerCore`].
#[derive(Debug)]
pub struct Connection {
    shared: Rc<Shared>,
    /// What nobody has asked for yet, and whether the content behind it has ended.
    event: Option<Event>,
    ends: bool,
    input: Input,
    /// The open request.
    request: Option<Request>,
    /// Variables of the request that is being read.
    params: Vec<u8>,
    /// The request before, and what was read of it.
    known: Known,
    /// A response of which nothing is written yet.
    response: Option<Response>,
    sender: Sender,
    state: ConnectionState,
    /// No request after the open one.
    draining: bool,
    read_deadline: Option<Duration>,
    output_clock: OutputClock,
    /// Content that was not taken when the connection ended.
    cut_bytes: u64,
}

/// What input is at present.
#[derive(Debug)]
enum Input {
    Records(Reader),
    /// Whatever follows the last message; this many bytes of it are read and dropped.
    Dropped {
        left: u32,
    },
    /// Nothing more.
    Ended,
}

/// The open request.
#[derive(Debug)]
struct Request {
    id: u16,
    /// `FCGI_KEEP_CONN`.
    keeps_connection: bool,
    phase: Phase,
    /// It was handed out, or refused.
    is_open: bool,
    /// Some of its response is on its way.
    is_started: bool,
    /// The peer wants none any more.
    is_cancelled: bool,
    is_head: bool,
    /// Its answer may be one that was given before, or may be kept.
    may_repeat: bool,
}

/// The variables read last: those that come again byte for byte are not read again. A client that polls has the same each
/// time.
#[derive(Debug, Default)]
struct Known {
    params: Vec<u8>,
    head: RequestHead,
    said: Said,
    /// They came more than once.
    is_repeated: bool,
    /// What was answered to them, if it follows from them alone ([`Response::repeatable`]).
    answer: Option<Kept>,
}

/// Variables longer than this are forgotten with their request, so that they do not hold memory for the connection's
/// life, bytes.
const RETAINED_BYTES_MAX: usize = 4096;

impl ServerCore for Connection {
    const NAME: &'static str = "fastcgi";
    type Shared = Shared;
    type Error = Error;

    fn new(shared: Rc<Shared>, _: Address, now: Duration) -> Self {
        let read_deadline = Some(now + shared.config.limits.idle_timeout);
        Self {
            shared,
            event: None,
            ends: false,
            input: Input::Records(Reader::default()),
            request: None,
            params: Vec::new(),
            known: Known::default(),
            response: None,
            sender: Sender::default(),
            state: ConnectionState::Open,
            draining: false,
            read_deadline,
            output_clock: OutputClock::default(),
            cut_bytes: 0,
        }
    }

    fn date(shared: &Shared, now: Duration) -> Option<HttpDate> {
        let start = shared.config.wall_clock_start?;
        Some(*shared.date.borrow_mut().at((start + now).as_secs()))
    }

    fn handle_input(&mut self, now: Duration, input: &[u8]) -> usize {
        self.take_input(now, input)
    }

    fn handle_end(&mut self, now: Duration) {
        self.end_input(now);
    }

    #[inline]
    fn poll_event(&mut self) -> Option<Event> {
        let event = self.event.take();
        event.or_else(|| core::mem::take(&mut self.ends).then_some(Event::End(None)))
    }

    fn state(&self) -> ConnectionState {
        self.state
    }

    fn client(&self, peer: Address) -> Address {
        // Before its variables are read, those known are another request's.
        let is_known = |request: &&Request| request.phase != Phase::Params;
        let request = self.request.as_ref().filter(is_known);
        request.and(self.known.said.client).map_or(peer, Address::Ip)
    }

    fn read_body(&mut self, now: Duration) {
        let deadline = now + self.limits().body_timeout;
        if let Some(Request { phase, .. }) = &mut self.request
            && phase.want()
        {
            self.read_deadline = Some(deadline);
        }
    }

    fn pause_body(&mut self) {
        if let Some(Request { phase, .. }) = &mut self.request
            && phase.pause()
        {
            self.read_deadline = None;
        }
    }

    fn drop_body(&mut self, _: Duration) {
        if let Some(Request { phase, .. }) = &mut self.request
            && phase.drop_rest()
        {
            self.read_deadline = None;
        }
    }

    fn respond(&mut self, now: Duration, response: Response) -> Result<(), OutOfTurn> {
        let Some(request) = &self.request else { return Err(OutOfTurn) };
        // RFC 3875 section 6.2 has no interim responses, and no upgrade.
        let is_interim = response.status().is_informational();
        if !request.is_open || request.is_started || self.response.is_some() || is_interim {
            return Err(OutOfTurn);
        }
        self.response = Some(response);
        self.begin_write(now);
        Ok(())
    }

    fn is_streaming(&self) -> bool {
        let waits = self.response.as_ref().is_some_and(|response| {
            response.content().is_stream() && self.has_content(response.status())
        });
        waits || self.sender.is_streaming()
    }

    fn body_capacity(&self) -> usize {
        if self.holds_head() { 0 } else { self.sender.capacity() }
    }

    fn send_data(&mut self, now: Duration, data: Data) -> Result<(), OutOfTurn> {
        if self.holds_head() {
            return Err(OutOfTurn);
        }
        self.sender.push_data(data)?;
        self.resume_write(now);
        Ok(())
    }

    fn finish(&mut self, now: Duration) -> Result<(), OutOfTurn> {
        if self.holds_head() {
            return Err(OutOfTurn);
        }
        self.sender.finish()?;
        self.resume_write(now);
        Ok(())
    }

    fn fail_response(&mut self, now: Duration) {
        match &mut self.request {
            Some(request) if request.is_open && !request.is_started => {
                request.phase.drop_rest();
                self.response = Some(Response::plain(Status::INTERNAL_SERVER_ERROR));
                self.begin_write(now);
            }
            // `FCGI_END_REQUEST` would make a whole of a part, whatever its status.
            _ => self.abort(),
        }
    }

    fn drain(&mut self, now: Duration) {
        self.draining = true;
        if self.request.is_none() && !self.sender.is_ready() && self.reads_records() {
            self.end_output(now);
        }
    }

    fn abort(&mut self) {
        self.finish_in(ConnectionState::Abort);
    }

    fn has_request(&self) -> bool {
        self.request.as_ref().is_some_and(|request| request.is_open)
    }

    fn holds_head(&self) -> bool {
        self.response.is_some()
    }

    fn is_answered(&self) -> bool {
        !self.has_request()
    }

    fn content_length(&self, response: &Response) -> u64 {
        match response.content() {
            Content::Stream(_) => 0,
            content if self.has_content(response.status()) => content.length().unwrap_or(0),
            _ => 0,
        }
    }

    fn untaken_content(&self) -> u64 {
        match &self.response {
            Some(response) => self.content_length(response),
            None => self.cut_bytes + self.sender.untaken_content(),
        }
    }

    fn held_bytes(&self) -> usize {
        let response = self.response.as_ref();
        let known = &self.known.head.section().bytes;
        self.params.capacity()
            + self.known.params.capacity()
            + known.capacity()
            + self.known.answer.as_ref().map_or(0, Kept::held_bytes)
            + response.map_or(0, |response| response.content().held_bytes())
            + self.sender.held_bytes()
    }

    fn wants_transmit(&self) -> bool {
        self.holds_head() || self.sender.is_ready()
    }

    fn poll_transmit(&mut self, now: Duration, out: &mut [u8]) -> usize {
        self.write_output(now, out)
    }

    fn peer_took(&mut self, now: Duration, count: usize) {
        if self.output_clock.deadline().is_some() {
            self.put_write_off(now, count);
        }
    }

    fn next_deadline(&self) -> Option<Duration> {
        match (self.read_deadline, self.output_clock.deadline()) {
            (Some(read), Some(write)) => Some(read.min(write)),
            (read, write) => read.or(write),
        }
    }

    fn handle_timeout(&mut self, now: Duration) {
        if self.output_clock.is_late(now) {
            self.abort();
            self.event = Some(Event::Failed(Error::Timeout, None));
            return;
        }
        if self.read_deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        self.read_deadline = None;
        match self.input {
            Input::Records(_) if self.request.is_none() => self.end_output(now),
            Input::Records(_) => self.fail(now, Error::Timeout, None),
            Input::Dropped { .. } | Input::Ended => self.close(),
        }
    }
}

impl Connection {
    fn limits(&self) -> &Limits {
        &self.shared.config.limits
    }

    fn reads_records(&self) -> bool {
        matches!(self.input, Input::Records(_))
    }

    /// The request is over, and its end has yet to leave: what comes behind it is no part of it, or nothing if it was the
    /// last.
    fn is_ending(&self) -> bool {
        self.request.as_ref().map_or(self.draining, |request| request.is_cancelled)
    }

    /// Refuses the peer's message: answers the open request if it has no response yet, then ends the connection. With the
    /// request's head, if it was never handed out.
    fn fail(&mut self, now: Duration, error: Error, head: Option<RequestHead>) {
        self.input = Input::Dropped { left: self.limits().linger_bytes_max };
        self.read_deadline = None;
        let is_answered = self.response.is_some();
        let is_streaming = self.is_streaming();
        match &mut self.request {
            None => self.end_output(now),
            Some(request) if is_answered || request.is_started => {
                // What is all there arrives, also if what is behind its request is no record.
                request.keeps_connection = false;
                if is_streaming {
                    self.abort();
                }
            }
            Some(request) => {
                request.keeps_connection = false;
                request.is_open = true;
                self.sender.say_error(request.id, error.reason());
                self.response = Some(Response::plain(error.status()));
                self.begin_write(now);
            }
        }
        self.ends = false;
        self.event = Some(Event::Failed(error, head));
    }

    /// Begins a request.
    fn open(&mut self, now: Duration, id: u16, keeps_connection: bool) {
        self.params.clear();
        self.request = Some(Request {
            id,
            keeps_connection,
            phase: Phase::Params,
            is_open: false,
            is_started: false,
            is_cancelled: false,
            is_head: false,
            may_repeat: false,
        });
        self.read_deadline = Some(now + self.limits().head_timeout);
    }

    /// Hands the open request out.
    fn hand_out(&mut self, now: Duration, head: RequestHead) {
        self.read_deadline = None;
        let Some(request) = &mut self.request else { return };
        request.is_open = true;
        request.is_head = head.method() == Method::Head;
        request.may_repeat = self.known.is_repeated
            && head.method() == Method::Get
            && head.content_length() == ContentLength::Empty;
        let Some(kept) = self.known.answer.as_ref().filter(|_| request.may_repeat) else {
            self.event = Some(Event::Request(head));
            return;
        };
        request.is_started = true;
        self.sender.repeat(request.id, kept);
        self.event = Some(Event::Answered(head, kept.status, kept.content_bytes));
        self.begin_write(now);
    }

    /// Request and response are done with.
    fn end_exchange(&mut self, now: Duration) {
        let Some(request) = self.request.take() else { return };
        if self.known.params.capacity() > RETAINED_BYTES_MAX {
            self.known = Known::default();
        }
        if self.params.capacity() > RETAINED_BYTES_MAX {
            self.params = Vec::new();
        }
        if request.keeps_connection && !self.draining && self.reads_records() {
            self.read_deadline = Some(now + self.limits().idle_timeout);
        } else if request.phase == Phase::Ended && self.reads_records() {
            // The peer knew that this was the last request, so nothing can be on its way.
            self.close();
        } else {
            self.end_output(now);
        }
    }

    /// All is sent; what the peer may still send is dropped.
    fn end_output(&mut self, now: Duration) {
        self.state = ConnectionState::EndOutput;
        self.read_deadline = Some(now + self.limits().linger_timeout);
        match self.input {
            Input::Ended => self.close(),
            Input::Dropped { .. } => {}
            Input::Records(_) => {
                self.input = Input::Dropped { left: self.limits().linger_bytes_max };
            }
        }
    }

    fn close(&mut self) {
        self.finish_in(ConnectionState::Closed);
    }

    fn finish_in(&mut self, state: ConnectionState) {
        self.cut_bytes = self.untaken_content();
        self.state = state;
        self.input = Input::Ended;
        self.request = None;
        self.response = None;
        self.sender = Sender::default();
        self.read_deadline = None;
        self.output_clock.stop();
    }
}
