//! A response to be sent, and what both roles' messages to be sent are made of.

use crate::head::scan::{is_name, is_token, trim, value_end};
use crate::{Data, Status};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// The content of a message to be sent.
#[derive(Debug, Default)]
pub enum Body {
    /// None.
    #[default]
    Empty,
    /// One run of bytes.
    Full(Data),
    /// Several runs, sent one after the other under one length.
    Parts(Vec<Data>),
    /// Bytes pushed with `send_data` while the message is on its way; with their number, if
    /// known beforehand. Unknown means chunked, or until the connection closes for HTTP/1.0.
    Stream(Option<u64>),
}

impl Body {
    /// Bytes in all, `None` for a stream of unknown length.
    pub fn content_length(&self) -> Option<u64> {
        match self {
            Body::Empty => Some(0),
            Body::Full(data) => Some(data.len() as u64),
            Body::Parts(parts) => Some(parts.iter().map(|part| part.len() as u64).sum()),
            Body::Stream(len) => *len,
        }
    }
}

/// Field lines to be sent.
///
/// `Content-Length`, `Transfer-Encoding`, `Connection` and `Date` are the connection's
/// own and ignored here; `Response::closing` and `Body` are the way to ask for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines(pub(crate) Vec<u8>);

impl Lines {
    /// Adds a line. A name that is no token is left out; control bytes in the value become
    /// spaces (RFC 9110 section 5.5), so that no value can end its line.
    pub(crate) fn push(&mut self, name: &str, value: &[u8]) {
        let name = name.as_bytes();
        if !is_token(name) || is_connections_own(name) {
            return;
        }
        let value = trim(value);
        self.0.reserve(name.len() + value.len() + 4);
        self.0.extend_from_slice(name);
        self.0.extend_from_slice(b": ");
        let value_at = self.0.len();
        self.0.extend_from_slice(value);
        let mut at = value_at;
        loop {
            at = value_end(&self.0, at);
            let Some(byte) = self.0.get_mut(at) else { break };
            *byte = b' ';
        }
        self.0.extend_from_slice(b"\r\n");
    }
}

fn is_connections_own(name: &[u8]) -> bool {
    is_name(name, b"content-length")
        || is_name(name, b"transfer-encoding")
        || is_name(name, b"connection")
        || is_name(name, b"date")
}

/// A response to be sent.
#[derive(Debug)]
pub struct Response {
    pub(crate) status: Status,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) lines: Lines,
    /// Lines that many responses share.
    pub(crate) shared_lines: Option<Rc<[u8]>>,
    pub(crate) body: Body,
    pub(crate) close: bool,
    pub(crate) repeatable: bool,
}

impl Response {
    /// A response of this status, without fields and content.
    pub fn new(status: Status) -> Response {
        Response {
            status,
            content_type: None,
            lines: Lines::default(),
            shared_lines: None,
            body: Body::Empty,
            close: false,
            repeatable: false,
        }
    }

    /// 200 with this content.
    pub fn ok(content_type: &'static str, content: impl Into<Data>) -> Response {
        Response {
            status: Status::OK,
            content_type: Some(content_type),
            lines: Lines::default(),
            shared_lines: None,
            body: Body::Full(content.into()),
            close: false,
            repeatable: false,
        }
    }

    /// This status with its reason as text: what errors look like.
    pub fn plain(status: Status) -> Response {
        Response::new(status).with_content("text/plain; charset=utf-8", status.reason())
    }

    /// Sets content and its media type.
    #[must_use]
    pub fn with_content(
        mut self,
        content_type: &'static str,
        content: impl Into<Data>,
    ) -> Response {
        self.content_type = Some(content_type);
        self.body = Body::Full(content.into());
        self
    }

    /// Sets content that is not one run of bytes.
    #[must_use]
    pub fn with_body(mut self, body: Body) -> Response {
        self.body = body;
        self
    }

    /// Sets the media type.
    #[must_use]
    pub fn with_content_type(mut self, content_type: &'static str) -> Response {
        self.content_type = Some(content_type);
        self
    }

    /// Adds a field. Control bytes in `value` become spaces; a `name` that is no token and the fields
    /// that belong to the connection (`Content-Length`, `Transfer-Encoding`, `Connection`, `Date`) are left out.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Response {
        self.lines.push(name, value.as_ref());
        self
    }

    /// Adds lines written beforehand.
    pub(crate) fn with_fields(mut self, lines: Rc<[u8]>) -> Response {
        self.shared_lines = Some(lines);
        self
    }

    pub(crate) fn shared_lines(&self) -> &[u8] {
        self.shared_lines.as_deref().unwrap_or(&[])
    }

    /// Asks for the connection to be closed after this response.
    #[must_use]
    pub fn closing(mut self) -> Response {
        self.close = true;
        self
    }

    /// Says that this response follows from the request's head alone, and will as long as the server
    /// runs: whoever sends the same head may be given it again, with the date of then, without a
    /// question to the handler.
    #[must_use]
    pub fn repeatable(mut self) -> Response {
        self.repeatable = true;
        self
    }

    /// The status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The content.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Takes the content out, for instance to send it in another way.
    pub fn take_body(&mut self) -> Body {
        core::mem::take(&mut self.body)
    }

    /// The value of the first field of this name that was added with [`Response::with_header`].
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let lines = self.lines.0.split(|&byte| byte == b'\n');
        let shared_lines = self.shared_lines().split(|&byte| byte == b'\n');
        lines.chain(shared_lines).find_map(|line| {
            let (own, value) = line.split_at_checked(name.len())?;
            let value = value.strip_prefix(b": ")?.strip_suffix(b"\r")?;
            own.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_5_5_no_value_ends_its_line() {
        let response = Response::new(Status::OK)
            .with_header("X-A", "1\r\nSet-Cookie: a\0b\n")
            .with_header("bad name", "x")
            .with_header("content-LENGTH", "9")
            .with_header("X-B", "  2\t ");
        assert_eq!(response.lines.0, b"X-A: 1  Set-Cookie: a b \r\nX-B: 2\r\n");
        assert_eq!(response.header("x-b"), Some(&b"2"[..]));
        assert_eq!(response.header("x"), None);
    }
}
