//! Body receiver: the content of one message as it comes, and what the application does with it.

use super::{BodyDecoder, BodyFraming, Piece};
use crate::{Error, Limits};
use web::Trailers;

/// The content of the message at hand.
#[derive(Debug)]
pub(crate) struct Receiver {
    decoder: BodyDecoder,
    pub(crate) demand: Demand,
}

/// What the application does with content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Not ready for it: input stays in the ring.
    Paused,
    /// Takes it.
    Wanted,
    /// Wants none of it; this many bytes are dropped for the sake of the connection.
    Dropped { left: u32 },
}

/// What input turned out to be.
#[derive(Debug)]
pub(crate) enum Received {
    /// Nothing to tell.
    Nothing,
    /// Content: the last `len` bytes that were taken. It may be the end.
    Data { len: usize, ends: bool },
    /// The end.
    End(Option<Trailers>),
    /// More unwanted content than is worth reading.
    TooMuch,
}

impl Receiver {
    pub(crate) fn new(framing: BodyFraming, limits: &Limits) -> Receiver {
        Receiver { decoder: BodyDecoder::new(framing, limits), demand: Demand::Paused }
    }

    /// Takes bytes from `input` up to something to tell; how many they were.
    pub(crate) fn take(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<(usize, Received), Error> {
        if self.demand == Demand::Paused {
            return Ok((0, Received::Nothing));
        }
        let mut taken = 0;
        loop {
            let (count, piece) = self.decoder.read(input.get(taken..).unwrap_or(&[]), limits)?;
            taken += count;
            let len = match piece {
                None => return Ok((taken, Received::Nothing)),
                Some(Piece::End(trailers)) => return Ok((taken, Received::End(trailers))),
                Some(Piece::Data(len)) => len,
            };
            let ends = self.decoder.has_ended();
            let Demand::Dropped { left } = &mut self.demand else {
                return Ok((taken, Received::Data { len, ends }));
            };
            match u32::try_from(len).ok().and_then(|len| left.checked_sub(len)) {
                Some(_) if ends => return Ok((taken, Received::End(None))),
                Some(rest) => *left = rest,
                None => return Ok((taken, Received::TooMuch)),
            }
        }
    }

    /// From now on at most `left_max` bytes are dropped; none at all if it is known to be more.
    pub(crate) fn drop_up_to(&mut self, left_max: u32) -> Demand {
        let too_much = self.decoder.left().is_some_and(|rest| rest > u64::from(left_max));
        self.demand = Demand::Dropped { left: if too_much { 0 } else { left_max } };
        self.demand
    }

    /// Whether it is known how much is left.
    pub(crate) fn has_length(&self) -> bool {
        self.decoder.left().is_some()
    }

    /// Whether the end of the connection ends it rightly.
    pub(crate) fn ends_with_connection(&self) -> bool {
        self.decoder.ends_with_connection()
    }
}
