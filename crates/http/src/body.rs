//! Message bodies (RFC 9112 section 6): where one ends and what of the input is content.

mod chunked;
mod receiver;

pub(crate) use receiver::{Demand, Received, Receiver};

use crate::head::{Coding, Framing};
use crate::{Error, Limits};
use chunked::ChunkedDecoder;
use web::{ContentLength, Trailers};

/// How a message's content is delimited (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    /// There is no content.
    #[default]
    None,
    /// By its length, told in the head.
    Length(u64),
    /// By the last chunk.
    Chunked,
    /// By the end of the connection; only of responses.
    UntilClose,
}

impl BodyFraming {
    /// What this tells the application.
    pub(crate) fn content_length(self) -> ContentLength {
        match self {
            BodyFraming::None => ContentLength::Empty,
            BodyFraming::Length(length) => ContentLength::Known(length),
            BodyFraming::Chunked | BodyFraming::UntilClose => ContentLength::Unknown,
        }
    }
}

/// What input turned out to be.
#[derive(Debug)]
enum Piece {
    /// So many bytes of content, the last that were taken.
    Data(usize),
    End(Option<Trailers>),
}

/// Decodes the content of one message.
#[derive(Debug)]
struct BodyDecoder {
    state: State,
    /// Content bytes that may still come.
    allowed: u64,
}

#[derive(Debug)]
enum State {
    Ended,
    Length(u64),
    Chunked(ChunkedDecoder),
    UntilClose,
}

impl BodyDecoder {
    /// A decoder of content so framed; its length was compared with the limit if known.
    fn new(framing: BodyFraming, limits: &Limits) -> BodyDecoder {
        let state = match framing {
            BodyFraming::None => State::Ended,
            BodyFraming::Length(length) => State::Length(length),
            BodyFraming::Chunked => {
                State::Chunked(ChunkedDecoder::new(limits.chunk_extension_bytes_max))
            }
            BodyFraming::UntilClose => State::UntilClose,
        };
        BodyDecoder { state, allowed: limits.body_bytes_max }
    }

    /// Takes bytes from `input`: how many, and the piece they yield.
    fn read(&mut self, input: &[u8], limits: &Limits) -> Result<(usize, Option<Piece>), Error> {
        let len_max = match &mut self.state {
            State::Ended => return Ok((0, None)),
            State::Length(left) => *left,
            State::UntilClose => u64::MAX,
            State::Chunked(chunked) => return chunked.read(input, &mut self.allowed, limits),
        };
        if input.is_empty() {
            return Ok((0, None));
        }
        let len = prefix_len(input, len_max);
        self.allowed = self.allowed.checked_sub(len as u64).ok_or(Error::BodyTooLarge)?;
        if let State::Length(left) = &mut self.state {
            *left -= len as u64;
        }
        Ok((len, Some(Piece::Data(len))))
    }

    /// Whether the bytes taken last were the end's, which no further byte tells.
    fn has_ended(&self) -> bool {
        matches!(self.state, State::Length(0))
    }

    /// Whether the end of the connection ends the content rightly.
    fn ends_with_connection(&self) -> bool {
        matches!(self.state, State::UntilClose)
    }

    /// Bytes still to come, where known.
    fn left(&self) -> Option<u64> {
        match self.state {
            State::Ended => Some(0),
            State::Length(left) => Some(left),
            State::Chunked(_) | State::UntilClose => None,
        }
    }
}

/// How a response's body is framed (RFC 9112 section 6.3, for responses to anything but HEAD
/// and CONNECT, with a status that allows content).
pub(crate) fn response_framing(
    head: &Framing,
    http11: bool,
    limits: &Limits,
) -> Result<BodyFraming, Error> {
    match (head.coding, head.content_length) {
        (Coding::None, None) => Ok(BodyFraming::UntilClose),
        (Coding::None, Some(0)) => Ok(BodyFraming::None),
        (Coding::None, Some(length)) if length > limits.body_bytes_max => Err(Error::BodyTooLarge),
        (Coding::None, Some(length)) => Ok(BodyFraming::Length(length)),
        // RFC 9112 section 6.1: both length headers might be smuggling, in HTTP/1.0 the framing is faulty: refuse.
        (_, Some(_)) => Err(Error::Coding),
        (_, None) if !http11 => Err(Error::Coding),
        (Coding::Unknown, None) => Err(Error::UnsupportedCoding),
        (Coding::Chunked, None) => Ok(BodyFraming::Chunked),
    }
}

/// How a request's body is framed (RFC 9112 section 6.3, for requests).
pub(crate) fn request_framing(
    head: &Framing,
    http11: bool,
    limits: &Limits,
) -> Result<BodyFraming, Error> {
    let length = match (head.coding, head.content_length) {
        (Coding::None, None | Some(0)) => return Ok(BodyFraming::None),
        (Coding::None, Some(length)) => BodyFraming::Length(length),
        // RFC 9112 section 6.1: both length headers, or a transfer coding in HTTP/1.0, reject.
        (_, Some(_)) => return Err(Error::Coding),
        (_, None) if !http11 => return Err(Error::Coding),
        // RFC 9112 section 6.1: a coding that is not understood, 501.
        (Coding::Unknown, None) => return Err(Error::UnsupportedCoding),
        (Coding::Chunked, None) => BodyFraming::Chunked,
    };
    match length {
        BodyFraming::Length(length) if length > limits.body_bytes_max => Err(Error::BodyTooLarge),
        BodyFraming::Chunked if !limits.chunked_requests => Err(Error::LengthRequired),
        length => Ok(length),
    }
}

/// How many leading bytes `input` has, at most `len_max`.
fn prefix_len(input: &[u8], len_max: u64) -> usize {
    usize::try_from(len_max).map_or(input.len(), |len_max| len_max.min(input.len()))
}
