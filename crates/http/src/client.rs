//! Client connection (RFC 9112 section 9): requests out, responses in.

mod input;
mod output;
mod request;
mod response;

pub use request::Request;
pub use response::Response;

use crate::body::{BodyFraming, Demand, Receiver};
use crate::events::Events;
use crate::head::PartialHead;
use crate::send::Sender;
use crate::{ConnectionState, Error, Limits, OutOfTurn};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::ops::Range;
use core::time::Duration;
use web::fields::{FieldLines, Section};
use web::{Content, Data, Trailers};

/// What came of input, or of time.
#[derive(Debug)]
pub enum Event {
    /// The final response; interim ones are skipped. If its `content_length` is not empty, `Data` and `End` follow
    /// once the application asked for them by [`Connection::read_body`].
    Response(Response),
    /// Content: where it is in the input that was handled last.
    Data(Range<usize>),
    /// The end of the content, with its trailer section if there was one.
    End(Option<Box<Trailers>>),
    /// The response was refused or did not come. Nothing follows on this connection.
    Failed(Error),
}

/// One connection of a client: one request at a time, unless others are [pipelined](Connection::pipeline) behind it.
#[derive(Debug)]
pub struct Connection {
    limits: Rc<Limits>,
    /// What nobody has asked for yet.
    events: Events<Event>,
    /// The part of a head that has arrived.
    head: Section,
    partial: PartialHead,
    input: Input,
    exchange: Exchange,
    /// Requests that are written, at least in part, whose responses come after that of `exchange`.
    following: VecDeque<Exchange>,
    /// A request whose head is not written yet.
    request: Option<Request>,
    /// Requests that are written after it.
    queued: VecDeque<Request>,
    /// Content held back until the server says 100, or for too long.
    held: Option<(Content, BodyFraming)>,
    sender: Sender,
    state: ConnectionState,
    read_deadline: Option<Duration>,
    write_deadline: Option<Duration>,
}

/// What input is at present.
#[derive(Debug)]
enum Input {
    /// Nothing is expected.
    Idle,
    /// A response's head; this many interim responses were skipped.
    Head { interim: u8 },
    /// A response's content.
    Body(Receiver),
    /// Nothing more.
    Ended,
}

/// One request and its response (RFC 9110 section 3.4): what the one decides about the other, and both about the
/// connection.
#[derive(Clone, Copy, Debug, Default)]
struct Exchange {
    head_method: bool,
    connect_method: bool,
    asked_upgrade: bool,
    persists: bool,
}

impl Connection {
    /// A connection that was just opened.
    pub fn new(limits: Rc<Limits>) -> Connection {
        Connection {
            limits,
            events: Events::default(),
            head: Section::default(),
            partial: PartialHead::default(),
            input: Input::Idle,
            exchange: Exchange::default(),
            following: VecDeque::new(),
            request: None,
            queued: VecDeque::new(),
            held: None,
            sender: Sender::default(),
            state: ConnectionState::Open,
            read_deadline: None,
            write_deadline: None,
        }
    }

    /// What is to be done with the byte stream below.
    pub fn state(&self) -> ConnectionState {
        self.state
    }

    /// Whether the next request can go over this connection: the last one and its response are complete.
    pub fn is_reusable(&self) -> bool {
        self.state == ConnectionState::Open && matches!(self.input, Input::Idle)
    }

    /// Sends a request.
    ///
    /// One with [`Content::Stream`] is followed by [`send_data`](Connection::send_data) and
    /// [`finish`](Connection::finish).
    ///
    /// # Errors
    /// The connection is not reusable.
    pub fn request(&mut self, now: Duration, request: Request) -> Result<(), OutOfTurn> {
        if !self.is_reusable() {
            return Err(OutOfTurn);
        }
        self.exchange = request.exchange();
        self.request = Some(request);
        self.input = Input::Head { interim: 0 };
        // The wait for the response begins when the request is written.
        self.read_deadline = None;
        self.arm_write(now);
        Ok(())
    }

    /// Sends a request behind those that are under way, before their responses have come (RFC 9112 section 9.3.2): its
    /// response comes after theirs. On an idle connection the same as [`request`](Connection::request). How many are
    /// under way is the caller's to bound. If the connection ends first, none of those without a response has one: the
    /// caller knows which can be repeated.
    ///
    /// # Errors
    /// The connection takes no other request; or this one is a stream, waits for consent or asks to switch protocols.
    pub fn pipeline(&mut self, now: Duration, request: Request) -> Result<(), OutOfTurn> {
        if self.is_reusable() {
            return self.request(now, request);
        }
        let is_last = request.expect_continue
            || request.is_upgrading()
            || request.method == web::Method::Connect
            || request.content.is_stream();
        // After one that says `close` there is none (RFC 9112 section 9.6).
        let persists = self.exchange.persists && self.following.iter().all(|it| it.persists);
        if self.state != ConnectionState::Open || is_last || !persists || self.is_streaming() {
            return Err(OutOfTurn);
        }
        self.queued.push_back(request);
        self.arm_write(now);
        Ok(())
    }

    /// The next thing that came of input, its end, or time.
    #[inline]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.poll().or_else(|| self.events.poll_end().then_some(Event::End(None)))
    }

    /// Whether [`poll_transmit`](Connection::poll_transmit) has something to write.
    pub fn wants_transmit(&self) -> bool {
        self.request.is_some() || self.sender.is_ready() || self.has_next_in_turn()
    }

    /// Whether the next of the pipelined requests can be written: all before it are.
    fn has_next_in_turn(&self) -> bool {
        !self.queued.is_empty()
            && self.request.is_none()
            && self.held.is_none()
            && self.sender.is_done()
    }

    /// Whether the request is a stream that takes data or its end, now or later.
    pub fn is_streaming(&self) -> bool {
        self.sender.is_streaming()
            || self.request.as_ref().is_some_and(|request| request.content.is_stream())
            || self.held.as_ref().is_some_and(|(content, _)| content.is_stream())
    }

    /// How many bytes [`send_data`](Connection::send_data) takes now; 0 until the head and the piece before are
    /// written, and while the server is asked for its consent.
    pub fn body_capacity(&self) -> usize {
        if self.request.is_some() { 0 } else { self.sender.capacity() }
    }

    /// Sends the next piece of a streamed request.
    ///
    /// # Errors
    /// No stream takes data now, or more came than the request declared.
    pub fn send_data(&mut self, now: Duration, data: Data) -> Result<(), OutOfTurn> {
        if self.request.is_some() {
            return Err(OutOfTurn);
        }
        self.sender.push_data(data)?;
        self.arm_write(now);
        Ok(())
    }

    /// Ends a streamed request, with a trailer section that is left out unless the coding is chunked.
    ///
    /// # Errors
    /// No stream is open, or less came than the request declared. The connection is then to be aborted.
    pub fn finish(&mut self, now: Duration, trailers: &[(&str, &[u8])]) -> Result<(), OutOfTurn> {
        if self.request.is_some() {
            return Err(OutOfTurn);
        }
        self.sender.finish(FieldLines::of(trailers))?;
        self.arm_write(now);
        Ok(())
    }

    /// The application wants the response's content. From now on the server must make progress.
    pub fn read_body(&mut self, now: Duration) {
        let Input::Body(receiver) = &mut self.input else { return };
        if receiver.demand == Demand::Paused {
            receiver.demand = Demand::Wanted;
            self.read_deadline = Some(now + self.limits.body_timeout);
        }
    }

    /// The application has no room for content now: input is not consumed, the server may wait.
    pub fn pause_body(&mut self) {
        if let Input::Body(receiver) = &mut self.input
            && receiver.demand == Demand::Wanted
        {
            receiver.demand = Demand::Paused;
            self.read_deadline = None;
        }
    }

    /// The application wants no more of the response: what remains is dropped if it is little enough, else the
    /// connection ends.
    pub fn drop_body(&mut self, now: Duration) {
        let Input::Body(receiver) = &mut self.input else { return };
        let endless = receiver.ends_with_connection();
        if endless
            || receiver.drop_up_to(self.limits.discard_bytes_max) == (Demand::Dropped { left: 0 })
        {
            self.abort();
        } else {
            self.read_deadline = Some(now + self.limits.body_timeout);
        }
    }

    /// The server took so many bytes of output that was taken before from here, never none.
    pub fn peer_took(&mut self, now: Duration, _count: usize) {
        if self.write_deadline.is_some() {
            self.arm_write(now);
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
        let due = |deadline: Option<Duration>| deadline.is_some_and(|deadline| deadline <= now);
        let is_read_due = due(self.read_deadline);
        if due(self.write_deadline) || is_read_due && self.held.is_none() {
            self.fail(Error::Timeout);
        } else if is_read_due {
            // RFC 9110 section 10.1.1: the server may not know 100 Continue at all.
            self.release_content(now);
        }
    }

    /// The server ended its sending side.
    pub fn handle_end(&mut self, now: Duration) {
        match &mut self.input {
            Input::Idle => self.finish_in(ConnectionState::Closed),
            Input::Ended => {}
            Input::Head { interim: 0 } if self.head.bytes.is_empty() => {
                self.fail(Error::NoResponse);
            }
            // RFC 9112 section 6.3: without any length, the end of the connection is the end.
            Input::Body(receiver) if receiver.ends_with_connection() => {
                self.end_response(now);
                self.events.push(Event::End(None));
            }
            // RFC 9112 section 8: anything else is incomplete.
            Input::Head { .. } | Input::Body(_) => self.fail(Error::Truncated),
        }
    }

    /// Ends the connection with whatever is open on it.
    pub fn abort(&mut self) {
        self.finish_in(ConnectionState::Abort);
    }

    fn fail(&mut self, error: Error) {
        self.abort();
        self.events.push(Event::Failed(error));
    }

    fn arm_write(&mut self, now: Duration) {
        self.write_deadline = Some(now + self.limits.write_timeout);
    }

    /// Sends the content that was held back.
    fn release_content(&mut self, now: Duration) {
        if let Some((content, framing)) = self.held.take() {
            self.sender.start(content, framing);
            self.read_deadline = Some(now + self.limits.response_timeout);
            self.arm_write(now);
        }
    }

    /// The response is complete: the connection is idle, or at its end.
    fn end_response(&mut self, now: Duration) {
        // RFC 9112 section 9.3: an unfinished request leaves the server waiting for its rest.
        let sent = !self.following.is_empty()
            || self.request.is_none() && self.held.is_none() && self.sender.is_complete();
        if sent && self.exchange.persists && self.next_exchange() {
            self.input = Input::Head { interim: 0 };
            self.read_deadline = Some(now + self.limits.response_timeout);
        } else if sent && self.exchange.persists {
            self.input = Input::Idle;
            self.sender = Sender::default();
            self.read_deadline = Some(now + self.limits.idle_timeout);
        } else {
            self.finish_in(if sent { ConnectionState::Closed } else { ConnectionState::Abort });
        }
    }

    /// Turns to the response of the next pipelined request, if there is one.
    fn next_exchange(&mut self) -> bool {
        if let Some(exchange) = self.following.pop_front() {
            self.exchange = exchange;
            return true;
        }
        // Its turn to be written has not come yet.
        let Some(request) = self.queued.pop_front() else { return false };
        self.exchange = request.exchange();
        self.sender = Sender::default();
        self.request = Some(request);
        true
    }

    fn finish_in(&mut self, state: ConnectionState) {
        self.state = state;
        self.input = Input::Ended;
        self.following = VecDeque::new();
        self.request = None;
        self.queued = VecDeque::new();
        self.held = None;
        self.sender = Sender::default();
        self.read_deadline = None;
        self.write_deadline = None;
    }
}
