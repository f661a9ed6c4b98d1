//! Selected content: a variant of a file, all of it or ranges, as a response.

use super::Variant;
use super::encoding::ContentCoding;
use super::range::Ranges;
use super::stored::{Part, StoredBody};
use crate::{Answer, Content, Response, Status};
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

/// A response, and what of its content is not in memory.
pub(super) struct Selected {
    pub(super) response: Response,
    /// The content, if the response does not have it.
    body: Option<StoredBody>,
}

impl From<Response> for Selected {
    fn from(response: Response) -> Self {
        Selected { response, body: None }
    }
}

impl Selected {
    /// 200 or 206 with the ranges of a variant, or 416.
    pub(super) fn of(variant: &Variant, media_type: &'static str, ranges: Ranges) -> Selected {
        let len = variant.content.len();
        let is_encoded = variant.coding != ContentCoding::Identity;
        let selected = match ranges {
            // `Content-Encoding` would be said of the parts' envelope, which is not encoded, and clients know no place for
            // it inside. RFC 9110 section 14.2: a server may ignore ranges.
            Ranges::Parts(parts) if is_encoded && parts.len() > 1 => {
                Selected::whole(variant, media_type)
            }
            Ranges::Whole => Selected::whole(variant, media_type),
            Ranges::Unsatisfiable => {
                // RFC 9110 section 15.5.17: tell the length there is.
                let content_range = alloc::format!("bytes */{len}");
                let refusal = Response::plain(Status::RANGE_NOT_SATISFIABLE);
                return refusal.with_header("Content-Range", content_range).into();
            }
            Ranges::Parts(parts) => match &*parts {
                [part] => Selected::part(variant, media_type, part).map(|response| {
                    let response = response.with_status(Status::PARTIAL_CONTENT);
                    response.with_header("Content-Range", content_range(part, len))
                }),
                _ => Selected::multipart(variant, media_type, &parts),
            },
        };
        match variant.coding.name() {
            Some(name) => selected.map(|response| response.with_header("Content-Encoding", name)),
            None => selected,
        }
    }

    pub(super) fn whole(variant: &Variant, media_type: &'static str) -> Selected {
        Selected::part(variant, media_type, &(0..variant.content.len()))
    }

    fn part(variant: &Variant, media_type: &'static str, part: &Range<usize>) -> Selected {
        match variant.content.part(part) {
            Part::Bytes(data) => Response::ok(media_type, data).into(),
            stored => Selected::of_parts(Response::ok(media_type, ""), Vec::from([stored])),
        }
    }

    /// `multipart/byteranges` (RFC 9110 section 14.6).
    fn multipart(variant: &Variant, media_type: &'static str, ranges: &[Range<usize>]) -> Selected {
        // The tag is a hash of the content; content that holds the hash of itself is nobody's accident.
        let boundary = core::str::from_utf8(variant.etag.tag().opaque).unwrap_or("boundary");
        let mut body = Vec::with_capacity(ranges.len() * 2 + 1);
        for range in ranges {
            let place = content_range(range, variant.content.len());
            let head = alloc::format!(
                "\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {place}\r\n\r\n"
            );
            body.push(Part::Bytes(head.into()));
            body.push(variant.content.part(range));
        }
        body.push(Part::Bytes(alloc::format!("\r\n--{boundary}--\r\n").into()));
        let media_type = alloc::format!("multipart/byteranges; boundary={boundary}");
        let response =
            Response::new(Status::PARTIAL_CONTENT).with_header("Content-Type", media_type);
        Selected::of_parts(response, body)
    }

    /// Content of several parts, which is the response's own if all of it is in memory.
    fn of_parts(response: Response, parts: Vec<Part>) -> Selected {
        match StoredBody::new(parts) {
            Ok(body) => Selected { response, body: Some(body) },
            Err(data) => response.carrying(Content::Parts(data)).into(),
        }
    }

    pub(super) fn map(self, change: impl FnOnce(Response) -> Response) -> Selected {
        Selected { response: change(self.response), ..self }
    }

    /// What is in memory is always the same.
    pub(super) fn repeatable(self) -> Selected {
        if self.body.is_none() { self.map(Response::repeatable) } else { self }
    }

    pub(super) fn answer(self, is_head: bool) -> Answer {
        match self.body {
            None => Answer::Now(self.response.into()),
            // RFC 9110 section 9.3.2: what is said of the content is the same, and it is not looked at.
            Some(body) if is_head => Answer::Now(self.response.carrying(body.announced()).into()),
            Some(body) => body.answer(self.response),
        }
    }
}

/// `bytes FIRST-LAST/LENGTH` (RFC 9110 section 14.4).
fn content_range(part: &Range<usize>, len: usize) -> String {
    alloc::format!("bytes {}-{}/{len}", part.start, part.end.saturating_sub(1))
}
