//! Server connection (RFC 9112 section 9): requests in, responses out.

mod cached_response;
mod head_cache;
mod input;
mod output;
mod server_core;

pub use crate::ConnectionState;
pub(crate) use cached_response::CachedResponse;

use crate::body::{Demand, Receiver};
use crate::events::Events;
use crate::head::PartialHead;
use crate::request::ParsedRequest;
use crate::send::Sender;
use crate::{Error, Limits, OutOfTurn};
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;
use head_cache::HeadCache;
use web::date::{DateCache, HttpDate};
use web::fields::FieldLines;
use web::{Content, Data, Response, Status};

/// What a server is told.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Bounds on the peer.
    pub limits: Limits,
    /// The hosts that this server answers for, compared without case and without the port (RFC 9110 section 4.2.3); the
    /// answer for others is 421 (section 15.5.20). None here answers for all.
    pub hosts: Vec<String>,
    /// Its connections are encrypted, which [`RequestHead::is_secure`](web::RequestHead::is_secure) passes on.
    pub is_secure: bool,
    /// Time since 1970-01-01T00:00:00Z when `now` was zero; without a clock there is none, and responses have no date
    /// (RFC 9110 section 6.6.1).
    pub wall_clock_start: Option<Duration>,
    /// The value of `Server` in responses that have none of their own (RFC 9110 section 10.2.4); none is not sent.
    pub server: Option<String>,
}

/// What all connections of a server share: its configuration, and what is known of earlier requests.
#[derive(Debug, Default)]
pub struct Shared {
    config: Config,
    /// The field line of [`Config::server`].
    server_line: Box<[u8]>,
    heads: HeadCache,
    date: RefCell<DateCache>,
}

impl Shared {
    /// For a server that is told this.
    pub fn new(config: Config) -> Shared {
        let line = |value: &String| format!("Server: {value}\r\n").into_bytes().into();
        let server_line = config.server.as_ref().map(line).unwrap_or_default();
        Shared { config, server_line, heads: HeadCache::default(), date: RefCell::default() }
    }

    /// The date at `now`, if there is a clock.
    #[inline]
    pub fn date(&self, now: Duration) -> Option<HttpDate> {
        let start = self.config.wall_clock_start?;
        Some(*self.date.borrow_mut().at((start + now).as_secs()))
    }
}

/// What came of input, or of time.
pub type Event = web::server::Event<Error>;

/// One connection of a server.
///
/// Feed it with [`handle_input`](Connection::handle_input), see by [`poll_event`](Connection::poll_event) what came of
/// it, answer each [`Event::Request`] with [`respond`](Connection::respond), and take output with
/// [`poll_transmit`](Connection::poll_transmit). After each of them, look at [`state`](Connection::state) and
/// [`next_deadline`](Connection::next_deadline).
///
/// One request is open at a time: pipelined ones wait, unconsumed, in the caller's receive ring. So
/// their number is bounded by that ring, and responses are in order by construction.
#[derive(Debug)]
pub struct Connection {
    shared: Rc<Shared>,
    /// What nobody has asked for yet.
    events: Events<Event>,
    /// The part of a head that has arrived.
    partial: Option<Box<Partial>>,
    input: Input,
    exchange: Exchange,
    /// The open request, if it came before and its response is cached with it, or may be; or the one being refused.
    repeated: Option<Rc<ParsedRequest>>,
    /// A response whose head is not written yet.
    response: Option<Response>,
    sender: Sender,
    state: ConnectionState,
    /// The server goes down: no request after the open one.
    draining: bool,
    read_deadline: Option<Duration>,
    write_deadline: Option<Duration>,
    /// What was left until the write deadline when all of a stream so far was taken, in milliseconds.
    write_slack_millis: u32,
}

/// A head that arrives in pieces.
#[derive(Debug, Default)]
struct Partial {
    head: PartialHead,
    bytes: Vec<u8>,
}

/// What input is at present.
#[derive(Debug)]
enum Input {
    /// A head, or nothing between two requests.
    Head,
    /// The open request's content.
    Body(Receiver),
    /// Nothing, until the open request is answered.
    Held,
    /// Whatever follows the last message; this many bytes of it are read and dropped (RFC 9112 section 9.6).
    Dropped { left: u32 },
    /// Nothing more.
    Ended,
}

/// One request and its response (RFC 9110 section 3.4): what the one decides about the other.
#[derive(Clone, Copy, Debug, Default)]
struct Exchange {
    /// A request is open.
    open: bool,
    /// Its response is written in full.
    answered: bool,
    /// Its response's head is written.
    started: bool,
    /// The response cached with the request is to be sent.
    is_cached: bool,
    head_method: bool,
    connect_method: bool,
    http11: bool,
    upgrade: bool,
    /// The client waits for `100 Continue`.
    expects_continue: bool,
    /// The client can reuse the connection.
    client_persists: bool,
    /// The response lets the connection persist.
    persists: bool,
}

impl Connection {
    /// A connection that was accepted at `now`.
    pub fn new(shared: Rc<Shared>, now: Duration) -> Connection {
        let read_deadline = Some(now + shared.config.limits.head_timeout);
        Connection {
            shared,
            events: Events::default(),
            partial: None,
            input: Input::Head,
            exchange: Exchange::default(),
            repeated: None,
            response: None,
            sender: Sender::default(),
            state: ConnectionState::Open,
            draining: false,
            read_deadline,
            write_deadline: None,
            write_slack_millis: 0,
        }
    }

    /// What is to be done with the byte stream below.
    pub fn state(&self) -> ConnectionState {
        self.state
    }

    /// The next thing that came of input, its end, or time.
    #[inline]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.poll().or_else(|| self.events.poll_end().then_some(Event::End(None)))
    }

    /// Whether [`poll_transmit`](Connection::poll_transmit) has something to write.
    pub fn wants_transmit(&self) -> bool {
        self.holds_head() || self.sender.is_ready()
    }

    /// Whether a response waits whose head is not written yet; a stream takes nothing before.
    pub fn holds_head(&self) -> bool {
        self.response.is_some() || self.exchange.is_cached
    }

    /// Whether a request is open: given out and not yet answered in full.
    pub fn has_request(&self) -> bool {
        self.exchange.open
    }

    /// Whether all of the open request's response is written, or no request is open.
    #[inline]
    pub fn is_answered(&self) -> bool {
        !self.exchange.open || self.exchange.answered
    }

    /// Bytes of content that this response to the open request sends, apart from those of a stream.
    pub fn content_length(&self, response: &Response) -> u64 {
        match response.content() {
            Content::Stream(_) => 0,
            content if self.has_content(response.status()) => content.length().unwrap_or(0),
            _ => 0,
        }
    }

    /// Bytes of the response's content that nobody took, or can take any more: of what was given for it, or cached.
    pub fn untaken_content(&self) -> u64 {
        if let Some(response) = &self.response {
            return self.content_length(response);
        }
        let cached = self.repeated.as_ref().and_then(|request| request.response.get());
        match cached {
            Some(cached) if self.exchange.is_cached => cached.content_bytes,
            // Its content may be behind its head.
            Some(cached) => self.sender.untaken_bytes().min(cached.content_bytes),
            None => self.sender.untaken_content(),
        }
    }

    /// Bytes that the connection holds for its peer: a part of a head, and what waits to be sent.
    pub fn held_bytes(&self) -> usize {
        let partial = self.partial.as_ref().map_or(0, |partial| partial.bytes.capacity());
        let waits = match &self.response {
            None => 0,
            Some(response) => response.content().held_bytes(),
        };
        partial + waits + self.sender.held_bytes()
    }

    /// Whether the connection is between two requests, so that closing it loses nothing.
    pub fn is_idle(&self) -> bool {
        matches!(self.input, Input::Head) && self.partial.is_none()
    }

    /// The application wants the open request's content: sends `100 Continue` if the client waits
    /// for it. From now on the client must make progress.
    pub fn read_body(&mut self, now: Duration) {
        let Input::Body(receiver) = &mut self.input else { return };
        if receiver.demand != Demand::Paused {
            return;
        }
        receiver.demand = Demand::Wanted;
        self.read_deadline = Some(now + self.shared.config.limits.body_timeout);
        if core::mem::take(&mut self.exchange.expects_continue) && !self.exchange.started {
            self.sender.push(b"HTTP/1.1 100 Continue\r\n\r\n");
            self.begin_write(now);
        }
    }

    /// The application has no room for content now: input is not consumed, the client may wait.
    pub fn pause_body(&mut self) {
        if let Input::Body(receiver) = &mut self.input
            && receiver.demand == Demand::Wanted
        {
            receiver.demand = Demand::Paused;
            self.read_deadline = None;
        }
    }

    /// The application wants no more of the open request's content. What remains is dropped if it is
    /// little enough, else the connection ends after the response.
    pub fn drop_body(&mut self, now: Duration) {
        let Input::Body(receiver) = &mut self.input else { return };
        if matches!(receiver.demand, Demand::Dropped { .. }) {
            return;
        }
        // RFC 9110 section 10.1.1: without 100 Continue nobody knows whether the content comes.
        let left_max = if self.exchange.expects_continue {
            0
        } else {
            self.shared.config.limits.discard_bytes_max
        };
        if receiver.drop_up_to(left_max) == (Demand::Dropped { left: 0 }) {
            self.exchange.client_persists = false;
        }
        self.read_deadline = Some(now + self.shared.config.limits.body_timeout);
        if self.exchange.answered {
            self.end_exchange(now);
        }
    }

    /// Answers the open request.
    ///
    /// A response with [`Content::Stream`] is followed by [`send_data`](Connection::send_data) and
    /// [`finish`](Connection::finish), if [`is_streaming`](Connection::is_streaming) then says so. 101, and a success to CONNECT, hand
    /// over the connection: see [`ConnectionState::Upgraded`].
    ///
    /// # Errors
    /// No request is open, it has a response already, or it cannot be upgraded.
    pub fn respond(&mut self, now: Duration, response: Response) -> Result<(), OutOfTurn> {
        if !self.exchange.open || self.exchange.started || self.holds_head() {
            return Err(OutOfTurn);
        }
        let upgrades = self.exchange.upgrade && matches!(self.input, Input::Held);
        if response.status().is_informational()
            && !(response.status() == Status::SWITCHING_PROTOCOLS && upgrades)
        {
            return Err(OutOfTurn);
        }
        self.response = Some(response);
        self.begin_write(now);
        Ok(())
    }

    /// Whether the response is a stream that takes data or its end. Not so after HEAD and for a status without content.
    pub fn is_streaming(&self) -> bool {
        self.sender.is_streaming()
            || self.response.as_ref().is_some_and(|response| {
                matches!(response.content(), Content::Stream(_))
                    && self.has_content(response.status())
            })
    }

    /// How many bytes [`send_data`](Connection::send_data) takes now; 0 until the head and the piece before are written.
    pub fn body_capacity(&self) -> usize {
        if self.holds_head() { 0 } else { self.sender.capacity() }
    }

    /// Sends the next piece of a streamed response.
    ///
    /// # Errors
    /// No stream takes data now, or more came than the response declared.
    pub fn send_data(&mut self, now: Duration, data: Data) -> Result<(), OutOfTurn> {
        if self.holds_head() {
            return Err(OutOfTurn);
        }
        self.sender.push_data(data)?;
        self.resume_write(now);
        Ok(())
    }

    /// Ends a streamed response.
    ///
    /// # Errors
    /// No stream is open, or less came than the response declared. The connection is then to be aborted.
    pub fn finish(&mut self, now: Duration) -> Result<(), OutOfTurn> {
        self.finish_with_trailers(now, &[])
    }

    /// Ends a streamed response with a trailer section, which is left out unless the coding is chunked.
    ///
    /// # Errors
    /// As [`finish`](Connection::finish).
    pub fn finish_with_trailers(
        &mut self,
        now: Duration,
        trailers: &[(&str, &[u8])],
    ) -> Result<(), OutOfTurn> {
        if self.holds_head() {
            return Err(OutOfTurn);
        }
        self.sender.finish(FieldLines::of(trailers))?;
        self.resume_write(now);
        Ok(())
    }

    /// The response cannot be completed: resets the connection, or answers 500 if nothing was sent.
    pub fn fail_response(&mut self, now: Duration) {
        if self.exchange.open && !self.exchange.started {
            self.exchange.is_cached = false;
            self.response = Some(Response::plain(Status::INTERNAL_SERVER_ERROR).closing());
            self.drop_body(now);
            self.begin_write(now);
        } else {
            self.abort();
        }
    }

    /// The response ends before its time. What was taken of it is sent, and the connection then ended, if the client can tell
    /// that it is not whole (RFC 9112 section 8); else as by [`fail_response`](Connection::fail_response).
    pub fn cut_response(&mut self, now: Duration) {
        if self.exchange.started && self.sender.cut_stream() {
            self.exchange.persists = false;
            self.resume_write(now);
        } else {
            self.fail_response(now);
        }
    }

    /// The server goes down: the open request is answered, then the connection ends.
    pub fn drain(&mut self, now: Duration) {
        self.draining = true;
        if self.is_idle() {
            self.end_output(now);
        }
    }

    /// The peer took so many bytes of output that was taken before from here.
    pub fn peer_took(&mut self, now: Duration, count: usize) {
        if self.write_deadline.is_some() {
            self.put_write_off(now, count);
        }
    }

    /// When [`handle_timeout`](Connection::handle_timeout) is due.
    pub fn next_deadline(&self) -> Option<Duration> {
        match (self.read_deadline, self.write_deadline) {
            (Some(read), Some(write)) => Some(read.min(write)),
            (read, write) => read.or(write),
        }
    }

    /// Ends what made no progress in time; does nothing before [`next_deadline`](Connection::next_deadline).
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.write_deadline.is_some_and(|deadline| deadline <= now) {
            self.abort();
            return self.events.push(Event::Failed(Error::Timeout, None));
        }
        if self.read_deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        self.read_deadline = None;
        match self.input {
            // RFC 9112 section 9.5: a connection that is merely idle may be closed without a word.
            Input::Head if self.partial.is_none() => self.end_output(now),
            Input::Head | Input::Body(_) => self.fail(now, Error::Timeout),
            Input::Held => {}
            Input::Dropped { .. } | Input::Ended => self.close(),
        }
    }

    /// The peer ended its sending side.
    pub fn handle_end(&mut self, now: Duration) {
        match &self.input {
            Input::Head if self.partial.is_none() => self.close(),
            // RFC 9112 section 8: an incomplete message is refused, never handled as if it were complete.
            Input::Head | Input::Body(_) => {
                self.fail(now, Error::Truncated);
                self.input = Input::Ended;
            }
            Input::Held => {
                self.exchange.client_persists = false;
                self.input = Input::Ended;
            }
            Input::Dropped { .. } | Input::Ended => {
                self.input = Input::Ended;
                if self.state == ConnectionState::EndOutput {
                    self.close();
                }
            }
        }
    }

    /// Refuses the peer's message: answers if there is still a response to give, then ends the connection.
    fn fail(&mut self, now: Duration, error: Error) {
        let request = self.repeated.take().map(|request| request.head.clone());
        self.exchange.client_persists = false;
        self.input = Input::Dropped { left: self.shared.config.limits.linger_bytes_max };
        self.read_deadline = None;
        if self.exchange.answered {
            self.end_output(now);
        } else if self.exchange.started {
            self.abort();
        } else {
            self.exchange.open = true;
            self.response = Some(Response::plain(error.status()).closing());
            self.begin_write(now);
        }
        self.events.push(Event::Failed(error, request));
    }

    /// There is a response to send.
    fn begin_write(&mut self, now: Duration) {
        self.write_deadline = Some(now + self.shared.config.limits.write_timeout);
    }

    /// There is more to send of a stream.
    fn resume_write(&mut self, now: Duration) {
        let slack = Duration::from_millis(self.write_slack_millis.into());
        self.write_deadline.get_or_insert(now + slack);
    }

    /// All is sent; what the peer may still send is dropped.
    fn end_output(&mut self, now: Duration) {
        self.state = ConnectionState::EndOutput;
        self.read_deadline = Some(now + self.shared.config.limits.linger_timeout);
        match self.input {
            Input::Ended => self.close(),
            Input::Dropped { .. } => {}
            _ => self.input = Input::Dropped { left: self.shared.config.limits.linger_bytes_max },
        }
    }

    fn close(&mut self) {
        self.finish_in(ConnectionState::Closed);
    }

    /// Ends the connection with whatever is open on it: the byte stream below broke.
    pub fn abort(&mut self) {
        self.finish_in(ConnectionState::Abort);
    }

    fn finish_in(&mut self, state: ConnectionState) {
        let cut_bytes = self.untaken_content();
        self.state = state;
        self.input = Input::Ended;
        self.exchange = Exchange::default();
        self.repeated = None;
        self.response = None;
        self.sender = Sender::cut(cut_bytes);
        self.read_deadline = None;
        self.write_deadline = None;
    }
}
