//! Access log lines in the combined format of common web servers, with two fields more: how long it took, in seconds,
//! and why a request was refused or its answer cut off. A third follows where requests are given ids.

use crate::date::HttpDate;
use crate::decimal::{self, DIGITS_MAX};
use crate::{RequestHead, Status};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// The status of the answer; none if there was no answer.
    pub status: Option<Status>,
    /// Bytes of content that were sent; none if there was no answer.
    pub content_bytes: Option<u64>,
    /// From the request's head to the answer's last byte.
    pub duration: Duration,
    /// Why it was refused or cut off; none if it was not.
    pub reason: Option<&'static str>,
}

/// What a line has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The Common Log Format: client, time, request line, status, bytes of content.
    Common,
    /// The combined one: the same, with `Referer` and `User-Agent`.
    Combined,
    /// The same, with the seconds that it took, the reason, and the id.
    #[default]
    Extended,
}

/// The field of an answer that says what its request is called, and that lines of such requests end with.
pub const ID_FIELD: &str = "X-Request-Id";

/// A line without how the request ended, which is known only when the request may be gone.
#[derive(Clone, Debug)]
pub struct Entry {
    line: Vec<u8>,
    /// Where status and length belong.
    gap: usize,
    format: Format,
    id: Option<Box<[u8]>>,
}

impl Entry {
    /// Begins a line: `PEER - - [06/Nov/1994:08:49:37 +0000] "GET / HTTP/1.1"`, and for later
    /// `"REFERER" "USER-AGENT"`.
    ///
    /// `request` is `None` if it was refused before it was one, `date` without a clock.
    pub fn new(
        format: Format,
        peer: &[u8],
        date: Option<&HttpDate>,
        request: Option<&RequestHead>,
    ) -> Entry {
        let mut line = Vec::with_capacity(256);
        escape(&mut line, peer);
        line.extend_from_slice(b" - - [");
        write_time(&mut line, date);
        line.extend_from_slice(b"] \"");
        if let Some(request) = request {
            escape(&mut line, request.method_name());
            line.push(b' ');
            escape(&mut line, request.target());
            line.push(b' ');
            line.extend_from_slice(request.version().name().as_bytes());
        } else {
            line.push(b'-');
        }
        line.extend_from_slice(b"\" ");
        let gap = line.len();
        let names: &[&str] =
            if format == Format::Common { &[] } else { &["referer", "user-agent"] };
        for name in names {
            line.extend_from_slice(b" \"");
            escape(&mut line, request.and_then(|request| request.header(name)).unwrap_or(b"-"));
            line.push(b'"');
        }
        Entry { line, gap, format, id: None }
    }

    /// The request has this id.
    pub fn set_id(&mut self, id: &[u8]) {
        self.id = Some(id.into());
    }

    /// The whole line, ASCII, without a line end.
    pub fn finish(mut self, end: End) -> Vec<u8> {
        let mut text = Vec::with_capacity(24);
        write_number(&mut text, end.status.map(|status| u64::from(status.code())));
        text.push(b' ');
        write_number(&mut text, end.content_bytes);
        self.line.splice(self.gap..self.gap, text);
        if self.format != Format::Extended {
            return self.line;
        }
        self.line.push(b' ');
        let millis = end.duration.subsec_millis();
        write_number(&mut self.line, Some(end.duration.as_secs()));
        self.line.push(b'.');
        for unit in [100, 10, 1] {
            self.line.push(b"0123456789"[(millis / unit % 10) as usize]);
        }
        self.line.extend_from_slice(b" \"");
        escape(&mut self.line, end.reason.unwrap_or("-").as_bytes());
        self.line.push(b'"');
        if let Some(id) = &self.id {
            self.line.extend_from_slice(b" \"");
            escape(&mut self.line, id);
            self.line.push(b'"');
        }
        self.line
    }
}

fn write_number(line: &mut Vec<u8>, number: Option<u64>) {
    match number {
        Some(number) => line.extend_from_slice(decimal::write(number, &mut [0; DIGITS_MAX])),
        None => line.push(b'-'),
    }
}

/// Quotes, backslashes and whatever is not visible ASCII become escapes, so that no client can
/// write a line of its own or move a reader's cursor.
fn escape(line: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
            0x20..=0x7e => line.push(byte),
            _ => {
                let digit = |value: u8| b"0123456789abcdef"[usize::from(value & 15)];
                line.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte)]);
            }
        }
    }
}

/// `06/Nov/1994:08:49:37 +0000`, from the parts of `Sun, 06 Nov 1994 08:49:37 GMT`.
fn write_time(line: &mut Vec<u8>, date: Option<&HttpDate>) {
    let Some(date) = date else { return line.push(b'-') };
    let [_, _, _, _, _, d1, d2, _, m1, m2, m3, _, y1, y2, y3, y4, _, clock @ .., _, _, _, _] =
        date.as_bytes();
    line.extend_from_slice(&[*d1, *d2, b'/', *m1, *m2, *m3, b'/', *y1, *y2, *y3, *y4, b':']);
    line.extend_from_slice(clock);
    line.extend_from_slice(b" +0000");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::parsed;
    use alloc::string::String;

    fn end(bytes: u64) -> End {
        let duration = Duration::from_micros(1_002_900);
        let (status, content_bytes) = (Some(Status::OK), Some(bytes));
        End { status, content_bytes, duration, reason: None }
    }

    fn line(request: Option<&RequestHead>) -> String {
        let date = HttpDate::from_unix_seconds(784_111_777);
        let entry = Entry::new(Format::Extended, b"10.0.0.1", Some(&date), request);
        String::from_utf8(entry.finish(end(13))).unwrap()
    }

    #[test]
    fn the_combined_format() {
        let request = parsed("GET", "/a?b", &[("Referer", "http://x/"), ("User-Agent", "curl/8")]);
        assert_eq!(
            line(Some(&request)),
            "10.0.0.1 - - [06/Nov/1994:08:49:37 +0000] \"GET /a?b HTTP/1.1\" 200 13 \"http://x/\" \"curl/8\" 1.002 \"-\""
        );
        assert_eq!(
            line(None),
            "10.0.0.1 - - [06/Nov/1994:08:49:37 +0000] \"-\" 200 13 \"-\" \"-\" 1.002 \"-\""
        );
        let none = End {
            status: None,
            content_bytes: None,
            duration: Duration::ZERO,
            reason: Some("a \"b\""),
        };
        let bare = Entry::new(Format::Extended, b"::1", None, None).finish(none);
        assert_eq!(bare, b"::1 - - [-] \"-\" - - \"-\" \"-\" 0.000 \"a \\\"b\\\"\"");
        let long = Entry::new(Format::Extended, b"", None, None).finish(end(u64::MAX));
        assert!(long.windows(26).any(|window| window == b" 200 18446744073709551615 "));
    }

    #[test]
    fn other_servers_formats_end_earlier() {
        let request = parsed("GET", "/a?b", &[("Referer", "http://x/"), ("User-Agent", "curl/8")]);
        let date = HttpDate::from_unix_seconds(784_111_777);
        let line = |format| {
            let mut entry = Entry::new(format, b"10.0.0.1", Some(&date), Some(&request));
            entry.set_id(b"9f1c");
            String::from_utf8(entry.finish(end(13))).unwrap()
        };
        let common = "10.0.0.1 - - [06/Nov/1994:08:49:37 +0000] \"GET /a?b HTTP/1.1\" 200 13";
        assert_eq!(line(Format::Common), common);
        assert_eq!(line(Format::Combined), alloc::format!("{common} \"http://x/\" \"curl/8\""));
    }

    #[test]
    fn an_id_stands_at_the_end() {
        let mut entry = Entry::new(Format::Extended, b"10.0.0.1", None, None);
        entry.set_id(b"9f1c\"");
        let line = String::from_utf8(entry.finish(end(13))).unwrap();
        assert!(line.ends_with(" 1.002 \"-\" \"9f1c\\\"\""), "{line}");
    }

    #[test]
    fn nobody_writes_a_line_of_his_own() {
        let request = parsed("GET", "/\"\\", &[("User-Agent", "a\" 200 1\t\u{e9}\\")]);
        assert!(line(Some(&request)).contains("\"GET /\\\"\\\\ HTTP/1.1\""));
        assert!(
            line(Some(&request)).ends_with("\"-\" \"a\\\" 200 1\\x09\\xc3\\xa9\\\\\" 1.002 \"-\"")
        );
    }
}
