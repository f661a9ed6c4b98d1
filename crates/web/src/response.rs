//! Responses (RFC 9110 section 15): status, fields and content to be sent.

use crate::fields::FieldLines;
use crate::{Content, Cookie, Data, Status};
use alloc::rc::Rc;
use alloc::string::ToString;

/// A response to be sent.
#[derive(Clone, Debug)]
pub struct Response {
    status: Status,
    content_type: Option<&'static str>,
    lines: FieldLines,
    /// Lines that many responses share.
    shared_lines: Option<Rc<[u8]>>,
    content: Content,
    close: bool,
    repeatable: bool,
}

impl Response {
    /// A response of this status, without fields and content.
    pub fn new(status: Status) -> Response {
        Response {
            status,
            content_type: None,
            lines: FieldLines::default(),
            shared_lines: None,
            content: Content::Empty,
            close: false,
            repeatable: false,
        }
    }

    /// 200 with this content.
    pub fn ok(content_type: &'static str, content: impl Into<Data>) -> Response {
        Response {
            status: Status::OK,
            content_type: Some(content_type),
            lines: FieldLines::default(),
            shared_lines: None,
            content: Content::Full(content.into()),
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
        self.content = Content::Full(content.into());
        self
    }

    /// Sets content that is not one run of bytes.
    #[must_use]
    pub fn carrying(mut self, content: Content) -> Response {
        self.content = content;
        self
    }

    /// Adds a field. Control bytes in `value` become spaces; a `name` that is no token and the fields
    /// that belong to the connection (`Content-Length`, `Transfer-Encoding`, `Connection`, `Date`) are left out.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Response {
        self.lines.push(name, value.as_ref());
        self
    }

    /// Sets a cookie at the client.
    #[must_use]
    pub fn with_cookie(self, cookie: &Cookie) -> Response {
        self.with_header("Set-Cookie", cookie.to_string())
    }

    /// Adds lines written beforehand.
    pub(crate) fn with_shared_fields(mut self, lines: Rc<[u8]>) -> Response {
        self.shared_lines = Some(lines);
        self
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

    /// Not [repeatable](Self::repeatable), whatever was said before.
    pub(crate) fn unrepeatable(mut self) -> Response {
        self.repeatable = false;
        self
    }

    /// The status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The content.
    #[inline]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Takes the content out, for instance to send it in another way.
    #[inline]
    pub fn take_content(&mut self) -> Content {
        core::mem::take(&mut self.content)
    }

    /// The media type of the content.
    #[inline]
    pub fn content_type(&self) -> Option<&'static str> {
        self.content_type
    }

    /// The field lines that were added with [`Response::with_header`].
    #[inline]
    pub fn lines(&self) -> &[u8] {
        self.lines.as_bytes()
    }

    /// More field lines, which many responses share.
    #[inline]
    pub fn shared_lines(&self) -> &[u8] {
        self.shared_lines.as_deref().unwrap_or(&[])
    }

    /// Whether the connection is to be closed after this response.
    #[inline]
    pub fn closes(&self) -> bool {
        self.close
    }

    /// Whether it was said to be [repeatable](Response::repeatable).
    #[inline]
    pub fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    /// The value of the first field of this name that was added with [`Response::with_header`].
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let lines = self.lines().split(|&byte| byte == b'\n');
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
        assert_eq!(response.lines(), b"X-A: 1  Set-Cookie: a b \r\nX-B: 2\r\n");
        assert_eq!(response.header("x-b"), Some(&b"2"[..]));
        assert_eq!(response.header("x"), None);
    }
}
