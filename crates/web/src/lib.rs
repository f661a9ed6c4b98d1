//! HTTP semantics (RFC 9110) without a protocol: what a handler sees, whatever carries it.
//!
//! A [`Handler`] is given a [`Request`] and gives back a [`Response`]. Both say nothing about how they travel: HTTP/1.1,
//! FastCGI and Gopher make the one and write the other, each as a [`server::ServerCore`]. Everything that follows from a request's
//! values alone is here as well: [`Routes`], [cookies], [forms], [forms with files](multipart), [JSON](json), [`files`],
//! [`conditional requests`](files::conditional), dates, media types, the [access log's line](access_log); and what is done
//! around handlers, by [layers]. `docs/web.md` shows each by an example.
//!
//! ```
//! use web::{Request, Response, Routes, Status, testing};
//!
//! async fn greet(request: Request) -> Response {
//!     match request.parameter_text("name") {
//!         Some(name) => Response::ok("text/plain; charset=utf-8", format!("hello {name}\n")),
//!         None => Response::plain(Status::BAD_REQUEST),
//!     }
//! }
//!
//! // A test asks the routes, without a connection.
//! let routes = Routes::new().get("/greet/:name", greet);
//! let seen = testing::get("/greet/J%C3%BCrgen").ask(&routes);
//! assert_eq!((seen.status(), seen.text()), (Status::OK, "hello Jürgen\n"));
//! ```
//!
//! One word each: *content* is what a message says (RFC 9110 section 6.4), and [`Content`] what a response carries of it;
//! [`Body`] is a request's content as it arrives, [`ContentWriter`] a response's as it is written; [`Data`] is a run of bytes.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

/// The examples of the page on handlers are tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/web.md")]
struct WritingHandlers;

pub mod access_log;
pub mod answers;
mod body;
mod content;
pub mod cookies;
mod data;
pub mod date;
pub mod decimal;
pub mod event_stream;
pub mod fields;
pub mod files;
pub mod forms;
mod handler;
pub mod html;
pub mod json;
pub mod layer;
pub mod layers;
pub mod media_type;
pub mod menu;
mod method;
pub mod multipart;
pub mod percent;
pub mod repeating;
mod request;
mod response;
pub mod router;
mod routes;
pub mod server;
pub mod session;
mod status;
pub mod syntax;
pub mod testing;
mod writer;

pub use body::{Body, BodyError, BodySender};
pub use content::{Content, ContentLength};
pub use cookies::{Cookie, SameSite};
pub use data::Data;
pub use fields::{Fields, Trailers};
pub use forms::Form;
pub use handler::{Answer, Answering, Handler, Next, Producing, Reply, sharing};
pub use layer::{Layer, Layered};
pub use method::{Method, Version};
pub use request::{Parts, Request, RequestHead};
pub use response::Response;
pub use routes::Routes;
pub use status::Status;
pub use writer::{ContentReceiver, ContentWriter};
