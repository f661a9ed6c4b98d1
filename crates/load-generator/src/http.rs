//! HTTP on one connection: makes what is due, and judges the answers.

use super::allowance::Allowance;
use super::cookies::Cookies;
use super::shared::{Seat, Shared};
use ::http::client::{Connection, Event, Response};
use ::http::{ConnectionState, Error, Limits};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::task::{Context, Poll};
use core::time::Duration;
use endpoints::drive::{Core, Transport};
use flow::FlowError;
use flow::time::earlier;
use load::{Failure, Job, Outcome};
use web::ContentLength;

/// Bytes of an answer's content in which something is looked for.
const SEARCHED_BYTES_MAX: usize = 64 << 10;
/// Between the sending of a request and its giving up: the loop's next turn, when it has left.
const ABANDON_DELAY: Duration = Duration::from_millis(1);
/// Longer than any run: timeouts are the scenario's.
const NEVER: Duration = Duration::from_secs(10 * 24 * 3600);

/// What runs on one connection, as long as that is open.
pub(crate) struct HttpConnection {
    shared: Rc<Shared>,
    seat: Rc<Seat>,
    cookies: Rc<RefCell<Cookies>>,
    connection: Connection,
    /// Requests that are under way, in their order.
    open: VecDeque<Open>,
    /// Requests that were made here.
    made: u32,
    thinks_until: Option<Duration>,
    abandons_at: Option<Duration>,
    reading: Allowance,
    writing: Allowance,
    /// Nothing is due any more.
    is_done: bool,
    /// How the connection is to end, if that is not the protocol's to say.
    ends: Option<Transport>,
}

/// A request that is under way.
struct Open {
    job: Job,
    /// Its answer has a status that is none of those expected.
    is_refused: bool,
    /// The content of its answer, if something is looked for in it.
    content: Option<Vec<u8>>,
}

/// The answer may be of any length: it is not kept.
pub(crate) fn limits() -> Limits {
    Limits {
        body_bytes_max: u64::MAX,
        bytes_per_second_min: 0,
        head_timeout: NEVER,
        body_timeout: NEVER,
        idle_timeout: NEVER,
        response_timeout: NEVER,
        write_timeout: NEVER,
        ..Limits::default()
    }
}

impl HttpConnection {
    /// On a connection that was just opened, for its first request if that is known.
    pub(crate) fn new(
        shared: &Rc<Shared>,
        seat: &Rc<Seat>,
        cookies: &Rc<RefCell<Cookies>>,
        first: Option<Job>,
    ) -> Self {
        let used = &shared.scenario().connection;
        let mut connection = Self {
            shared: shared.clone(),
            seat: seat.clone(),
            cookies: cookies.clone(),
            connection: Connection::new(shared.http_limits()),
            open: VecDeque::new(),
            made: 0,
            thinks_until: None,
            abandons_at: None,
            reading: Allowance::new(used.read_bytes_per_second),
            writing: Allowance::new(used.write_bytes_per_second),
            is_done: false,
            ends: None,
        };
        if let Some(job) = first {
            connection.make(shared.timers().now(), job);
        }
        connection
    }

    /// Nothing is due any more, and nothing under way.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done && self.open.is_empty()
    }

    /// Until when it makes none.
    pub(crate) fn thinks_until(&self) -> Option<Duration> {
        self.thinks_until
    }

    /// Whether it can make another request now.
    fn has_room(&self) -> bool {
        self.open.len() < usize::from(self.shared.scenario().connection.pipelining)
            && self.takes_more()
            && self.thinks_until.is_none()
            && !self.is_done
            && self.ends.is_none()
            && self.connection.state() == ConnectionState::Open
    }

    fn takes_more(&self) -> bool {
        let requests_max = self.shared.scenario().connection.requests_max;
        requests_max == 0 || self.made < requests_max
    }

    fn make(&mut self, now: Duration, job: Job) {
        let mut request = self.shared.request(&job);
        if self.shared.scenario().connection.cookies
            && let Some(field) = self.cookies.borrow().field()
        {
            request = request.with_header("Cookie", field);
        }
        self.made += 1;
        if !self.takes_more() {
            request = request.closing();
        }
        let content = self.shared.kind(&job).expect_body.as_ref().map(|_| Vec::new());
        self.open.push_back(Open { job, is_refused: false, content });
        if self.connection.pipeline(now, request).is_err() {
            self.fail_all(now, Failure::Protocol);
        }
    }

    fn note(&mut self, now: Duration, event: Event, input: &[u8]) {
        match event {
            Event::Response(response) => self.note_head(now, &response),
            Event::Data(range) => {
                if let Some(content) = self.open.front_mut().and_then(|open| open.content.as_mut())
                {
                    let room = SEARCHED_BYTES_MAX - content.len();
                    let data = input.get(range).unwrap_or(&[]);
                    content.extend_from_slice(&data[..data.len().min(room)]);
                }
            }
            Event::End(_) => self.end_answer(now),
            Event::Failed(error) => self.fail_all(now, failure(error)),
        }
    }

    fn note_head(&mut self, now: Duration, response: &Response) {
        if self.shared.scenario().connection.cookies {
            let mut cookies = self.cookies.borrow_mut();
            response.headers_named("set-cookie").for_each(|field| cookies.set(field));
        }
        if let Some(open) = self.open.front_mut() {
            let status = response.status().code();
            open.is_refused = match self.shared.kind(&open.job).expect_status {
                Some(expected) => status != expected,
                None => !(200..400).contains(&status),
            };
        }
        match response.content_length() {
            ContentLength::Empty => self.end_answer(now),
            _ => self.connection.read_body(now),
        }
    }

    /// The answer is complete.
    fn end_answer(&mut self, now: Duration) {
        let Some(open) = self.open.pop_front() else { return };
        let expected = self.shared.kind(&open.job).expect_body.as_ref();
        let has_expected = match (expected, &open.content) {
            (Some(expected), Some(content)) => {
                memchr::memmem::find(content, expected.as_bytes()).is_some()
            }
            _ => true,
        };
        let outcome = match (open.is_refused, has_expected) {
            (true, _) => Outcome::Failure(Failure::Status),
            (false, false) => Outcome::Failure(Failure::Body),
            (false, true) => Outcome::Success,
        };
        self.shared.finish(now, open.job, outcome);
        self.thinks_until = self.shared.think_until(now);
    }

    /// Nothing that is under way will be answered.
    fn fail_all(&mut self, now: Duration, failure: Failure) {
        for Open { job, .. } in core::mem::take(&mut self.open) {
            self.shared.finish(now, job, Outcome::Failure(failure));
        }
        self.ends = Some(Transport::Abort);
    }

    fn abandon(&mut self, now: Duration) {
        for Open { job, .. } in core::mem::take(&mut self.open) {
            self.shared.finish(now, job, Outcome::Abandoned);
        }
        self.ends = Some(Transport::Abort);
    }

    /// When the oldest request has waited too long.
    fn gives_up_at(&self) -> Option<Duration> {
        self.open.front().map(|open| open.job.made() + self.shared.scenario().timeout)
    }
}

impl Core for HttpConnection {
    fn begin_turn(&mut self, _: &mut Context<'_>, now: Duration) {
        self.reading.advance(now);
        self.writing.advance(now);
    }

    /// Who gives up does not look whether there is an answer already.
    fn wants_input(&self) -> bool {
        self.reading.has_some() && self.abandons_at.is_none()
    }

    fn handle_input(&mut self, now: Duration, bytes: &mut [u8]) -> usize {
        let part = self.reading.part_of(bytes.len());
        let bytes = bytes.get(..part).unwrap_or(&[]);
        let mut taken = 0;
        loop {
            let rest = bytes.get(taken..).unwrap_or(&[]);
            let count = self.connection.handle_input(now, rest);
            let mut is_noted = false;
            while let Some(event) = self.connection.poll_event() {
                self.note(now, event, rest);
                is_noted = true;
            }
            taken += count;
            if count == 0 && !is_noted || taken == bytes.len() {
                break;
            }
        }
        self.reading.take(now, taken);
        self.shared.count_bytes(taken, 0);
        taken
    }

    fn handle_end(&mut self, now: Duration, how: Result<(), FlowError>) -> bool {
        if how.is_err() {
            self.fail_all(now, Failure::Reset);
            return true;
        }
        self.connection.handle_end(now);
        while let Some(event) = self.connection.poll_event() {
            self.note(now, event, &[]);
        }
        true
    }

    fn poll_work(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        let mut moved = false;
        while self.has_room() {
            match self.shared.poll_job(cx, &self.seat, now) {
                Poll::Ready(Some(job)) => self.make(now, job),
                Poll::Ready(None) => self.is_done = true,
                Poll::Pending => break,
            }
            moved = true;
        }
        moved
    }

    fn wants_transmit(&mut self, _: &mut Context<'_>) -> bool {
        self.connection.wants_transmit() && self.writing.has_some()
    }

    fn poll_transmit(&mut self, now: Duration, space: &mut [u8]) -> usize {
        let part = self.writing.part_of(space.len());
        let written = self.connection.poll_transmit(now, space.get_mut(..part).unwrap_or(&mut []));
        self.writing.take(now, written);
        self.shared.count_bytes(0, written);
        let is_abandoned = self.open.back().is_some_and(|open| open.job.is_to_be_abandoned());
        if is_abandoned && !self.connection.wants_transmit() {
            self.abandons_at = Some(now + ABANDON_DELAY);
        }
        written
    }

    fn output_lost(&mut self, now: Duration, _: FlowError) -> bool {
        self.fail_all(now, Failure::Reset);
        false
    }

    fn next_deadline(&mut self, _: Duration) -> Option<Duration> {
        let allowances = earlier(self.reading.next_deadline(), self.writing.next_deadline());
        let own = earlier(self.thinks_until, self.abandons_at);
        earlier(earlier(allowances, own), self.gives_up_at())
    }

    fn handle_timeout(&mut self, now: Duration) {
        self.reading.advance(now);
        self.writing.advance(now);
        if self.thinks_until.is_some_and(|until| until <= now) {
            self.thinks_until = None;
        }
        if self.abandons_at.is_some_and(|at| at <= now) {
            self.abandon(now);
        } else if self.gives_up_at().is_some_and(|at| at <= now) {
            self.fail_all(now, Failure::Timeout);
        }
    }

    fn transport(&mut self, _: &mut Context<'_>, now: Duration) -> Transport {
        if let Some(ends) = self.ends {
            return ends;
        }
        match self.connection.state() {
            ConnectionState::Open
                if self.open.is_empty() && (self.is_done || !self.takes_more()) =>
            {
                Transport::Closed
            }
            ConnectionState::Open => Transport::Open,
            // What was pipelined behind the last answer has none.
            _ if !self.open.is_empty() => {
                self.fail_all(now, Failure::Reset);
                Transport::Abort
            }
            ConnectionState::Closed | ConnectionState::EndOutput => Transport::Closed,
            ConnectionState::Abort | ConnectionState::Upgraded => Transport::Abort,
        }
    }
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Timeout => Failure::Timeout,
        Error::NoResponse | Error::Truncated => Failure::Reset,
        _ => Failure::Protocol,
    }
}
