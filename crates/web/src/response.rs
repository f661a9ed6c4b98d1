//! Responses (RFC 9110 section 15): status, fields and content to be sent.

use crate::fields::FieldLines;
use crate::syntax::trim;
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

    /// This status with an error as text, in a line.
    pub fn error(status: Status, error: &dyn core::error::Error) -> Response {
        Response::new(status).with_content("text/plain; charset=utf-8", alloc::format!("{error}\n"))
    }

    /// 303: what was asked for, or came of it, is found by GET at `location`, a URI reference whose parts are
    /// [percent-encoded](crate::percent::encode) (RFC 9110 section 15.4.4).
    pub fn see_other(location: impl AsRef<[u8]>) -> Response {
        Response::redirect(Status::SEE_OTHER, location)
    }

    /// 307: the same request is to be sent to `location`, this time (RFC 9110 section 15.4.8).
    pub fn temporary_redirect(location: impl AsRef<[u8]>) -> Response {
        Response::redirect(Status::TEMPORARY_REDIRECT, location)
    }

    /// 308: the same request is to be sent to `location`, always (RFC 9110 section 15.4.9).
    pub fn permanent_redirect(location: impl AsRef<[u8]>) -> Response {
        Response::redirect(Status::PERMANENT_REDIRECT, location)
    }

    fn redirect(status: Status, location: impl AsRef<[u8]>) -> Response {
        Response::plain(status).with_header("Location", location)
    }

    /// 426: the resource is there for this protocol only, such as `websocket` (RFC 9110 section 15.5.22). The protocol
    /// adds the connection option.
    pub fn upgrade_required(protocol: &str) -> Response {
        Response::plain(Status::UPGRADE_REQUIRED).with_header("Upgrade", protocol)
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(mut self, status: Status) -> Response {
        self.status = status;
        self
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

    /// Says that the response depends on this field of the request (RFC 9110 section 12.5.5), once.
    #[must_use]
    pub fn varying_by(self, name: &str) -> Response {
        let is_same = |own: &[u8]| own == b"*" || own.eq_ignore_ascii_case(name.as_bytes());
        let mut values = self.headers_named("vary");
        let is_said = values.any(|value| value.split(|&byte| byte == b',').map(trim).any(is_same));
        drop(values);
        if is_said { self } else { self.with_header("Vary", name) }
    }

    /// Leaves out all fields of this name, letter case aside; not the media type of
    /// [`content_type`](Self::content_type).
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Response {
        if self.header(name).is_none() {
            return self;
        }
        let mut kept = FieldLines::default();
        for (own, value) in self.headers() {
            if !own.eq_ignore_ascii_case(name.as_bytes()) {
                kept.push(core::str::from_utf8(own).unwrap_or_default(), value);
            }
        }
        self.lines = kept;
        self.shared_lines = None;
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

    /// Adds lines written beforehand to those that are there.
    pub(crate) fn add_shared_lines(&mut self, lines: &Rc<[u8]>) {
        self.shared_lines = Some(match &self.shared_lines {
            None => lines.clone(),
            Some(known) => [&known[..], &lines[..]].concat().into(),
        });
    }

    /// Asks for the connection to be closed after this response.
    #[must_use]
    pub fn closing(mut self) -> Response {
        self.close = true;
        self
    }

    /// Says that this response follows from the request's head alone, and will until content changes
    /// ([`repeating::take_back`](crate::repeating::take_back)): whoever sends the same head may be given it again, with the date of then, without a
    /// question to the handler.
    #[must_use]
    pub fn repeatable(mut self) -> Response {
        self.repeatable = true;
        self
    }

    /// Not [repeatable](Self::repeatable), whatever was said before.
    pub fn forbid_repeating(&mut self) {
        self.repeatable = false;
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

    /// Names and values of the fields that were added, for instance with [`Response::with_header`].
    pub fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let lines = self.lines().split(|&byte| byte == b'\n');
        let shared_lines = self.shared_lines().split(|&byte| byte == b'\n');
        lines.chain(shared_lines).filter_map(|line| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            let (name, value) = line.split_at_checked(colon)?;
            Some((name, value.strip_prefix(b": ")?.strip_suffix(b"\r")?))
        })
    }

    /// The values of all fields of this name that were added, letter case aside.
    pub fn headers_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let is_same = move |own: &[u8]| own.eq_ignore_ascii_case(name.as_bytes());
        self.headers().filter(move |(own, _)| is_same(own)).map(|(_, value)| value)
    }

    /// The value of the first field of this name that was added with [`Response::with_header`].
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        if self.lines.as_bytes().is_empty() && self.shared_lines.is_none() {
            // As most have none.
            return None;
        }
        let is_same = |own: &[u8]| own.eq_ignore_ascii_case(name.as_bytes());
        self.headers().find(|(own, _)| is_same(own)).map(|(_, value)| value)
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

    #[test]
    fn fields_are_found_and_left_out_wherever_they_were_written() {
        let shared = FieldLines::of(&[("ETag", b"\"1\""), ("Vary", b"Accept, origin")]);
        let response = Response::new(Status::OK)
            .with_header("Vary", "Cookie")
            .with_header("X-A", "1")
            .with_shared_fields(shared.as_bytes().into());
        assert_eq!(response.headers().count(), 4);
        let varying: alloc::vec::Vec<_> = response.headers_named("VARY").collect();
        assert_eq!(varying, [&b"Cookie"[..], b"Accept, origin"]);
        let response = response.varying_by("Origin").varying_by("accept").varying_by("Range");
        assert_eq!(response.headers_named("vary").count(), 3);
        let response = response.without_header("vary").without_header("none");
        assert_eq!(response.lines(), b"X-A: 1\r\nETag: \"1\"\r\n");
        assert_eq!(response.shared_lines(), b"");
        let any = Response::new(Status::OK).with_header("Vary", "*").varying_by("Origin");
        assert_eq!(any.lines(), b"Vary: *\r\n");
    }

    #[test]
    fn rfc9110_15_4_redirects() {
        for (response, status) in [
            (Response::see_other("/a%20b"), Status::SEE_OTHER),
            (Response::temporary_redirect("/a%20b"), Status::TEMPORARY_REDIRECT),
            (Response::permanent_redirect("/a%20b"), Status::PERMANENT_REDIRECT),
        ] {
            assert_eq!(response.status(), status);
            assert_eq!(response.header("location"), Some(&b"/a%20b"[..]));
        }
        let response = Response::ok("text/plain", "made").with_status(Status::CREATED);
        assert_eq!(response.status(), Status::CREATED);
    }
}
