//! Chunked transfer coding (RFC 9112 section 7.1), decoded in one loop over its states.

use super::{Piece, prefix_len};
use crate::head::{Framing, PartialHead, parse_fields};
use crate::{Error, Limits};
use alloc::vec::Vec;
use web::Trailers;
use web::fields::Section;
use web::syntax::{is_name, is_token_byte};

/// Digits of a chunk size: enough for 64 bits, so that it cannot overflow.
const SIZE_DIGITS_MAX: u8 = 16;

/// Decoder of one chunked body.
#[derive(Debug)]
pub(super) struct ChunkedDecoder {
    state: State,
    extension_bytes_left: u16,
    /// Bytes of the trailer section so far.
    trailer: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Size {
        digits: u8,
        size: u64,
    },
    /// Whitespace after the size: only an extension may follow it.
    BeforeExtension {
        size: u64,
    },
    Extension {
        size: u64,
        part: ExtensionPart,
    },
    SizeLineFeed {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataReturn,
    DataLineFeed,
    Trailer(PartialHead),
    Ended,
}

/// Where in an extension the decoder is: `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExtensionPart {
    BeforeName,
    Name,
    AfterName,
    BeforeValue,
    Token,
    Quoted,
    Escape,
    /// Behind the closing quote.
    QuoteEnd,
    /// Whitespace after a value: only another extension may follow it.
    AfterValue,
}

impl ChunkedDecoder {
    pub(super) fn new(extension_bytes_max: u16) -> ChunkedDecoder {
        let state = State::Size { digits: 0, size: 0 };
        ChunkedDecoder { state, extension_bytes_left: extension_bytes_max, trailer: Vec::new() }
    }

    /// Takes bytes of `input` up to the first piece of data or the end.
    pub(super) fn read(
        &mut self,
        input: &[u8],
        allowed: &mut u64,
        limits: &Limits,
    ) -> Result<(usize, Option<Piece>), Error> {
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or(&[]);
            match &mut self.state {
                State::Ended => return Ok((at, None)),
                State::Data { left } if !rest.is_empty() => {
                    let len = prefix_len(rest, *left);
                    *left -= len as u64;
                    if *left == 0 {
                        self.state = State::DataReturn;
                    }
                    return Ok((at + len, Some(Piece::Data(len))));
                }
                State::Trailer(partial) => {
                    let (taken, complete) =
                        partial.take_bounded(rest, &mut self.trailer, limits.trailer_bytes_max)?;
                    if !complete {
                        return Ok((at + taken, None));
                    }
                    self.state = State::Ended;
                    return Ok((
                        at + taken,
                        Some(Piece::End(parse_trailer(
                            core::mem::take(&mut self.trailer),
                            limits,
                        )?)),
                    ));
                }
                _ => {}
            }
            let Some(&byte) = rest.first() else { return Ok((at, None)) };
            self.step(byte, allowed)?;
            at += 1;
        }
    }

    /// Takes one byte outside of data and trailers.
    fn step(&mut self, byte: u8, allowed: &mut u64) -> Result<(), Error> {
        self.state = match self.state {
            State::Size { digits, size } => size_byte(digits, size, byte)?,
            State::BeforeExtension { size } => match byte {
                b' ' | b'\t' => {
                    self.count_extension_byte()?;
                    State::BeforeExtension { size }
                }
                b';' => State::Extension { size, part: ExtensionPart::BeforeName },
                _ => return Err(Error::Chunk),
            },
            State::Extension { size, part } => {
                self.count_extension_byte()?;
                match extension_byte(part, byte).ok_or(Error::Chunk)? {
                    Some(part) => State::Extension { size, part },
                    None => State::SizeLineFeed { size },
                }
            }
            // RFC 9112 section 7.1: the size line ends with CRLF, not with a bare CR.
            State::SizeLineFeed { size } if byte == b'\n' => {
                *allowed = allowed.checked_sub(size).ok_or(Error::BodyTooLarge)?;
                if size == 0 {
                    State::Trailer(PartialHead::trailers())
                } else {
                    State::Data { left: size }
                }
            }
            // RFC 9112 section 7.1: data longer or shorter than its size, reject.
            State::DataReturn if byte == b'\r' => State::DataLineFeed,
            State::DataLineFeed if byte == b'\n' => State::Size { digits: 0, size: 0 },
            _ => return Err(Error::Chunk),
        };
        Ok(())
    }

    fn count_extension_byte(&mut self) -> Result<(), Error> {
        // RFC 9112 section 7.1.1: limit the total length of chunk extensions.
        self.extension_bytes_left = self.extension_bytes_left.checked_sub(1).ok_or(Error::Chunk)?;
        Ok(())
    }
}

fn size_byte(digits: u8, size: u64, byte: u8) -> Result<State, Error> {
    let value = match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        _ if digits == 0 => return Err(Error::Chunk),
        b'\r' => return Ok(State::SizeLineFeed { size }),
        b';' => return Ok(State::Extension { size, part: ExtensionPart::BeforeName }),
        b' ' | b'\t' => return Ok(State::BeforeExtension { size }),
        _ => return Err(Error::Chunk),
    };
    // RFC 9112 section 7.1: anticipate large numerals, prevent overflow.
    if digits == SIZE_DIGITS_MAX {
        return Err(Error::Chunk);
    }
    Ok(State::Size { digits: digits + 1, size: size << 4 | u64::from(value) })
}

/// RFC 9112 section 7.1.1: extensions are ignored, but they are not a place to hide what another parser may take for
/// something else. What follows `part` after this byte; `Some(None)` is the line's end, `None` a fault.
fn extension_byte(part: ExtensionPart, byte: u8) -> Option<Option<ExtensionPart>> {
    use ExtensionPart::{
        AfterName, AfterValue, BeforeName, BeforeValue, Escape, Name, QuoteEnd, Quoted, Token,
    };
    Some(Some(match (part, byte) {
        (BeforeName | AfterName | BeforeValue | AfterValue, b' ' | b'\t') => part,
        (Name, b' ' | b'\t') => AfterName,
        (Token | QuoteEnd, b' ' | b'\t') => AfterValue,
        (Name | Token | QuoteEnd, b'\r') => return Some(None),
        (Name | AfterName | Token | QuoteEnd | AfterValue, b';') => BeforeName,
        (Name | AfterName, b'=') => BeforeValue,
        (BeforeValue, b'"') => Quoted,
        (Quoted, b'"') => QuoteEnd,
        (Quoted, b'\\') => Escape,
        // RFC 9110 section 5.6.4: no control bytes in quoted strings but HTAB.
        (Quoted | Escape, b'\t' | 0x20..=0x7e | 0x80..) => Quoted,
        (BeforeName | Name, _) if is_token_byte(byte) => Name,
        (BeforeValue | Token, _) if is_token_byte(byte) => Token,
        _ => return None,
    }))
}

/// Parses a complete trailer section; `None` if it has no field.
fn parse_trailer(bytes: Vec<u8>, limits: &Limits) -> Result<Option<Trailers>, Error> {
    if bytes == b"\r\n" {
        return Ok(None);
    }
    let mut section = Section { bytes, fields: Vec::new() };
    let fields_max = limits.trailer_fields_max;
    let Section { bytes, fields } = &mut section;
    let end = parse_fields(bytes, 0, fields_max, fields, &mut Framing::default())?;
    // RFC 9110 section 6.5.1: fields for framing, routing, authentication, request modifiers and content format
    // have no place in a trailer section.
    if end != Some(section.bytes.len()) || section.fields().any(|(name, _)| is_forbidden(name)) {
        return Err(Error::Trailer);
    }
    Ok(Some(Trailers::new(section)))
}

fn is_forbidden(name: &[u8]) -> bool {
    is_name(name, b"transfer-encoding")
        || is_name(name, b"content-length")
        || is_name(name, b"content-encoding")
        || is_name(name, b"content-range")
        || is_name(name, b"content-type")
        || is_name(name, b"host")
        || is_name(name, b"connection")
        || is_name(name, b"trailer")
        || is_name(name, b"te")
        || is_name(name, b"expect")
        || is_name(name, b"upgrade")
        || is_name(name, b"authorization")
        || is_name(name, b"cookie")
        || is_name(name, b"set-cookie")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    /// A decoder of content of up to 1,000 bytes that was fed this; what it took, what that was, and what is still allowed.
    fn read(input: &[u8]) -> Result<(usize, Option<Piece>, u64, ChunkedDecoder), Error> {
        let (mut decoder, mut allowed) = (ChunkedDecoder::new(0), 1000);
        let (taken, piece) = decoder.read(input, &mut allowed, &Limits::default())?;
        Ok((taken, piece, allowed, decoder))
    }

    #[test]
    fn rfc9112_7_1_a_size_has_digits_of_either_case() {
        for digits in ["0123456789abcdef", "0123456789ABCDEF"] {
            for (value, digit) in digits.chars().enumerate() {
                let input = [format!("2{digit}\r\n").as_bytes(), &[b'x'; 60]].concat();
                let (taken, piece, allowed, _) = read(&input).unwrap();
                assert!(matches!(piece, Some(Piece::Data(len)) if len == 32 + value), "{digit}");
                assert_eq!((taken, allowed), (36 + value, 968 - value as u64), "{digit}");
            }
        }
        for other in "/:@G`gx+-_.\n\0".chars() {
            let refused = read(format!("2{other}\r\nxx").as_bytes()).map(|_| ());
            assert_eq!(refused, Err(Error::Chunk), "{other:?}");
        }
        // Of content that may have 1,000 bytes.
        assert!(matches!(read(b"3e8\r\nx"), Ok((6, Some(Piece::Data(1)), 0, _))));
        assert!(matches!(read(b"3e9\r\nx"), Err(Error::BodyTooLarge)));
    }

    /// Each of these would be whole if the byte at fault were passed over or taken for another.
    #[test]
    fn rfc9112_7_1_each_byte_between_the_chunks_is_looked_at() {
        let refused = |input: &[u8]| {
            let (mut decoder, mut allowed) = (ChunkedDecoder::new(100), 1000);
            let mut at = 0;
            loop {
                match decoder.read(&input[at..], &mut allowed, &Limits::default()) {
                    Err(error) => return Some(error),
                    Ok((_, Some(Piece::End(_)))) => return None,
                    Ok((taken, piece)) => {
                        assert!(piece.is_some(), "{} goes on", input.escape_ascii());
                        at += taken;
                    }
                }
            }
        };
        assert_eq!(refused(b"1;a=b;c\r\na\r\n0\r\n\r\n"), None);
        for input in [
            &b"\r\n\r\n"[..],
            b";a\r\n\r\n",
            b" ;a\r\n\r\n",
            b"1\rXa\r\n0\r\n\r\n",
            b"1\r\naX\n0\r\n\r\n",
            b"1\r\na\rX0\r\n\r\n",
            b"1;a,b\r\na\r\n0\r\n\r\n",
            b"1;a=b,c\r\na\r\n0\r\n\r\n",
            b"1;,\r\na\r\n0\r\n\r\n",
            b"1;a=,\r\na\r\n0\r\n\r\n",
            b"1;a=\"\x7f\"\r\na\r\n0\r\n\r\n",
            b"1;a=\"\\\n\"\r\na\r\n0\r\n\r\n",
        ] {
            assert_eq!(refused(input), Some(Error::Chunk), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn what_follows_the_end_is_not_taken() {
        let input = b"0\r\n\r\nGET / HTTP/1.1\r\n";
        let (taken, piece, mut allowed, mut decoder) = read(input).unwrap();
        assert!(matches!((taken, piece), (5, Some(Piece::End(None)))));
        let (taken, piece) =
            decoder.read(&input[taken..], &mut allowed, &Limits::default()).unwrap();
        assert!(matches!((taken, piece), (0, None)));
    }
}
