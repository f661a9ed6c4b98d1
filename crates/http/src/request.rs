//! A received request: parsed once, then read through accessors that cannot fail.

mod parse;

pub(crate) use parse::{host_of, is_authority, parse_request};

use crate::head::{Expect, Facts, Fields, Head, Span};
use crate::server::Kept;
use crate::{Method, Version};
use alloc::rc::Rc;
use core::cell::OnceCell;

/// How much content a received message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// None.
    Empty,
    /// This many bytes, more than zero.
    Known(u64),
    /// Chunked: known when it ends.
    Chunked,
    /// Until the connection ends; only in responses.
    UntilClose,
}

/// A received request: one pointer, to be moved into a handler. Its clones are the same request.
#[derive(Clone, Debug)]
pub struct Request(pub(crate) Rc<RequestHead>);

/// What a request is made of.
#[derive(Debug)]
pub(crate) struct RequestHead {
    pub(crate) head: Head,
    pub(crate) line: RequestLine,
    pub(crate) facts: Facts,
    pub(crate) body: BodyLength,
    /// What is answered whenever this head comes.
    pub(crate) answer: OnceCell<Kept>,
}

/// Where the parts of the request line stand in the head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestLine {
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) method_name: Span,
    pub(crate) target: Span,
    /// Absolute path without the query; empty for authority-form and asterisk-form.
    pub(crate) path: Span,
    pub(crate) query: Option<Span>,
    /// From the target in absolute-form and authority-form, else from `Host`.
    pub(crate) authority: Span,
}

impl Request {
    /// The method.
    pub fn method(&self) -> Method {
        self.0.line.method
    }

    /// The method as sent.
    pub fn method_name(&self) -> &[u8] {
        self.0.line.method_name.of(&self.0.head.bytes)
    }

    /// The request target as sent.
    pub fn target(&self) -> &[u8] {
        self.0.line.target.of(&self.0.head.bytes)
    }

    /// The target's absolute path, without the query, still percent-encoded; `*` for
    /// asterisk-form, empty for CONNECT.
    pub fn path(&self) -> &[u8] {
        match self.0.line.path.of(&self.0.head.bytes) {
            [] if self.0.line.method != Method::Connect => b"/",
            path => path,
        }
    }

    /// What follows the first `?` of the target.
    pub fn query(&self) -> Option<&[u8]> {
        self.0.line.query.map(|query| query.of(&self.0.head.bytes))
    }

    /// Host and port the request is for: from the target when it names one, else from `Host`
    /// (RFC 9112 section 3.3). Empty when neither does.
    pub fn authority(&self) -> &[u8] {
        self.0.line.authority.of(&self.0.head.bytes)
    }

    /// The protocol version.
    pub fn version(&self) -> Version {
        self.0.line.version
    }

    /// All fields in the order received.
    pub fn headers(&self) -> Fields<'_> {
        self.0.head.fields()
    }

    /// The value of the first field of this name, letter case aside.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.0.head.field(name)
    }

    /// The values of all fields of this name, letter case aside.
    pub fn headers_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.head.fields_named(name)
    }

    /// Whether there are conditions to evaluate, or ranges; most requests have neither.
    pub(crate) fn selects(&self) -> bool {
        self.0.facts.selects
    }

    /// How much content follows.
    pub fn body_length(&self) -> BodyLength {
        self.0.body
    }

    /// Whether the client waits for `100 Continue` before it sends the content.
    pub fn expects_continue(&self) -> bool {
        self.0.facts.expect == Expect::Continue && self.0.body != BodyLength::Empty
    }

    /// The protocols the client would upgrade to, if `Connection: upgrade` goes with them.
    pub fn upgrade(&self) -> Option<&[u8]> {
        // RFC 9110 section 7.8: ignored in HTTP/1.0, and without the connection option.
        if self.0.facts.upgrade { self.header("upgrade") } else { None }
    }
}

impl Default for RequestHead {
    fn default() -> RequestHead {
        let line = RequestLine {
            method: Method::Other,
            version: Version::Http11,
            method_name: Span::default(),
            target: Span::default(),
            path: Span::default(),
            query: None,
            authority: Span::default(),
        };
        RequestHead {
            head: Head::default(),
            line,
            facts: Facts::default(),
            body: BodyLength::Empty,
            answer: OnceCell::new(),
        }
    }
}

impl RequestHead {
    /// Forgets all but the buffers.
    pub(crate) fn clear(&mut self) {
        self.head.clear();
        self.answer.take();
    }
}

/// Compares to the end whatever it finds, so that the time it takes tells nobody how much of
/// another client's request he has guessed.
pub(crate) fn is_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let difference = |a: &[u8; 16], b| u128::from_ne_bytes(*a) ^ u128::from_ne_bytes(b);
    match (a.last_chunk(), b.last_chunk()) {
        // The last block overlaps the one before it.
        (Some(a_last), Some(b_last)) => {
            let blocks = a.as_chunks().0.iter().zip(b.as_chunks().0);
            blocks.fold(difference(a_last, *b_last), |sum, (a, b)| sum | difference(a, *b)) == 0
        }
        _ => a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0,
    }
}

/// A request as if received, for tests.
#[cfg(test)]
pub(crate) fn parsed(method: &str, target: &str, fields: &[(&str, &str)]) -> Request {
    let mut text = alloc::format!("{method} {target} HTTP/1.1\r\nHost: a\r\n");
    for (name, value) in fields {
        text += &alloc::format!("{name}: {value}\r\n");
    }
    text += "\r\n";
    let mut request = RequestHead::default();
    let len =
        parse_request(text.as_bytes(), &crate::Limits::default(), &mut request).unwrap().unwrap();
    assert_eq!(len, text.len());
    request.head.bytes = text.into_bytes();
    Request(Rc::new(request))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn every_byte_counts() {
        for len in 0..70 {
            let bytes: Vec<u8> = (0..len).collect();
            assert!(is_same(&bytes, &bytes.clone()));
            assert!(!is_same(&bytes, &[&*bytes, &[0]].concat()));
            for at in 0..bytes.len() {
                let mut other = bytes.clone();
                other[at] ^= 0x80;
                assert!(!is_same(&bytes, &other), "byte {at} of {len}");
            }
        }
    }
}
