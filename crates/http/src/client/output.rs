//! Client output: from requests to bytes (RFC 9112 section 3).

use super::{Connection, Exchange, Request};
use crate::body::BodyFraming;
use crate::send::Cursor;
use core::time::Duration;
use web::{Content, Method};

/// Upper bound of what a head holds besides its own lines, target, authority and media type, bytes.
const HEAD_OVERHEAD_BYTES: usize = 256;

impl Connection {
    /// Writes output to `out`: how many bytes. 0 means that there is nothing now.
    pub fn poll_transmit(&mut self, now: Duration, out: &mut [u8]) -> usize {
        let mut at = 0;
        if out.is_empty() {
            return 0;
        }
        if let Some(request) = self.request.take() {
            self.start_request(now, request, out, &mut at);
        }
        self.sender.write(out, &mut at);
        while at < out.len() && self.has_next_in_turn() {
            let Some(request) = self.queued.pop_front() else { break };
            self.following.push_back(request.exchange());
            self.start_request(now, request, out, &mut at);
            self.sender.write(out, &mut at);
        }
        if at > 0
            && !self.sender.is_ready()
            && self.held.is_none()
            && matches!(self.input, super::Input::Head { interim: 0 })
            && self.head.bytes.is_empty()
        {
            self.read_deadline = Some(now + self.limits.response_timeout);
        }
        if !self.sender.is_ready() {
            self.write_deadline = None;
        } else if at > 0 {
            self.arm_write(now);
        }
        at
    }

    fn start_request(
        &mut self,
        now: Duration,
        mut request: Request,
        out: &mut [u8],
        at: &mut usize,
    ) {
        let framing = request.framing();
        let len_max = HEAD_OVERHEAD_BYTES + request.variable_bytes();
        self.sender.write_head(out, at, len_max, |cursor| write_head(cursor, &request, framing));
        let content = core::mem::take(&mut request.content);
        if request.waits(framing) {
            self.held = Some((content, framing));
            self.read_deadline = Some(now + self.limits.continue_timeout);
        } else {
            self.sender.start(content, framing);
        }
    }
}

impl Request {
    pub(super) fn exchange(&self) -> Exchange {
        Exchange {
            head_method: self.method == Method::Head,
            connect_method: self.method == Method::Connect,
            asked_upgrade: self.upgrade.is_some(),
            persists: !self.close,
        }
    }

    fn framing(&self) -> BodyFraming {
        let anticipated = matches!(self.method, Method::Post | Method::Put | Method::Patch);
        match (&self.content, self.content.length()) {
            (_, None) => BodyFraming::Chunked,
            // RFC 9110 section 8.6: no Content-Length 0 for a method that does not anticipate content.
            (Content::Empty, _) if !anticipated => BodyFraming::None,
            (_, Some(len)) => BodyFraming::Length(len),
        }
    }

    /// Whether the content waits for the server's consent. What is empty is not worth the wait.
    fn waits(&self, framing: BodyFraming) -> bool {
        self.expect_continue && !matches!(framing, BodyFraming::None | BodyFraming::Length(0))
    }

    fn variable_bytes(&self) -> usize {
        self.method_name().len()
            + self.target.len()
            + self.authority.len()
            + self.content_type.map_or(0, str::len)
            + self.upgrade.map_or(0, str::len)
            + self.lines.as_bytes().len()
    }
}

fn write_head(cursor: &mut Cursor<'_>, request: &Request, framing: BodyFraming) {
    cursor.put(request.method_name().as_bytes());
    cursor.put(b" ");
    cursor.put(&request.target);
    // RFC 9110 section 7.2: Host comes first.
    cursor.put(b" HTTP/1.1\r\nHost: ");
    cursor.put(request.authority.as_bytes());
    cursor.put(b"\r\n");
    match framing {
        BodyFraming::Length(len) => {
            cursor.put(b"Content-Length: ");
            cursor.put_decimal(len);
            cursor.put(b"\r\n");
        }
        BodyFraming::Chunked => cursor.put(b"Transfer-Encoding: chunked\r\n"),
        BodyFraming::None | BodyFraming::UntilClose => {}
    }
    if let Some(content_type) = request.content_type {
        cursor.put(b"Content-Type: ");
        cursor.put(content_type.as_bytes());
        cursor.put(b"\r\n");
    }
    if request.waits(framing) {
        cursor.put(b"Expect: 100-continue\r\n");
    }
    cursor.put(request.lines.as_bytes());
    match (request.upgrade, request.close) {
        (Some(protocol), _) => {
            cursor.put(b"Connection: upgrade\r\nUpgrade: ");
            cursor.put(protocol.as_bytes());
            cursor.put(b"\r\n");
        }
        (None, true) => cursor.put(b"Connection: close\r\n"),
        (None, false) => {}
    }
    cursor.put(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::rc::Rc;
    use core::str;

    #[test]
    fn a_head_that_fits_is_written_where_it_goes_and_another_is_kept_whole() {
        let request = || {
            let request = Request::new(Method::Put, "host.example", "/target").unwrap();
            let request = request.with_content("text/plain", "x").with_header("Name", "value");
            request.upgrading("echo")
        };
        let head = "PUT /target HTTP/1.1\r\nHost: host.example\r\nContent-Length: 1\r\nContent-Type: text/plain\r\n\
            Name: value\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
        assert_eq!(request().variable_bytes(), 3 + 12 + 7 + 10 + 4 + 13);
        // At once, behind what is there, and into what has room for a part.
        for (room, start, kept) in [(400, 0, false), (400, 50, false), (64, 0, true)] {
            let mut connection = Connection::new(Rc::default());
            let (mut out, mut at) = ([0; 400], start);
            let out = &mut out[..room];
            connection.start_request(Duration::ZERO, request(), out, &mut at);
            assert_eq!(
                connection.sender.untaken_bytes() as usize,
                1 + if kept { head.len() } else { 0 }
            );
            let written = str::from_utf8(&out[start..at]).unwrap();
            assert_eq!(written, if kept { "" } else { head }, "{room} {start}");
        }
    }
}
