//! One connection: the loop between a flow, the protocol core and a handler.

use super::access;
use super::body::{BodyWriter, Incoming, IncomingBody, Outgoing};
use super::exchange::{Answer, Producing, Reply, Request, Then};
use super::server::Shared;
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use flow::time::Timer;
use flow::{Address, Flow};
use http::semantics::access_log::Entry;
use http::server::{Connection, Event, Transport};
use http::{BodyLength, Response, Status};

/// A connection's task. Written out rather than `async`, so that fifty thousand idle ones are small.
pub(super) struct Session<F> {
    flow: Option<F>,
    core: Connection,
    shared: Rc<Shared>,
    timer: Timer,
    /// The open request's handler; none between requests.
    work: Option<Work>,
    output_ended: bool,
}

impl<F> Session<F> {
    pub(super) fn new(flow: F, shared: Rc<Shared>) -> Self {
        shared.connections.set(shared.connections.get() + 1);
        let timer = shared.timers.timer();
        let core = Connection::new(shared.core.clone(), shared.timers.now());
        Self { flow: Some(flow), core, shared, timer, work: None, output_ended: false }
    }
}

impl<F> Drop for Session<F> {
    fn drop(&mut self) {
        self.shared.connections.set(self.shared.connections.get() - 1);
    }
}

impl<F: Flow + Unpin + 'static> Future for Session<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let now = this.shared.timers.now();
        if this.shared.draining.get() {
            this.core.drain(now);
        }
        loop {
            let mut moved = this.read(cx, now);
            moved |= this.work(cx, now);
            moved |= this.write(cx, now);
            if this.is_over() {
                return Poll::Ready(());
            }
            if !moved && !this.expired(cx, now) {
                return Poll::Pending;
            }
        }
    }
}

impl<F: Flow + Unpin + 'static> Session<F> {
    /// Feeds the core what has arrived; says whether it got on.
    fn read(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        let Some(flow) = &mut self.flow else { return false };
        let peer = flow.peer();
        let (core, shared, work) = (&mut self.core, &self.shared, &mut self.work);
        let mut ended = false;
        let taken = flow.poll_read_with(cx, &mut |bytes| {
            if bytes.is_empty() {
                ended = true;
                return 0;
            }
            if core.is_idle()
                && let Some(buffers) = shared.spares.take()
            {
                core.supply_buffers(buffers);
            }
            let mut taken = 0;
            loop {
                let (count, event) = core.handle_input(now, &bytes[taken..]);
                taken += count;
                let Some(event) = event else { return taken };
                handle(event, core, peer, shared, work);
                if work.as_ref().is_some_and(|work| work.body_fills()) {
                    core.pause_body();
                }
            }
        });
        match taken {
            Poll::Pending => false,
            Poll::Ready(Ok(count)) if !ended => count > 0,
            Poll::Ready(_) => self.input_ended(now),
        }
    }

    /// The peer finished, or the flow broke.
    fn input_ended(&mut self, now: Duration) -> bool {
        let before = self.core.transport();
        if let Some(event) = self.core.handle_end(now) {
            let peer = self.flow.as_ref().map(Flow::peer);
            if let Some(peer) = peer {
                handle(event, &self.core, peer, &self.shared, &mut self.work);
            }
            return true;
        }
        self.core.transport() != before
    }

    /// Runs the handler, or the producer of its body; says whether something came of it.
    fn work(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        let Some(work) = &mut self.work else { return false };
        if !self.core.has_request() {
            // The core refused the rest of the request, or the answer is complete.
            self.work = None;
            return false;
        }
        if let Some(response) = work.ready() {
            return self.respond(response, now);
        }
        let room = self.core.body_capacity() > 0;
        match self.shared.spawner.catch(|| work.poll(cx, room)) {
            Err(error) => {
                log::error!("http: a handler {error}");
                work.log(Status::INTERNAL_SERVER_ERROR, None);
                self.work = None;
                self.core.fail_response(now);
                true
            }
            Ok(Step::Reply(response)) => self.respond(response, now),
            Ok(Step::Data(data)) => {
                if self.core.send_data(now, data).is_err() {
                    self.fail_production(now);
                }
                true
            }
            Ok(Step::End) => {
                if self.core.finish(now).is_err() {
                    self.fail_production(now);
                }
                self.end_work(now);
                true
            }
            Ok(Step::Waiting) => self.want_body(now),
        }
    }

    fn respond(&mut self, response: Response, now: Duration) -> bool {
        let (status, content_bytes) = (response.status(), response.body().content_length());
        let answered = self.core.respond(now, response).is_ok();
        if let Some(work) = &mut self.work {
            let logged = if answered { status } else { Status::INTERNAL_SERVER_ERROR };
            work.log(logged, content_bytes);
        }
        if !answered {
            log::error!("http: a handler's response cannot answer this request");
            self.core.fail_response(now);
            self.end_work(now);
            return true;
        }
        let streams = self.core.is_streaming();
        if self.work.as_mut().is_none_or(|work| !work.goes_on(streams)) {
            self.end_work(now);
        }
        true
    }

    fn fail_production(&mut self, now: Duration) {
        log::error!("http: a streamed body differs from the length declared for it");
        self.core.fail_response(now);
    }

    /// The handler is done, and with it what is left of the request's body.
    fn end_work(&mut self, now: Duration) {
        self.work = None;
        self.core.drop_body(now);
    }

    /// Lets the client send what the handler waits for.
    fn want_body(&mut self, now: Duration) -> bool {
        let news = self.work.as_ref().is_some_and(|work| work.body_wakes());
        if news {
            self.core.read_body(now);
            self.read_end(now);
        }
        news
    }

    /// A body that stopped exactly where the handler's buffer was full may have nothing left but its
    /// end, for which no more bytes come.
    fn read_end(&mut self, now: Duration) {
        let Some(flow) = &self.flow else { return };
        if let (_, Some(event)) = self.core.handle_input(now, &[]) {
            handle(event, &self.core, flow.peer(), &self.shared, &mut self.work);
        }
    }

    fn write(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        let Some(flow) = &mut self.flow else { return false };
        let mut moved = false;
        while self.core.wants_transmit() {
            let (core, shared) = (&mut self.core, &self.shared);
            let written = flow.poll_write_with(cx, &mut |space| {
                shared.with_date(now, |date| core.poll_transmit(now, date, space))
            });
            match written {
                Poll::Pending => break,
                Poll::Ready(Ok(_)) => moved = true,
                Poll::Ready(Err(_)) => {
                    self.flow = None;
                    return true;
                }
            }
        }
        if moved
            && self.core.is_idle()
            && let Some(buffers) = self.core.take_buffers()
        {
            self.shared.spares.put_buffers(buffers);
        }
        moved
    }

    /// Does to the flow what the core asks for; true when nothing is left to do.
    fn is_over(&mut self) -> bool {
        let Some(flow) = &mut self.flow else { return true };
        match self.core.transport() {
            Transport::Open => false,
            Transport::EndOutput => {
                if !core::mem::replace(&mut self.output_ended, true) {
                    flow.finish();
                }
                false
            }
            Transport::Closed => {
                flow.finish();
                true
            }
            Transport::Abort => {
                flow.abort();
                true
            }
            Transport::Upgraded => {
                self.upgrade();
                true
            }
        }
    }

    fn upgrade(&mut self) {
        let Some(flow) = self.flow.take() else { return };
        if let Some(Work { stage: Stage::Upgrading(converse), .. }) = self.work.take() {
            self.shared.spawner.spawn("http upgraded", converse(Box::new(flow)));
        }
    }

    /// Whether a deadline has passed and the core acted on it; else arms the timer.
    fn expired(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        self.timer.set(self.core.next_deadline());
        if self.timer.poll_expired(cx).is_pending() {
            return false;
        }
        if let Some(event) = self.core.handle_timeout(now)
            && let Some(flow) = &self.flow
        {
            handle(event, &self.core, flow.peer(), &self.shared, &mut self.work);
        }
        true
    }
}

/// A request's handler at work.
struct Work {
    stage: Stage,
    body: Option<Rc<RefCell<Incoming>>>,
    /// The core was told to read the body.
    reading: Cell<bool>,
    /// The line for the access log, if there is one, until the response is known.
    entry: Option<Entry>,
}

enum Stage {
    Answering(Answer),
    /// The reply is out; this follows.
    Replied(Then),
    Producing(Producing, Rc<RefCell<Outgoing>>),
    /// The producer is done, and its last piece is on its way.
    Ending,
    Upgrading(Box<dyn FnOnce(Box<dyn Flow>) -> Producing>),
    Done,
}

/// What came of polling a handler.
enum Step {
    Waiting,
    Reply(Response),
    Data(http::Data),
    End,
}

impl Work {
    /// The response, if the handler gave it at once: nothing of the application's runs here.
    fn ready(&mut self) -> Option<Response> {
        let Stage::Answering(Answer::Now(_)) = &self.stage else { return None };
        let stage = core::mem::replace(&mut self.stage, Stage::Done);
        let Stage::Answering(Answer::Now(reply)) = stage else { return None };
        self.stage = Stage::Replied(reply.then);
        Some(reply.response)
    }

    /// `room` says that the next piece of a streamed body can be taken.
    fn poll(&mut self, cx: &mut Context<'_>, room: bool) -> Step {
        match core::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Answering(Answer::Later(mut answering)) => match answering.as_mut().poll(cx) {
                Poll::Ready(reply) => self.reply(reply),
                Poll::Pending => self.wait(Stage::Answering(Answer::Later(answering))),
            },
            Stage::Producing(mut producing, outgoing) => {
                let mut done = false;
                if !outgoing.borrow().is_waiting() {
                    done = producing.as_mut().poll(cx).is_ready();
                }
                let data = if room || done { outgoing.borrow_mut().take() } else { None };
                if data.is_none() && done {
                    return Step::End;
                }
                self.stage =
                    if done { Stage::Ending } else { Stage::Producing(producing, outgoing) };
                data.map_or(Step::Waiting, Step::Data)
            }
            Stage::Ending if room => Step::End,
            stage => self.wait(stage),
        }
    }

    fn log(&mut self, status: Status, content_bytes: Option<u64>) {
        if let Some(entry) = self.entry.take() {
            access::end(entry, status, content_bytes);
        }
    }

    fn reply(&mut self, reply: Reply) -> Step {
        self.stage = Stage::Replied(reply.then);
        Step::Reply(reply.response)
    }

    fn wait(&mut self, stage: Stage) -> Step {
        self.stage = stage;
        Step::Waiting
    }

    /// The response has been accepted; whether there is more to do. `streams` says that it takes a
    /// body.
    fn goes_on(&mut self, streams: bool) -> bool {
        let Stage::Replied(then) = core::mem::replace(&mut self.stage, Stage::Done) else {
            return false;
        };
        match then {
            Then::Produce(produce) if streams => {
                let (writer, outgoing) = BodyWriter::new();
                self.stage = Stage::Producing(produce(writer), outgoing);
                true
            }
            Then::Upgrade(converse) => {
                self.stage = Stage::Upgrading(converse);
                true
            }
            _ => false,
        }
    }

    /// The handler has come to wait for the body, of which the core reads nothing yet.
    fn body_wakes(&self) -> bool {
        let wanted = self.body.as_ref().is_some_and(|body| body.borrow().is_wanted());
        wanted && !self.reading.replace(true)
    }

    /// The body holds as much as it may, and the core was reading it.
    fn body_fills(&self) -> bool {
        let full = self.body.as_ref().is_some_and(|body| body.borrow().is_full());
        full && self.reading.replace(false)
    }
}

/// Passes a core's event on to the handler.
fn handle(
    event: Event<'_>,
    core: &Connection,
    peer: Address,
    shared: &Rc<Shared>,
    work: &mut Option<Work>,
) {
    let body = || work.as_ref().and_then(|work| work.body.as_ref());
    match event {
        Event::Request(head) => *work = Some(begin(head, peer, shared)),
        Event::Data(bytes) => {
            if let Some(body) = body() {
                body.borrow_mut().push(bytes);
            }
        }
        Event::End(trailers) => {
            if let Some(body) = body() {
                body.borrow_mut().end(Ok(trailers));
            }
        }
        Event::Failed(error) => {
            log::debug!("http: {peer}: {error}");
            match work.take() {
                Some(mut work) => work.log(error.status(), None),
                // Refused before it was a request, if there is an answer to it.
                None if core.wants_transmit() => shared.log_refusal(peer, error),
                None => {}
            }
        }
    }
}

/// Hands a request to the handler.
fn begin(head: http::Request, peer: Address, shared: &Rc<Shared>) -> Work {
    shared.requests.set(shared.requests.get() + 1);
    let entry = shared.begin_log(peer, Some(&head));
    let (incoming, body) = match head.body_length() {
        BodyLength::Empty => (IncomingBody::empty(), None),
        _ => {
            let (incoming, body) = IncomingBody::arriving();
            (incoming, Some(body))
        }
    };
    let request = Request::new(head, incoming, peer, shared.spares.clone());
    let answering = shared.spawner.catch(|| shared.handler.answer(request));
    let answer = answering.unwrap_or_else(|error| {
        log::error!("http: a handler {error}");
        Answer::Now(Response::plain(Status::INTERNAL_SERVER_ERROR).closing().into())
    });
    Work { stage: Stage::Answering(answer), body, reading: Cell::new(false), entry }
}

#[cfg(test)]
mod tests {
    use crate::http::{
        Answer, Body, Handler, Reply, Request, Response, Server, ServerConfig, Status,
    };
    use core::time::Duration;
    use flow::memory::{MemoryFlow, MemoryListener, MemoryNetwork};
    use flow::task::{Executor, TaskHandle};
    use flow::time::Timers;
    use flow::{Connector, FlowExt, Target};
    use std::string::String;
    use std::vec::Vec;

    /// One server, and clients that say a text and read until the end.
    struct Lab {
        executor: Executor,
        timers: Timers,
        network: MemoryNetwork,
        server: Server,
    }

    fn target() -> Target {
        "web:80".parse().unwrap()
    }

    impl Lab {
        fn new(handler: impl Handler) -> Self {
            let catch = |body: &mut dyn FnMut()| {
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(body))
                    .map_err(|_| String::from("boom"))
            };
            let executor = Executor::new(catch);
            let timers = Timers::new();
            let network = MemoryNetwork::new(700, 64);
            let listener: MemoryListener = network.listen(&target()).unwrap();
            let server =
                Server::new(ServerConfig::default(), &executor.spawner(), &timers, handler);
            executor.spawner().spawn("listener", server.clone().serve(listener));
            Self { executor, timers, network, server }
        }

        /// Sends `text` in pieces of `piece` bytes and reads all that comes back.
        fn say(&self, text: &[u8], piece: usize) -> TaskHandle<String> {
            let (network, text) = (self.network.clone(), text.to_vec());
            self.executor.spawner().spawn_joinable("client", async move {
                let mut flow: MemoryFlow = network.connect(&target()).await.unwrap();
                for piece in text.chunks(piece) {
                    if flow.write_all(piece).await.is_err() {
                        break;
                    }
                }
                let mut seen = Vec::new();
                let mut buffer = [0; 500];
                while let Ok(1..) = flow.read(&mut buffer).await.inspect(|&count| {
                    seen.extend_from_slice(&buffer[..count]);
                }) {}
                String::from_utf8_lossy(&seen).into_owned()
            })
        }

        fn run(&self) {
            while self.executor.run(1000) {}
        }

        fn answer(&self, text: &[u8]) -> String {
            let handle = self.say(text, text.len());
            self.run();
            flow::task::block_on(handle).unwrap()
        }
    }

    async fn echo(mut request: Request) -> Response {
        match request.body().collect(1 << 20).await {
            Ok(body) => Response::ok("text/plain", body),
            Err(_) => Response::plain(Status::BAD_REQUEST),
        }
    }

    #[test]
    fn pipelined_requests_are_answered_in_order() {
        let lab = Lab::new(echo);
        let answer = lab.answer(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\noneGET / HTTP/1.1\r\nHost: a\r\n\r\n\
              POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\ntwo\r\n0\r\n\r\n",
        );
        let bodies: Vec<&str> = answer.split("\r\n\r\n").collect();
        assert!(bodies[1].starts_with("oneHTTP/1.1 200 OK"), "{answer}");
        assert!(bodies[3].ends_with("two"), "{answer}");
        assert_eq!(lab.server.connections(), 0);
        assert_eq!(lab.server.requests(), 3);
    }

    #[test]
    fn a_large_body_goes_through_small_rings_both_ways() {
        let lab = Lab::new(echo);
        let body: String = (0..20_000).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
        let head = std::format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let answer = lab.answer(&[head.as_bytes(), body.as_bytes()].concat());
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with(&body));
    }

    #[test]
    fn a_body_that_just_fills_the_buffer_ends() {
        let lab = Lab::new(echo);
        for length in [64 << 10, 2 * (64 << 10), (64 << 10) + 1] {
            let head = std::format!(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            let answer = lab.answer(&[head.as_bytes(), &std::vec![b'y'; length]].concat());
            assert!(answer.starts_with("HTTP/1.1 200 OK"), "{length}: {answer}");
            assert!(answer.ends_with(&std::format!("\r\n\r\n{}", "y".repeat(length))));
        }
    }

    #[test]
    fn a_panic_is_a_500_and_closes_its_connection_only() {
        let lab = Lab::new(|request: Request| async move {
            assert!(request.path() != b"/die", "asked to");
            Response::ok("text/plain", "alive")
        });
        let waiting = lab.say(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 7);
        let dying =
            lab.answer(b"GET /die HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(dying.starts_with("HTTP/1.1 500 ") && !dying.contains("alive"), "{dying}");
        assert_eq!(lab.server.connections(), 1);
        lab.server.drain();
        lab.run();
        assert!(flow::task::block_on(waiting).unwrap().ends_with("alive"));
        assert_eq!(lab.server.connections(), 0);
    }

    #[test]
    fn streams_are_written_as_they_are_taken_and_end_right() {
        let lab = Lab::new(|request: Request| async move {
            let known = request.path() == b"/known";
            let length = known.then_some(3 * 1000);
            let head = Response::new(Status::OK).with_body(Body::Stream(length));
            Reply::stream(head, |mut writer| async move {
                for _ in 0..3 {
                    writer.write(std::vec![b'x'; 1000]).await;
                }
            })
        });
        let close = "HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let known = lab.answer(std::format!("GET /known {close}").as_bytes());
        assert!(known.contains("Content-Length: 3000\r\n") && known.ends_with(&"x".repeat(3000)));
        let chunked = lab.answer(std::format!("GET / {close}").as_bytes());
        assert!(chunked.contains("chunked") && chunked.ends_with("\r\n0\r\n\r\n"), "{chunked}");
        assert_eq!(chunked.matches('x').count(), 3000);
        let head = lab.answer(std::format!("HEAD /known {close}").as_bytes());
        assert!(head.ends_with("\r\n\r\n"), "{head}");
    }

    #[test]
    fn an_upgrade_hands_over_the_flow_with_what_was_sent_already() {
        let lab = Lab::new(|_: Request| async move {
            let head = Response::new(Status::SWITCHING_PROTOCOLS).with_header("Upgrade", "shout");
            Reply::upgrade(head, |mut flow| async move {
                let words = flow.read_with(|bytes| (bytes.len(), bytes.to_ascii_uppercase())).await;
                flow.write_all(&words.unwrap()).await.unwrap();
                flow.finish();
            })
        });
        let answer = lab.answer(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: shout\r\n\r\nhello",
        );
        assert!(
            answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("\r\n\r\nHELLO"),
            "{answer}"
        );
    }

    #[test]
    fn a_slow_client_is_told_and_cut_off() {
        let lab = Lab::new(echo);
        let slow = lab.say(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf", 5);
        lab.run();
        for seconds in 1..60 {
            lab.timers.advance(Duration::from_secs(seconds));
            lab.run();
        }
        let answer = flow::task::block_on(slow).unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert_eq!(lab.server.connections(), 0);
    }

    #[test]
    fn an_answer_that_waits_does_not_hold_others_up() {
        struct Never;
        impl Handler for Never {
            fn answer(&self, request: Request) -> Answer {
                match request.path() {
                    b"/never" => Answer::Later(std::boxed::Box::pin(core::future::pending())),
                    _ => Answer::Now(Response::plain(Status::OK).closing().into()),
                }
            }
        }
        let lab = Lab::new(Never);
        let _stuck = lab.say(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n", 99);
        lab.run();
        assert!(lab.answer(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").contains("200"));
        assert_eq!(lab.server.connections(), 1);
    }

    #[test]
    fn refused_requests_are_answered_whatever_their_pieces() {
        let lab = Lab::new(echo);
        let bad = b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
        for piece in 1..=bad.len() {
            let refused = lab.say(bad, piece);
            lab.run();
            let answer = flow::task::block_on(refused).unwrap();
            assert!(answer.starts_with("HTTP/1.1 400 "), "{piece}: {answer}");
        }
    }
}
