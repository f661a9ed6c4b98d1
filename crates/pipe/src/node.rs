//! Nodes, and how two are joined.

use crate::{Bounds, Edge, Fault, Taken};
use alloc::boxed::Box;

/// Takes items of type `In` and gives items of type `Out`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not take `{In}`",
    label = "the node before this junction gives `{In}`",
    note = "byte nodes (zlib, lz4, prepend, skip) take `pipe::Piece`",
    note = "from objects to bytes put `cbor::encode()` here, from bytes to objects `cbor::decode()`",
    note = "to change one object into another put `map(..)` here"
)]
pub trait Node<In> {
    /// What it gives.
    type Out;

    /// Moves what can move: until `input` is empty or `output` has no room. When the end of
    /// `input` is reached and passed on, `output` has ended too.
    fn run(&mut self, input: &mut Edge<In>, output: &mut Edge<Self::Out>);
}

impl<In, N: Node<In> + ?Sized> Node<In> for Box<N> {
    type Out = N::Out;

    fn run(&mut self, input: &mut Edge<In>, output: &mut Edge<N::Out>) {
        (**self).run(input, output);
    }
}

/// Joining nodes.
pub trait NodeExt<In>: Node<In> + Sized {
    /// This node, then `next`, with an edge of default bounds between them.
    fn then<B: Node<Self::Out>>(self, next: B) -> Then<In, Self, B> {
        Then { first: self, edge: Edge::default(), second: next }
    }
}

impl<In, N: Node<In>> NodeExt<In> for N {}

/// Two nodes in a row.
#[derive(Debug)]
pub struct Then<In, A: Node<In>, B> {
    first: A,
    edge: Edge<A::Out>,
    second: B,
}

impl<In, A: Node<In>, B> Then<In, A, B> {
    /// The same with other bounds on the edge between the two.
    pub fn bounded(mut self, bounds: Bounds) -> Self {
        self.edge.set_bounds(bounds);
        self
    }
}

impl<In, A: Node<In>, B: Node<A::Out>> Node<In> for Then<In, A, B> {
    type Out = B::Out;

    fn run(&mut self, input: &mut Edge<In>, output: &mut Edge<B::Out>) {
        loop {
            let before = self.edge.moves();
            self.second.run(&mut self.edge, output);
            self.first.run(input, &mut self.edge);
            if self.edge.moves() == before {
                return;
            }
        }
    }
}

/// Whether a [`Stage`] is done with what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It holds nothing more to give.
    Done,
    /// It has more to give and no room for it.
    Blocked,
}

/// A node that works item by item; [`run_stage`] makes a [`Node::run`] of it and keeps its
/// promises about ends and faults.
pub trait Stage<In> {
    /// What it gives.
    type Out;

    /// Takes an item. It may give several; those for which `output` has no room it keeps for
    /// [`Stage::resume`].
    fn accept(
        &mut self,
        item: In,
        weight_bytes: usize,
        output: &mut Edge<Self::Out>,
    ) -> Result<(), Fault>;

    /// Goes on giving what it kept.
    fn resume(&mut self, output: &mut Edge<Self::Out>) -> Result<Progress, Fault> {
        let _ = output;
        Ok(Progress::Done)
    }

    /// The input has ended in order and [`Stage::resume`] is done.
    fn finish(&mut self, output: &mut Edge<Self::Out>) -> Result<(), Fault> {
        let _ = output;
        Ok(())
    }
}

/// Runs a stage from `input` to `output` as far as both allow.
pub fn run_stage<In, S: Stage<In>>(stage: &mut S, input: &mut Edge<In>, output: &mut Edge<S::Out>) {
    loop {
        if output.is_closed() {
            input.cancel();
            return;
        }
        match advance(stage, input, output) {
            Ok(true) => {}
            Ok(false) => return,
            Err(fault) => output.fail(fault),
        }
    }
}

/// One step; whether another may follow.
fn advance<In, S: Stage<In>>(
    stage: &mut S,
    input: &mut Edge<In>,
    output: &mut Edge<S::Out>,
) -> Result<bool, Fault> {
    if stage.resume(output)? == Progress::Blocked || !output.has_room() {
        return Ok(false);
    }
    match input.take() {
        Taken::Item(item, weight_bytes) => {
            stage.accept(item, weight_bytes, output)?;
            Ok(true)
        }
        Taken::Empty => Ok(false),
        Taken::AtEnd => {
            match input.take_end() {
                Some(Err(fault)) => return Err(fault),
                _ => stage.finish(output)?,
            }
            output.end();
            Ok(true)
        }
    }
}
