//! JSON (RFC 8259), by serde.
//!
//! ```
//! use web::json::JsonError;
//! use web::{Request, Response};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize, Serialize)]
//! struct Person {
//!     name: String,
//!     age: u8,
//! }
//!
//! /// Makes somebody a year older.
//! async fn birthday(mut request: Request) -> Result<Response, JsonError> {
//!     let mut person: Person = request.json(4096).await?;
//!     person.age = person.age.saturating_add(1);
//!     Ok(Response::json(&person))
//! }
//! # let routes = web::Routes::new().post("/birthday", birthday);
//! ```

use crate::{BodyError, Reply, Request, Response, Status, media_type};
use alloc::string::{String, ToString};
use core::fmt;
use flow::task::waiting;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// The content is of another media type than `application/json`, or one that ends with `+json`.
    MediaType,
    /// The content is longer than the limit.
    TooLarge,
    /// The content did not arrive whole.
    Incomplete,
    /// The content is no JSON: what is wrong with it, and where, by line and column from 1.
    Syntax(String),
    /// The content is JSON, but no value of the type that is wanted: what is wrong with it, and where.
    Shape(String),
}

impl JsonError {
    /// The status that says so.
    pub fn status(&self) -> Status {
        match self {
            JsonError::MediaType => Status::UNSUPPORTED_MEDIA_TYPE,
            JsonError::TooLarge => Status::CONTENT_TOO_LARGE,
            JsonError::Incomplete | JsonError::Syntax(_) => Status::BAD_REQUEST,
            JsonError::Shape(_) => Status::UNPROCESSABLE_CONTENT,
        }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MediaType => f.write_str("the content is to be application/json"),
            Self::TooLarge => f.write_str("the content is longer than allowed"),
            Self::Incomplete => f.write_str("the content did not arrive whole"),
            Self::Syntax(fault) => write!(f, "the content is no JSON: {fault}"),
            Self::Shape(fault) => write!(f, "the content is not what is wanted: {fault}"),
        }
    }
}

impl core::error::Error for JsonError {}

/// The error as text, with its status.
impl From<JsonError> for Response {
    fn from(error: JsonError) -> Response {
        Response::error(error.status(), &error)
    }
}

impl From<JsonError> for Reply {
    fn from(error: JsonError) -> Reply {
        Response::from(error).into()
    }
}

impl Request {
    /// Reads the content as a JSON value, of at most `bytes_max` bytes and 127 levels. The value may take some ten times as
    /// much memory as its text, where it is made of many small parts.
    ///
    /// # Errors
    /// See [`JsonError`].
    #[track_caller]
    pub fn json<T: DeserializeOwned>(
        &mut self,
        bytes_max: usize,
    ) -> impl Future<Output = Result<T, JsonError>> {
        waiting(async move {
            if !is_json(self.header("content-type").unwrap_or(b"")) {
                return Err(JsonError::MediaType);
            }
            let text = self.body().collect(bytes_max).await.map_err(|error| match error {
                BodyError::TooLong => JsonError::TooLarge,
                BodyError::Incomplete => JsonError::Incomplete,
            })?;
            serde_json::from_slice(&text).map_err(|error| fault(&error, &text))
        })
    }
}

fn fault(error: &serde_json::Error, text: &[u8]) -> JsonError {
    // An array that is longer than the type's is called bad syntax, too.
    let is_json = || serde_json::from_slice::<IgnoredAny>(text).is_ok();
    if error.classify() == Category::Data || is_json() {
        JsonError::Shape(error.to_string())
    } else {
        JsonError::Syntax(error.to_string())
    }
}

impl Response {
    /// 200 with this value as JSON. A value that JSON does not have, such as a map whose keys are no text, is a mistake
    /// of the handler's: 500, and a line in the log.
    pub fn json(value: &(impl Serialize + ?Sized)) -> Response {
        match serde_json::to_vec(value) {
            Ok(text) => Response::ok("application/json", text),
            Err(error) => {
                log::error!("a handler's value is no JSON: {error}");
                Response::plain(Status::INTERNAL_SERVER_ERROR)
            }
        }
    }
}

/// Whether a `Content-Type` is JSON's, or one whose suffix says that it is JSON (RFC 6839 section 3.1).
fn is_json(value: &[u8]) -> bool {
    let essence = media_type::essence(value);
    let suffix_at = essence.len().saturating_sub(b"+json".len());
    essence.eq_ignore_ascii_case(b"application/json")
        || essence.get(suffix_at..).is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"+json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::parsed;
    use crate::{Body, Content};
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;
    use flow::Address;
    use flow::task::block_on;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
    struct Point {
        x: i32,
        y: Option<i32>,
    }

    fn read<T: DeserializeOwned>(
        media_type: &str,
        content: &str,
        piece: usize,
    ) -> Result<T, JsonError> {
        let (sender, body) = Body::channel();
        content.as_bytes().chunks(piece).for_each(|piece| sender.push(piece));
        sender.end(Ok(None));
        let head = parsed("POST", "/", &[("Content-Type", media_type)]);
        block_on(Request::new(head, body, Address::Memory(0)).json(30))
    }

    fn point(content: &str) -> Result<Point, JsonError> {
        read("application/json", content, 100)
    }

    #[test]
    fn rfc8259_values_are_read_whatever_their_pieces() {
        let text = "\t{\"y\": null, \"x\": -7, \"z\": []}";
        for piece in 1..=text.len() {
            assert_eq!(read("application/json", text, piece), Ok(Point { x: -7, y: None }));
        }
    }

    #[test]
    fn rfc9110_15_5_16_other_media_types_are_415() {
        for media_type in
            ["application/json; charset=utf-8", "Application/JSON", "application/a+json"]
        {
            assert_eq!(read::<i32>(media_type, "7", 9), Ok(7), "{media_type}");
        }
        for media_type in ["", "text/json", "json", "application/x-www-form-urlencoded", "+jso"] {
            let error = read::<i32>(media_type, "7", 9).unwrap_err();
            assert_eq!(error.status(), Status::UNSUPPORTED_MEDIA_TYPE, "{media_type}");
        }
    }

    #[test]
    fn rfc9110_15_5_14_longer_content_is_413() {
        assert!(point(&(String::from("{\"x\": 1}") + &" ".repeat(22))).is_ok());
        let error = point(&(String::from("{\"x\": 1}") + &" ".repeat(23))).unwrap_err();
        assert_eq!((error.status(), error), (Status::CONTENT_TOO_LARGE, JsonError::TooLarge));
    }

    #[test]
    fn what_is_no_json_is_400_with_its_place() {
        for (content, place) in [
            ("", "line 1 column 0"),
            ("{\"x\": 1,\n}", "line 2 column 1"),
            ("{\"x\": 1} 2", "line 1 column 10"),
            ("{\"x\": 1", "line 1 column 7"),
            ("{\"x\": NaN}", "line 1 column 7"),
        ] {
            let error = point(content).unwrap_err();
            assert_eq!(error.status(), Status::BAD_REQUEST, "{content}");
            assert!(error.to_string().ends_with(place), "{content}: {error}");
        }
        let deep = "[".repeat(30);
        assert!(matches!(
            read::<Vec<u8>>("application/json", &deep, 9),
            Err(JsonError::Shape(_) | JsonError::Syntax(_))
        ));
    }

    #[test]
    fn what_is_another_value_is_422_with_its_place() {
        for (content, fault) in [
            ("{\"x\": \"1\"}", "expected i32 at line 1 column 9"),
            ("{\n\"y\": 1}", "missing field `x` at line 2 column 7"),
            ("{\"x\": 1e99}", "line 1 column 10"),
            ("7", "line 1 column 1"),
            ("[1, 2, 3]", "line 1 column 8"),
        ] {
            let error = point(content).unwrap_err();
            assert_eq!(error.status(), Status::UNPROCESSABLE_CONTENT, "{content}");
            assert!(error.to_string().ends_with(fault), "{content}: {error}");
        }
    }

    #[test]
    fn errors_are_answered_as_text() {
        let response = Response::from(JsonError::Shape("missing field `x`".into()));
        assert_eq!(response.status(), Status::UNPROCESSABLE_CONTENT);
        let Content::Full(text) = response.content() else { panic!() };
        assert_eq!(text.as_bytes(), b"the content is not what is wanted: missing field `x`\n");
    }

    #[test]
    fn values_are_written() {
        let response = Response::json(&[Point { x: 1, y: Some(2) }]);
        assert_eq!(response.content_type(), Some("application/json"));
        let Content::Full(text) = response.content() else { panic!() };
        assert_eq!(text.as_bytes(), b"[{\"x\":1,\"y\":2}]");
        let keys: BTreeMap<Vec<u8>, u8> = [(Vec::from([1]), 1)].into();
        assert_eq!(Response::json(&keys).status(), Status::INTERNAL_SERVER_ERROR);
    }
}
