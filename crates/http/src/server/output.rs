//! Server output: from responses to bytes (RFC 9112 section 4).

use super::{CachedResponse, Connection, Exchange, Input};
use crate::ConnectionState;
use crate::body::{BodyFraming, Demand};
use crate::send::Cursor;
use bytes::Bytes;
use core::time::Duration;
use web::date::HttpDate;
use web::{Content, Response, Status};

/// Upper bound of what a head holds besides its own lines, media type and reason: status line, `Date`, length or
/// coding, `Connection`, names and line ends, bytes.
const HEAD_OVERHEAD_BYTES: usize = 256;

impl Connection {
    /// Writes output to `out`: how many bytes. 0 means that there is nothing now.
    pub fn poll_transmit(&mut self, now: Duration, out: &mut [u8]) -> usize {
        let mut at = 0;
        if out.is_empty() {
            return 0;
        }
        if self.holds_head() {
            let date = self.shared.date(now);
            self.start_response(date.as_ref(), out, &mut at);
        }
        if self.sender.is_ready() {
            self.sender.write(out, &mut at);
        }
        self.after_output(now, at);
        at
    }

    /// Long content that is next to be sent, once its head is written, for zero copy: whoever can send bytes from
    /// where they lie takes some off its front, and says so by
    /// [`long_output_taken`](Connection::long_output_taken); [`poll_transmit`](Connection::poll_transmit) copies them.
    #[inline]
    pub fn long_output(&mut self) -> Option<&mut Bytes> {
        if self.holds_head() { None } else { self.sender.long_output() }
    }

    /// So many bytes were taken off the front of the [`long_output`](Connection::long_output).
    pub fn long_output_taken(&mut self, now: Duration, count: usize) {
        self.sender.long_output_taken();
        self.after_output(now, count);
    }

    /// So many bytes of output were taken.
    #[inline(always)] // On the way of each short answer.
    fn after_output(&mut self, now: Duration, count: usize) {
        if !self.sender.is_done() {
            return self.after_part(now, count);
        }
        self.write_deadline = None;
        if self.exchange.started && !self.exchange.answered {
            self.exchange.answered = true;
            self.end_answer(now);
        }
    }

    /// So many bytes were taken, and more follow now or later.
    #[inline(never)]
    fn after_part(&mut self, now: Duration, count: usize) {
        if self.sender.is_ready() {
            if count > 0 {
                self.put_write_off(now, count);
            }
        } else if let Some(deadline) = self.write_deadline.take() {
            // How slowly the client took a stream so far is not forgotten.
            let slack = deadline.saturating_sub(now).as_millis();
            self.write_slack_millis = u32::try_from(slack).unwrap_or(u32::MAX);
        }
    }

    /// So many bytes moved, and more are there.
    pub(super) fn put_write_off(&mut self, now: Duration, count: usize) {
        let limits = &self.shared.config.limits;
        let (timeout, deadline) = (limits.write_timeout, self.write_deadline);
        self.write_deadline = Some(limits.moved_deadline(timeout, deadline, count, now));
    }

    /// Whether a response of this status to the open request has content.
    pub(super) fn has_content(&self, status: Status) -> bool {
        // RFC 9112 section 6.3: none after HEAD, with 1xx, 204, 304, or a success to CONNECT.
        let tunnel = self.is_tunnel(status);
        !(self.exchange.head_method || status.has_no_content() || tunnel)
    }

    /// Writes the head of the response that waits, if one does.
    fn start_response(&mut self, date: Option<&HttpDate>, out: &mut [u8], at: &mut usize) {
        if self.exchange.is_cached {
            return self.repeat(date, out, at);
        }
        let Some(response) = &mut self.response else { return };
        // The rest stays where it is until it is written: responses are large.
        let content = response.take_content();
        let (status, closes) = (response.status(), response.closes() || self.draining);
        let framing = self.framing(status, &content);
        let has_content = self.has_content(status);
        let ends_by_closing = has_content && framing == BodyFraming::UntilClose;
        self.exchange.started = true;
        self.exchange.persists = self.exchange.client_persists
            && !(closes || ends_by_closing)
            && self.leaves_little_unread();
        if self.is_tunnel(status) || status == Status::SWITCHING_PROTOCOLS {
            self.state = ConnectionState::Upgraded;
        }
        let connection = self.connection_line(status);
        let Some(response) = &self.response else { return };
        let server_line = server_line(&self.shared.server_line, response);
        let head = Head { response, framing, server_line, connection };
        if response.is_repeatable() && self.caches(&head, date, &content) {
            self.response = None;
            return self.repeat(date, out, at);
        }
        self.sender.write_head(out, at, head.len_max(), |cursor| {
            head.write(date, cursor);
        });
        self.response = None;
        self.sender.start(content, if has_content { framing } else { BodyFraming::None });
    }

    /// Caches a response with the request that it answers, if it may be; says whether it did.
    fn caches(&self, head: &Head<'_>, date: Option<&HttpDate>, content: &Content) -> bool {
        let (Some(request), Content::Full(content)) = (&self.repeated, content) else {
            return false;
        };
        if !self.exchange.persists || !self.has_content(head.response.status()) {
            return false;
        }
        let mut text = alloc::vec![0; head.len_max()];
        let mut cursor = Cursor::new(&mut text);
        let date_at = head.write(date, &mut cursor);
        let len = cursor.len();
        text.truncate(len);
        match CachedResponse::new(head.response.status(), text, date_at, content) {
            Some(cached) => request.response.set(cached).is_ok(),
            None => false,
        }
    }

    /// Sends the response that is cached with the open request.
    fn repeat(&mut self, date: Option<&HttpDate>, out: &mut [u8], at: &mut usize) {
        self.exchange.is_cached = false;
        self.exchange.started = true;
        self.exchange.persists = self.exchange.client_persists;
        let cached = self.repeated.as_ref().and_then(|request| request.response.get());
        if let Some(cached) = cached {
            cached.send(date, &mut self.sender, out, at);
        }
    }

    /// Whether this response to the open request makes the connection a tunnel (RFC 9110 section 9.3.6).
    fn is_tunnel(&self, status: Status) -> bool {
        self.exchange.connect_method && status.is_success()
    }

    /// What the head says about the connection, and its end.
    fn connection_line(&self, status: Status) -> &'static [u8] {
        match self.exchange.persists {
            _ if status == Status::SWITCHING_PROTOCOLS => b"Connection: upgrade\r\n\r\n",
            _ if self.is_tunnel(status) => b"\r\n",
            // RFC 9110 section 7.8: with `Upgrade`, which a 426 has, goes the connection option.
            true if status == Status::UPGRADE_REQUIRED => b"Connection: upgrade\r\n\r\n",
            false if status == Status::UPGRADE_REQUIRED => b"Connection: close, upgrade\r\n\r\n",
            false => b"Connection: close\r\n\r\n",
            // RFC 9112 section 9.3: an HTTP/1.0 client must be told.
            true if !self.exchange.http11 => b"Connection: keep-alive\r\n\r\n",
            true => b"\r\n",
        }
    }

    /// How the response's end is marked, were it the answer to GET.
    fn framing(&self, status: Status, content: &Content) -> BodyFraming {
        if status.has_no_content() || self.is_tunnel(status) {
            // RFC 9110 section 8.6: no Content-Length in 1xx, 204 and a success to CONNECT. RFC 9112 section 6.1: no coding either.
            return BodyFraming::None;
        }
        if status == Status::RESET_CONTENT {
            // RFC 9110 section 15.3.6: no content, but a client must be told so.
            return BodyFraming::Length(0);
        }
        match content.length() {
            Some(len) => BodyFraming::Length(len),
            // RFC 9112 section 6.1: no coding unless the request is HTTP/1.1.
            None if self.exchange.http11 => BodyFraming::Chunked,
            None => BodyFraming::UntilClose,
        }
    }

    /// Whether what is left of the request's content does not end the connection.
    fn leaves_little_unread(&self) -> bool {
        match &self.input {
            Input::Body(receiver) => {
                // Of a chunked body nobody knows how much is left, so that the client had better be told before. Where it
                // is known to be too much, the connection ends anyway.
                let is_bounded = match receiver.demand {
                    Demand::Wanted | Demand::Paused => true,
                    Demand::Dropped { .. } => receiver.has_length(),
                };
                is_bounded && !self.exchange.expects_continue
            }
            Input::Held => true,
            _ => false,
        }
    }

    /// The response is written: on to the next request, or to the end.
    fn end_answer(&mut self, now: Duration) {
        if self.state == ConnectionState::Upgraded {
            self.input = Input::Ended;
            self.exchange = Exchange::default();
            return;
        }
        // RFC 9112 section 9.3: read the whole request, or close after the response. Whoever still reads it may go on.
        let is_read = matches!(&self.input, Input::Body(receiver) if !matches!(receiver.demand, Demand::Dropped { .. }));
        if !is_read || self.exchange.expects_continue {
            self.end_exchange(now);
        }
    }

    /// Request and response are done with.
    pub(super) fn end_exchange(&mut self, now: Duration) {
        let exchange = core::mem::take(&mut self.exchange);
        self.repeated = None;
        if exchange.persists && matches!(self.input, Input::Held) {
            self.input = Input::Head;
            self.read_deadline = Some(now + self.shared.config.limits.idle_timeout);
            if self.draining {
                self.end_output(now);
            }
        } else if matches!(self.input, Input::Held) && !exchange.client_persists {
            // The client knew that this was the last request, so nothing can be on its way.
            self.close();
        } else if exchange.persists
            && matches!(&self.input, Input::Body(receiver) if receiver.demand != Demand::Dropped { left: 0 })
        {
            // What is left of the content is being dropped.
            self.exchange = exchange;
        } else {
            self.end_output(now);
        }
    }
}

/// A response's head, as far as it is known.
struct Head<'a> {
    response: &'a Response,
    framing: BodyFraming,
    server_line: &'a [u8],
    connection: &'static [u8],
}

impl Head<'_> {
    /// Bytes that [`Head::write`] writes at most.
    fn len_max(&self) -> usize {
        let (lines, shared_lines) = (self.response.lines(), self.response.shared_lines());
        let content_type = self.response.content_type().map_or(0, str::len);
        let server_line = self.server_line.len();
        HEAD_OVERHEAD_BYTES + lines.len() + shared_lines.len() + content_type + server_line
    }

    /// Where it wrote the date, if there is one.
    fn write(&self, date: Option<&HttpDate>, cursor: &mut Cursor<'_>) -> Option<usize> {
        let (lines, shared_lines) = (self.response.lines(), self.response.shared_lines());
        write_status_line(cursor, self.response.status());
        let date_at = write_date(cursor, date);
        write_framing(cursor, self.framing);
        write_content_type(cursor, self.response.content_type());
        if !self.server_line.is_empty() {
            cursor.put(self.server_line);
        }
        // Most responses have one of the two at most, and an empty copy costs a call.
        if !lines.is_empty() {
            cursor.put(lines);
        }
        if !shared_lines.is_empty() {
            cursor.put(shared_lines);
        }
        cursor.put(self.connection);
        date_at
    }
}

/// The line of the server's name. Another's, whose response is passed on, stays (RFC 9110 section 10.2.4), and an interim
/// response needs none.
fn server_line<'a>(line: &'a [u8], response: &Response) -> &'a [u8] {
    let is_sent =
        !line.is_empty() && response.status().code() >= 200 && response.header("server").is_none();
    if is_sent { line } else { b"" }
}

fn write_date(cursor: &mut Cursor<'_>, date: Option<&HttpDate>) -> Option<usize> {
    let date = date?;
    cursor.put(b"Date: ");
    let at = cursor.len();
    cursor.put(date.as_bytes());
    cursor.put(b"\r\n");
    Some(at)
}

fn write_framing(cursor: &mut Cursor<'_>, framing: BodyFraming) {
    match framing {
        BodyFraming::Length(len) => {
            cursor.put(b"Content-Length: ");
            cursor.put_decimal(len);
            cursor.put(b"\r\n");
        }
        BodyFraming::Chunked => cursor.put(b"Transfer-Encoding: chunked\r\n"),
        BodyFraming::None | BodyFraming::UntilClose => {}
    }
}

fn write_content_type(cursor: &mut Cursor<'_>, content_type: Option<&str>) {
    if let Some(content_type) = content_type {
        cursor.put(b"Content-Type: ");
        cursor.put(content_type.as_bytes());
        cursor.put(b"\r\n");
    }
}

fn write_status_line(cursor: &mut Cursor<'_>, status: Status) {
    if status == Status::OK {
        // By far the commonest, copied without a look at a table.
        cursor.put(b"HTTP/1.1 200 OK\r\n");
    } else if let Some(text) = status.text() {
        cursor.put(b"HTTP/1.1 ");
        cursor.put(text.as_bytes());
        cursor.put(b"\r\n");
    } else {
        // RFC 9112 section 4: the reason may be empty, the space before it not left out.
        cursor.put(b"HTTP/1.1 ");
        cursor.put_decimal(u64::from(status.code()));
        cursor.put(b" \r\n");
    }
}
