//! Forms with files: `multipart/form-data` (RFC 7578), read a piece at a time as it arrives, so that an upload may be longer
//! than memory.
//!
//! ```
//! use web::multipart::{Limits, MultipartError};
//! use web::{Request, Response};
//!
//! async fn upload(mut request: Request) -> Result<Response, MultipartError> {
//!     let mut form = request.multipart(&Limits::default())?;
//!     let mut report = String::new();
//!     while let Some(mut part) = form.next().await? {
//!         let mut bytes = 0;
//!         while let Some(piece) = part.next().await? {
//!             bytes += piece.len();
//!         }
//!         report += &format!("{}: {bytes} bytes\n", part.name());
//!     }
//!     Ok(Response::ok("text/plain; charset=utf-8", report))
//! }
//! # let routes = web::Routes::new().post("/upload", upload);
//! ```

mod parser;

use crate::body::append;
use crate::{Body, BodyError, Reply, Request, Response, Status};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use parser::{Parser, PartHead, Step};

/// What a form may have.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of the whole content. Default 16 MiB.
    pub bytes_max: u64,
    /// Parts. Default 100.
    pub parts_max: usize,
    /// Bytes of one part's head. Default 4 KiB.
    pub head_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { bytes_max: 16 << 20, parts_max: 100, head_bytes_max: 4 << 10 }
    }
}

/// Why there is no form, or no more of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MultipartError {
    /// The content is of another media type.
    MediaType,
    /// The content is not as RFC 7578 says.
    Malformed,
    /// More bytes or parts than a limit.
    TooLarge,
    /// The content did not arrive whole.
    Incomplete,
}

impl MultipartError {
    /// The status that says so.
    pub fn status(self) -> Status {
        match self {
            MultipartError::MediaType => Status::UNSUPPORTED_MEDIA_TYPE,
            MultipartError::Malformed | MultipartError::Incomplete => Status::BAD_REQUEST,
            MultipartError::TooLarge => Status::CONTENT_TOO_LARGE,
        }
    }
}

impl fmt::Display for MultipartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MediaType => "the content is to be multipart/form-data",
            Self::Malformed => "the content is no multipart form",
            Self::TooLarge => "the form is larger than allowed",
            Self::Incomplete => "the form did not arrive whole",
        })
    }
}

impl core::error::Error for MultipartError {}

impl From<BodyError> for MultipartError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLong => Self::TooLarge,
            BodyError::Incomplete => Self::Incomplete,
        }
    }
}

/// The error as text, with its status.
impl From<MultipartError> for Response {
    fn from(error: MultipartError) -> Response {
        Response::error(error.status(), &error)
    }
}

impl From<MultipartError> for Reply {
    fn from(error: MultipartError) -> Reply {
        Response::from(error).into()
    }
}

impl Request {
    /// Takes the body to read it as a form with files.
    ///
    /// # Errors
    /// [`MultipartError::MediaType`], and [`MultipartError::Malformed`] without a boundary.
    pub fn multipart(&mut self, limits: &Limits) -> Result<Multipart, MultipartError> {
        let content_type = self.header("content-type").unwrap_or(b"");
        let boundary = parser::boundary(content_type)?;
        let parser = Parser::new(&boundary, limits.head_bytes_max);
        let mut body = core::mem::take(self.body());
        body.limit(limits.bytes_max);
        Ok(Multipart { body, parser, parts_left: limits.parts_max, collected_bytes: 0 })
    }
}

/// A form whose parts arrive one after the other.
pub struct Multipart {
    body: Body,
    parser: Parser,
    parts_left: usize,
    /// What the handler has of a part in one piece.
    collected_bytes: usize,
}

impl Multipart {
    /// The next part, in the order sent; `None` at the end. What was not read of the part before is dropped.
    ///
    /// # Errors
    /// See [`MultipartError`].
    pub async fn next(&mut self) -> Result<Option<Part<'_>>, MultipartError> {
        self.collected_bytes = 0;
        loop {
            match self.step().await? {
                Step::Head(head) => {
                    let left = self.parts_left.checked_sub(1);
                    self.parts_left = left.ok_or(MultipartError::TooLarge)?;
                    return Ok(Some(Part { form: self, head, is_done: false }));
                }
                Step::End => return Ok(None),
                Step::Data(_) | Step::PartEnd => {}
            }
        }
    }

    async fn step(&mut self) -> Result<Step, MultipartError> {
        loop {
            let step = self.parser.poll()?;
            self.weigh();
            if let Some(step) = step {
                return Ok(step);
            }
            let bytes = self.body.next().await?.ok_or(MultipartError::Incomplete)?;
            self.parser.push(&bytes);
        }
    }

    /// Says what is held of the body: what waits here, and what was collected of a part.
    fn weigh(&self) {
        self.body.weigh_collected(self.parser.held_bytes() + self.collected_bytes);
    }
}

impl fmt::Debug for Multipart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Multipart({} more parts at most)", self.parts_left)
    }
}

/// A part of a form: a field, or a file.
pub struct Part<'a> {
    form: &'a mut Multipart,
    head: PartHead,
    is_done: bool,
}

impl Part<'_> {
    /// The field's name.
    pub fn name(&self) -> &str {
        &self.head.name
    }

    /// The name of a file, as its owner calls it, without folders; `None` for a field. It is not to be
    /// taken for a place in a file system (RFC 7578 section 4.2).
    pub fn file_name(&self) -> Option<&str> {
        self.head.file_name.as_deref()
    }

    /// The media type that the client says; `None` without one, which means `text/plain` (RFC 7578 section 4.4).
    pub fn content_type(&self) -> Option<&str> {
        self.head.content_type.as_deref()
    }

    /// The next bytes of its content, never none; `None` at its end.
    ///
    /// # Errors
    /// See [`MultipartError`].
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, MultipartError> {
        if self.is_done {
            return Ok(None);
        }
        match self.form.step().await? {
            Step::Data(bytes) => Ok(Some(bytes)),
            Step::Head(_) | Step::PartEnd | Step::End => {
                self.is_done = true;
                Ok(None)
            }
        }
    }

    /// The whole content, if it is at most `bytes_max` long.
    ///
    /// # Errors
    /// See [`MultipartError`].
    pub async fn collect(&mut self, bytes_max: usize) -> Result<Vec<u8>, MultipartError> {
        let bytes_max = bytes_max.min(self.form.body.collected_bytes_max());
        let mut whole = Vec::new();
        while let Some(bytes) = self.next().await? {
            if !append(&mut whole, bytes, bytes_max) {
                return Err(MultipartError::TooLarge);
            }
            self.form.collected_bytes = whole.capacity();
            self.form.weigh();
        }
        Ok(whole)
    }

    /// The whole content as text, if it is at most `bytes_max` long; what is no UTF-8 becomes U+FFFD.
    ///
    /// # Errors
    /// See [`MultipartError`].
    pub async fn text(&mut self, bytes_max: usize) -> Result<String, MultipartError> {
        let whole = self.collect(bytes_max).await?;
        Ok(match String::from_utf8(whole) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }
}

impl fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Part({:?})", self.head)
    }
}

#[cfg(test)]
mod tests;
