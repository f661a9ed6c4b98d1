//! Access log lines in the combined format.

use super::date::HttpDate;
use crate::{Request, Status};
use alloc::vec::Vec;

/// What a line tells besides the request.
#[derive(Clone, Copy, Debug)]
pub struct Served<'a> {
    /// The client's address.
    pub peer: &'a str,
    /// When the request came, in seconds since 1970-01-01T00:00:00Z.
    pub unix_seconds: u64,
    /// The response's status.
    pub status: Status,
    /// Bytes of content sent.
    pub content_bytes: u64,
}

/// Appends the line, without a line end:
/// `PEER - - [06/Nov/1994:08:49:37 +0000] "GET / HTTP/1.1" 200 13 "REFERER" "USER-AGENT"`.
///
/// `request` is `None` if it was refused before it was one.
pub fn write_line(line: &mut Vec<u8>, request: Option<&Request>, served: &Served<'_>) {
    escape(line, served.peer.as_bytes());
    line.extend_from_slice(b" - - [");
    write_time(line, served.unix_seconds);
    line.extend_from_slice(b"] \"");
    if let Some(request) = request {
        escape(line, request.method_name());
        line.push(b' ');
        escape(line, request.target());
        line.push(b' ');
        line.extend_from_slice(request.version().name().as_bytes());
    } else {
        line.push(b'-');
    }
    line.extend_from_slice(b"\" ");
    write_decimal(line, u64::from(served.status.code()));
    line.push(b' ');
    write_decimal(line, served.content_bytes);
    for name in ["referer", "user-agent"] {
        line.extend_from_slice(b" \"");
        escape(line, request.and_then(|request| request.header(name)).unwrap_or(b"-"));
        line.push(b'"');
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
fn write_time(line: &mut Vec<u8>, unix_seconds: u64) {
    let date = HttpDate::from_unix_seconds(unix_seconds);
    let [_, _, _, _, _, d1, d2, _, m1, m2, m3, _, y1, y2, y3, y4, _, clock @ .., _, _, _, _] =
        date.as_bytes();
    line.extend_from_slice(&[*d1, *d2, b'/', *m1, *m2, *m3, b'/', *y1, *y2, *y3, *y4, b':']);
    line.extend_from_slice(clock);
    line.extend_from_slice(b" +0000");
}

fn write_decimal(line: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut cursor = crate::send::Cursor::new(&mut digits);
    cursor.put_decimal(number);
    let len = cursor.len();
    line.extend_from_slice(digits.get(..len).unwrap_or(&[]));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::parsed;
    use alloc::string::String;

    const SERVED: Served<'_> = Served {
        peer: "10.0.0.1",
        unix_seconds: 784_111_777,
        status: Status::OK,
        content_bytes: 13,
    };

    fn line(request: Option<&Request>) -> String {
        let mut line = Vec::new();
        write_line(&mut line, request, &SERVED);
        String::from_utf8(line).unwrap()
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
    }

    #[test]
    fn nobody_writes_a_line_of_his_own() {
        let request = parsed("GET", "/\"\\", &[("User-Agent", "a\" 200 1\t\u{e9}\\")]);
        assert!(line(Some(&request)).contains("\"GET /\\\"\\\\ HTTP/1.1\""));
        assert!(line(Some(&request)).ends_with("\"-\" \"a\\\" 200 1\\x09\\xc3\\xa9\\\\\""));
    }
}
