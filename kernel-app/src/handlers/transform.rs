//! Sample service of the ZeroMQ port: a function from a [`Request`] to a [`Reply`], as CBOR, plain or
//! compressed; the pipelines are those of [`make_server`](endpoints::pipe::make_server).
//!
//! In Python: `req.send(b"p" + cbor2.dumps({"upper": "water"}))` is answered with
//! `b"p" + cbor2.dumps("WATER")`.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What is asked for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Request {
    /// The same text.
    Echo(String),
    /// The text in capitals.
    Upper(String),
    /// The numbers, the other way around.
    Reverse(Vec<i64>),
    /// The sum of the numbers; it wraps.
    Sum(Vec<i64>),
}

/// The answer, as itself.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// To [`Request::Echo`] and [`Request::Upper`].
    Text(String),
    /// To [`Request::Reverse`].
    Numbers(Vec<i64>),
    /// To [`Request::Sum`].
    Number(i64),
}

/// The service.
pub async fn transform(request: Request) -> Reply {
    match request {
        Request::Echo(text) => Reply::Text(text),
        Request::Upper(text) => Reply::Text(text.to_uppercase()),
        Request::Reverse(mut numbers) => {
            numbers.reverse();
            Reply::Numbers(numbers)
        }
        Request::Sum(numbers) => {
            Reply::Number(numbers.iter().fold(0, |sum: i64, number| sum.wrapping_add(*number)))
        }
    }
}
