//! Server connection driver: from the protocol core's events to the handler of the open request, and back.

use super::Shared;
use super::access_log::Logged;
use super::clients::Place;
use super::crowd::Seat;
use super::exchange::{Answering, InFlight, Stage, Step, Upload, Work};
use crate::drive::{Core, LongOutput, Transport};
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use flow::ledger::Pressure;
use flow::task::TaskError;
use flow::{Address, Flow, FlowError};
use web::access_log::ID_FIELD;
use web::answers::Answers;
use web::server::{ConnectionState, Event, Refusal, ServerCore};
use web::{
    Answer, Body, BodyError, ContentLength, ContentWriter, Next, Reply, Request, RequestHead,
    Response, Status,
};

/// Turns a connection's input into requests, and their answers into its output. It knows no flow.
pub(super) struct Driver<C: ServerCore> {
    core: C,
    shared: Rc<Shared<C>>,
    peer: Address,
    /// SHA-256 of the certificate that the peer showed, if it did.
    certificate: Option<Rc<[u8; 32]>>,
    /// What is left to do for the open request; nothing if its handler answered at once.
    work: Option<Box<Work>>,
    /// Memory is short: handlers are given no new requests.
    refuses: bool,
    /// The open request's line for the access log, if there is one.
    log: Option<Box<Logged>>,
    /// The connection's task, as of its present turn.
    waker: Waker,
    /// What counts the open request's answer, beside the server: its route.
    route: Option<Rc<Answers>>,
    /// When the first byte came of what is no request yet.
    first_byte: Option<Duration>,
    /// Counted as one of its client's, where these are counted.
    _place: Option<Place>,
    /// Its place among all connections, where these are bounded.
    seat: Option<Seat>,
}

/// Requests, and pieces of a chunked body, that are taken before others have their turn.
const EVENTS_AT_ONCE: usize = 64;

/// Why an answer was cut off that nobody is there to read.
const LOST: &str = "the connection ended before the answer did";
const CANCELLED: &str = "the client wanted no answer any more";

impl<C: ServerCore> Driver<C> {
    pub(super) fn new(
        flow: &impl Flow,
        shared: Rc<Shared<C>>,
        place: Option<Place>,
        seat: Option<Seat>,
    ) -> Self {
        let core = C::new(shared.core.borrow().clone(), flow.local(), shared.timers.now());
        let (peer, certificate) = (flow.peer(), flow.peer_certificate().map(Rc::new));
        // Last: dropped, it is counted no more.
        shared.traffic.opened();
        let waker = Waker::noop().clone();
        Self {
            core,
            shared,
            peer,
            certificate,
            work: None,
            refuses: false,
            log: None,
            waker,
            route: None,
            first_byte: None,
            _place: place,
            seat,
        }
    }

    /// Passes on what came of `input`, or of time; whether anything did.
    fn handle_events(&mut self, input: &[u8], now: Duration) -> bool {
        let mut any = false;
        while let Some(event) = self.core.poll_event() {
            any = true;
            self.handle(event, input, now);
        }
        any
    }

    /// Passes a core's event on to the handler.
    fn handle(&mut self, event: Event<C::Error>, input: &[u8], now: Duration) {
        match event {
            Event::Request(head) => {
                self.note_request();
                self.begin(head, now);
            }
            Event::Answered(head, status, content_bytes) => {
                self.note_request();
                self.log = self.shared.begin_request(self.client(), &head);
                let route = head.answers().map(|route| &**route);
                self.shared.traffic.answered_at_once(route, status);
                if let Some(log) = &mut self.log {
                    log.answered(status, content_bytes);
                }
            }
            Event::Data(range) => {
                if let Some(upload) = self.upload() {
                    upload.body.push(input.get(range).unwrap_or(&[]));
                }
            }
            Event::End(trailers) => {
                if let Some(upload) = self.upload() {
                    upload.body.end(Ok(trailers.map(|trailers| *trailers)));
                }
            }
            Event::Incomplete => {
                if let Some(upload) = self.upload() {
                    upload.body.end(Err(BodyError::Incomplete));
                }
            }
            Event::Failed(error, request) => self.fail(&error, request.as_ref(), now),
            Event::Cancelled => self.cancel(now),
        }
    }

    /// What came is a request, which may be answered before anybody looks whether the connection is idle.
    fn note_request(&mut self) {
        self.first_byte = None;
        if let Some(seat) = &self.seat {
            seat.set_idle(false);
        }
    }

    /// The core refused what came, or ended the connection.
    fn fail(&mut self, error: &C::Error, request: Option<&RequestHead>, now: Duration) {
        // As of all protocols' connections that end for a reason, garbage included.
        log::info!("{}: the connection with {} ended: {error}", C::NAME, self.peer);
        self.forget_work();
        if self.core.wants_transmit() {
            self.shared.traffic.answered_at_once(self.route.as_deref(), error.status());
        }
        if self.log.is_none() && self.core.wants_transmit() {
            // Refused before it was a request, or before anybody was asked.
            let begun = self.first_byte.take().unwrap_or(now);
            self.log = self.shared.begin_log(self.client(), request, begun);
        }
        if let Some(log) = &mut self.log {
            log.failed(error.reason());
            if !log.has_answer() {
                log.answered(error.status(), self.core.untaken_content());
            }
        }
        self.settle_log(now);
    }

    /// Ends the open request's line in the access log, if it has one and all is sent.
    #[inline]
    fn settle_log(&mut self, now: Duration) {
        if self.log.is_some() && self.core.is_answered() {
            self.end_log(now);
        }
    }

    #[cold]
    fn end_log(&mut self, now: Duration) {
        if let Some(log) = self.log.take() {
            log.end(now, self.core.untaken_content());
        }
    }

    /// The client wants no answer any more.
    fn cancel(&mut self, now: Duration) {
        self.forget_work();
        if let Some(log) = &mut self.log {
            log.abandoned(CANCELLED);
        }
        self.settle_log(now);
    }

    /// The flow broke: nobody reads an answer any more, so that none is made.
    fn lose(&mut self, now: Duration) {
        self.core.abort();
        self.forget_work();
        if let Some(log) = &mut self.log {
            log.abandoned(LOST);
        }
        self.settle_log(now);
    }

    /// A handler panicked, or an allocation of it failed: 500 if nothing of an answer was sent, else the connection's end.
    fn fail_handler(&mut self, error: &dyn core::fmt::Display, now: Duration) {
        log::error!("{}: a handler {error}", C::NAME);
        let route = self.route.as_deref();
        self.shared.traffic.answered_at_once(route, Status::INTERNAL_SERVER_ERROR);
        self.forget_work();
        self.fail_response("the handler failed", now);
    }

    fn fail_response(&mut self, reason: &'static str, now: Duration) {
        self.core.fail_response(now);
        self.note_failure(reason, now);
    }

    fn note_failure(&mut self, reason: &'static str, now: Duration) {
        self.shared.traffic.failed();
        if let Some(log) = &mut self.log {
            log.failed(reason);
            if !self.core.is_answered() {
                log.answered(Status::INTERNAL_SERVER_ERROR, self.core.untaken_content());
            }
        }
        self.settle_log(now);
    }

    /// Hands a request to the handler.
    fn begin(&mut self, head: RequestHead, now: Duration) {
        let shared = &*self.shared;
        let client = self.client();
        self.log = shared.begin_request(client, &head);
        let (body, upload) = match head.content_length() {
            ContentLength::Empty => (Body::empty(), None),
            _ => {
                let (sender, body) = Body::channel();
                if let Some(ledger) = &shared.ledger {
                    sender.limit_collected(ledger.message_bytes_max());
                }
                (body, Some(Upload { body: sender, reading: false }))
            }
        };
        if self.refuses {
            if let Some(log) = &mut self.log {
                log.failed("memory is short");
            }
            return self.reply(overloaded().into(), upload, now, now);
        }
        let began = shared.precise(now);
        let asked = head.clone();
        let mut request = Some(Request::new(head, body, client));
        if let (Some(request), Some(certificate)) = (&mut request, &self.certificate) {
            request.set_certificate(certificate.clone());
        }
        // Lent: a closure that owned the request would be moved, and it with that.
        let answer = || request.take().map(|request| shared.handler.answer(request));
        let answer = shared.spawner.catch(answer);
        self.route = asked.answers().cloned();
        match answer {
            Ok(Some(Answer::Now(reply))) => self.reply(reply, upload, began, now),
            Ok(Some(Answer::Later(answering))) => self.begin_work(answering, upload, began, now),
            Ok(None) => self.fail_handler(&TaskError::Cancelled, now),
            Err(error) => self.fail_handler(&error, now),
        }
    }

    /// Has a handler work. Most wait for nothing but their request's body: without one they are done here, and take no memory
    /// for work that goes on.
    fn begin_work(
        &mut self,
        mut answering: Answering,
        upload: Option<Upload>,
        began: Duration,
        now: Duration,
    ) {
        if upload.is_none() {
            let mut cx = Context::from_waker(&self.waker);
            match self.shared.spawner.catch(|| answering.as_mut().poll(&mut cx)) {
                Ok(Poll::Ready(reply)) => return self.reply(reply, None, began, now),
                Ok(Poll::Pending) => {}
                Err(error) => return self.fail_handler(&error, now),
            }
        }
        self.start_work(Stage::Answering(answering), upload, began);
    }

    /// Gives the response of a handler that was asked at `began` to the core, and begins with what follows it.
    fn reply(&mut self, reply: Reply, upload: Option<Upload>, began: Duration, now: Duration) {
        let Reply { response, next } = reply;
        let route = self.route.as_deref();
        if began == now {
            // Time stands still in a turn, unless somebody measures.
            self.shared.traffic.answered_at_once(route, response.status());
        } else {
            let time = self.shared.precise(now).saturating_sub(began);
            self.shared.traffic.answered(route, response.status(), time);
        }
        if let Some(log) = &mut self.log {
            log.answered(response.status(), self.core.content_length(&response));
            if let Some(id) = response.header(ID_FIELD) {
                log.identified(id);
            }
        }
        if self.core.respond(now, response).is_err() {
            log::error!("{}: a handler's response cannot answer this request", C::NAME);
            self.fail_response("the handler's response cannot answer it", now);
            return self.end_work(now);
        }
        let stage = match next {
            Next::Produce(produce) if self.core.is_streaming() => {
                let (writer, receiver) = ContentWriter::channel();
                match self.shared.spawner.catch(|| produce(writer)) {
                    Ok(producing) => Stage::Producing(producing, receiver),
                    Err(error) => return self.fail_handler(&error, now),
                }
            }
            Next::Upgrade(converse) => Stage::Upgrading(converse),
            _ => return self.end_work(now),
        };
        self.start_work(stage, upload, now);
    }

    fn start_work(&mut self, stage: Stage, upload: Option<Upload>, began: Duration) {
        self.forget_work();
        let work = Work { stage, upload, began, in_flight: None };
        self.work = Some(self.shared.spare_work.renew(work));
    }

    fn fail_production(&mut self, now: Duration) {
        log::error!("{}: a streamed body differs from the length declared for it", C::NAME);
        self.fail_response("the stream differs from its declared length", now);
    }

    /// Drops the work, if there is some.
    fn forget_work(&mut self) {
        if let Some(work) = self.work.take() {
            self.shared.spare_work.keep(work);
        }
    }

    /// The handler is done, and with it what is left of the request's body.
    fn end_work(&mut self, now: Duration) {
        self.forget_work();
        self.route = None;
        self.core.drop_body(now);
    }

    /// Who asks: the other end of the connection, or whom that asks for.
    #[inline]
    fn client(&self) -> Address {
        self.core.client(self.peer)
    }

    fn upload(&mut self) -> Option<&mut Upload> {
        self.work.as_mut()?.upload.as_mut()
    }

    /// Lets the client send what the handler waits for.
    fn want_body(&mut self, now: Duration) -> bool {
        let news = self.upload().is_some_and(Upload::wakes);
        if news {
            self.core.read_body(now);
        }
        news
    }
}

impl<C: ServerCore> Core for Driver<C> {
    fn begin_turn(&mut self, cx: &mut Context<'_>, now: Duration) {
        self.waker.clone_from(cx.waker());
        if let Some(seat) = &self.seat {
            seat.attend(cx.waker());
        }
        if self.shared.draining.get() || self.seat.as_ref().is_some_and(Seat::is_leaving) {
            self.core.drain(now);
        }
    }

    fn handle_input(&mut self, now: Duration, bytes: &mut [u8]) -> usize {
        let mut taken = 0;
        if !self.core.has_request() {
            self.first_byte.get_or_insert(now);
        }
        for _ in 0..EVENTS_AT_ONCE {
            let rest = &bytes[taken..];
            let count = self.core.handle_input(now, rest);
            taken += count;
            self.handle_events(rest, now);
            if count == 0 {
                break;
            }
            if self.upload().is_some_and(Upload::fills) {
                self.core.pause_body();
            }
        }
        taken
    }

    fn handle_end(&mut self, now: Duration, how: Result<(), FlowError>) -> bool {
        let before = self.core.state();
        match how {
            Ok(()) => self.core.handle_end(now),
            Err(_) => self.lose(now),
        }
        let is_at_work =
            self.work.is_some() && self.core.has_request() && !self.core.wants_transmit();
        if is_at_work && self.shared.ends_with_clients.get() {
            self.lose(now);
        }
        self.handle_events(&[], now) || self.core.state() != before
    }

    /// Runs the handler, or the producer of its body.
    fn poll_work(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        let Some(work) = &mut self.work else { return false };
        if !self.core.has_request() {
            // The core refused the rest of the request, or the answer is complete.
            self.forget_work();
            return false;
        }
        if self.core.holds_head() {
            return false;
        }
        if let Some(upload) = &work.upload {
            upload.body.attend(cx);
        }
        let room = self.core.body_capacity() > 0;
        match self.shared.spawner.catch(|| work.poll(cx, room)) {
            Err(error) => self.fail_handler(&error, now),
            Ok(Step::Reply(reply)) => {
                let (upload, began) = (work.upload.take(), work.began);
                self.reply(reply, upload, began, now);
            }
            Ok(Step::Data(data)) => {
                if let Some(log) = &mut self.log {
                    log.continued(data.len());
                }
                if self.core.send_data(now, data).is_err() {
                    self.fail_production(now);
                }
            }
            Ok(Step::End) => {
                if self.core.finish(now).is_err() {
                    self.fail_production(now);
                }
                self.end_work(now);
            }
            Ok(Step::Abandon) => {
                // What it wrote before is the client's.
                self.core.cut_response(now);
                self.note_failure("the handler abandoned its answer", now);
                self.end_work(now);
            }
            Ok(Step::Waiting) => {
                let in_flight = || InFlight::new(&self.shared.traffic, self.route.clone());
                work.in_flight.get_or_insert_with(in_flight);
                return self.want_body(now);
            }
        }
        true
    }

    fn wants_transmit(&mut self, _: &mut Context<'_>) -> bool {
        self.core.wants_transmit()
    }

    fn long_output(&mut self) -> Option<LongOutput<'_>> {
        self.core.long_output().map(LongOutput::Shared)
    }

    fn long_output_taken(&mut self, now: Duration, count: usize) {
        self.core.long_output_taken(now, count);
        self.settle_log(now);
    }

    fn poll_transmit(&mut self, now: Duration, space: &mut [u8]) -> usize {
        let count = self.core.poll_transmit(now, space);
        self.settle_log(now);
        count
    }

    /// Whoever reads no answer needs no more questions answered.
    fn output_lost(&mut self, _: Duration, _: FlowError) -> bool {
        false
    }

    fn peer_took(&mut self, now: Duration, count: usize) {
        self.core.peer_took(now, count);
    }

    fn next_deadline(&mut self, _: Duration) -> Option<Duration> {
        self.core.next_deadline()
    }

    fn handle_timeout(&mut self, now: Duration) {
        self.core.handle_timeout(now);
        self.handle_events(&[], now);
    }

    fn transport(&mut self, _: &mut Context<'_>, _: Duration) -> Transport {
        if let Some(seat) = &self.seat {
            let is_idle = !self.core.has_request() && !self.core.wants_transmit();
            seat.set_idle(is_idle);
            if is_idle && seat.is_leaving() {
                // RFC 9112 section 9.5: without a word, and without waiting for the client's.
                return Transport::Closed;
            }
        }
        match self.core.state() {
            ConnectionState::Open => Transport::Open,
            ConnectionState::EndOutput => Transport::EndOutput,
            ConnectionState::Closed => Transport::Closed,
            ConnectionState::Abort => Transport::Abort,
            ConnectionState::Upgraded => Transport::Upgraded,
        }
    }

    fn handle_pressure(&mut self, _: Duration, pressure: Pressure) {
        self.refuses = pressure == Pressure::Refuse;
    }

    fn held(&self) -> usize {
        let upload = self.work.as_ref().and_then(|work| work.upload.as_ref());
        self.core.held_bytes() + upload.map_or(0, |upload| upload.body.held_bytes())
    }

    fn upgrade(&mut self, flow: Box<dyn Flow>) {
        if let Some(Stage::Upgrading(converse)) = self.work.take().map(|work| work.stage) {
            // Called in the task, too: what it does first may fail as well as what follows.
            self.shared.spawner.spawn("upgraded connection", async move { converse(flow).await });
        }
    }
}

impl<C: ServerCore> Drop for Driver<C> {
    fn drop(&mut self) {
        self.shared.traffic.closed();
        if let Some(mut log) = self.log.take() {
            log.failed(LOST);
            log.end(self.shared.timers.now(), self.core.untaken_content());
        }
    }
}

/// What a request is answered with while memory is short (RFC 9110 section 15.6.4).
fn overloaded() -> Response {
    Response::plain(Status::SERVICE_UNAVAILABLE).with_header("Retry-After", "1")
}
