//! Access log lines in the combined format of common web servers.

use crate::date::HttpDate;
use crate::decimal::{self, DIGITS_MAX};
use crate::{RequestHead, Status};
use alloc::vec::Vec;

/// A line without its status and length, which are known only when the request may be gone.
#[derive(Clone, Debug)]
pub struct Entry {
    line: Vec<u8>,
    /// Where status and length belong.
    gap: usize,
}

impl Entry {
    /// Begins a line: `PEER - - [06/Nov/1994:08:49:37 +0000] "GET / HTTP/1.1"`, and for later
    /// `"REFERER" "USER-AGENT"`.
    ///
    /// `request` is `None` if it was refused before it was one, `date` without a clock.
    pub fn new(peer: &[u8], date: Option<&HttpDate>, request: Option<&RequestHead>) -> Entry {
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
        for name in ["referer", "user-agent"] {
            line.extend_from_slice(b" \"");
            escape(&mut line, request.and_then(|request| request.header(name)).unwrap_or(b"-"));
            line.push(b'"');
        }
        Entry { line, gap }
    }

    /// The whole line, ASCII, without a line end. `content_bytes` is `None` if there was no content, or nobody counted.
    pub fn finish(mut self, status: Status, content_bytes: Option<u64>) -> Vec<u8> {
        let mut text = Vec::with_capacity(24);
        text.extend_from_slice(decimal::write(u64::from(status.code()), &mut [0; DIGITS_MAX]));
        text.push(b' ');
        match content_bytes {
            Some(bytes) => text.extend_from_slice(decimal::write(bytes, &mut [0; DIGITS_MAX])),
            None => text.push(b'-'),
        }
        self.line.splice(self.gap..self.gap, text);
        self.line
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

    fn line(request: Option<&RequestHead>) -> String {
        let date = HttpDate::from_unix_seconds(784_111_777);
        String::from_utf8(
            Entry::new(b"10.0.0.1", Some(&date), request).finish(Status::OK, Some(13)),
        )
        .unwrap()
    }

    #[test]
    fn the_combined_format() {
        let request = parsed("GET", "/a?b", &[("Referer", "http://x/"), ("User-Agent", "curl/8")]);
        assert_eq!(
            line(Some(&request)),
            "10.0.0.1 - - [06/Nov/1994:08:49:37 +0000] \"GET /a?b HTTP/1.1\" 200 13 \"http://x/\" \"curl/8\""
        );
        assert_eq!(
            line(None),
            "10.0.0.1 - - [06/Nov/1994:08:49:37 +0000] \"-\" 200 13 \"-\" \"-\""
        );
        let bare = Entry::new(b"::1", None, None).finish(Status::BAD_REQUEST, None);
        assert_eq!(bare, b"::1 - - [-] \"-\" 400 - \"-\" \"-\"");
        let long = Entry::new(b"", None, None).finish(Status::OK, Some(u64::MAX));
        assert!(long.windows(26).any(|window| window == b" 200 18446744073709551615 "));
    }

    #[test]
    fn nobody_writes_a_line_of_his_own() {
        let request = parsed("GET", "/\"\\", &[("User-Agent", "a\" 200 1\t\u{e9}\\")]);
        assert!(line(Some(&request)).contains("\"GET /\\\"\\\\ HTTP/1.1\""));
        assert!(line(Some(&request)).ends_with("\"-\" \"a\\\" 200 1\\x09\\xc3\\xa9\\\\\""));
    }
}
