//! Layers that most appliances need. Each is put around a table, or a part of one, by [`Routes::layer`](crate::Routes::layer),
//! or around one handler by [`Handler::layer`](crate::Handler::layer); one that is not used is not in the image.
//!
//! | layer | answers itself with | holds |
//! |---|---|---|
//! | [`BodyLimit`] | 413 | nothing |
//! | [`TimeLimit`] | 408, 503 | a timer for each request that waits |
//! | [`Compression`] | - | some 330 KB for each answer that is being compressed, of which it limits the number |
//! | [`BasicAuth`] | 401 | nothing |
//! | [`RateLimit`] | 429, 400 | some 100 bytes for each client, of which it limits the number |
//! | [`Cors`] | 204 to preflights | nothing |
//! | [`RequestId`] | - | the id of each request that waits |
//!
//! What is added last is outermost. A usual order, from the inside: compression, limits, authentication, rate limit, CORS,
//! request id.
//!
//! ```
//! use core::time::Duration;
//! use web::layers::{BasicAuth, BodyLimit, Compression, Cors, RateLimit, RequestId, TimeLimit};
//! use web::{Request, Response, Routes};
//!
//! # async fn page(_: Request) -> Response { Response::ok("text/plain", "") }
//! # fn table(timers: &flow::time::Timers, fill_random: fn(&mut [u8])) -> Routes {
//! let api = Routes::new().get("/", page).layer(BasicAuth::of("api", [("ann", "secret")]));
//! Routes::new()
//!     .nest("/api", api)
//!     .layer(Compression::new())
//!     .layer(BodyLimit::new(1 << 20))
//!     .layer(TimeLimit::new(timers, Duration::from_secs(10)))
//!     .layer(RateLimit::new(timers, 100, Duration::from_secs(60)))
//!     .layer(Cors::of(["https://app.example"]))
//!     .layer(RequestId::new(fill_random))
//! # }
//! # let _ = table;
//! ```

mod basic_auth;
mod body_limit;
mod compression;
mod cors;
mod gzip;
mod rate_limit;
mod request_id;
mod time_limit;

pub use basic_auth::{BasicAuth, CREDENTIALS_BYTES_MAX, Credentials};
pub use body_limit::BodyLimit;
pub use compression::Compression;
pub use cors::Cors;
pub use rate_limit::{KEY_BYTES_MAX, RateLimit};
pub use request_id::{ID_BYTES_MAX, RequestId};
pub use time_limit::TimeLimit;
