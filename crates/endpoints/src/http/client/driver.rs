//! Client connection driver: one request and its response, between a flow and the protocol core.

use super::{ClientError, Produce};
use crate::drive::{Core, Drive, Transport, drive};
use ::http::OutOfTurn;
use ::http::client::{Connection, Event, Request, Response};
use alloc::vec::Vec;
use core::task::{Context, Poll};
use core::time::Duration;
use flow::task::wait_fn;
use flow::time::Timers;
use flow::{Flow, FlowError};
use web::{ContentReceiver, ContentWriter, Producing, Trailers};

/// One request and its response, driven by whoever waits for it.
pub(super) struct Driver<F>(Drive<F, ClientCore>);

/// The request and the response at work.
struct ClientCore {
    core: Connection,
    producer: Option<Producer>,
    /// What was learned and nobody has asked for yet.
    learned: Learned,
    /// The server no longer takes the request; its response may still come.
    output_lost: Option<FlowError>,
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
}

impl<F: Flow + 'static> Driver<F> {
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
        let core = ClientCore { core, producer, learned: Learned::default(), output_lost: None };
        Self(drive(flow, core, timers))
    }

    pub(super) fn begin(&mut self, request: Request) -> Result<(), ClientError> {
        let now = self.0.now();
        let begun = self.0.core_mut().core.request(now, request);
        begun.map_err(|OutOfTurn| ClientError::Flow(FlowError::Closed))
    }

    /// Waits for the response's head.
    pub(super) async fn head(&mut self) -> Result<Response, ClientError> {
        match wait_fn(|cx| self.poll_news(cx)).await {
            News::Head(head) => Ok(head),
            News::Failed(error) => Err(error),
            News::Body(_) => Err(ClientError::Protocol(http::Error::StartLine)),
        }
    }

    /// Waits for the next part of the body.
    pub(super) async fn body(&mut self) -> Result<Piece, ClientError> {
        let now = self.0.now();
        self.0.core_mut().core.read_body(now);
        let news = wait_fn(|cx| self.poll_news(cx)).await;
        self.0.core_mut().core.pause_body();
        match news {
            News::Body(piece) => Ok(piece),
            News::Failed(error) => Err(error),
            News::Head(_) => Err(ClientError::Protocol(http::Error::StartLine)),
        }
    }

    pub(super) fn state(&self) -> http::ConnectionState {
        self.0.core().core.state()
    }

    /// The flow, and the core for its next request if there can be one.
    pub(super) fn into_parts(self) -> (Option<F>, Option<Connection>) {
        let (flow, ClientCore { core, output_lost, .. }) = self.0.into_parts();
        let reusable = core.is_reusable() && output_lost.is_none();
        (flow, reusable.then_some(core))
    }

    fn poll_news(&mut self, cx: &mut Context<'_>) -> Poll<News> {
        let news = self.0.poll_until(cx, |core| core.learned.take());
        // Over it is when the response is, of which this learns first.
        news.map(|news| news.unwrap_or(News::Failed(ClientError::Flow(FlowError::Closed))))
    }
}

impl ClientCore {
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
}

impl Core for ClientCore {
    /// Feeds the core up to something other than data.
    fn handle_input(&mut self, now: Duration, bytes: &mut [u8]) -> usize {
        let mut taken = 0;
        while self.learned.other.is_none() {
            let rest = &bytes[taken..];
            let count = self.core.handle_input(now, rest);
            taken += count;
            while let Some(event) = self.core.poll_event() {
                self.learned.note(event, rest);
            }
            if count == 0 {
                break;
            }
        }
        taken
    }

    fn handle_end(&mut self, now: Duration, how: Result<(), FlowError>) -> bool {
        self.core.handle_end(now);
        let error = how.err().or(self.output_lost);
        self.learned.other = Some(match (self.core.poll_event(), error) {
            (Some(Event::End(trailers)), None) => {
                News::Body(Piece::End(trailers.map(|trailers| *trailers)))
            }
            (_, Some(error)) => News::Failed(ClientError::Flow(error)),
            (Some(Event::Failed(error)), None) => News::Failed(error.into()),
            _ => News::Failed(ClientError::Flow(FlowError::Closed)),
        });
        true
    }

    fn poll_work(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        self.produce(cx, now)
    }

    fn wants_transmit(&mut self, _: &mut Context<'_>) -> bool {
        self.core.wants_transmit() && self.output_lost.is_none()
    }

    fn poll_transmit(&mut self, now: Duration, space: &mut [u8]) -> usize {
        self.core.poll_transmit(now, space)
    }

    /// The server may have answered before it stopped listening.
    fn output_lost(&mut self, _: Duration, error: FlowError) -> bool {
        self.output_lost = Some(error);
        true
    }

    fn peer_took(&mut self, now: Duration, count: usize) {
        self.core.peer_took(now, count);
    }

    fn next_deadline(&mut self, _: Duration) -> Option<Duration> {
        self.core.next_deadline()
    }

    fn handle_timeout(&mut self, now: Duration) {
        self.core.handle_timeout(now);
        if let Some(Event::Failed(error)) = self.core.poll_event() {
            self.learned.other = Some(News::Failed(error.into()));
        }
    }

    /// Whoever waits for the response decides.
    fn transport(&mut self, _: &mut Context<'_>, _: Duration) -> Transport {
        Transport::Open
    }
}
