//! Pipeline: a node with its outer edges.

use crate::{Bounds, Edge, Fault, Node, Taken};

/// Push at one end, pull at the other; the work is done while pulling.
#[derive(Debug)]
pub struct Pipeline<In, N: Node<In>> {
    input: Edge<In>,
    node: N,
    output: Edge<N::Out>,
}

/// What a [`Pipeline`] gives next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// An item.
    Item(T),
    /// Nothing until more is offered.
    Starved,
    /// The input has ended and all of it has come out. Said once.
    End,
    /// It ended before its end. Said once.
    Fault(Fault),
    /// The end was said before.
    Over,
}

/// An item that [`Pipeline::offer`] did not take.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused<T> {
    /// No room: pull first.
    Full(T),
    /// It has ended.
    Closed(T),
}

impl<In, N: Node<In>> Pipeline<In, N> {
    /// Outer edges of default bounds around a node.
    pub fn new(node: N) -> Self {
        Self::bounded(node, Bounds::default(), Bounds::default())
    }

    /// Outer edges with these bounds around a node.
    pub fn bounded(node: N, input: Bounds, output: Bounds) -> Self {
        Self { input: Edge::new(input), node, output: Edge::new(output) }
    }

    /// Whether [`Pipeline::offer`] has room.
    pub fn has_room(&self) -> bool {
        self.input.has_room() && !self.input.is_closed()
    }

    /// Takes an item that weighs its own size: for objects without much behind them.
    pub fn offer(&mut self, item: In) -> Result<(), Refused<In>> {
        self.offer_weighing(item, size_of::<In>())
    }

    /// Takes an item that weighs so many bytes: a piece's length, an object's estimate.
    pub fn offer_weighing(&mut self, item: In, weight_bytes: usize) -> Result<(), Refused<In>> {
        if self.input.is_closed() {
            return Err(Refused::Closed(item));
        }
        if !self.input.has_room() {
            self.node.run(&mut self.input, &mut self.output);
            if !self.input.has_room() {
                return Err(Refused::Full(item));
            }
        }
        self.input.put(item, weight_bytes);
        Ok(())
    }

    /// No item follows.
    pub fn end(&mut self) {
        self.input.end();
    }

    /// No item follows, for this cause.
    pub fn fail(&mut self, cause: Fault) {
        self.input.fail(cause);
    }

    /// What comes out next.
    pub fn poll(&mut self) -> Next<N::Out> {
        if self.output.is_empty() {
            self.node.run(&mut self.input, &mut self.output);
        }
        match self.output.take() {
            Taken::Item(item, _) => Next::Item(item),
            Taken::Empty if self.output.is_closed() => Next::Over,
            Taken::Empty => Next::Starved,
            Taken::AtEnd => match self.output.take_end() {
                Some(Err(fault)) => Next::Fault(fault),
                _ => Next::End,
            },
        }
    }
}
