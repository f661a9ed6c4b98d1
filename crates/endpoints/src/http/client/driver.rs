//! Client connection driver: carries one request and its response between a flow and the protocol core.

use super::{ClientError, Produce};
use ::http::client::{Connection, Event, Request, Response};
use ::http::{OutOfTurn, Transport};
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::{Context, Poll};
use core::time::Duration;
use flow::time::{Timer, Timers};
use flow::{Flow, FlowError};
use web::{ContentReceiver, ContentWriter, Producing, Trailers};

/// The loop between a flow and the protocol core, driven by whoever waits for the response.
pub(super) struct Driver<F> {
    flow: F,
    core: Connection,
    timers: Timers,
    timer: Timer,
    producer: Option<Producer>,
    /// What was learned and nobody has asked for yet.
    learned: Learned,
    /// The server no longer takes the request; its response may still come.
    deaf: Option<FlowError>,
}

struct Producer {
    producing: Option<Producing>,
    receiver: ContentReceiver,
}

/// What has come of a request.
enum News {
    Head(Response),
    Body(Piece),
    Failed(ClientError),
}

/// A part of a response's body.
pub(super) enum Piece {
    /// Bytes, never none.
    Data(Vec<u8>),
    /// The end.
    End(Option<Trailers>),
}

/// Data and what came right after it; or only one of them.
#[derive(Default)]
struct Learned {
    data: Vec<u8>,
    other: Option<News>,
}

impl Learned {
    fn take(&mut self) -> Option<News> {
        if self.data.is_empty() {
            return self.other.take();
        }
        Some(News::Body(Piece::Data(core::mem::take(&mut self.data))))
    }

    /// Takes note of what came of `input`.
    fn note(&mut self, event: Event, input: &[u8]) {
        self.other = Some(match event {
            Event::Data(range) => {
                return self.data.extend_from_slice(input.get(range).unwrap_or(&[]));
            }
            Event::Response(head) => News::Head(head),
            Event::End(trailers) => News::Body(Piece::End(trailers.map(|trailers| *trailers))),
            Event::Failed(error) => News::Failed(error.into()),
        });
    }

    fn is_empty(&self) -> bool {
        self.data.is_empty() && self.other.is_none()
    }
}

impl<F: Flow> Driver<F> {
    pub(super) fn new(
        flow: F,
        core: Connection,
        timers: &Timers,
        produce: Option<Produce>,
    ) -> Self {
        let producer = produce.map(|produce| {
            let (writer, receiver) = ContentWriter::channel();
            Producer { producing: Some(produce(writer)), receiver }
        });
        let (timers, timer) = (timers.clone(), timers.timer());
        Self { flow, core, timers, timer, producer, learned: Learned::default(), deaf: None }
    }

    pub(super) fn begin(&mut self, request: Request) -> Result<(), ClientError> {
        let now = self.timers.now();
        self.core.request(now, request).map_err(|OutOfTurn| ClientError::Flow(FlowError::Closed))
    }

    /// Waits for the response's head.
    pub(super) async fn head(&mut self) -> Result<Response, ClientError> {
        match poll_fn(|cx| self.poll_news(cx)).await {
            News::Head(head) => Ok(head),
            News::Failed(error) => Err(error),
            News::Body(_) => Err(ClientError::Protocol(http::Error::StartLine)),
        }
    }

    /// Waits for the next part of the body.
    pub(super) async fn body(&mut self) -> Result<Piece, ClientError> {
        self.core.read_body(self.timers.now());
        let news = poll_fn(|cx| self.poll_news(cx)).await;
        self.core.pause_body();
        match news {
            News::Body(piece) => Ok(piece),
            News::Failed(error) => Err(error),
            News::Head(_) => Err(ClientError::Protocol(http::Error::StartLine)),
        }
    }

    pub(super) fn transport(&self) -> Transport {
        self.core.transport()
    }

    /// The flow, and the core for its next request if there can be one.
    pub(super) fn into_parts(self) -> (F, Option<Connection>) {
        let reusable = self.core.is_reusable() && self.deaf.is_none();
        (self.flow, reusable.then_some(self.core))
    }

    fn poll_news(&mut self, cx: &mut Context<'_>) -> Poll<News> {
        let now = self.timers.now();
        loop {
            if let Some(news) = self.learned.take() {
                return Poll::Ready(news);
            }
            let mut moved = self.produce(cx, now);
            moved |= self.write(cx, now);
            moved |= self.read(cx, now);
            if !moved && self.learned.is_empty() && !self.expired(cx, now) {
                return Poll::Pending;
            }
        }
    }

    /// Runs the producer of the request's body; says whether something came of it.
    fn produce(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        let Some(producer) = &mut self.producer else { return false };
        if !self.core.is_streaming() {
            // The response came first, or the connection ended.
            self.producer = None;
            return false;
        }
        if let Some(producing) = &mut producer.producing
            && !producer.receiver.is_waiting()
            && producing.as_mut().poll(cx).is_ready()
        {
            producer.producing = None;
        }
        let idle = self.core.body_capacity() > 0;
        let waiting = producer.receiver.is_waiting();
        let done = if producer.receiver.is_abandoned() {
            Err(OutOfTurn)
        } else if waiting && idle {
            let data = producer.receiver.take();
            data.map_or(Ok(()), |data| self.core.send_data(now, data))
        } else if !waiting && producer.producing.is_none() && (idle || !self.core.wants_transmit())
        {
            self.producer = None;
            self.core.finish(now, &[])
        } else {
            return false;
        };
        if done.is_err() {
            self.core.abort();
            self.learned.other = Some(News::Failed(ClientError::StreamLength));
        }
        true
    }

    fn write(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        let mut moved = false;
        while self.core.wants_transmit() && self.deaf.is_none() {
            let core = &mut self.core;
            match self.flow.poll_write_with(cx, &mut |space| core.poll_transmit(now, space)) {
                Poll::Pending => break,
                Poll::Ready(Ok(_)) => moved = true,
                Poll::Ready(Err(error)) => self.deaf = Some(error),
            }
        }
        moved
    }

    fn read(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        let (core, learned) = (&mut self.core, &mut self.learned);
        let mut ended = false;
        let taken = self.flow.poll_read_with(cx, &mut |bytes| {
            ended = bytes.is_empty();
            feed(core, now, bytes, learned)
        });
        match taken {
            Poll::Pending => false,
            Poll::Ready(Ok(count)) if !ended => count > 0,
            Poll::Ready(outcome) => {
                self.input_ended(now, outcome.err().or(self.deaf));
                true
            }
        }
    }

    fn input_ended(&mut self, now: Duration, error: Option<FlowError>) {
        self.core.handle_end(now);
        self.learned.other = Some(match (self.core.poll_event(), error) {
            (Some(Event::End(trailers)), None) => {
                News::Body(Piece::End(trailers.map(|trailers| *trailers)))
            }
            (_, Some(error)) => News::Failed(ClientError::Flow(error)),
            (Some(Event::Failed(error)), None) => News::Failed(error.into()),
            _ => News::Failed(ClientError::Flow(FlowError::Closed)),
        });
    }

    /// Whether a deadline has passed and the core acted on it; else arms the timer.
    fn expired(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        if self.timer.poll_until(self.core.next_deadline(), cx).is_pending() {
            return false;
        }
        self.core.handle_timeout(now);
        if let Some(Event::Failed(error)) = self.core.poll_event() {
            self.learned.other = Some(News::Failed(error.into()));
        }
        true
    }
}

/// Feeds the core up to something other than data; how many bytes it took.
fn feed(core: &mut Connection, now: Duration, bytes: &[u8], learned: &mut Learned) -> usize {
    let mut taken = 0;
    while learned.other.is_none() {
        let rest = bytes.get(taken..).unwrap_or(&[]);
        let count = core.handle_input(now, rest);
        taken += count;
        while let Some(event) = core.poll_event() {
            learned.note(event, rest);
        }
        if count == 0 {
            break;
        }
    }
    taken
}
