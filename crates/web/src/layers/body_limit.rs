//! Body limit: how much content a request may have.

use crate::{Answer, ContentLength, Layer, Request, Response, Status, layer::Inner};

/// Bounds the content of requests. One that declares more is answered 413 before any of it is read (RFC 9110 section
/// 15.5.14); one that turns out to have more reads as [`BodyError::TooLong`](crate::BodyError::TooLong), which
/// [`Request::json`](crate::Request::json) and [`Request::form`](crate::Request::form) make 413 of.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimit {
    bytes_max: u64,
}

impl BodyLimit {
    /// So many bytes at most.
    pub fn new(bytes_max: u64) -> Self {
        Self { bytes_max }
    }
}

impl Layer for BodyLimit {
    fn pass(&self, mut request: Request, inner: &Inner) -> Answer {
        match request.content_length() {
            ContentLength::Empty => {}
            ContentLength::Known(bytes) if bytes > self.bytes_max => {
                return Answer::Now(Response::plain(Status::CONTENT_TOO_LARGE).into());
            }
            ContentLength::Known(_) | ContentLength::Unknown => {
                request.body().limit(self.bytes_max);
            }
        }
        inner.answer(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::parsed;
    use crate::{Body, BodyError, Handler, RequestHead};
    use flow::Address;
    use flow::task::block_on;

    async fn collect(mut request: Request) -> Response {
        match request.body().collect(100).await {
            Ok(body) => Response::ok("text/plain", body),
            Err(BodyError::TooLong) => Response::plain(Status::CONFLICT),
            Err(BodyError::Incomplete) => Response::plain(Status::BAD_REQUEST),
        }
    }

    fn head(length: ContentLength) -> RequestHead {
        let mut head = parsed("POST", "/", &[]);
        head.parts_mut().unwrap().content_length = length;
        head
    }

    fn asked(length: ContentLength, content: &[u8]) -> Status {
        let (sender, body) = Body::channel();
        sender.push(content);
        sender.end(Ok(None));
        let request = Request::new(head(length), body, Address::Memory(0));
        let handler = collect.layer(BodyLimit::new(5));
        block_on(handler.answer(request).into_future()).response.status()
    }

    #[test]
    fn rfc9110_15_5_14_what_declares_too_much_is_not_read() {
        assert_eq!(asked(ContentLength::Known(5), b"12345"), Status::OK);
        assert_eq!(asked(ContentLength::Known(6), b"123456"), Status::CONTENT_TOO_LARGE);
    }

    #[test]
    fn what_turns_out_too_long_fails_where_it_is_read() {
        assert_eq!(asked(ContentLength::Unknown, b"12345"), Status::OK);
        assert_eq!(asked(ContentLength::Unknown, b"123456"), Status::CONFLICT);
    }
}
