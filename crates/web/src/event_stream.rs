//! Event streams: events that a page hears of as they happen (server-sent events, WHATWG HTML standard section 9.2).
//!
//! ```
//! use core::time::Duration;
//! use flow::time::Timers;
//! use web::event_stream::{self, Event, KeepAlive};
//! use web::{Reply, Request};
//!
//! /// Counts up once a second, from where the page left off.
//! async fn ticks(timers: std::rc::Rc<Timers>, request: Request) -> Reply {
//!     let last = request.last_event_id().and_then(|id| id.parse().ok()).unwrap_or(0_u64);
//!     event_stream::reply(KeepAlive::new(&timers), async move |mut events| {
//!         for count in last + 1.. {
//!             timers.sleep(Duration::from_secs(1)).await;
//!             events.send(Event::new(format!("tick {count}")).with_id(&count.to_string())).await;
//!         }
//!     })
//! }
//! # let timers = std::rc::Rc::new(Timers::new());
//! # let routes = web::Routes::new().get("/ticks", web::sharing(&timers, ticks));
//! ```
//!
//! A [session](crate::session) streams events by [`Hit::events`](crate::session::Hit::events).

use crate::session::{Gone, StreamWriter};
use crate::writer::{Piece, Pieces};
use crate::{Content, ContentWriter, Data, Next, Reply, RequestHead, Response};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;
use flow::task::waiting;
use flow::time::Timers;

/// One event. What is not given is not sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// What it says, in one line or several. Whatever ends its lines, the page has them with a line feed between. An event
    /// without data tells nobody anything, but sets id and retry.
    pub data: Option<String>,
    /// Its type; `message` without one. Line ends in it become spaces.
    pub event: Option<String>,
    /// What the page says as `Last-Event-ID` when it connects again. Line ends and NULs in it become spaces, since an id
    /// with a NUL counts for none.
    pub id: Option<String>,
    /// How long the page waits before it connects again, in whole milliseconds.
    pub retry: Option<Duration>,
}

impl Event {
    /// An event that says this.
    pub fn new(data: impl Into<String>) -> Event {
        Event { data: Some(data.into()), ..Event::default() }
    }

    /// The same of this type.
    #[must_use]
    pub fn named(mut self, event: &str) -> Event {
        self.event = Some(event.into());
        self
    }

    /// The same with this id.
    #[must_use]
    pub fn with_id(mut self, id: &str) -> Event {
        self.id = Some(id.into());
        self
    }

    /// The same with this time before another connection.
    #[must_use]
    pub fn with_retry(mut self, retry: Duration) -> Event {
        self.retry = Some(retry);
        self
    }

    /// The event as it is sent, in UTF-8, with the empty line that ends it.
    pub fn encode(&self) -> Vec<u8> {
        let Event { data, event, id, retry } = self;
        let mut text = String::new();
        if let Some(event) = event {
            push_field(&mut text, "event", &event.replace(is_break, " "));
        }
        if let Some(id) = id {
            push_field(&mut text, "id", &id.replace(is_break, " "));
        }
        if let Some(retry) = retry {
            push_field(&mut text, "retry", &retry.as_millis().to_string());
        }
        for line in data.iter().flat_map(|data| lines(data)) {
            push_field(&mut text, "data", line);
        }
        text.push('\n');
        text.into_bytes()
    }
}

impl From<&str> for Event {
    fn from(data: &str) -> Event {
        Event::new(data)
    }
}

impl From<String> for Event {
    fn from(data: String) -> Event {
        Event::new(data)
    }
}

/// A reply whose content is events: `produce` sends them, and ends the stream when it returns. The page connects again then;
/// to keep it from that, answer 204 (WHATWG HTML section 9.2.3). When the client has gone `produce` is dropped where
/// it waits.
pub fn reply<P: Future<Output = ()> + 'static>(
    keep_alive: KeepAlive,
    produce: impl FnOnce(EventWriter<ContentWriter>) -> P + 'static,
) -> Reply {
    keep_alive.around(Reply::stream(head(), |writer| produce(EventWriter(writer))))
}

/// Sends a comment when no event was sent for a time: so that proxies do not take the connection for dead, and that we notice
/// when the client is gone.
#[derive(Clone, Debug)]
pub struct KeepAlive {
    timers: Timers,
    period: Duration,
}

impl KeepAlive {
    /// After 15 seconds, as WHATWG HTML section 9.2.7 proposes.
    pub fn new(timers: &Timers) -> Self {
        Self { timers: timers.clone(), period: Duration::from_secs(15) }
    }

    /// After another time, of a second at least.
    #[must_use]
    pub fn every(mut self, period: Duration) -> Self {
        self.period = period.max(Duration::from_secs(1));
        self
    }

    /// The reply with comments between the pieces that its producer writes.
    pub(crate) fn around(self, reply: Reply) -> Reply {
        let Reply { response, next } = reply;
        match next {
            Next::Produce(produce) => {
                Reply::stream(response, move |writer| self.pass_on(Pieces::new(produce), writer))
            }
            next => Reply { response, next },
        }
    }

    async fn pass_on(self, mut pieces: Pieces, mut writer: ContentWriter) {
        let mut timer = self.timers.timer();
        loop {
            timer.set(Some(self.timers.now().saturating_add(self.period)));
            let piece = poll_fn(|cx| match pieces.poll_next(cx) {
                Poll::Ready(piece) => Poll::Ready(piece),
                Poll::Pending => timer.poll_expired(cx).map(|()| Piece::Data(COMMENT.into())),
            });
            match piece.await {
                Piece::Data(data) => writer.write(data).await,
                Piece::End => return,
                Piece::Abandoned => return writer.abandon(),
            }
        }
    }
}

/// Sends events, each as a whole.
pub struct EventWriter<W>(W);

impl EventWriter<ContentWriter> {
    /// Sends an event; returns when there is room for another.
    #[track_caller]
    pub fn send(&mut self, event: impl Into<Event>) -> impl Future<Output = ()> {
        waiting(async move {
            self.0.write(event.into().encode()).await;
        })
    }
}

impl EventWriter<StreamWriter> {
    /// A session's.
    pub(crate) fn new(writer: StreamWriter) -> Self {
        Self(writer)
    }

    /// Sends an event; returns when there is room for another.
    ///
    /// # Errors
    /// When nobody reads any more.
    #[track_caller]
    pub fn send(&mut self, event: impl Into<Event>) -> impl Future<Output = Result<(), Gone>> {
        waiting(async move { self.0.write(event.into().encode()).await })
    }

    /// Ends the stream.
    pub fn finish(self) {
        self.0.finish();
    }
}

impl<W> fmt::Debug for EventWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventWriter(..)")
    }
}

impl RequestHead {
    /// The id of the last event that the page has seen, when it connects again (WHATWG HTML section 9.2.4); `None` also if it
    /// is no UTF-8.
    pub fn last_event_id(&self) -> Option<&str> {
        core::str::from_utf8(self.header("last-event-id")?).ok()
    }
}

/// A comment in an event of its own, which says nothing.
const COMMENT: &[u8] = b":\n\n";

/// What the response of an event stream says.
pub(crate) fn head() -> Response {
    Response::ok("text/event-stream", Data::from(""))
        .carrying(Content::Stream(None))
        .with_header("Cache-Control", "no-store")
        // nginx keeps content back otherwise, until it has a buffer full.
        .with_header("X-Accel-Buffering", "no")
}

fn push_field(text: &mut String, name: &str, value: &str) {
    for part in [name, ": ", value, "\n"] {
        text.push_str(part);
    }
}

/// What a field of one line cannot have.
fn is_break(character: char) -> bool {
    matches!(character, '\r' | '\n' | '\0')
}

/// The lines of a text, whichever of the three line ends is between them (WHATWG HTML section 9.2.5).
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    core::iter::from_fn(move || {
        let text = rest.take()?;
        let Some(end) = text.find(['\r', '\n']) else { return Some(text) };
        let (line, after) = text.split_at(end);
        rest = after.strip_prefix("\r\n").or_else(|| after.get(1..));
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::parsed;
    use alloc::rc::Rc;
    use alloc::vec;
    use core::cell::Cell;
    use core::task::{Context, Waker};
    use flow::sync::Queue;

    const SECOND: Duration = Duration::from_secs(1);

    /// A reader as WHATWG HTML section 9.2.6 says: type, data and last id of each event.
    fn read(stream: &str) -> Vec<(String, String, String)> {
        let (mut events, mut id) = (Vec::new(), String::new());
        let (mut event, mut data) = (String::new(), String::new());
        let stream = stream.replace("\r\n", "\n").replace('\r', "\n");
        for line in stream.split('\n') {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match name {
                "" if !line.is_empty() => {}
                "" => {
                    let (event, data) = (core::mem::take(&mut event), core::mem::take(&mut data));
                    if let Some(data) = data.strip_suffix('\n') {
                        events.push((event, data.into(), id.clone()));
                    }
                }
                "event" => event = value.into(),
                "data" => data = data + value + "\n",
                "id" if !value.contains('\0') => id = value.into(),
                _ => {}
            }
        }
        events
    }

    fn sent(event: &Event) -> String {
        String::from_utf8(event.encode()).unwrap()
    }

    #[test]
    fn whatwg_html_9_2_5_events_are_written() {
        let event = Event::new("one\ntwo")
            .named("update")
            .with_id("7")
            .with_retry(Duration::from_micros(2_500_900));
        assert_eq!(sent(&event), "event: update\nid: 7\nretry: 2500\ndata: one\ndata: two\n\n");
        assert_eq!(sent(&Event::new("")), "data: \n\n");
        assert_eq!(sent(&Event::default().with_id("")), "id: \n\n");
    }

    #[test]
    fn whatwg_html_9_2_6_readers_have_what_was_said() {
        for (data, expected) in [
            ("a", "a"),
            ("", ""),
            (" a", " a"),
            ("a\nb", "a\nb"),
            ("a\r\nb\rc\n", "a\nb\nc\n"),
            ("\r\r\n\n", "\n\n\n"),
            ("a\n\nevent: b\ndata: c\n\n", "a\n\nevent: b\ndata: c\n\n"),
            (":", ":"),
            ("\u{20ac}\u{2028}\u{85}\u{b}", "\u{20ac}\u{2028}\u{85}\u{b}"),
        ] {
            let expected = vec![(String::new(), expected.into(), String::new())];
            assert_eq!(read(&sent(&Event::new(data))), expected, "{data:?}");
        }
    }

    #[test]
    fn no_field_becomes_another() {
        let event = Event::new("x").named("a\r\ndata: b\n\n").with_id("1\n\nid: 2\r\0");
        let read = read(&sent(&event));
        assert_eq!(read, [("a  data: b  ".into(), "x".into(), "1  id: 2  ".into())]);
    }

    #[test]
    fn whatwg_html_9_2_4_the_last_id_is_read() {
        let id = |value: &str| {
            let head = parsed("GET", "/", &[("Last-Event-ID", value)]);
            head.last_event_id().map(ToString::to_string)
        };
        assert_eq!(id("7\u{20ac}"), Some("7\u{20ac}".into()));
        assert_eq!(parsed("GET", "/", &[]).last_event_id(), None);
    }

    struct Stream {
        timers: Timers,
        pieces: Pieces,
    }

    impl Stream {
        fn new(timers: Timers, reply: Reply) -> Self {
            let Next::Produce(produce) = reply.next else { panic!("it is streamed") };
            Self { timers, pieces: Pieces::new(produce) }
        }

        /// What came until that time; with a cross if it has ended.
        fn at(&mut self, seconds: u32) -> String {
            self.timers.advance(seconds * SECOND);
            let mut seen = String::new();
            let cx = &mut Context::from_waker(Waker::noop());
            while let Poll::Ready(piece) = self.pieces.poll_next(cx) {
                match piece {
                    Piece::Data(data) => {
                        seen.push_str(core::str::from_utf8(data.as_bytes()).unwrap());
                    }
                    Piece::End | Piece::Abandoned => return seen + "x",
                }
            }
            seen
        }
    }

    #[test]
    fn whatwg_html_9_2_7_silence_is_broken_by_comments() {
        let timers = Timers::new();
        let queue = Rc::new(Queue::<Option<&str>>::default());
        let said = queue.clone();
        let keep_alive = KeepAlive::new(&timers);
        let reply = reply(keep_alive, async move |mut events| {
            while let Some(text) = poll_fn(|cx| said.poll_pop(cx)).await {
                events.send(text).await;
            }
        });
        assert_eq!(reply.response.content_type(), Some("text/event-stream"));
        let mut stream = Stream::new(timers, reply);
        assert_eq!((&*stream.at(0), &*stream.at(14), &*stream.at(15)), ("", "", ":\n\n"));
        queue.push(Some("one"));
        queue.push(Some("two"));
        assert_eq!(stream.at(20), "data: one\n\ndata: two\n\n");
        // It is silent since then.
        assert_eq!((&*stream.at(34), &*stream.at(35), &*stream.at(35)), ("", ":\n\n", ""));
        assert_eq!(stream.at(51), ":\n\n");
        queue.push(None);
        assert_eq!(stream.at(52), "x");
    }

    #[test]
    fn who_waits_for_events_is_dropped_with_the_stream() {
        struct Held(Rc<Cell<bool>>);
        impl Drop for Held {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let dropped = Rc::new(Cell::new(false));
        let held = Held(dropped.clone());
        let timers = Timers::new();
        let keep_alive = KeepAlive::new(&timers).every(Duration::ZERO);
        let reply = reply(keep_alive, move |_| async move {
            core::future::pending::<()>().await;
            drop(held);
        });
        let mut stream = Stream::new(timers, reply);
        assert_eq!((&*stream.at(0), &*stream.at(1)), ("", ":\n\n"));
        drop(stream);
        assert!(dropped.get());
    }
}
