//! Received content: where it ends and what of the input is data.

mod chunked;
mod content;

pub(crate) use content::{Content, Demand, Taken};

use crate::head::{Coding, Facts, Head};
use crate::{BodyLength, Error, Limits};
use chunked::Chunked;

/// A received trailer section (RFC 9110 section 6.5), never merged into the head.
#[derive(Debug, Default)]
pub struct Trailers(pub(crate) Head);

impl Trailers {
    /// All fields in the order received.
    pub fn headers(&self) -> crate::Fields<'_> {
        self.0.fields()
    }

    /// The value of the first field of this name, letter case aside.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.0.field(name)
    }
}

/// A piece of received content.
#[derive(Debug)]
enum Piece<'a> {
    Data(&'a [u8]),
    End(Option<Trailers>),
}

/// Decodes the content of one message.
#[derive(Debug)]
struct BodyReader {
    framing: Framing,
    /// Content bytes that may still come.
    allowed: u64,
}

#[derive(Debug)]
enum Framing {
    Ended,
    Length(u64),
    Chunked(Chunked),
    UntilClose,
}

impl BodyReader {
    /// A reader for content of this length, which was compared with the limit if known.
    fn new(length: BodyLength, limits: &Limits) -> BodyReader {
        let framing = match length {
            BodyLength::Empty => Framing::Ended,
            BodyLength::Known(length) => Framing::Length(length),
            BodyLength::Chunked => Framing::Chunked(Chunked::new(limits.chunk_extension_bytes_max)),
            BodyLength::UntilClose => Framing::UntilClose,
        };
        BodyReader { framing, allowed: limits.body_bytes_max }
    }

    /// Takes bytes from `input`: how many, and the piece they yield.
    fn read<'a>(
        &mut self,
        input: &'a [u8],
        limits: &Limits,
    ) -> Result<(usize, Option<Piece<'a>>), Error> {
        let data_max = match &mut self.framing {
            Framing::Ended => return Ok((0, None)),
            Framing::Length(left) => *left,
            Framing::UntilClose => u64::MAX,
            Framing::Chunked(chunked) => return chunked.read(input, &mut self.allowed, limits),
        };
        if input.is_empty() {
            return Ok((0, None));
        }
        let data = prefix(input, data_max);
        self.allowed = self.allowed.checked_sub(data.len() as u64).ok_or(Error::BodyTooLarge)?;
        if let Framing::Length(left) = &mut self.framing {
            *left -= data.len() as u64;
        }
        Ok((data.len(), Some(Piece::Data(data))))
    }

    /// Whether the end is reached without another byte; the caller then reports it.
    fn take_end(&mut self) -> bool {
        let ended = matches!(self.framing, Framing::Length(0));
        if ended {
            self.framing = Framing::Ended;
        }
        ended
    }

    /// Whether the end of the connection ends the content rightly.
    fn ends_with_connection(&self) -> bool {
        matches!(self.framing, Framing::UntilClose)
    }

    /// Bytes still to come, where known.
    fn left(&self) -> Option<u64> {
        match self.framing {
            Framing::Ended => Some(0),
            Framing::Length(left) => Some(left),
            Framing::Chunked(_) | Framing::UntilClose => None,
        }
    }
}

/// How much content a response has (RFC 9112 section 6.3, for responses to anything but HEAD
/// and CONNECT, with a status that allows content).
pub(crate) fn response_length(
    facts: &Facts,
    http11: bool,
    limits: &Limits,
) -> Result<BodyLength, Error> {
    match (facts.coding, facts.content_length) {
        (Coding::None, None) => Ok(BodyLength::UntilClose),
        (Coding::None, Some(0)) => Ok(BodyLength::Empty),
        (Coding::None, Some(length)) if length > limits.body_bytes_max => Err(Error::BodyTooLarge),
        (Coding::None, Some(length)) => Ok(BodyLength::Known(length)),
        // RFC 9112 section 6.1: both length headers might be smuggling, in HTTP/1.0 the framing is faulty: refuse.
        (_, Some(_)) => Err(Error::Coding),
        (_, None) if !http11 => Err(Error::Coding),
        (Coding::Unknown, None) => Err(Error::UnsupportedCoding),
        (Coding::Chunked, None) => Ok(BodyLength::Chunked),
    }
}

/// How much content a request has (RFC 9112 section 6.3, for requests).
pub(crate) fn request_length(
    facts: &Facts,
    http11: bool,
    limits: &Limits,
) -> Result<BodyLength, Error> {
    let length = match (facts.coding, facts.content_length) {
        (Coding::None, None | Some(0)) => return Ok(BodyLength::Empty),
        (Coding::None, Some(length)) => BodyLength::Known(length),
        // RFC 9112 section 6.1: both length headers, or a transfer coding in HTTP/1.0, reject.
        (_, Some(_)) => return Err(Error::Coding),
        (_, None) if !http11 => return Err(Error::Coding),
        // RFC 9112 section 6.1: a coding that is not understood, 501.
        (Coding::Unknown, None) => return Err(Error::UnsupportedCoding),
        (Coding::Chunked, None) => BodyLength::Chunked,
    };
    match length {
        BodyLength::Known(length) if length > limits.body_bytes_max => Err(Error::BodyTooLarge),
        BodyLength::Chunked if !limits.chunked_requests => Err(Error::LengthRequired),
        length => Ok(length),
    }
}

/// As many leading bytes of `input` as there are, at most `len_max`.
fn prefix(input: &[u8], len_max: u64) -> &[u8] {
    let len = usize::try_from(len_max).map_or(input.len(), |len_max| len_max.min(input.len()));
    input.get(..len).unwrap_or(input)
}
