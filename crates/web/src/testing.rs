//! Asks handlers without a connection, for their unit tests.
//!
//! ```
//! use web::testing::{get, post};
//! use web::{Request, Response, Routes, Status};
//!
//! # async fn greet(request: Request) -> Response {
//! #     Response::ok("text/plain", request.parameter_text("name").unwrap_or_default())
//! # }
//! # async fn add(mut request: Request) -> Result<Response, web::json::JsonError> {
//! #     Ok(Response::json(&request.json::<Vec<u8>>(99).await?.iter().sum::<u8>()))
//! # }
//! let routes = Routes::new().get("/greet/:name", greet).post("/add", add);
//! assert_eq!(get("/greet/Ann").ask(&routes).text(), "Ann");
//! assert_eq!(post("/add").json(&[1, 2]).ask(&routes).json::<u8>(), 3);
//! assert_eq!(post("/add").form(&[("a", "1")]).ask(&routes).status(), Status::UNSUPPORTED_MEDIA_TYPE);
//! ```
//!
//! A handler that waits for time or for other tasks is asked beside these, in a [`World`]: [`Ask::ask_in`].

use crate::writer::{Piece, Pieces};
use crate::{
    Body, BodySender, Content, ContentLength, Handler, Next, Reply, Request, RequestHead, Response,
};
use crate::{Status, percent};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use flow::Address;
use flow::task::block_on;
use flow::testing::World;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A request for GET.
pub fn get(target: &str) -> Ask {
    Ask::new("GET", target)
}

/// A request for HEAD.
pub fn head(target: &str) -> Ask {
    Ask::new("HEAD", target)
}

/// A request for POST.
pub fn post(target: &str) -> Ask {
    Ask::new("POST", target)
}

/// A request for PUT.
pub fn put(target: &str) -> Ask {
    Ask::new("PUT", target)
}

/// A request for DELETE.
pub fn delete(target: &str) -> Ask {
    Ask::new("DELETE", target)
}

/// A request to be sent. Its host is `test`, its peer [`Address::Memory`], unless said otherwise.
#[derive(Clone, Debug)]
pub struct Ask {
    method: String,
    target: String,
    fields: Vec<(String, Vec<u8>)>,
    content: Option<Vec<u8>>,
    peer: Address,
    certificate: Option<[u8; 32]>,
}

impl Ask {
    /// Of any method.
    pub fn new(method: &str, target: &str) -> Ask {
        let fields = [("Host".into(), b"test".to_vec())].into();
        let (method, target) = (method.into(), target.into());
        Ask { method, target, fields, content: None, peer: Address::Memory(0), certificate: None }
    }

    /// Adds a field.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Ask {
        self.fields.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// Adds a cookie.
    #[must_use]
    pub fn cookie(self, name: &str, value: &str) -> Ask {
        self.header("Cookie", alloc::format!("{name}={value}"))
    }

    /// Sets who asks.
    #[must_use]
    pub fn from(mut self, peer: Address) -> Ask {
        self.peer = peer;
        self
    }

    /// Sets the SHA-256 of the certificate that the client shows, which it does by TLS.
    #[must_use]
    pub fn certificate(mut self, certificate: [u8; 32]) -> Ask {
        self.certificate = Some(certificate);
        self
    }

    /// Sets the content and its media type.
    #[must_use]
    pub fn content(mut self, media_type: &str, content: impl Into<Vec<u8>>) -> Ask {
        self.content = Some(content.into());
        self.header("Content-Type", media_type)
    }

    /// Sets the content to a value in JSON.
    ///
    /// # Panics
    /// When JSON has no such value.
    #[must_use]
    pub fn json(self, value: &(impl Serialize + ?Sized)) -> Ask {
        let text = serde_json::to_vec(value).expect("a value that JSON has");
        self.content("application/json", text)
    }

    /// Sets the content to an urlencoded form.
    #[must_use]
    pub fn form(self, pairs: &[(&str, &str)]) -> Ask {
        let encoded = pairs
            .iter()
            .map(|(name, value)| percent::encode(name) + "=" + &percent::encode(value))
            .collect::<Vec<_>>()
            .join("&");
        self.content("application/x-www-form-urlencoded", encoded)
    }

    /// Asks, and takes all that is answered.
    ///
    /// # Panics
    /// When the handler waits for something that cannot come.
    pub fn ask(self, handler: &impl Handler) -> Seen {
        block_on(self.asking(handler))
    }

    /// The same in a world, with whose clock and tasks the handler was made.
    ///
    /// # Panics
    /// When the handler waits for something that does not come: see [`World::run`].
    pub fn ask_in(self, world: &World, handler: &impl Handler) -> Seen {
        world.run(self.asking(handler))
    }

    fn asking(self, handler: &impl Handler) -> Pin<Box<dyn Future<Output = Seen>>> {
        let fields = self.fields.iter().map(|(name, value)| (&**name, &**value));
        let mut head = RequestHead::new(&self.method, &self.target, fields);
        if let Some(parts) = head.parts_mut() {
            parts.is_secure = self.certificate.is_some();
        }
        let (sender, body) = match &self.content {
            None => (None, Body::empty()),
            Some(content) => {
                if let Some(parts) = head.parts_mut() {
                    parts.content_length = match content.len() {
                        0 => ContentLength::Empty,
                        bytes => ContentLength::Known(bytes as u64),
                    };
                }
                let (sender, body) = Body::channel();
                sender.push(content);
                sender.end(Ok(None));
                (Some(sender), body)
            }
        };
        let mut request = Request::new(head, body, self.peer);
        if let Some(certificate) = self.certificate {
            request.set_certificate(Rc::new(certificate));
        }
        let answer = handler.answer(request);
        Box::pin(async move {
            let seen = Seen::take(answer.await).await;
            // As a connection does, until the request is answered.
            drop(sender);
            seen
        })
    }
}

/// What comes of a body's reader while the body arrives in these pieces, and then ends. A reader that is done takes no more.
///
/// # Panics
/// When it waits behind the end.
pub fn read_pieces<'p, T>(
    sender: &BodySender,
    pieces: impl IntoIterator<Item = &'p [u8]>,
    reader: impl Future<Output = T>,
) -> T {
    let mut reader = pin!(reader);
    let cx = &mut Context::from_waker(Waker::noop());
    for piece in pieces {
        sender.push(piece);
        if let Poll::Ready(outcome) = reader.as_mut().poll(cx) {
            return outcome;
        }
    }
    sender.end(Ok(None));
    match reader.as_mut().poll(cx) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("it waits for what does not come"),
    }
}

/// A response, with its content.
#[derive(Debug)]
pub struct Seen {
    response: Response,
    content: Vec<u8>,
    is_cut: bool,
}

impl Seen {
    async fn take(reply: Reply) -> Seen {
        let Reply { mut response, next } = reply;
        let mut content = Vec::new();
        let mut is_cut = false;
        match (response.take_content(), next) {
            (Content::Full(data), _) => content.extend_from_slice(data.as_bytes()),
            (Content::Parts(parts), _) => {
                parts.iter().for_each(|part| content.extend_from_slice(part.as_bytes()));
            }
            (Content::Stream(length), Next::Produce(produce)) => {
                is_cut = !collect(Pieces::new(produce), &mut content).await;
                is_cut |= length.is_some_and(|length| length != content.len() as u64);
            }
            (Content::Stream(_) | Content::Empty, _) => {}
        }
        Seen { response, content, is_cut }
    }

    /// The status.
    pub fn status(&self) -> Status {
        self.response.status()
    }

    /// The response, without its content.
    pub fn response(&self) -> &Response {
        &self.response
    }

    /// The value of the first field of this name, `Content-Type` included; `None` also if it is no UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        match self.response.content_type() {
            Some(media_type) if name.eq_ignore_ascii_case("content-type") => Some(media_type),
            _ => core::str::from_utf8(self.response.header(name)?).ok(),
        }
    }

    /// The value of the cookie of this name that the response sets.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.response.headers_named("set-cookie").find_map(|cookie| {
            let pair = core::str::from_utf8(cookie).ok()?.split(';').next()?;
            pair.split_once('=').filter(|(own, _)| *own == name).map(|(_, value)| value)
        })
    }

    /// The content.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// The content as text.
    ///
    /// # Panics
    /// When it is none.
    pub fn text(&self) -> &str {
        core::str::from_utf8(&self.content).expect("UTF-8")
    }

    /// The content as a JSON value.
    ///
    /// # Panics
    /// When it is none of that type.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        match serde_json::from_slice(&self.content) {
            Ok(value) => value,
            Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&self.content)),
        }
    }

    /// Whether a streamed answer was given up, or is not as long as it said: its connection would be cut.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }
}

/// Takes everything; whether it came to its end.
async fn collect(mut pieces: Pieces, content: &mut Vec<u8>) -> bool {
    loop {
        match poll_fn(|cx| pieces.poll_next(cx)).await {
            Piece::Data(data) => content.extend_from_slice(data.as_bytes()),
            Piece::End => return true,
            Piece::Abandoned => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cookie, forms};

    #[test]
    fn handlers_see_what_was_asked() {
        async fn tell(mut request: Request) -> Result<Response, forms::FormError> {
            let form = request.form(&forms::Limits::default()).await?;
            let cookie = request.cookie("c").unwrap_or_default().to_vec();
            let text = alloc::format!(
                "{:?} {} {} {:?} {}",
                request.method(),
                request.peer(),
                form.get("a/b").unwrap_or_default(),
                request.content_length(),
                String::from_utf8_lossy(&cookie),
            );
            let given = Cookie::new("given", "1").expect("a cookie");
            Ok(Response::ok("text/plain", text).with_cookie(&given))
        }
        let seen = put("/x?y")
            .form(&[("a/b", "1&2 \u{e9}"), ("c", "d")])
            .cookie("c", "7")
            .from(Address::Memory(9))
            .ask(&tell);
        assert_eq!(seen.text(), "Put memory:9 1&2 \u{e9} Known(22) 7");
        assert_eq!(
            (seen.header("Content-Type"), seen.cookie("given")),
            (Some("text/plain"), Some("1"))
        );
        assert_eq!((seen.cookie("give"), seen.header("x")), (None, None));
        assert_eq!(post("/").ask(&tell).status(), Status::UNSUPPORTED_MEDIA_TYPE);
    }

    #[test]
    fn a_handler_that_waits_is_asked_in_a_world() {
        let world = World::new();
        let timers = world.timers.clone();
        let late = move |_: Request| {
            let timers = timers.clone();
            async move {
                timers.sleep(core::time::Duration::from_secs(60)).await;
                Response::ok("text/plain", alloc::format!("{:?}", timers.now()))
            }
        };
        assert_eq!(get("/").ask_in(&world, &late).text(), "60s");
        assert_eq!(get("/").ask_in(&world, &late).text(), "120s");
    }

    #[test]
    fn streams_are_taken_to_their_end() {
        let stream = |length, abandons: bool| {
            move |_: Request| async move {
                let head = Response::ok("text/plain", "").carrying(Content::Stream(length));
                Reply::stream(head, async move |mut writer| {
                    writer.write("one ").await;
                    writer.write("two").await;
                    if abandons {
                        writer.abandon();
                    }
                })
            }
        };
        for (length, abandons, is_cut) in [
            (None, false, false),
            (Some(7), false, false),
            (Some(8), false, true),
            (None, true, true),
        ] {
            let seen = get("/").ask(&stream(length, abandons));
            assert_eq!((seen.text(), seen.is_cut()), ("one two", is_cut));
        }
    }
}
