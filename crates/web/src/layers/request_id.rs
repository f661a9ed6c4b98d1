//! Request ids: what a request is called in the logs of everybody whom it passes.

use crate::access_log::ID_FIELD;
use crate::{Answer, Layer, Request, layer::Inner};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use core::fmt::{self, Write};

/// Longest id that is taken from a client, in bytes.
pub const ID_BYTES_MAX: usize = 128;

/// Gives each request an id: the one of its `X-Request-Id`, if that is 1 to [`ID_BYTES_MAX`] letters, digits or
/// characters of `-_.:/+=@`, or else 32 hexadecimal digits of our own. Handlers have it by [`Request::id`], clients in the
/// answer's `X-Request-Id`, and the access log in its line's last field.
///
/// An id of a client proves nothing: it may be somebody else's, too.
pub struct RequestId {
    fill_random: Box<FillRandom>,
    takes_clients: bool,
}

type FillRandom = dyn Fn(&mut [u8]);

impl RequestId {
    /// Ids of our own are made by `fill_random`.
    pub fn new(fill_random: impl Fn(&mut [u8]) + 'static) -> Self {
        Self { fill_random: Box::new(fill_random), takes_clients: true }
    }

    /// Takes no ids from clients: for servers that strangers reach directly.
    #[must_use]
    pub fn own(mut self) -> Self {
        self.takes_clients = false;
        self
    }

    fn id(&self, request: &Request) -> Rc<str> {
        let sent = request.header(ID_FIELD).filter(|_| self.takes_clients);
        match sent.and_then(plain) {
            Some(id) => id.into(),
            None => self.new_id().into(),
        }
    }

    fn new_id(&self) -> String {
        let mut bytes = [0; 16];
        (self.fill_random)(&mut bytes);
        let mut id = String::with_capacity(32);
        for byte in bytes {
            // Writing to a string cannot fail.
            let _ = write!(id, "{byte:02x}");
        }
        id
    }
}

impl Layer for RequestId {
    fn pass(&self, mut request: Request, inner: &Inner) -> Answer {
        let id = self.id(&request);
        request.set_id(id.clone());
        inner.answer(request).map(move |mut reply| {
            let mut response = reply.response.without_header(ID_FIELD);
            response.forbid_repeating();
            reply.response = response.with_header(ID_FIELD, &*id);
            reply
        })
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestId(..)")
    }
}

/// An id that may stand in logs and links as it is.
fn plain(id: &[u8]) -> Option<&str> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    let is_sane = (1..=ID_BYTES_MAX).contains(&id.len()) && id.iter().all(is_plain);
    is_sane.then(|| core::str::from_utf8(id).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::parsed;
    use crate::{Body, Content, Handler, Response};
    use flow::Address;
    use flow::task::block_on;

    const OWN: &str = "07070707070707070707070707070707";

    /// What handler and client see of it.
    fn ids(layer: RequestId, sent: Option<&str>) -> (String, String) {
        async fn tell(request: Request) -> Response {
            Response::ok("text/plain", String::from(request.id().unwrap()))
                .with_header("X-Request-Id", "the handler's")
                .repeatable()
        }
        let fields = sent.map(|id| ("X-Request-Id", id));
        let head = parsed("GET", "/", fields.as_slice());
        let request = Request::new(head, Body::empty(), Address::Memory(0));
        let response = block_on(tell.layer(layer).answer(request).into_future()).response;
        let Content::Full(data) = response.content() else { panic!() };
        assert!(!response.is_repeatable());
        assert_eq!(response.headers_named("x-request-id").count(), 1);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(data.as_bytes()), text(response.header("x-request-id").unwrap()))
    }

    fn layer() -> RequestId {
        RequestId::new(|bytes| bytes.fill(7))
    }

    #[test]
    fn a_sane_id_is_taken_and_others_are_made() {
        let longest = "a".repeat(ID_BYTES_MAX);
        for id in ["1", "9f1c-Z_.:/+=@", &longest] {
            assert_eq!(ids(layer(), Some(id)), (id.into(), id.into()));
        }
        let too_long = "a".repeat(ID_BYTES_MAX + 1);
        for id in ["", "a b", "a\"", "a\tb", "\u{e9}", "a,b", &too_long] {
            assert_eq!(ids(layer(), Some(id)), (OWN.into(), OWN.into()), "{id:?}");
        }
        assert_eq!(ids(layer(), None).0, OWN);
    }

    #[test]
    fn ids_of_clients_may_be_left_out() {
        assert_eq!(ids(layer().own(), Some("theirs")).0, OWN);
    }
}
