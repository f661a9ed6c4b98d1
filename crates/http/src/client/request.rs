//! Client request: what is to be sent (RFC 9110 section 9).

use crate::Error;
use crate::request::is_authority;
use alloc::string::String;
use alloc::vec::Vec;
use web::fields::FieldLines;
use web::syntax::target_len;
use web::{Content, Data, Method};

/// A request to be sent.
#[derive(Debug)]
pub struct Request {
    pub(super) method: Method,
    pub(super) target: Vec<u8>,
    pub(super) authority: String,
    pub(super) content_type: Option<&'static str>,
    pub(super) lines: FieldLines,
    pub(super) content: Content,
    pub(super) upgrade: Option<&'static str>,
    pub(super) close: bool,
    pub(super) expect_continue: bool,
}

impl Request {
    /// A request for `target`, a path with an optional query or, with OPTIONS, `*`, at `authority`, a host with an
    /// optional port. For CONNECT the target is the authority, and `target` is not looked at.
    ///
    /// # Errors
    /// [`Error::Host`] or [`Error::Target`] if they cannot be sent, [`Error::StartLine`] for [`Method::Other`].
    pub fn new(method: Method, authority: &str, target: &str) -> Result<Request, Error> {
        if method == Method::Other {
            return Err(Error::StartLine);
        }
        if authority.is_empty() || !is_authority(authority.as_bytes()) {
            return Err(Error::Host);
        }
        let target = if method == Method::Connect { authority } else { target };
        let fits = target.starts_with('/')
            || method == Method::Connect
            || method == Method::Options && target == "*";
        if !fits || target_len(target.as_bytes()) != target.len() {
            return Err(Error::Target);
        }
        Ok(Request {
            method,
            target: target.into(),
            authority: authority.into(),
            content_type: None,
            lines: FieldLines::default(),
            content: Content::Empty,
            upgrade: None,
            close: false,
            expect_continue: false,
        })
    }

    /// Sets content and its media type.
    #[must_use]
    pub fn with_content(mut self, content_type: &'static str, content: impl Into<Data>) -> Request {
        self.content_type = Some(content_type);
        self.content = Content::Full(content.into());
        self
    }

    /// Sets content that is not one run of bytes.
    #[must_use]
    pub fn carrying(mut self, content: Content) -> Request {
        self.content = content;
        self
    }

    /// Adds a field. Control bytes in `value` become spaces; a `name` that is no token and the fields that belong to
    /// the connection (`Host`, `Content-Length`, `Transfer-Encoding`, `Connection`, `Date`, `Expect`, `Upgrade`) are left out.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Request {
        let own = ["host", "expect", "upgrade"];
        if !own.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            self.lines.push(name, value.as_ref());
        }
        self
    }

    /// Holds the content back until the server says that it wants it.
    #[must_use]
    pub fn expecting_continue(mut self) -> Request {
        self.expect_continue = true;
        self
    }

    /// Asks to switch to this protocol.
    #[must_use]
    pub fn upgrading(mut self, protocol: &'static str) -> Request {
        self.upgrade = Some(protocol);
        self
    }

    /// Tells the server that no other request follows.
    #[must_use]
    pub fn closing(mut self) -> Request {
        self.close = true;
        self
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Whether it can be sent again from what it holds, after a connection broke: the method allows it, and
    /// the content is no stream.
    pub fn is_repeatable(&self) -> bool {
        self.method.is_idempotent() && !self.content.is_stream()
    }

    /// Whether it asks to switch protocols.
    pub fn is_upgrading(&self) -> bool {
        self.upgrade.is_some()
    }

    pub(super) fn method_name(&self) -> &'static str {
        self.method.name()
    }
}

impl Clone for Request {
    /// A copy; of a stream, only its length.
    fn clone(&self) -> Request {
        let content = match &self.content {
            Content::Empty => Content::Empty,
            Content::Full(data) => Content::Full(data.clone()),
            Content::Parts(parts) => Content::Parts(parts.clone()),
            Content::Stream(len) => Content::Stream(*len),
        };
        let (target, authority, lines) =
            (self.target.clone(), self.authority.clone(), self.lines.clone());
        Request { target, authority, lines, content, ..*self }
    }
}
