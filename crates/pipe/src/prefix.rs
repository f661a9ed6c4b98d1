//! Prefix nodes: bytes before each message.

use crate::{Edge, Fault, Node, Piece, Stage, run_stage};
use bytes::{Buf, Bytes};
use core::marker::PhantomData;

/// Puts `prefix` before each message.
pub fn prepend(prefix: impl AsRef<[u8]>) -> Prepend {
    Prepend { prefix: Bytes::copy_from_slice(prefix.as_ref()), inside: false }
}

/// See [`prepend`].
#[derive(Debug)]
pub struct Prepend {
    prefix: Bytes,
    inside: bool,
}

impl Node<Piece> for Prepend {
    type Out = Piece;

    fn run(&mut self, input: &mut Edge<Piece>, output: &mut Edge<Piece>) {
        run_stage(self, input, output);
    }
}

impl Stage<Piece> for Prepend {
    type Out = Piece;

    fn accept(
        &mut self,
        piece: Piece,
        weight_bytes: usize,
        output: &mut Edge<Piece>,
    ) -> Result<(), Fault> {
        if !self.inside {
            output.put(Piece::part(self.prefix.clone()), self.prefix.len());
        }
        self.inside = !piece.last;
        output.put(piece, weight_bytes);
        Ok(())
    }
}

/// How much of its prefix a message has had, which comes in pieces.
#[derive(Debug)]
struct Match {
    prefix: Bytes,
    matched: usize,
}

impl Match {
    fn new(prefix: &[u8]) -> Self {
        Self { prefix: Bytes::copy_from_slice(prefix), matched: 0 }
    }

    /// How many bytes of this piece are the prefix's. A message without it is a fault.
    fn accept(&mut self, piece: &Piece) -> Result<usize, Fault> {
        let wanted = &self.prefix[self.matched..];
        let here = wanted.len().min(piece.bytes.len());
        if piece.bytes[..here] != wanted[..here] {
            let first = if self.matched == 0 { piece.bytes.first() } else { self.prefix.first() };
            return Err(Fault::UnknownPrefix(first.copied()));
        }
        self.matched += here;
        if piece.last && !self.is_whole() {
            return Err(Fault::UnknownPrefix(None));
        }
        Ok(here)
    }

    /// The message has had all of it.
    fn is_whole(&self) -> bool {
        self.matched == self.prefix.len()
    }
}

/// Takes `prefix` off each message; a message without it is a fault.
pub fn skip(prefix: impl AsRef<[u8]>) -> Skip {
    Skip(Match::new(prefix.as_ref()))
}

/// See [`skip`].
#[derive(Debug)]
pub struct Skip(Match);

impl Node<Piece> for Skip {
    type Out = Piece;

    fn run(&mut self, input: &mut Edge<Piece>, output: &mut Edge<Piece>) {
        run_stage(self, input, output);
    }
}

impl Stage<Piece> for Skip {
    type Out = Piece;

    fn accept(
        &mut self,
        mut piece: Piece,
        _: usize,
        output: &mut Edge<Piece>,
    ) -> Result<(), Fault> {
        let skipped = self.0.accept(&piece)?;
        piece.bytes.advance(skipped);
        let whole = self.0.is_whole();
        if piece.last {
            self.0.matched = 0;
        }
        if whole && (piece.last || !piece.bytes.is_empty()) {
            let weight_bytes = piece.bytes.len();
            output.put(piece, weight_bytes);
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Edge<Piece>) -> Result<(), Fault> {
        // Between messages nothing is matched, and a started prefix must be whole.
        let started = self.0.matched > 0 && !self.0.is_whole();
        if started { Err(Fault::Truncated) } else { Ok(()) }
    }
}

/// Lets messages pass that begin with `prefix`, whole; one without it is a fault, as for [`skip`].
pub fn expect(prefix: impl AsRef<[u8]>) -> Expect {
    Expect(Match::new(prefix.as_ref()))
}

/// See [`expect`].
#[derive(Debug)]
pub struct Expect(Match);

impl Node<Piece> for Expect {
    type Out = Piece;

    fn run(&mut self, input: &mut Edge<Piece>, output: &mut Edge<Piece>) {
        run_stage(self, input, output);
    }
}

impl Stage<Piece> for Expect {
    type Out = Piece;

    fn accept(
        &mut self,
        piece: Piece,
        weight_bytes: usize,
        output: &mut Edge<Piece>,
    ) -> Result<(), Fault> {
        self.0.accept(&piece)?;
        if piece.last {
            self.0.matched = 0;
        }
        output.put(piece, weight_bytes);
        Ok(())
    }
}

/// Refuses every message, and names its first byte: the last way of a
/// [`branch_prefix`](crate::branch_prefix).
pub fn refuse_prefix<U>() -> RefusePrefix<U> {
    RefusePrefix(PhantomData)
}

/// See [`refuse_prefix`].
#[derive(Debug)]
pub struct RefusePrefix<U>(PhantomData<fn() -> U>);

impl<U> Node<Piece> for RefusePrefix<U> {
    type Out = U;

    fn run(&mut self, input: &mut Edge<Piece>, output: &mut Edge<U>) {
        run_stage(self, input, output);
    }
}

impl<U> Stage<Piece> for RefusePrefix<U> {
    type Out = U;

    fn accept(&mut self, piece: Piece, _: usize, _: &mut Edge<U>) -> Result<(), Fault> {
        Err(Fault::UnknownPrefix(piece.bytes.first().copied()))
    }
}
