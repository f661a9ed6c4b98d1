//! Connection: one request, one answer, the end.

#[cfg(test)]
mod tests;

use crate::lines::LineEncoder;
use crate::selector::{self, Asked};
use crate::{Error, Limits};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::{self, Vec};
use core::cell::RefCell;
use core::time::Duration;
use flow::Address;
use pace::OutputClock;
use web::date::{DateCache, HttpDate};
use web::menu::ItemType;
use web::server::{ConnectionState, OutOfTurn, Refusal, ServerCore};
use web::{Content, Data, RequestHead, Response, Status};

/// What a server is told.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Bounds on clients.
    pub limits: Limits,
    /// The host that menus name for this server's own items. Empty is the address at which the client came.
    pub host: String,
    /// The port that menus name.
    pub port: u16,
    /// Time since 1970-01-01T00:00:00Z when `now` was zero; `None` without a clock. For the log.
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

type Event = web::server::Event<Error>;

/// One connection of a client: see [`ServerCore`].
#[derive(Debug)]
pub struct Connection {
    shared: Rc<Shared>,
    local: Address,
    event: Option<Event>,
    input: Input,
    /// The request was handed out, or refused.
    is_open: bool,
    /// A response of which nothing is written yet.
    response: Option<Response>,
    sender: Option<Sender>,
    state: ConnectionState,
    read_deadline: Option<Duration>,
    output_clock: OutputClock,
    /// Content that was not taken when the connection ended.
    cut_bytes: u64,
}

/// What input is at present.
#[derive(Debug)]
enum Input {
    /// The request's line, of which so much has arrived.
    Line(Vec<u8>),
    /// Whatever follows it; this many bytes of it are read and dropped.
    Dropped { left: u32 },
    /// Nothing more.
    Ended,
}

impl ServerCore for Connection {
    const NAME: &'static str = "gopher";
    type Shared = Shared;
    type Error = Error;

    fn new(shared: Rc<Shared>, local: Address, now: Duration) -> Self {
        let read_deadline = Some(now + shared.config.limits.request_timeout);
        Self {
            shared,
            local,
            event: None,
            input: Input::Line(Vec::new()),
            is_open: false,
            response: None,
            sender: None,
            state: ConnectionState::Open,
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
        match &mut self.input {
            _ if self.event.is_some() => 0,
            Input::Line(_) => self.take_line(now, input),
            Input::Dropped { left } => {
                *left = left.saturating_sub(u32::try_from(input.len()).unwrap_or(u32::MAX));
                if *left == 0 {
                    self.end_input();
                }
                input.len()
            }
            Input::Ended => input.len(),
        }
    }

    fn handle_end(&mut self, now: Duration) {
        match &self.input {
            Input::Line(line) if line.is_empty() => self.finish_in(ConnectionState::Closed),
            Input::Line(_) => {
                self.fail(now, Error::Truncated);
                self.input = Input::Ended;
            }
            Input::Dropped { .. } | Input::Ended => self.end_input(),
        }
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.event.take()
    }

    fn state(&self) -> ConnectionState {
        self.state
    }

    fn respond(&mut self, now: Duration, response: Response) -> Result<(), OutOfTurn> {
        let is_interim = response.status().is_informational();
        if !self.is_open || self.sender.is_some() || self.holds_head() || is_interim {
            return Err(OutOfTurn);
        }
        self.response = Some(response);
        self.begin_write(now);
        Ok(())
    }

    fn is_streaming(&self) -> bool {
        let waits = self.response.as_ref().is_some_and(|response| {
            response.status().is_success() && response.content().is_stream()
        });
        waits || self.sender.as_ref().is_some_and(Sender::is_streaming)
    }

    fn body_capacity(&self) -> usize {
        match &self.sender {
            Some(sender) if sender.takes_piece() => STREAM_PIECE_BYTES_MAX,
            _ => 0,
        }
    }

    fn send_data(&mut self, now: Duration, data: Data) -> Result<(), OutOfTurn> {
        self.sender.as_mut().ok_or(OutOfTurn)?.push_data(data)?;
        self.resume_write(now);
        Ok(())
    }

    fn finish(&mut self, now: Duration) -> Result<(), OutOfTurn> {
        self.sender.as_mut().ok_or(OutOfTurn)?.finish()?;
        self.resume_write(now);
        Ok(())
    }

    fn fail_response(&mut self, now: Duration) {
        if self.is_open && self.sender.is_none() {
            self.response = Some(Response::new(Status::INTERNAL_SERVER_ERROR));
            self.begin_write(now);
        } else {
            self.abort();
        }
    }

    fn drain(&mut self, _: Duration) {
        if matches!(&self.input, Input::Line(line) if line.is_empty()) {
            self.finish_in(ConnectionState::Closed);
        }
    }

    fn abort(&mut self) {
        self.finish_in(ConnectionState::Abort);
    }

    fn has_request(&self) -> bool {
        self.is_open
    }

    fn holds_head(&self) -> bool {
        self.response.is_some()
    }

    fn is_answered(&self) -> bool {
        !self.is_open
    }

    fn content_length(&self, response: &Response) -> u64 {
        let content = response.content();
        let counts = response.status().is_success() && !content.is_stream();
        if counts { content.length().unwrap_or(0) } else { 0 }
    }

    fn untaken_content(&self) -> u64 {
        let waits = self.response.as_ref().map_or(0, |response| self.content_length(response));
        waits + self.cut_bytes + self.sender.as_ref().map_or(0, Sender::untaken_content)
    }

    fn held_bytes(&self) -> usize {
        let line = match &self.input {
            Input::Line(line) => line.capacity(),
            Input::Dropped { .. } | Input::Ended => 0,
        };
        let response = self.response.as_ref();
        line + response.map_or(0, |response| response.content().held_bytes())
            + self.sender.as_ref().map_or(0, Sender::held_bytes)
    }

    fn wants_transmit(&self) -> bool {
        self.holds_head() || self.sender.as_ref().is_some_and(Sender::is_ready)
    }

    fn poll_transmit(&mut self, now: Duration, out: &mut [u8]) -> usize {
        if out.is_empty() {
            return 0;
        }
        if let Some(response) = self.response.take() {
            self.sender = Some(self.sender_of(response));
        }
        let Some(sender) = &mut self.sender else { return 0 };
        let count = sender.write(out);
        self.after_output(now, count);
        count
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
        } else if self.read_deadline.is_some_and(|deadline| deadline <= now) {
            self.read_deadline = None;
            match self.input {
                Input::Line(_) => self.fail(now, Error::Timeout),
                Input::Dropped { .. } | Input::Ended => self.finish_in(ConnectionState::Closed),
            }
        }
    }
}

impl Connection {
    /// Takes input up to the end of the line, which is LF or CRLF; what follows it is nothing.
    fn take_line(&mut self, now: Duration, input: &[u8]) -> usize {
        let bytes_max = usize::from(self.shared.config.limits.request_bytes_max);
        let Input::Line(line) = &mut self.input else { return 0 };
        let end = input.iter().position(|&byte| byte == b'\n');
        let taken = end.map_or(input.len(), |end| end + 1);
        if line.len() + taken > bytes_max {
            self.fail(now, Error::TooLong);
            return input.len();
        }
        line.extend_from_slice(input.get(..taken).unwrap_or(input));
        if end.is_some() {
            let line = core::mem::take(line);
            self.read_deadline = None;
            self.input = Input::Dropped { left: self.shared.config.limits.linger_bytes_max };
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            self.ask(now, line.strip_suffix(b"\r").unwrap_or(line));
        }
        taken
    }

    fn ask(&mut self, now: Duration, line: &[u8]) {
        match selector::parse(line) {
            Ok(Asked::Target(target)) => {
                self.is_open = true;
                self.event = Some(Event::Request(RequestHead::new("GET", &target, [])));
            }
            Ok(Asked::Link(page)) => {
                self.is_open = true;
                self.response = Some(Response::ok("text/html; charset=utf-8", page));
                self.begin_write(now);
            }
            Err(error) => self.fail(now, error),
        }
    }

    /// Refuses the request, and tells the client.
    fn fail(&mut self, now: Duration, error: Error) {
        self.input = Input::Dropped { left: self.shared.config.limits.linger_bytes_max };
        self.read_deadline = None;
        self.is_open = true;
        self.sender = Some(Sender::menu_of_one(&refused(error.reason())));
        self.begin_write(now);
        self.event = Some(Event::Failed(error, None));
    }

    /// What a response is on the wire.
    fn sender_of(&self, mut response: Response) -> Sender {
        let status = response.status();
        if status.is_success() {
            let media_type = response.content_type().unwrap_or_default();
            let lines = match ItemType::of_media_type(media_type) {
                ItemType::Text => Some(LineEncoder::text()),
                ItemType::Menu => Some(self.menu_encoder()),
                _ => None,
            };
            return Sender::new(response.take_content(), lines);
        }
        match response.header("location") {
            Some(location) if is_redirection(status) => {
                let location = String::from_utf8_lossy(location);
                let item = Content::Full(leading_to(&location).into());
                Sender::new(item, Some(self.menu_encoder()))
            }
            _ => Sender::menu_of_one(&refused(&status_text(status))),
        }
    }

    fn menu_encoder(&self) -> LineEncoder {
        let Config { host, port, .. } = &self.shared.config;
        let own = match self.local.ip() {
            Some(address) if host.is_empty() => format!("{}", address.to_canonical()),
            _ => String::new(),
        };
        LineEncoder::menu(if host.is_empty() { &own } else { host }, *port)
    }

    fn after_output(&mut self, now: Duration, count: usize) {
        let Some(sender) = &self.sender else { return };
        if sender.is_done() {
            self.output_clock.stop();
            self.end_output(now);
        } else if sender.is_ready() {
            self.put_write_off(now, count);
        } else {
            self.output_clock.pause(now);
        }
    }

    /// All is sent. The client ends the connection, too: what it may still send is dropped until then.
    fn end_output(&mut self, now: Duration) {
        self.is_open = false;
        self.sender = None;
        self.state = ConnectionState::EndOutput;
        self.read_deadline = Some(now + self.shared.config.limits.linger_timeout);
        if matches!(self.input, Input::Ended) {
            self.finish_in(ConnectionState::Closed);
        }
    }

    fn end_input(&mut self) {
        self.input = Input::Ended;
        if self.state == ConnectionState::EndOutput {
            self.finish_in(ConnectionState::Closed);
        }
    }

    fn begin_write(&mut self, now: Duration) {
        self.output_clock.begin(&self.shared.config.limits.write_pace(), now);
    }

    /// There is more to send of a stream.
    fn resume_write(&mut self, now: Duration) {
        self.output_clock.resume(now);
    }

    fn put_write_off(&mut self, now: Duration, count: usize) {
        self.output_clock.moved(&self.shared.config.limits.write_pace(), now, count);
    }

    fn finish_in(&mut self, state: ConnectionState) {
        self.cut_bytes = self.untaken_content();
        self.state = state;
        self.input = Input::Ended;
        self.is_open = false;
        self.response = None;
        self.sender = None;
        self.read_deadline = None;
        self.output_clock.stop();
    }
}

fn is_redirection(status: Status) -> bool {
    (300..400).contains(&status.code())
}

fn status_text(status: Status) -> String {
    status.text().map_or_else(|| format!("{}", status.code()), String::from)
}

/// An item of type 3 (RFC 1436 section 3.8), with a host that nobody has.
fn refused(reason: &str) -> String {
    format!("{}{reason}\t\terror.host\t1", char::from(ItemType::Error.byte()))
}

/// An item that leads where a redirection does.
fn leading_to(location: &str) -> String {
    if location.starts_with('/') {
        format!("{}It is at {location}\t{location}", char::from(ItemType::Menu.byte()))
    } else {
        format!("{}It is at {location}\tURL:{location}", char::from(ItemType::Html.byte()))
    }
}

/// Bytes of one piece of a stream. One is held at a time, so this bounds what waits in a connection.
const STREAM_PIECE_BYTES_MAX: usize = 64 << 10;
/// Bytes of lines that are encoded at once, before there is room for them.
const ENCODED_BYTES_MAX: usize = 4096;

/// Sends one answer.
#[derive(Debug)]
struct Sender {
    /// How lines are sent; none sends all as it is.
    lines: Option<LineEncoder>,
    /// Lines that are encoded and not written.
    encoded: Vec<u8>,
    encoded_sent: usize,
    piece: Data,
    pieces: vec::IntoIter<Data>,
    /// Somebody writes the content: what of it may still come, if that is known.
    stream: Option<Option<u64>>,
    /// The end is encoded.
    ended: bool,
}

impl Sender {
    fn new(content: Content, lines: Option<LineEncoder>) -> Self {
        let (mut piece, mut pieces, mut stream) = (Data::default(), Vec::new(), None);
        match content {
            Content::Empty => {}
            Content::Full(data) => piece = data,
            Content::Parts(parts) => pieces = parts,
            Content::Stream(left) => stream = Some(left),
        }
        Self {
            lines,
            encoded: Vec::new(),
            encoded_sent: 0,
            piece,
            pieces: pieces.into_iter(),
            stream,
            ended: false,
        }
    }

    /// A menu of one item, which says where it is.
    fn menu_of_one(item: &str) -> Self {
        Self::new(Content::Full(String::from(item).into()), Some(LineEncoder::text()))
    }

    fn is_streaming(&self) -> bool {
        self.stream.is_some()
    }

    fn takes_piece(&self) -> bool {
        self.is_streaming() && self.piece.is_empty()
    }

    fn push_data(&mut self, data: Data) -> Result<(), OutOfTurn> {
        if !self.takes_piece() {
            return Err(OutOfTurn);
        }
        if let Some(Some(left)) = &mut self.stream {
            *left = left.checked_sub(data.len() as u64).ok_or(OutOfTurn)?;
        }
        self.piece = data;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), OutOfTurn> {
        match self.stream {
            Some(None | Some(0)) => {
                self.stream = None;
                Ok(())
            }
            _ => Err(OutOfTurn),
        }
    }

    fn untaken_content(&self) -> u64 {
        self.piece.len() as u64
            + self.pieces.as_slice().iter().map(|piece| piece.len() as u64).sum::<u64>()
    }

    fn held_bytes(&self) -> usize {
        self.encoded.capacity()
            + self.piece.held_bytes()
            + self.pieces.as_slice().iter().map(Data::held_bytes).sum::<usize>()
    }

    fn is_done(&self) -> bool {
        self.ended && self.encoded.is_empty()
    }

    fn is_ready(&self) -> bool {
        !(self.encoded.is_empty() && self.piece.is_empty() && (self.is_streaming() || self.ended))
    }

    fn write(&mut self, out: &mut [u8]) -> usize {
        let mut at = 0;
        while self.flush(out, &mut at) {
            if self.piece.is_empty() {
                match self.pieces.next() {
                    Some(next) => self.piece = next,
                    None if self.is_streaming() || self.ended => break,
                    None => self.end(),
                }
                continue;
            }
            let count = match &mut self.lines {
                Some(lines) => {
                    lines.encode(self.piece.as_bytes(), ENCODED_BYTES_MAX, &mut self.encoded)
                }
                None => copy(self.piece.as_bytes(), out, &mut at),
            };
            self.piece.advance(count);
            if count == 0 {
                break;
            }
        }
        at
    }

    fn end(&mut self) {
        self.ended = true;
        if let Some(lines) = &mut self.lines {
            lines.end(&mut self.encoded);
        }
    }

    /// Writes what is encoded; whether none is left.
    fn flush(&mut self, out: &mut [u8], at: &mut usize) -> bool {
        let rest = self.encoded.get(self.encoded_sent..).unwrap_or(&[]);
        self.encoded_sent += copy(rest, out, at);
        if self.encoded_sent < self.encoded.len() {
            return false;
        }
        self.encoded.clear();
        self.encoded_sent = 0;
        true
    }
}

/// Copies as much as fits; how much it was.
fn copy(bytes: &[u8], out: &mut [u8], at: &mut usize) -> usize {
    let room = out.get_mut(*at..).unwrap_or_default();
    let len = bytes.len().min(room.len());
    if let (Some(room), Some(bytes)) = (room.get_mut(..len), bytes.get(..len)) {
        room.copy_from_slice(bytes);
    }
    *at += len;
    len
}
