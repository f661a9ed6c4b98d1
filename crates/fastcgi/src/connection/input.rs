//! Input: from records to events (FastCGI 1.0 sections 3.3 to 5).

use super::{Connection, Event, Input, Request};
use crate::Error;
use crate::pairs::{self, Pairs};
use crate::params;
use crate::record::{
    HEADER_BYTES, Header, Kind, MANAGEMENT, ProtocolStatus, put_end_request, put_header,
    put_unknown_type,
};
use alloc::vec::Vec;
use core::time::Duration;
use web::{ContentLength, Parts, RequestHead};

/// Records, or parts of them, that are taken before others have their turn.
const STEPS_AT_ONCE: usize = 64;
/// Bytes of answers to what concerns no open request above which no input is taken: who asks for them must take them.
const CONTROL_BYTES_MAX: usize = 1024;
/// Longest `FCGI_GET_VALUES`, in bytes: three names are known.
const VALUES_BYTES_MAX: u16 = 1024;
/// The role of whoever answers requests (section 5.1).
const RESPONDER: u16 = 1;
/// `FCGI_KEEP_CONN`.
const KEEP_CONNECTION: u8 = 1;
/// What a request that its web server gave up ends with, as a program's status.
const ABORTED_STATUS: u32 = 1;

/// How far the open request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its variables are being read.
    Params,
    /// They are read and do not say how much content there is: the first record of it tells whether there is any.
    Undecided,
    /// Content comes.
    Content(Body),
    /// All content is read that counts; the end of the stream may still come.
    Whole,
    /// The end of the stream has come.
    Ended,
}

/// Content on its way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Body {
    /// Bytes that are still to come, if that is known; else bytes that still may.
    left: u64,
    has_length: bool,
    demand: Demand,
}

/// What the application does with content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    /// Not ready for it: input stays with the caller.
    Paused,
    /// Takes it.
    Wanted,
    /// Wants none of it.
    Dropped,
}

impl Phase {
    /// Content is wanted; whether that is news.
    pub(super) fn want(&mut self) -> bool {
        self.turn(Demand::Paused, Demand::Wanted)
    }

    /// There is no room for content; whether that is news.
    pub(super) fn pause(&mut self) -> bool {
        self.turn(Demand::Wanted, Demand::Paused)
    }

    /// No more content is wanted; whether that is news.
    pub(super) fn drop_rest(&mut self) -> bool {
        self.turn(Demand::Paused, Demand::Dropped) || self.turn(Demand::Wanted, Demand::Dropped)
    }

    fn turn(&mut self, from: Demand, to: Demand) -> bool {
        match self {
            Self::Content(body) if body.demand == from => {
                body.demand = to;
                true
            }
            _ => false,
        }
    }
}

/// Where in a record input is.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// A header, or the content of `FCGI_BEGIN_REQUEST`, that came in pieces.
    small: [u8; HEADER_BYTES],
    small_bytes: usize,
    record: Option<Record>,
    /// The content of `FCGI_GET_VALUES`.
    values: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    content: RecordContent,
    content_left: u16,
    padding_left: u8,
}

/// What a record's content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecordContent {
    Begin { id: u16 },
    Params,
    Stdin,
    Values,
    Ignored,
}

impl Reader {
    /// Collects the eight bytes of a header, or of a request's beginning; how many were taken, and all of them once
    /// they are there.
    #[inline]
    fn collect(&mut self, input: &[u8]) -> (usize, Option<[u8; HEADER_BYTES]>) {
        if self.small_bytes == 0
            && let Some(whole) = input.first_chunk()
        {
            return (HEADER_BYTES, Some(*whole));
        }
        let count = input.len().min(HEADER_BYTES - self.small_bytes);
        self.small[self.small_bytes..][..count].copy_from_slice(&input[..count]);
        self.small_bytes += count;
        if self.small_bytes < HEADER_BYTES {
            return (count, None);
        }
        self.small_bytes = 0;
        (count, Some(self.small))
    }

    fn is_between_records(&self) -> bool {
        self.record.is_none() && self.small_bytes == 0
    }

    /// So many bytes of the record's content were taken.
    fn advance(&mut self, count: usize) {
        if let Some(record) = &mut self.record {
            record.content_left -= count as u16;
        }
        self.leave_record();
    }

    /// Leaves a record of which nothing is left.
    fn leave_record(&mut self) {
        if let Some(Record { content_left: 0, padding_left: 0, .. }) = self.record {
            self.record = None;
        }
    }
}

impl Connection {
    pub(super) fn take_input(&mut self, now: Duration, input: &[u8]) -> usize {
        let mut taken = 0;
        for _ in 0..STEPS_AT_ONCE {
            if self.event.is_some() || self.ends {
                break;
            }
            let rest = input.get(taken..).unwrap_or(&[]);
            match self.input {
                Input::Records(_) if rest.is_empty() => break,
                Input::Records(_) if self.sender.control_bytes() > CONTROL_BYTES_MAX => break,
                Input::Records(_) if self.is_ending() => break,
                Input::Records(_) => match self.step(now, rest, taken) {
                    Ok(0) => break,
                    Ok(count) => taken += count,
                    Err(error) => {
                        self.fail(now, error, None);
                        return input.len();
                    }
                },
                Input::Dropped { .. } => return taken + self.drop_input(now, rest),
                Input::Ended => return input.len(),
            }
        }
        taken
    }

    /// Takes a header, or some of a record's content or padding, which is at `at` of the caller's input.
    fn step(&mut self, now: Duration, input: &[u8], at: usize) -> Result<usize, Error> {
        let Input::Records(reader) = &mut self.input else { return Ok(0) };
        let Some(record) = &mut reader.record else {
            let (count, header) = reader.collect(input);
            if let Some(header) = header {
                self.begin_record(now, Header::parse(&header)?)?;
            }
            return Ok(count);
        };
        if record.content_left == 0 {
            let count = input.len().min(record.padding_left.into());
            record.padding_left -= count as u8;
            reader.leave_record();
            return Ok(count);
        }
        let content = record.content;
        let input = input.get(..record.content_left.into()).unwrap_or(input);
        match content {
            RecordContent::Begin { id } => {
                let (count, body) = reader.collect(input);
                reader.advance(count);
                if let Some(body) = body {
                    self.begin_request(now, id, body)?;
                }
                Ok(count)
            }
            RecordContent::Params => {
                reader.advance(input.len());
                self.params.extend_from_slice(input);
                Ok(input.len())
            }
            RecordContent::Values => {
                reader.values.extend_from_slice(input);
                let is_whole = usize::from(record.content_left) == input.len();
                reader.advance(input.len());
                if is_whole {
                    self.answer_values(now)?;
                }
                Ok(input.len())
            }
            RecordContent::Stdin => self.take_content(now, input, at),
            RecordContent::Ignored => {
                reader.advance(input.len());
                Ok(input.len())
            }
        }
    }

    /// A record's header has come: what its content is, and what it says if it has none.
    fn begin_record(&mut self, now: Duration, header: Header) -> Result<(), Error> {
        let content = self.content_of(now, &header)?;
        let Input::Records(reader) = &mut self.input else { return Ok(()) };
        reader.record = Some(Record {
            content,
            content_left: header.content_bytes,
            padding_left: header.padding_bytes,
        });
        reader.leave_record();
        Ok(())
    }

    fn content_of(&mut self, now: Duration, header: &Header) -> Result<RecordContent, Error> {
        let id = header.request_id;
        let phase = self.request.as_ref().filter(|request| request.id == id);
        let phase = phase.map(|request| request.phase);
        let is_empty = header.content_bytes == 0;
        match (Kind::of_web_server(header.kind), phase) {
            (Some(Kind::BeginRequest), None) if header.content_bytes != 8 => Err(Error::Length),
            (Some(Kind::BeginRequest), None) if id != MANAGEMENT => Ok(RecordContent::Begin { id }),
            (Some(Kind::Params), Some(Phase::Params)) if is_empty => {
                self.end_params(now)?;
                Ok(RecordContent::Ignored)
            }
            (Some(Kind::Params), Some(Phase::Params)) => self.admit_params(header),
            (Some(Kind::Stdin), Some(phase)) => self.begin_stdin(now, phase, is_empty),
            (Some(Kind::AbortRequest), Some(_)) => {
                self.cancel(now);
                Ok(RecordContent::Ignored)
            }
            // Section 3.3: of a request that is over, or was refused.
            (Some(Kind::Params | Kind::Stdin | Kind::Data | Kind::AbortRequest), None) => {
                Ok(RecordContent::Ignored)
            }
            (Some(Kind::GetValues), _) if id == MANAGEMENT => self.begin_values(now, header),
            // Section 4.2: a management record of a later version.
            (None, _) if id == MANAGEMENT => {
                put_unknown_type(self.sender.control(), header.kind);
                self.begin_control(now);
                Ok(RecordContent::Ignored)
            }
            _ => Err(Error::Record),
        }
    }

    /// A request begins: it is opened, or refused for good reason (section 5.5).
    fn begin_request(
        &mut self,
        now: Duration,
        id: u16,
        [role_high, role_low, flags, ..]: [u8; 8],
    ) -> Result<(), Error> {
        let keeps_connection = flags & KEEP_CONNECTION != 0;
        let refusal = if self.request.is_some() {
            ProtocolStatus::CannotMultiplex
        } else if u16::from_be_bytes([role_high, role_low]) != RESPONDER {
            self.draining |= !keeps_connection;
            ProtocolStatus::UnknownRole
        } else {
            self.open(now, id, keeps_connection);
            return Ok(());
        };
        put_end_request(self.sender.control(), id, 0, refusal);
        self.begin_control(now);
        Ok(())
    }

    fn admit_params(&self, header: &Header) -> Result<RecordContent, Error> {
        let bytes = self.params.len() + usize::from(header.content_bytes);
        if bytes > self.limits().params_bytes_max.into() {
            return Err(Error::HeadTooLarge);
        }
        Ok(RecordContent::Params)
    }

    /// All variables are there: the request is handed out, if they say how much content it has.
    fn end_params(&mut self, now: Duration) -> Result<(), Error> {
        self.read_params()?;
        let head = self.known.head.clone();
        match self.known.said.content_bytes {
            Some(length) if length > self.limits().body_bytes_max => {
                self.enter(Phase::Whole);
                self.fail(now, Error::BodyTooLarge, Some(head));
            }
            None => self.enter(Phase::Undecided),
            Some(0) => {
                self.enter(Phase::Whole);
                self.hand_out(now, head);
            }
            Some(left) => {
                let body = Body { left, has_length: true, demand: Demand::Paused };
                self.enter(Phase::Content(body));
                self.hand_out(now, head);
            }
        }
        Ok(())
    }

    /// Makes a head of the variables, unless they are those of the request before.
    fn read_params(&mut self) -> Result<(), Error> {
        let known = &mut self.known;
        if known.params == self.params && !known.params.is_empty() {
            known.is_repeated = true;
            return Ok(());
        }
        known.params.clear();
        (known.is_repeated, known.answer) = (false, None);
        if known.head.parts_mut().is_none() {
            // Somebody still reads the one before.
            known.head = RequestHead::default();
        }
        let Some(parts) = known.head.parts_mut() else { return Ok(()) };
        let mut section = core::mem::take(&mut parts.section);
        section.clear();
        *parts = Parts { section, ..Parts::default() };
        known.said = params::read(&self.params, &self.shared.config.limits, parts)?;
        parts.content_length = match known.said.content_bytes {
            Some(length @ 1..) => ContentLength::Known(length),
            Some(0) | None => ContentLength::Empty,
        };
        core::mem::swap(&mut known.params, &mut self.params);
        Ok(())
    }

    fn begin_stdin(
        &mut self,
        now: Duration,
        phase: Phase,
        is_empty: bool,
    ) -> Result<RecordContent, Error> {
        match phase {
            Phase::Params => return Err(Error::Record),
            Phase::Undecided if is_empty => {
                self.enter(Phase::Ended);
                self.hand_out(now, self.known.head.clone());
            }
            Phase::Undecided => {
                let left = self.limits().body_bytes_max;
                let body = Body { left, has_length: false, demand: Demand::Paused };
                self.enter(Phase::Content(body));
                let head = self.head_without_length()?;
                self.hand_out(now, head);
                return Ok(RecordContent::Stdin);
            }
            Phase::Content(_) if !is_empty => return Ok(RecordContent::Stdin),
            Phase::Content(body) => self.end_stdin(body),
            Phase::Whole if is_empty => self.enter(Phase::Ended),
            // RFC 3875 section 4.2: more than CONTENT_LENGTH says is not to be read.
            Phase::Whole | Phase::Ended => {}
        }
        Ok(RecordContent::Ignored)
    }

    /// The head of a request whose variables do not say how much content it has, and which has some.
    fn head_without_length(&mut self) -> Result<RequestHead, Error> {
        let mut head = RequestHead::default();
        if let Some(parts) = head.parts_mut() {
            params::read(&self.known.params, &self.shared.config.limits, parts)?;
            parts.content_length = ContentLength::Unknown;
        }
        Ok(head)
    }

    /// The stream has ended before all content came that was declared, or as it should.
    fn end_stdin(&mut self, body: Body) {
        self.enter(Phase::Ended);
        self.read_deadline = None;
        if body.demand == Demand::Dropped {
            return;
        }
        if body.has_length {
            self.event = Some(Event::Incomplete);
        } else {
            self.ends = true;
        }
    }

    /// Takes content of the open request, which is at `at` of the caller's input.
    fn take_content(&mut self, now: Duration, input: &[u8], at: usize) -> Result<usize, Error> {
        let Input::Records(reader) = &mut self.input else { return Ok(0) };
        let phase = self.request.as_mut().map(|request| &mut request.phase);
        let Some(Phase::Content(body)) = phase else {
            // The request has ended inside the record.
            reader.advance(input.len());
            return Ok(input.len());
        };
        if body.demand == Demand::Paused {
            return Ok(0);
        }
        let left = usize::try_from(body.left).unwrap_or(usize::MAX);
        let is_wanted = body.demand == Demand::Wanted;
        // What is dropped costs nothing, however much it is.
        if !body.has_length && is_wanted && input.len() > left {
            return Err(Error::BodyTooLarge);
        }
        let count = if body.has_length { input.len().min(left) } else { input.len() };
        body.left = body.left.saturating_sub(count as u64);
        let ends = body.has_length && body.left == 0;
        reader.advance(count);
        if is_wanted {
            self.event = Some(Event::Data(at..at + count));
            self.ends = ends;
            let (limits, deadline) = (&self.shared.config.limits, self.read_deadline);
            let timeout = limits.body_timeout;
            self.read_deadline = Some(limits.moved_deadline(timeout, deadline, count, now));
        }
        if ends {
            self.enter(Phase::Whole);
            self.read_deadline = None;
        }
        Ok(count)
    }

    /// The peer wants no answer any more (section 5.4): the request ends, and others may follow.
    fn cancel(&mut self, now: Duration) {
        let Some(request) = &mut self.request else { return };
        if request.is_open {
            self.event = Some(Event::Cancelled);
        }
        request.is_started = true;
        request.is_cancelled = true;
        request.phase = Phase::Whole;
        self.response = None;
        self.ends = false;
        self.read_deadline = None;
        self.sender.cut(request.id, ABORTED_STATUS);
        self.begin_write(now);
    }

    fn begin_values(&mut self, now: Duration, header: &Header) -> Result<RecordContent, Error> {
        let Input::Records(reader) = &mut self.input else { return Ok(RecordContent::Ignored) };
        reader.values.clear();
        if header.content_bytes > VALUES_BYTES_MAX {
            return Err(Error::Length);
        }
        if header.content_bytes == 0 {
            self.answer_values(now)?;
        }
        Ok(RecordContent::Values)
    }

    /// Says what is asked for and known (section 4.1), each once.
    fn answer_values(&mut self, now: Duration) -> Result<(), Error> {
        let connections = u64::from(self.limits().connections_advised);
        let Input::Records(reader) = &mut self.input else { return Ok(()) };
        let mut digits = [0; web::decimal::DIGITS_MAX];
        let connections = web::decimal::write(connections, &mut digits);
        let values: [(&[u8], &[u8]); 3] = [
            (b"FCGI_MAX_CONNS", connections),
            (b"FCGI_MAX_REQS", connections),
            (b"FCGI_MPXS_CONNS", b"0"),
        ];
        let mut asked = [false; 3];
        for pair in Pairs(&reader.values) {
            let (name, _) = pair?;
            if let Some(index) = values.iter().position(|(known, _)| *known == name) {
                asked[index] = true;
            }
        }
        let mut answer = Vec::new();
        for ((name, value), _) in values.iter().zip(asked).filter(|(_, asked)| *asked) {
            pairs::put(&mut answer, name, value);
        }
        let control = self.sender.control();
        put_header(control, Kind::GetValuesResult, MANAGEMENT, answer.len());
        control.extend_from_slice(&answer);
        self.begin_control(now);
        Ok(())
    }

    /// An answer that belongs to no open request waits.
    fn begin_control(&mut self, now: Duration) {
        if self.output_clock.deadline().is_none() {
            self.begin_write(now);
        }
    }

    fn enter(&mut self, phase: Phase) {
        if let Some(request) = &mut self.request {
            request.phase = phase;
        }
    }

    /// Drops what follows the last message, as far as its limit goes, and while it comes.
    fn drop_input(&mut self, now: Duration, input: &[u8]) -> usize {
        if self.read_deadline.is_some() {
            let (limits, deadline) = (self.limits(), self.read_deadline);
            let timeout = limits.linger_timeout;
            self.read_deadline = Some(limits.moved_deadline(timeout, deadline, input.len(), now));
        }
        let Input::Dropped { left } = &mut self.input else { return input.len() };
        *left = left.saturating_sub(u32::try_from(input.len()).unwrap_or(u32::MAX));
        if *left == 0 {
            self.input = Input::Ended;
            if self.state == web::server::ConnectionState::EndOutput {
                self.close();
            }
        }
        input.len()
    }

    pub(super) fn end_input(&mut self, now: Duration) {
        match (&self.input, &mut self.request) {
            (Input::Records(reader), None) if reader.is_between_records() => self.close(),
            (Input::Records(_), Some(Request { phase: Phase::Whole | Phase::Ended, .. }))
            | (
                Input::Records(_),
                Some(Request {
                    phase: Phase::Content(Body { demand: Demand::Dropped, .. }), ..
                }),
            ) => self.input = Input::Ended,
            (Input::Records(_), _) => {
                self.fail(now, Error::Truncated, None);
                if self.state == web::server::ConnectionState::EndOutput {
                    self.close();
                }
                self.input = Input::Ended;
            }
            (Input::Dropped { .. } | Input::Ended, _) => {
                self.input = Input::Ended;
                if self.state == web::server::ConnectionState::EndOutput {
                    self.close();
                }
            }
        }
    }
}
