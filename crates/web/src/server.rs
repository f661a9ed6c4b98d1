//! Server core: one connection of a server, of any protocol that carries requests. HTTP/1.1, FastCGI and Gopher are such
//! protocols; who runs one of them over a byte stream (`endpoints::server`) runs all.
//!
//! A core does no I/O and reads no clock. It is fed what arrived ([`handle_input`](ServerCore::handle_input)), says what
//! came of it ([`poll_event`](ServerCore::poll_event)), is given the answer to each request
//! ([`respond`](ServerCore::respond)) and asked for output ([`poll_transmit`](ServerCore::poll_transmit)). One request is
//! open at a time.

use crate::date::HttpDate;
use crate::{Data, RequestHead, Response, Status, Trailers};
use alloc::boxed::Box;
use alloc::rc::Rc;
use bytes::Bytes;
use core::fmt;
use core::ops::Range;
use core::time::Duration;
use flow::Address;

/// One connection of a server. `now` is a time since an epoch of the caller's choice.
pub trait ServerCore: Sized + 'static {
    /// What the protocol is called in the log.
    const NAME: &'static str;
    /// What all connections of a server share.
    type Shared: 'static;
    /// Why a peer's message is refused.
    type Error: Refusal;

    /// A connection that was accepted at `now`.
    fn new(shared: Rc<Self::Shared>, local: Address, now: Duration) -> Self;

    /// The date at `now`, if there is a clock.
    fn date(shared: &Self::Shared, now: Duration) -> Option<HttpDate>;

    /// Takes bytes from `input`, up to one event: how many. What is not taken is shown again when the state has changed.
    /// Nothing is taken before the last event is polled.
    fn handle_input(&mut self, now: Duration, input: &[u8]) -> usize;

    /// The peer ended its sending side.
    fn handle_end(&mut self, now: Duration);

    /// The next thing that came of input, its end, or time.
    fn poll_event(&mut self) -> Option<Event<Self::Error>>;

    /// What is to be done with the byte stream below.
    fn state(&self) -> ConnectionState;

    /// Who asks, on a connection with `peer`: another one where that is a gateway which says for whom it asks.
    #[inline]
    fn client(&self, peer: Address) -> Address {
        peer
    }

    /// The application wants the open request's content. From now on the client must make progress.
    fn read_body(&mut self, now: Duration) {
        let _ = now;
    }

    /// The application has no room for content now: the client may wait.
    fn pause_body(&mut self) {}

    /// The application wants no more of the open request's content.
    fn drop_body(&mut self, now: Duration) {
        let _ = now;
    }

    /// Answers the open request. A response with [`Content::Stream`](crate::Content::Stream) is followed by
    /// [`send_data`](Self::send_data) and [`finish`](Self::finish), if [`is_streaming`](Self::is_streaming) then says so.
    ///
    /// # Errors
    /// No request is open, it has a response already, or the protocol cannot carry this response.
    fn respond(&mut self, now: Duration, response: Response) -> Result<(), OutOfTurn>;

    /// Whether the response is a stream that takes data or its end.
    fn is_streaming(&self) -> bool;

    /// How many bytes [`send_data`](Self::send_data) takes now; 0 until the head and the piece before are written.
    fn body_capacity(&self) -> usize;

    /// Sends the next piece of a streamed response.
    ///
    /// # Errors
    /// No stream takes data now, or more came than the response declared.
    fn send_data(&mut self, now: Duration, data: Data) -> Result<(), OutOfTurn>;

    /// Ends a streamed response.
    ///
    /// # Errors
    /// No stream is open, or less came than the response declared. The response is then to be failed.
    fn finish(&mut self, now: Duration) -> Result<(), OutOfTurn>;

    /// The response cannot be completed: says so to the client if nothing was sent, else in such a way that it does not
    /// take what it got for complete.
    fn fail_response(&mut self, now: Duration);

    /// A streamed response ends before its time. What was taken of it may still be sent, if the client can tell then that it is
    /// not whole.
    fn cut_response(&mut self, now: Duration) {
        self.fail_response(now);
    }

    /// The server goes down: the open request is answered, then the connection ends.
    fn drain(&mut self, now: Duration);

    /// Ends the connection with whatever is open on it: the byte stream below broke.
    fn abort(&mut self);

    /// Whether a request is open: given out and not yet answered in full.
    fn has_request(&self) -> bool;

    /// Whether a response waits whose head is not written yet; a stream takes nothing before.
    fn holds_head(&self) -> bool;

    /// Whether all of the open request's response is written, or no request is open.
    fn is_answered(&self) -> bool;

    /// Bytes of content that this response to the open request sends, apart from those of a stream.
    fn content_length(&self, response: &Response) -> u64;

    /// Bytes of the response's content that nobody took, or can take any more.
    fn untaken_content(&self) -> u64;

    /// Bytes that the connection holds for its peer.
    fn held_bytes(&self) -> usize;

    /// Whether [`poll_transmit`](Self::poll_transmit) has something to write.
    fn wants_transmit(&self) -> bool;

    /// Writes output to `out`: how many bytes. 0 means that there is nothing now.
    fn poll_transmit(&mut self, now: Duration, out: &mut [u8]) -> usize;

    /// Long content that is next to be sent, for zero copy.
    fn long_output(&mut self) -> Option<&mut Bytes> {
        None
    }

    /// So many bytes were taken off the front of the [`long_output`](Self::long_output).
    fn long_output_taken(&mut self, now: Duration, count: usize) {
        let _ = (now, count);
    }

    /// The peer took so many bytes of output that was taken before from here.
    fn peer_took(&mut self, now: Duration, count: usize);

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    fn next_deadline(&self) -> Option<Duration>;

    /// Ends what made no progress in time; does nothing before [`next_deadline`](Self::next_deadline).
    fn handle_timeout(&mut self, now: Duration);
}

/// Why a peer's message was refused.
pub trait Refusal: fmt::Display + fmt::Debug {
    /// The status that says so.
    fn status(&self) -> Status;

    /// In words, for a log.
    fn reason(&self) -> &'static str;
}

/// What came of input, or of time. `E` is the protocol's error.
#[derive(Debug)]
pub enum Event<E> {
    /// A request. If its `content_length` is not empty, `Data` and `End` follow once the
    /// application asked for them by [`ServerCore::read_body`].
    Request(RequestHead),
    /// A request whose answer is known since an earlier one ([`Response::repeatable`]) and on its way already: no call of
    /// [`respond`](ServerCore::respond) is due. The status and the length of the content are for the log.
    Answered(RequestHead, Status, u64),
    /// Content: where it is in the input that was handled last.
    Data(Range<usize>),
    /// The end of the content, with its trailer section if there was one.
    End(Option<Box<Trailers>>),
    /// The content ended before its end, and its sender still waits for an answer: what that is is the handler's to say.
    Incomplete,
    /// The message was refused. If no response was on its way, the one that says so is now; a
    /// handler still at work on the request is to be dropped. Nothing follows on this connection. With the request, if
    /// it was one and was never handed out, for the log.
    Failed(E, Option<RequestHead>),
    /// The client wants no answer any more: its handler is to be dropped. Other requests may follow.
    Cancelled,
}

/// What is to be done with the byte stream below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// Keep it: feed input, take output.
    Open,
    /// All output is taken: end the sending side. Go on feeding input, which is dropped, until the state is
    /// `Closed`; closing with unread input would reset the connection and lose the response (RFC 9112 section 9.6).
    EndOutput,
    /// Close it once what was taken is sent.
    Closed,
    /// Reset it: the peer must not take what it got for complete.
    Abort,
    /// The protocol changed. Input that was not consumed belongs to the new one.
    Upgraded,
}

/// The call does not fit the state of the connection: for instance a response without a
/// request, or more data than was declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfTurn;

impl fmt::Display for OutOfTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("call out of turn")
    }
}

impl core::error::Error for OutOfTurn {}
