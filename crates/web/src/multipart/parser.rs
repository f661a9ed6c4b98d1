//! Parser of multipart content (RFC 2046 section 5.1): bytes in, parts out.

use super::MultipartError;
use crate::media_type::essence;
use crate::syntax::trim;
use alloc::string::String;
use alloc::vec::Vec;

/// Longest boundary, in bytes (RFC 2046 section 5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;
/// Blanks after a boundary, which gateways are said to add (RFC 2046 section 5.1.1), at most.
const PADDING_BYTES_MAX: usize = 64;

/// Cuts content into parts.
pub(super) struct Parser {
    /// What stands in front of each part: a line end, two hyphens and the boundary.
    delimiter: Vec<u8>,
    /// What came and was not given out.
    buffer: Vec<u8>,
    state: State,
    head_bytes_max: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// In front of the first delimiter.
    Preamble,
    /// After a delimiter, on its line.
    Delimiter,
    Head,
    Content,
    End,
}

/// What comes of the content.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A part begins.
    Head(PartHead),
    /// Bytes of its content, never none.
    Data(Vec<u8>),
    PartEnd,
    /// That was the last part.
    End,
}

/// What a part says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PartHead {
    pub(super) name: String,
    pub(super) file_name: Option<String>,
    pub(super) content_type: Option<String>,
}

impl Parser {
    pub(super) fn new(boundary: &[u8], head_bytes_max: usize) -> Self {
        let delimiter = [b"\r\n--", boundary].concat();
        // The first delimiter may stand at the very beginning, without a line end of its own.
        Self { delimiter, buffer: b"\r\n".to_vec(), state: State::Preamble, head_bytes_max }
    }

    /// More of the content came.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes of memory that it holds.
    pub(super) fn held_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// The next step; `None` until more came.
    pub(super) fn poll(&mut self) -> Result<Option<Step>, MultipartError> {
        loop {
            match self.state {
                State::Preamble => match self.take_content() {
                    Ok(bytes) if bytes.is_empty() => return Ok(None),
                    // RFC 2046 section 5.1.1: it is nobody's.
                    Ok(_) => {}
                    Err(()) => self.state = State::Delimiter,
                },
                State::Delimiter => match self.delimiter_end()? {
                    None => return Ok(None),
                    Some(next) => self.state = next,
                },
                State::Head => {
                    let Some(head) = self.take_head()? else { return Ok(None) };
                    self.state = State::Content;
                    return Ok(Some(Step::Head(PartHead::parse(&head)?)));
                }
                State::Content => {
                    return Ok(match self.take_content() {
                        Ok(bytes) if bytes.is_empty() => None,
                        Ok(bytes) => Some(Step::Data(bytes)),
                        Err(()) => {
                            self.state = State::Delimiter;
                            Some(Step::PartEnd)
                        }
                    });
                }
                State::End => return Ok(Some(Step::End)),
            }
        }
    }

    /// Takes what is content for sure, possibly nothing yet; an error when the delimiter is next, which is taken then.
    fn take_content(&mut self) -> Result<Vec<u8>, ()> {
        match self.find_delimiter() {
            Ok(0) => {
                self.buffer.drain(..self.delimiter.len());
                Err(())
            }
            Ok(end) | Err(end) => {
                let rest = self.buffer.split_off(end);
                Ok(core::mem::replace(&mut self.buffer, rest))
            }
        }
    }

    /// Where the delimiter is, or, as an error, where one might begin whose end has not come.
    fn find_delimiter(&self) -> Result<usize, usize> {
        let mut from = 0;
        while let Some(at) = self.buffer.iter().skip(from).position(|&byte| byte == b'\r') {
            let start = from + at;
            let rest = self.buffer.get(start..).unwrap_or(&[]);
            if rest.starts_with(&self.delimiter) {
                return Ok(start);
            }
            if self.delimiter.starts_with(rest) {
                return Err(start);
            }
            from = start + 1;
        }
        Err(self.buffer.len())
    }

    /// Takes what follows a delimiter on its line; what comes then.
    fn delimiter_end(&mut self) -> Result<Option<State>, MultipartError> {
        if self.buffer.starts_with(b"--") {
            // The rest, RFC 2046's epilogue, is nobody's.
            return Ok(Some(State::End));
        }
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let padding = self.buffer.iter().take_while(|byte| is_blank(byte)).count();
        match self.buffer.get(padding..).unwrap_or(&[]) {
            _ if padding > PADDING_BYTES_MAX => Err(MultipartError::Malformed),
            [b'\r', b'\n', ..] => {
                self.buffer.drain(..padding + 2);
                Ok(Some(State::Head))
            }
            [] | [b'\r'] => Ok(None),
            [b'-'] if padding == 0 => Ok(None),
            _ => Err(MultipartError::Malformed),
        }
    }

    /// Takes a part's head, with the empty line that ends it.
    fn take_head(&mut self) -> Result<Option<Vec<u8>>, MultipartError> {
        let end = if self.buffer.starts_with(b"\r\n") {
            Some(2)
        } else {
            self.buffer.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
        };
        if end.unwrap_or(self.buffer.len()) > self.head_bytes_max {
            return Err(MultipartError::TooLarge);
        }
        let Some(end) = end else { return Ok(None) };
        let rest = self.buffer.split_off(end);
        Ok(Some(core::mem::replace(&mut self.buffer, rest)))
    }
}

impl PartHead {
    fn parse(head: &[u8]) -> Result<Self, MultipartError> {
        let mut part = Self::default();
        let mut has_name = false;
        for line in head.split(|&byte| byte == b'\n').map(trim_line) {
            let Some(colon) = line.iter().position(|&byte| byte == b':') else {
                continue;
            };
            let (name, value) = (trim(&line[..colon]), trim(&line[colon + 1..]));
            if name.eq_ignore_ascii_case(b"content-type") {
                part.content_type = Some(text(value)?);
            }
            // RFC 7578 section 4.2: every part has a name.
            if name.eq_ignore_ascii_case(b"content-disposition")
                && essence(value).eq_ignore_ascii_case(b"form-data")
            {
                has_name = part.take_disposition(value)?;
            }
        }
        if has_name { Ok(part) } else { Err(MultipartError::Malformed) }
    }

    /// Whether it says a name.
    fn take_disposition(&mut self, value: &[u8]) -> Result<bool, MultipartError> {
        let mut has_name = false;
        for (name, value) in parameters(value) {
            if name.eq_ignore_ascii_case(b"name") {
                self.name = text(&unescape(&value))?;
                has_name = true;
            } else if name.eq_ignore_ascii_case(b"filename") {
                let whole = text(&unescape(&value))?;
                let own = whole.rsplit(['/', '\\']).next().unwrap_or("");
                self.file_name = Some(own.into());
            }
        }
        Ok(has_name)
    }
}

/// The boundary of a `Content-Type`.
pub(super) fn boundary(content_type: &[u8]) -> Result<Vec<u8>, MultipartError> {
    if !essence(content_type).eq_ignore_ascii_case(b"multipart/form-data") {
        return Err(MultipartError::MediaType);
    }
    let boundary = parameters(content_type)
        .find(|(name, _)| name.eq_ignore_ascii_case(b"boundary"))
        .map(|(_, value)| value);
    let is_sane = |value: &Vec<u8>| {
        (1..=BOUNDARY_BYTES_MAX).contains(&value.len()) && !value.iter().any(u8::is_ascii_control)
    };
    boundary.filter(is_sane).ok_or(MultipartError::Malformed)
}

/// The parameters of a field's value, behind its first semicolon: names, and values without their quotes.
fn parameters(value: &[u8]) -> impl Iterator<Item = (&[u8], Vec<u8>)> {
    let start = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
    let mut rest = value.get(start..).unwrap_or(&[]);
    core::iter::from_fn(move || {
        let after = trim(rest.strip_prefix(b";")?);
        let name_end = after.iter().position(|byte| b"=;".contains(byte)).unwrap_or(after.len());
        let (name, after) = after.split_at(name_end);
        let (value, after) = match after {
            [b'=', b'"', quoted @ ..] => take_quoted(quoted),
            [b'=', plain @ ..] => {
                let end = plain.iter().position(|&byte| byte == b';').unwrap_or(plain.len());
                let (value, after) = plain.split_at(end);
                (trim(value).to_vec(), after)
            }
            _ => (Vec::new(), after),
        };
        let next = after.iter().position(|&byte| byte == b';').unwrap_or(after.len());
        rest = after.get(next..).unwrap_or(&[]);
        Some((trim(name), value))
    })
}

/// A quoted string without its quotes, and what follows it. A backslash stands for itself unless before a quote or another
/// backslash: there are clients that send their own paths.
fn take_quoted(mut rest: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut value = Vec::new();
    loop {
        rest = match rest {
            [] => return (value, rest),
            [b'"', after @ ..] => return (value, after),
            [b'\\', byte @ (b'"' | b'\\'), after @ ..] => {
                value.push(*byte);
                after
            }
            [byte, after @ ..] => {
                value.push(*byte);
                after
            }
        };
    }
}

/// What browsers escape in names: quotes and line ends (WHATWG HTML standard, section 4.10.22.8).
fn unescape(value: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(value.len());
    let mut rest = value;
    while let [byte, after @ ..] = rest {
        let (byte, after) = match rest {
            [b'%', b'2', b'2', after @ ..] => (b'"', after),
            [b'%', b'0', b'D' | b'd', after @ ..] => (b'\r', after),
            [b'%', b'0', b'A' | b'a', after @ ..] => (b'\n', after),
            _ => (*byte, after),
        };
        plain.push(byte);
        rest = after;
    }
    plain
}

fn text(value: &[u8]) -> Result<String, MultipartError> {
    match core::str::from_utf8(value) {
        Ok(text) => Ok(text.into()),
        Err(_) => Err(MultipartError::Malformed),
    }
}

fn trim_line(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}
