//! Requests: checked once by the protocol that made them, then read through accessors that cannot fail.

use crate::answers::Answers;
use crate::fields::{Field, Fields, Section, Span, is_selecting};
use crate::router::{Params, Refusal};
use crate::syntax::is_name;
use crate::{Body, ContentLength, Method, Version, cookies, percent};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::OnceCell;
use core::fmt;
use core::ops::Deref;
use flow::Address;

/// A request with its body, which arrives as it is asked for. Dereferences to the head.
pub struct Request {
    head: RequestHead,
    body: Body,
    peer: Address,
    routing: Routing,
    /// In a box, since few requests have one, and all are moved several times on their way to a handler.
    marks: Option<Box<Marks>>,
}

/// What some requests are known by.
#[derive(Clone, Default)]
struct Marks {
    certificate: Option<Rc<[u8; 32]>>,
    id: Option<Rc<str>>,
}

/// What the routes said of a request.
#[derive(Clone, Copy)]
enum Routing {
    /// Nothing yet.
    None,
    Found(Params),
    Refused(Refusal),
}

impl Request {
    /// A request that `peer` sent.
    pub fn new(head: RequestHead, body: Body, peer: Address) -> Self {
        Self { head, body, peer, routing: Routing::None, marks: None }
    }

    /// The client of its connection showed a certificate that was accepted: the SHA-256 of that.
    pub fn set_certificate(&mut self, certificate: Rc<[u8; 32]>) {
        self.marks.get_or_insert_default().certificate = Some(certificate);
    }

    /// The same request once more, with another body.
    pub(crate) fn again(&self, body: Body) -> Self {
        let (head, marks) = (self.head.clone(), self.marks.clone());
        Self { head, body, peer: self.peer, routing: self.routing, marks }
    }

    /// The body; asking it for bytes is what lets the client send them.
    pub fn body(&mut self) -> &mut Body {
        &mut self.body
    }

    /// What stands in the path where the route's pattern says `:name` or `*name`, as sent:
    /// percent-encoded.
    pub fn parameter(&self, name: &str) -> Option<&[u8]> {
        let Routing::Found(parameters) = &self.routing else { return None };
        parameters.raw(self.path(), name)
    }

    /// The same, decoded; `None` also if it is not percent-encoded text.
    pub fn parameter_text(&self, name: &str) -> Option<String> {
        String::from_utf8(percent::decode(self.parameter(name)?)?).ok()
    }

    pub(crate) fn set_parameters(&mut self, parameters: Params) {
        self.routing = Routing::Found(parameters);
    }

    /// Why no handler takes it, for those who answer it in place of one.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        match self.routing {
            Routing::Refused(refusal) => Some(refusal),
            Routing::None | Routing::Found(_) => None,
        }
    }

    pub(crate) fn set_refusal(&mut self, refusal: Refusal) {
        self.routing = Routing::Refused(refusal);
    }

    /// What it is called where its way is followed, if a layer gave it an id: see
    /// [`layers::RequestId`](crate::layers::RequestId).
    pub fn id(&self) -> Option<&str> {
        self.marks.as_ref()?.id.as_deref()
    }

    pub(crate) fn set_id(&mut self, id: Rc<str>) {
        self.marks.get_or_insert_default().id = Some(id);
    }

    /// Who asks.
    pub fn peer(&self) -> Address {
        self.peer
    }

    /// SHA-256 of the certificate that the client of the connection showed; none if it showed none. One that is here was
    /// accepted: it leads to an authority that is trusted, or is itself. A gateway in front shows its own.
    pub fn certificate(&self) -> Option<&[u8; 32]> {
        self.marks.as_ref()?.certificate.as_deref()
    }
}

impl Deref for Request {
    type Target = RequestHead;

    fn deref(&self) -> &RequestHead {
        &self.head
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({:?} from {})", self.method(), self.peer)
    }
}

/// A request's head: one pointer. Its clones are the same head.
#[derive(Clone, Debug, Default)]
pub struct RequestHead(Rc<Shared>);

/// What clones of a head share.
#[derive(Debug, Default)]
struct Shared {
    parts: Parts,
    /// What counts its answers: its route, which follows from the head alone.
    answers: OnceCell<Rc<Answers>>,
}

/// What a request's head is made of, for the protocol that makes it.
#[derive(Debug)]
pub struct Parts {
    /// The head's bytes, in which all spans are, and its fields.
    pub section: Section,
    /// The method.
    pub method: Method,
    /// The protocol version.
    pub version: Version,
    /// The method as sent.
    pub method_name: Span,
    /// The request target as sent.
    pub target: Span,
    /// Absolute path without the query; empty for authority-form and asterisk-form (RFC 9112 section 3.2).
    pub path: Span,
    /// What follows the first `?` of the target.
    pub query: Option<Span>,
    /// Host and port that the request is for.
    pub authority: Span,
    /// How much content follows.
    pub content_length: ContentLength,
    /// There is a field that makes the request conditional, or asks for a part (RFC 9110 sections
    /// 13.1 and 14.2).
    pub selects: bool,
    /// `Connection: upgrade`.
    pub upgrade: bool,
    /// The client waits for `100 Continue`.
    pub expects_continue: bool,
    /// The client's connection is encrypted: the one to us, or to the gateway in front, as that says.
    pub is_secure: bool,
}

impl RequestHead {
    /// A head made of its parts, for protocols whose requests are no text in one piece. `target` is a path with an
    /// optional query. Fields beyond [`HEAD_BYTES_MAX`](crate::fields::HEAD_BYTES_MAX) are for the caller to refuse;
    /// here they are left out.
    pub fn new<'a>(
        method: &str,
        target: &str,
        fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> RequestHead {
        let mut parts = Parts { method: Method::from_name(method.as_bytes()), ..Parts::default() };
        parts.method_name = parts.section.push(method.as_bytes());
        parts.target = parts.section.push(target.as_bytes());
        let start = usize::from(parts.target.start);
        let end = start + usize::from(parts.target.len);
        let path_end = target.find('?').map_or(end, |at| start + at);
        parts.path = Span::new(start, path_end);
        parts.query = (path_end < end).then(|| Span::new(path_end + 1, end));
        for (name, value) in fields {
            let field = Field {
                name: parts.section.push(name.as_bytes()),
                value: parts.section.push(value),
            };
            if is_name(name.as_bytes(), b"host") {
                parts.authority = field.value;
            }
            parts.selects |= is_selecting(name.as_bytes());
            parts.section.fields.push(field);
        }
        RequestHead(Rc::new(Shared { parts, answers: OnceCell::new() }))
    }

    /// What it is made of, if nobody else has this head: to make the next one in the same buffers.
    #[inline]
    pub fn parts_mut(&mut self) -> Option<&mut Parts> {
        let Shared { parts, answers } = Rc::get_mut(&mut self.0)?;
        answers.take();
        Some(parts)
    }

    /// What counts answers to it, once routes took it in hand.
    #[inline]
    pub fn answers(&self) -> Option<&Rc<Answers>> {
        self.0.answers.get()
    }

    /// The first routes that are asked count: those that they pass it on to are part of a route.
    #[inline]
    pub(crate) fn count_by(&self, answers: &Rc<Answers>) {
        self.0.answers.get_or_init(|| answers.clone());
    }

    /// Its bytes and fields as they came.
    #[inline]
    pub fn section(&self) -> &Section {
        &self.0.parts.section
    }

    /// The method.
    #[inline]
    pub fn method(&self) -> Method {
        self.0.parts.method
    }

    /// The method as sent.
    #[inline]
    pub fn method_name(&self) -> &[u8] {
        self.0.parts.method_name.of(self.bytes())
    }

    /// The request target as sent.
    #[inline]
    pub fn target(&self) -> &[u8] {
        self.0.parts.target.of(self.bytes())
    }

    /// The target's absolute path, without the query, still percent-encoded; `*` for
    /// asterisk-form, empty for CONNECT.
    #[inline]
    pub fn path(&self) -> &[u8] {
        match self.0.parts.path.of(self.bytes()) {
            [] if self.0.parts.method != Method::Connect => b"/",
            path => path,
        }
    }

    /// What follows the first `?` of the target.
    #[inline]
    pub fn query(&self) -> Option<&[u8]> {
        self.0.parts.query.map(|query| query.of(self.bytes()))
    }

    /// Host and port the request is for: from the target when it names one, else from `Host`
    /// (RFC 9112 section 3.3). Empty when neither does.
    #[inline]
    pub fn authority(&self) -> &[u8] {
        self.0.parts.authority.of(self.bytes())
    }

    /// The protocol version.
    #[inline]
    pub fn version(&self) -> Version {
        self.0.parts.version
    }

    /// All fields in the order received.
    pub fn headers(&self) -> Fields<'_> {
        self.0.parts.section.fields()
    }

    /// The value of the first field of this name, letter case aside.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.0.parts.section.field(name)
    }

    /// The values of all fields of this name, letter case aside.
    pub fn headers_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.parts.section.fields_named(name)
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        &self.0.parts.section.bytes
    }

    /// Names and values of all cookies, in the order sent.
    pub fn cookies(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.headers_named("cookie").flat_map(cookies::parse)
    }

    /// The value of the first cookie of this name, letter case included. The first is the one whose path is the
    /// longest (RFC 6265 section 5.4).
    pub fn cookie(&self, name: &str) -> Option<&[u8]> {
        let mut fields = self.0.parts.section.fields();
        fields.find_map(|(field, line)| {
            let mut pairs = is_name(field, b"cookie").then(|| cookies::parse(line))?;
            pairs.find(|(own, _)| *own == name.as_bytes()).map(|(_, value)| value)
        })
    }

    /// Whether there are conditions to evaluate, or ranges; most requests have neither.
    pub(crate) fn selects(&self) -> bool {
        self.0.parts.selects
    }

    /// How much content follows.
    #[inline]
    pub fn content_length(&self) -> ContentLength {
        self.0.parts.content_length
    }

    /// Whether the client waits for `100 Continue` before it sends the content.
    pub fn expects_continue(&self) -> bool {
        self.0.parts.expects_continue && self.0.parts.content_length != ContentLength::Empty
    }

    /// Whether the client's connection is encrypted: it came by TLS, or the web server in front says so, for which FastCGI
    /// has a word and HTTP/1.1 none.
    pub fn is_secure(&self) -> bool {
        self.0.parts.is_secure
    }

    /// The protocols the client would upgrade to, if `Connection: upgrade` goes with them.
    pub fn upgrade(&self) -> Option<&[u8]> {
        // RFC 9110 section 7.8: ignored in HTTP/1.0, and without the connection option.
        if self.0.parts.upgrade { self.header("upgrade") } else { None }
    }
}

impl Default for Parts {
    fn default() -> Parts {
        Parts {
            section: Section::default(),
            method: Method::Other,
            version: Version::Http11,
            method_name: Span::default(),
            target: Span::default(),
            path: Span::default(),
            query: None,
            authority: Span::default(),
            content_length: ContentLength::Empty,
            selects: false,
            upgrade: false,
            expects_continue: false,
            is_secure: false,
        }
    }
}

impl Section {
    /// Appends bytes as far as a span can point to them.
    fn push(&mut self, bytes: &[u8]) -> Span {
        let start = self.bytes.len();
        let room = crate::fields::HEAD_BYTES_MAX - start;
        self.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        Span::new(start, self.bytes.len())
    }
}

/// A request's head, for tests.
#[cfg(test)]
pub(crate) fn parsed(method: &str, target: &str, fields: &[(&str, &str)]) -> RequestHead {
    let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes()));
    RequestHead::new(method, target, [("Host", &b"a"[..])].into_iter().chain(fields))
}
